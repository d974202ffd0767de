"""Reads Markdown pages, and runs their console blocks as a reader does."""

import contextlib
import os
import re
import shlex
import signal
import textwrap
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, Example, OutputChecker
from pathlib import Path

from repository import files, without
from scripts import Script, free_port

TRACKED, PAGES = set(files()), files("*.md")
Block = list[tuple[str, str]]  # the commands of a console block, and the output that the page shows
FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
# Console commands that no test runs: a part of the command, and why
NOT_RUN = {
    "test.sh": "runs this test",
    "bench.compare": "downloads 4 environments and takes 12 minutes",
    "train": "changes an environment that other tests use, and takes 6 minutes",
    "DURATION=": "takes minutes; the tests of lab_5 run it with shorter loads",
    "ALERTS{": "needs rules/prometheus.sh; test_live.py sends such queries",
    "steps/04": "passes or fails with the speed of the machine",
}
# test_readmes_docker.py runs the blocks that need Docker, a cluster or a download, or that take longer than 10 s.
SLOW = re.compile(r"\bdocker\b|run\.sh(?! local)|\b(kubectl|minikube)\b|/install\.sh|bench\.|sleep \d\d|prometheus -")

PREAMBLE = r""" # the start of the script with all commands of a page
exec 2>&1
trap '{ kill $(jobs -p); wait; } 2>/dev/null' EXIT
curl() { [[ " $* " = *" --silent "* ]] || set -- --silent --show-error "$@"; command curl "$@"; } # no progress meter
keep() { # mode command: runs it in the background, and prints its output until the service is up
  { kill "${!1}" && wait "${!1}"; } 2>/dev/null
  PORT=$KEPT_PORT bash -c "$2" >"$KEPT_OUTPUT$1" 2>&1 & eval "$1=$!"
  until grep -qs '^kept at' "$KEPT_OUTPUT$1"; do kill -0 "${!1}" || { cat "$KEPT_OUTPUT$1"; exit; }; sleep 0.1; done
  cat "$KEPT_OUTPUT$1"
}
"""


def blocks(text: str, *languages: str) -> list[str]:
    """The code blocks in one of these languages."""
    return [textwrap.dedent(body) for _, language, body in FENCE.findall(text) if language in languages]


def prose(text: str) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """The places that a link can lead to, by GitHub's rule: headings in lower case with hyphens, and ids."""
    ids = re.findall(r"<\w+ (?:id|name)=\"([^\"]+)\"", prose(text))
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    shown = [re.sub(r"\]\([^)]*\)", "", heading).strip().lower() for heading in headings]  # of a link, its text
    return {*ids, *(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in shown)}


def broken_links(page: Path) -> list[str]:
    """Relative links that do not lead to a file of the repository, or not to a heading in it."""
    plain = re.sub(r"`[^`\n]*`", "", prose(page.read_text()))
    links = re.findall(r"\]\(<?([^)\s>]+)|^ {0,3}\[[^]]+\]: *(\S+)|(?:src|srcset|href)=\"([^\"]+)\"", plain, re.M)
    return [link for link in map("".join, links) if not re.match(r"[a-z]+:", link) and not link_leads(page, link)]


def link_leads(page: Path, link: str) -> bool:
    """Whether a relative link on the page leads to something in git."""
    path, _, anchor = link.partition("#")
    target = Path(os.path.normpath(page.parent / path)) if path else page
    if target not in TRACKED:
        return any(target in file.parents for file in TRACKED)
    return not anchor or target.suffix != ".md" or anchor in anchors(target.read_text())


def is_excerpt(block: str, text: str) -> bool:
    """Whether the lines stand in the text one after another, at any indentation. Blank lines do not count."""
    wanted, lines = ([line.rstrip() for line in part.splitlines() if line.strip()] for part in (block, text))
    starts = [index for index, line in enumerate(lines) if wanted and line.strip() == wanted[0].strip()]
    parts = ("\n".join(lines[index : index + len(wanted)]) for index in starts)
    return any(textwrap.dedent(part) == textwrap.dedent("\n".join(wanted)) for part in parts)


