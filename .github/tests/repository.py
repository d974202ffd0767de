"""What the checks of the repository share: where things are."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def files(*patterns: str) -> list[Path]:
    """What is in git or about to be (not ignored), by git's patterns: `*.sh` matches in every folder."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in sorted(set(listed.split("\0")[:-1])) if (path := ROOT / name).is_file()]


def name(path: Path) -> str:
    """A path as a message and a test's name show it."""
    return str(path.relative_to(ROOT))


# Its run.sh is lab_4's but for the exercise (test_ladder.py): what takes seconds and is about the rest runs on lab_4's.
FINAL = ROOT / "final_project"
LABS = sorted(  # up the ladder; lab_5 has no service of its own: it is a project itself, that measures lab_4's
    (path.parent for path in files("*/run.sh") if not (path.parent / "pyproject.toml").exists()),
    key=lambda lab: (lab == FINAL, lab),
)


def project(lab: Path) -> Path:
    """The folder of a lab that has its pyproject.toml."""
    return next(path.parent for path in files(f"{lab.name}/*pyproject.toml"))


def package(lab: Path) -> str:
    """The folder of its project that has the service."""
    return "finalproject" if lab == FINAL else "src"


def dead_url() -> str:
    """Nothing listens there, and who connects is told at once."""
    return "http://127.0.0.1:9"


def without(*names: str, **more: str) -> dict[str, str]:
    """This process's environment, less some variables, plus others."""
    return {key: value for key, value in os.environ.items() if key not in names} | more
