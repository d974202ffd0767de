"""Keeps the copies of shared files equal to their origins, which ladder.toml lists.

`python tests/ladder.py` prints what differs. `python tests/ladder.py --sync` writes the copies.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LADDER = tomllib.loads((ROOT / "tests" / "ladder.toml").read_text())


def project_files(folder: Path) -> list[str]:
    """Files below the folder that git tracks or would add, relative to it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}  # of a git hook
    output = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
    return [path for path in sorted(set(output.split("\0")[:-1])) if (folder / path).is_file()]


def renamed(data: bytes, step: dict[str, Any]) -> bytes:
    """The path or the content of a file, with the names that the later lab gives to the same things."""
    for pattern, new in step.get("renames", {}).items():
        data = re.sub(pattern.encode(), new.encode(), data)
    return data


def path_of_copy(path: str, step: dict[str, Any]) -> Path:
    return Path(os.path.normpath(ROOT / step["to"] / renamed(path.encode(), step).decode()))


def copies() -> Iterator[tuple[Path, Path, dict[str, Any]]]:
    """Origins, their copies, and the steps."""
    for step in LADDER["step"]:
        for path in project_files(ROOT / step["from"]):
            if path not in step["changes"] and not path.startswith(tuple(step["drops"])):
                yield ROOT / step["from"] / path, path_of_copy(path, step), step
    for origin, folders in LADDER["shared"].items():
        yield from ((ROOT / origin, ROOT / folder / Path(origin).name, {}) for folder in folders)


def equal(origin: Path, copy: Path, step: dict[str, Any]) -> bool:
    """Same content, but for the names, and same executable bit. Git tracks no other part of the mode."""
    same_mode = copy.is_file() and not (origin.stat().st_mode ^ copy.stat().st_mode) & 0o100
    return same_mode and renamed(origin.read_bytes(), step) == copy.read_bytes()


def wrong_entries() -> Iterator[str]:
    """Entries of ladder.toml that do not describe the files."""
    for step in LADDER["step"]:
        earlier = ROOT / step["from"]
        for path in step["changes"] + step["drops"]:
            if not (earlier / path).exists():
                yield f"{path} is listed, but {step['from']} does not have it"
        for path in step["changes"]:
            copy = path_of_copy(path, step)
            if not copy.is_file() or equal(earlier / path, copy, step):
                yield f"{path} is in `changes`, but {step['to']} does not have its own version"
        for path in step["drops"]:
            if path_of_copy(path, step).exists():
                yield f"{path} is in `drops`, but {step['to']} has it"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sync", action="store_true", help="write the copies that differ")
    sync = parser.parse_args().sync
    different = False
    for origin, copy, step in copies():  # in the order of the ladder: a copy may be the origin of the next one
        if equal(origin, copy, step):
            continue
        different = True
        names = [str(path.relative_to(ROOT)) for path in (copy, origin)]
        print(f"{names[0]} is written" if sync else f"{names[0]} differs from {names[1]}")
        if sync:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(renamed(origin.read_bytes(), step))
            shutil.copymode(origin, copy)
    if different and not sync:
        print("run: python tests/ladder.py --sync (a file that must differ belongs in `changes` in tests/ladder.toml)")
    wrong = list(wrong_entries())
    print("".join(f"tests/ladder.toml: {entry}\n" for entry in wrong), end="")
    return 1 if wrong or (different and not sync) else 0


if __name__ == "__main__":
    sys.exit(main())