def console_blocks(page: Path, slow: bool) -> list[Block]:
    """The slow blocks, or the others, without NOT_RUN. From a slow `name=$!` to `kill $name` all are slow."""
    result: list[Block] = []
    background: set[str] = set()
    for text in blocks(page.read_text(), "console"):
        before, *parts = re.split(r"^\$ ((?:.*\\\n)*.*)\n", text, flags=re.MULTILINE)  # a backslash continues a command
        assert before == "", f"a console block starts with output: {before}"
        pairs = zip((re.sub(r"\\\n(?:> )?", "", command) for command in parts[::2]), parts[1::2], strict=True)
        block = [pair for pair in pairs if not any(part in pair[0] for part in NOT_RUN)]
        text = "\n".join(command for command, _ in block)
        if is_slow := bool(background or SLOW.search(text)):
            background |= set(re.findall(r"(\w+)=\$!", text))
        if block and is_slow == slow:
            result.append(block)
        background -= set(re.findall(r"\$(\w+)", text.partition("kill ")[2]))
    return result


def mismatch(shown: str, output: str, command: str = "") -> str:
    """Empty when the output is as shown: `...` stands for any text, and white space does not count."""
    if command.startswith("k6 run"):  # the page shows the counts and times of a longer load
        shown, output = (re.sub(r"(?<!\w)\d[\d.]*(?:[mµ]?s\b)?", "0", part) for part in (shown, output))
    # the last digits of long numbers differ between processors
    rounded = [re.sub(r"\d+\.\d{7,}", lambda number: f"{float(number[0]):.6f}", part) for part in (shown, output)]
    flags = ELLIPSIS | NORMALIZE_WHITESPACE
    if OutputChecker().check_output(rounded[0], rounded[1], flags):
        return ""
    return OutputChecker().output_difference(Example("", rounded[0]), rounded[1], flags)


def differences(page: Path, blocks: list[Block], folder: Path) -> list[str]:
    """Runs the blocks, and the page's service if they need it. Returns the outputs that differ from the page."""
    port, other = free_port(), free_port()
    lines, kept = [PREAMBLE], set()
    for block in blocks:
        lines.append(f"cd {shlex.quote(str(page.parent))}")
        for command, _ in block:
            text = re.sub(r"(127\.0\.0\.1:|localhost:|PORT=)8000\b", rf"\g<1>{port}", command)
            if text != command and "local" not in kept and "--keep" not in command:
                lines.append("keep local './run.sh local --keep' >/dev/null")
                kept.add("local")
            run = "eval"
            if "--keep" in command:
                mode = "minikube" if "minikube" in command else "local"
                kept.add(mode)
                run = f"keep {mode}"
            lines.append(f"printf 'end of command\\n'; {run} {shlex.quote(text)}")
    (folder / "page.sh").write_text("\n".join(lines))
    environment = without(*(key for key in os.environ if key.startswith("PYTHON")), PORT=other)
    environment |= {"KEPT_PORT": port, "KEPT_OUTPUT": str(folder / "kept"), "URL": f"http://127.0.0.1:{port}"}
    # the smallest settings of the benchmarks: their commands must run, their figures are not compared
    environment |= dict.fromkeys(("ROUNDS", "SECONDS", "PHASE_SECONDS"), "1") | {"DURATION": "1s"}
    script = Script(folder, "bash", f"{folder}/page.sh", environment=environment)
    try:
        script.wait_for_exit(seconds=900)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(script.process.pid, signal.SIGTERM)  # not SIGINT, which a background job of a shell ignores
            script.wait_for_exit()
    outputs = re.sub(rf"\b({port}|{other})\b", "8000", script.stdout).split("end of command\n")[1:]
    commands = [pair for block in blocks for pair in block]
    assert len(outputs) == len(commands), f"the shell ended early: {script.stdout[-1000:]}"
    wrong = [(c, mismatch(shown, out, c)) for (c, shown), out in zip(commands, outputs, strict=True)]
    return [f"$ {command}\n{difference}" for command, difference in wrong if difference]
