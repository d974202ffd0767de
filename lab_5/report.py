"""What a page of findings is made with: results, tables and pictures of them, and a text with places to be filled.

In the text, `{name}` is such a place. A number that is typed into it is refused: the results would not hold it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

Result = dict[str, Any]
Results = Mapping[str, Result]  # by name
Picture = Callable[[Results], list[Result]]  # draws, and tells what it was drawn from
LATENCIES = ("p50, ms", "p95, ms", "p99, ms")

KINDS = ("200", "422", "429", "5xx", "none", "other")  # of answers, as load.js counts them
MAY_DIFFER = ("URL", "RATE", "P95", "P99", "USERS")  # RATE: where it is a multiple of what was measured

# names that have a digit and are no number: of quantiles, statuses, folders and tools
NAMES = re.compile(
    r"\bp\d\d\b|\blab_\d\b|\bk6\b|\b(200|422|429)s?\b|\b5xx\b|`[^`0-9]*`|\]\([^)]*\)|^#.*$", re.MULTILINE
)


def results(folder: Path) -> dict[str, Result]:
    """By name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def digest(those: Iterable[Result]) -> str:
    """What a picture was drawn from."""
    return hashlib.sha256(json.dumps(list(those), sort_keys=True).encode()).hexdigest()


def rounds(those: Results, name: str) -> list[Result]:
    """The runs NAME-1, NAME-2, ...; ValueError if they are not of one kind."""
    runs = [result for key, result in those.items() if re.fullmatch(rf"{re.escape(name)}-\d+", key)]
    kinds = {json.dumps({key: of for key, of in run["settings"].items() if key not in MAY_DIFFER}) for run in runs}
    if len(kinds) != 1:
        raise ValueError(f"the runs {name}-* are not of one kind: {'; '.join(sorted(kinds)) or 'there is none'}")
    return runs


def spread(numbers: Sequence[float], form: str = ".0f") -> str:
    low, high = f"{min(numbers):{form}}", f"{max(numbers):{form}}"
    return f"{median(numbers):{form}}" + (f" ({low} to {high})" if low != high else "")


def rate(those: Sequence[Result]) -> str:
    return spread([each["requests_per_second"] for each in those])


def quantile(those: Sequence[Result], percent: str) -> str:
    numbers = [each["milliseconds"][percent] for each in those]
    return spread(numbers, ".1f" if median(numbers) < 10 else ".0f")


def seconds(those: Sequence[Result]) -> float:
    """Of the server, for a request, when it has no pause."""
    return 1 / float(median(each["requests_per_second"] for each in those))


def call(those: Sequence[Result]) -> float:
    """Milliseconds of a call of the model."""
    took, count = (
        sum(each["service"][f"model_inference_duration_seconds_{what}"] for each in those) for what in ("sum", "count")
    )
    return 1e3 * float(took) / float(count)


def latencies(those: Sequence[Result]) -> list[str]:
    return [quantile(those, each) for each in ("50", "95", "99")]


def counted(those: Sequence[Result], *kinds: str) -> int:
    if unknown := set(kinds) - set(KINDS):
        raise KeyError(f"{unknown}: load.js does not count it")
    return sum(each["answers"].get(kind, 0) for each in those for kind in kinds)


def per_request(those: Sequence[Result]) -> str:
    """Milliseconds of the service's CPU."""
    return spread(
        [1e3 * each["service"]["process_cpu_seconds_total"] / sum(each["answers"].values()) for each in those], ".2f"
    )


def busy(those: Sequence[Result]) -> str:
    """How much of a core the service uses, %."""
    return spread([100 * each["service"]["process_cpu_seconds_total"] / each["seconds"] for each in those])


def sent_rate(run: Result) -> float:
    """Requests/s that k6 could send of those that were planned."""
    return float(sum(run["sent"].values()) / run["seconds"])


def sent(those: Sequence[Result]) -> str:
    return spread([sent_rate(each) for each in those])


def success(those: Sequence[Result]) -> str:
    return share(counted(those, "200"), counted(those, *KINDS))


def hits_row(runs: Sequence[Result]) -> list[str]:
    """Success, rate, latencies, and the hits that were asked for beside those that the service counted."""
    asked, hits = sum(each["sent"].get("cached", 0) for each in runs), sum(each["hits"] for each in runs)
    return [success(runs), rate(runs), *latencies(runs), f"{asked}", f"{hits}"]


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.4g} %"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def setup(those: Iterable[Result]) -> str:
    """Machine, versions and dates; ValueError for more than one machine, whose numbers do not compare."""
    machines = {each["machine"] for each in those}
    versions = {f"{name} {version}" for each in those for name, version in each["versions"].items()}
    if len(machines) != 1:
        raise ValueError(f"results/ has runs of {len(machines)} machines: {', '.join(sorted(machines))}")
    dates = sorted({each["date"] for each in those})
    return f"{machines.pop()}, {', '.join(sorted(versions))}, {' to '.join({dates[0]: 0, dates[-1]: 0})}"


def typed_numbers(text: str) -> list[str]:
    """Numbers in a page's text that no result would be asked for."""
    return re.findall(r"\S*\d\S*", NAMES.sub("", re.sub(r"\{\w+\}", "", text)))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Raises ValueError for a number that was typed, KeyError for a place that nothing fills."""
    if numbers := typed_numbers(text):
        raise ValueError(f"numbers that no result holds: {', '.join(numbers)}")
    return re.sub(r"\{(\w+)\}", lambda place: values[place[1]], text)


def name(picture: Picture) -> str:
    return picture.__name__.replace("_", "-")


def draw(pictures: Iterable[Picture], those: Results, folder: Path) -> None:
    """Each says in its metadata what it was drawn from."""
    for picture in pictures:
        drawn = picture(those)
        plt.tight_layout()
        plt.savefig(folder / f"{name(picture)}.png", dpi=120, metadata={"Description": digest(drawn)})
        plt.close()
