"""Reads Markdown pages, and runs their console blocks as a reader does."""

import contextlib
import functools
import os
import re
import shlex
import signal
import socket
import subprocess
import textwrap
import threading
from collections.abc import Iterator
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, Example, OutputChecker
from pathlib import Path
from typing import NamedTuple

from repository import ROOT, files, without

FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE
SECONDS_PER_COMMAND = 300


def blocks(text: str, *languages: str) -> list[str]:
    """The code blocks in one of these languages."""
    return [textwrap.dedent(body) for _, language, body in FENCE.findall(text) if language in languages]


def prose(text: str) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """The places that a link can lead to, by GitHub's rule: headings in lower case with hyphens, and ids."""
    found = set(re.findall(r"<\w+ (?:id|name)=\"([^\"]+)\"", prose(text)))
    for heading in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        shown = re.sub(r"\]\([^)]*\)", "", heading)  # of a link, its text
        slug = base = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        number = 0
        while slug in found:
            number += 1
            slug = f"{base}-{number}"
        found.add(slug)
    return found


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links that do not lead to a file of the repository, or not to a heading in it."""
    plain = re.sub(r"`[^`\n]*`", "", prose(text))
    links = re.findall(
        r"\]\(<?([^)\s>]+)|^ {0,3}\[[^]]+\]: *(\S+)|(?:src|srcset|href)=\"([^\"]+)\"", plain, re.MULTILINE
    )
    return [link for link in map("".join, links) if not re.match(r"[a-z]+:", link) and not leads(page, text, link)]


@functools.cache
def tracked() -> set[Path]:
    return set(files())


def leads(page: Path, text: str, link: str) -> bool:
    """Whether a relative link on the page leads to something in git."""
    path, _, anchor = link.partition("#")
    target = Path(os.path.normpath(page.parent / path)) if path else page
    if target not in tracked() | {page}:
        return any(target in file.parents for file in tracked())
    return not anchor or target.suffix != ".md" or anchor in anchors(text if target == page else target.read_text())


def is_excerpt(block: str, text: str) -> bool:
    """Whether the lines stand in the text one after another, at any indentation. Blank lines do not count."""
    wanted, lines = ([line.rstrip() for line in part.splitlines() if line.strip()] for part in (block, text))
    starts = [index for index, line in enumerate(lines) if wanted and line.strip() == wanted[0].strip()]
    parts = ("\n".join(lines[index : index + len(wanted)]) for index in starts)
    return any(textwrap.dedent(part) == textwrap.dedent("\n".join(wanted)) for part in parts)


class Command(NamedTuple):
    """A command of a console block, and the output that the page shows."""

    command: str
    output: str


def console(text: str) -> list[list[Command]]:
    """The commands of each console block. A backslash at the end of a line continues the command."""
    parts = [re.split(r"^\$ ((?:.*\\\n)*.*)\n", block, flags=re.MULTILINE) for block in blocks(text, "console")]
    assert not any(before.strip() for before, *_ in parts), "a console block starts with output"
    return [
        [
            Command(re.sub(r"\\\n(?:> )?", "", command), output)
            for command, output in zip(part[1::2], part[2::2], strict=True)
        ]
        for part in parts
    ]


def mismatch(shown: str, output: str) -> str:
    """Empty when the output is as shown: `...` stands for any text, and white space does not count.

    The last digits of long numbers differ between processors.
    """
    rounded = [re.sub(r"\d+\.\d{7,}", lambda number: f"{float(number[0]):.6f}", part) for part in (shown, output)]
    if OutputChecker().check_output(rounded[0], rounded[1], FLAGS):
        return ""
    return OutputChecker().output_difference(Example("", rounded[0]), rounded[1], FLAGS)


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@contextlib.contextmanager
def service(folder: Path, command: str, port: str) -> Iterator[str]:
    """Runs `./run.sh ... --keep` until the end of the context. Gives its output until the service is up."""
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=without(PORT=port),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("kept at"):
                break
        else:
            raise AssertionError(f"{command} ended: {''.join(lines)}")
        yield "".join(lines)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # not SIGINT, which a background job of a shell ignores
        process.communicate(timeout=240)  # on a busy machine, the pods of a namespace need minutes to stop


class Reader:
    """A person with one terminal for the commands of a page, and another one for the service."""

    def __init__(self, page: Path) -> None:
        self.page, self.folder = page, page.parent
        self.port, self.others = free_port(), free_port()
        keep = re.search(r"^\$ .*\./(\w+)/run\.sh .*--keep", page.read_text(), re.MULTILINE)
        self.lab = ROOT / keep[1] if keep else page.parent
        self.up = contextlib.ExitStack()
        self.is_up = False
        environment = without(*(key for key in os.environ if key.startswith("PYTHON")), PORT=self.others)
        # the smallest settings of the benchmarks: their commands must run, their figures are not compared
        environment |= dict.fromkeys(("ROUNDS", "SECONDS", "PHASE_SECONDS", "DURATION"), "1")
        self.shell = subprocess.Popen(
            ["bash"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._run('curl() { command curl --silent --show-error "$@"; }')  # as on a terminal: no progress meter

    def _run(self, command: str) -> str:
        """The output of a command in the shell."""
        assert self.shell.stdin
        assert self.shell.stdout
        timer = threading.Timer(SECONDS_PER_COMMAND, os.killpg, (self.shell.pid, signal.SIGKILL))
        timer.start()
        end = f"end of {id(command)}\n"
        self.shell.stdin.write(f"eval {shlex.quote(command)} </dev/null\nprintf '\\n%s' {shlex.quote(end)}\n")
        self.shell.stdin.flush()
        lines: list[str] = []
        for line in self.shell.stdout:
            if line == end:
                timer.cancel()
                return "".join(lines)
            lines.append(line)
        timer.cancel()
        raise AssertionError(f"the shell ended, or {SECONDS_PER_COMMAND} s passed: {command}\n{''.join(lines)}")

    def run(self, block: list[Command]) -> list[str]:
        """Runs a block in the page's folder. Returns the outputs that differ from the page, where the port is 8000."""
        self._run(f"cd {shlex.quote(str(self.folder))}")
        differences = []
        for command, shown in block:
            port = self.others if "run.sh" in command and "--keep" not in command else self.port
            text = re.sub(r"(127\.0\.0\.1:|localhost:|PORT=)8000\b", rf"\g<1>{port}", command)
            if "--keep" in text:
                output = self._start(Path(self._run("pwd").strip()), text)
            else:
                if text != command and port == self.port and not self.is_up:
                    self._start(self.lab, "./run.sh local --keep")
                output = self._run(text)
            if difference := mismatch(shown, re.sub(rf"\b({self.port}|{self.others})\b", "8000", output)):
                differences.append(f"$ {command}\n{difference}")
        return differences

    def _start(self, folder: Path, command: str) -> str:
        self.up.close()
        output = self.up.enter_context(service(folder, command, self.port))
        self.is_up = True
        return output

    def close(self) -> None:
        self.up.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.communicate()
