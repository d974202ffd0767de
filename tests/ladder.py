"""Keeps the copies of shared files equal to their origins, which ladder.toml lists.

`python tests/ladder.py` prints what differs. `python tests/ladder.py --sync` writes the copies.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LADDER = tomllib.loads((ROOT / "tests" / "ladder.toml").read_text())


def project_files(folder: Path) -> list[str]:
    """Files below the folder that git tracks or would add, relative to it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}  # of a git hook
    output = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
    return [path for path in sorted(set(output.split("\0")[:-1])) if (folder / path).is_file()]


def is_below(path: str, entry: str) -> bool:
    """Whether an entry of ladder.toml names the file, or a folder above it by a slash at the end."""
    return path == entry or (entry.endswith("/") and path.startswith(entry))


def copies() -> Iterator[tuple[Path, Path]]:
    """Pairs of an origin and its copy."""
    for step in LADDER["step"]:
        for path in project_files(ROOT / step["from"]):
            if path not in step["changes"] and not any(is_below(path, drop) for drop in step["drops"]):
                yield ROOT / step["from"] / path, ROOT / step["to"] / path
    for origin, folders in LADDER["shared"].items():
        yield from ((ROOT / origin, ROOT / folder / Path(origin).name) for folder in folders)


def equal(origin: Path, copy: Path) -> bool:
    """Same bytes and same executable bit. Git tracks no other part of the mode."""
    same_mode = copy.is_file() and not (origin.stat().st_mode ^ copy.stat().st_mode) & 0o100
    return same_mode and origin.read_bytes() == copy.read_bytes()


def wrong_entries() -> Iterator[str]:
    """Entries of ladder.toml that do not describe the files."""
    for step in LADDER["step"]:
        earlier, later = ROOT / step["from"], ROOT / step["to"]
        for path in step["changes"] + step["drops"]:
            if not (earlier / path).exists():
                yield f"{path} is listed, but {step['from']} does not have it"
        for path in step["changes"]:
            if not (later / path).is_file() or equal(earlier / path, later / path):
                yield f"{path} is in `changes`, but {step['to']} does not have its own version"
        for path in step["drops"]:
            if (later / path).exists():
                yield f"{path} is in `drops`, but {step['to']} has it"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sync", action="store_true", help="write the copies that differ")
    sync = parser.parse_args().sync
    different = False
    for origin, copy in copies():  # in the order of the ladder: a copy may be the origin of the next one
        if equal(origin, copy):
            continue
        different = True
        names = [str(path.relative_to(ROOT)) for path in (copy, origin)]
        print(f"{names[0]} is written" if sync else f"{names[0]} differs from {names[1]}")
        if sync:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, copy)  # with its mode
    if different and not sync:
        print("run: python tests/ladder.py --sync (a file that must differ belongs in `changes` in tests/ladder.toml)")
    wrong = list(wrong_entries())
    print("".join(f"tests/ladder.toml: {entry}\n" for entry in wrong), end="")
    return 1 if wrong or (different and not sync) else 0


if __name__ == "__main__":
    sys.exit(main())
