"""Paths of the repository, and the environment that its tests run in."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# A git hook sets some of these. They would send the tests' own git commands to the repository that the hook runs in.
for variable in subprocess.check_output(["git", "rev-parse", "--local-env-vars"], text=True).split():
    os.environ.pop(variable, None)


def files(*patterns: str) -> list[Path]:
    """Files that git tracks or would add. The patterns are git's: `*.sh` matches in every folder."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in sorted(set(output.split("\0")[:-1])) if (path := ROOT / name).is_file()]


def name(path: Path) -> str:
    """A path as messages and test names show it."""
    return str(path.relative_to(ROOT))


FINAL = ROOT / "final_project"
LAB_5 = ROOT / "lab_5"  # it has no service of its own
LABS = [ROOT / "lab_1", ROOT / "lab_2", ROOT / "lab_3", ROOT / "lab_4", FINAL]
DEAD_URL = "http://127.0.0.1:9"  # refuses connections


def project(lab: Path) -> Path:
    """The folder of a lab that contains its pyproject.toml."""
    return next(path.parent for path in files(f"{lab.name}/*pyproject.toml"))


def without(*names: str, **more: str) -> dict[str, str]:
    """This process's environment without the named variables, and with others."""
    return {key: value for key, value in os.environ.items() if key not in names} | more
