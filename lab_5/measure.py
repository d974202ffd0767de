"""One run of a load.js: `.venv/bin/python measure.py FOLDER NAME [SETTING=VALUE ...]` writes what it found.

FOLDER has the load.js, at whose head the settings are, and gets results/NAME.json. It ends as k6 does: with 99 when a
threshold is not held.
"""

import csv
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

K6 = Path(sys.executable).with_name("k6")
QUANTILES = (1, *range(5, 100, 5), 99, 99.5, 99.9)
NOT_HELD = 99  # k6's exit code for a threshold

Request = tuple[float, float, str]  # seconds since 1970 of its end, milliseconds, status of the answer
Result = dict[str, Any]


def machine() -> str:
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {platform.system()}"


def asked(url: str) -> str:
    """The answer, or nothing. After an overload there may be much to do first."""
    try:
        with urlopen(url, timeout=60) as answer:  # noqa: S310 - http, as load.js sees to
            return str(answer.read().decode())
    except (OSError, ValueError):
        return ""


def counters(url: str) -> Counter[str]:
    """The service's counters, each summed over its labels. None for another machine's: behind its URL may be many."""
    text = asked(f"{url}/metrics") if url.startswith("http://127.0.0.1") else ""
    sums: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.endswith(("_total", "_sum", "_count")):
                sums[sample.name] += sample.value  # type: ignore[assignment] # a float
    return sums


def read(file: Path) -> tuple[list[Request], Counter[str]]:
    """The requests, and the other metrics' sums. What went before the load, to make items known, is not of it."""
    requests, sums = [], Counter[str]()
    with file.open(newline="") as lines:
        for line in csv.DictReader(lines):
            name, value = line["metric_name"], float(line["metric_value"])
            if line["scenario"] == "load" and name == "http_req_duration":
                requests.append((float(line["timestamp"]) / 1e3, value, line["status"]))
            elif line["scenario"] == "load":
                sums[name] += value  # type: ignore[assignment] # a float
    return requests, sums


def found(requests: list[Request], sums: Mapping[str, float]) -> Result:
    """Counts are of the whole run; rates and latencies of its middle five sevenths, for users come in the first, and go
    in the last: those of the answers 200, and beside them those of 429."""

    def counts(of: str) -> dict[str, int]:
        return {name.removeprefix(of): round(sums[name]) for name in sorted(sums) if name.startswith(of)}

    first, last = min(time for time, _, _ in requests), max(time for time, _, _ in requests)
    start, end = first + (last - first) / 7, last - (last - first) / 7

    def steady(status: str) -> Result:
        times = [value for time, value, of in requests if of == status and start <= time <= end]
        if not times:
            return {}
        percents = zip(QUANTILES, np.percentile(times, QUANTILES), strict=True)
        return {
            "requests_per_second": round(len(times) / (end - start), 1),
            "milliseconds": {str(percent): round(float(value), 2) for percent, value in percents},
        }

    return {
        "seconds": round(last - first, 1),
        "sent": counts("sent_"),
        "answers": counts("answers_"),
        "dropped": round(sums.get("dropped_iterations", 0)),
        "hits": round(sums.get("cache_hits", 0)),
        "misses": round(sums.get("cache_misses", 0)),
        **steady("200"),
        "refused": steady("429"),
    }


def measure(where: Path, name: str, settings: Mapping[str, str], show: bool = False) -> Result:
    """Runs the load.js there, and returns what results/NAME.json then holds. Exits as k6 does if it cannot run."""
    url = settings.get("URL", "http://127.0.0.1:8000")
    words = [word for pair in settings.items() for word in ("--env", "=".join(pair))]
    with tempfile.TemporaryDirectory() as kept:
        samples = Path(kept) / "samples.csv"
        environment = os.environ | {"K6_CSV_TIME_FORMAT": "unix_milli", "K6_NO_USAGE_REPORT": "true"}
        only = ["--include-system-env-vars=false", "--address", "127.0.0.1:0"]  # what is set is what the result says
        tags = ["--system-tags", "scenario,status"]  # the others would be half of what k6 writes
        options = [*only, *tags, "--out", f"csv={samples}", *([] if show else ["--quiet"])]
        command = [str(K6), "run", *options, *words, str(where / "load.js")]
        before, began = counters(url), datetime.now(UTC)
        done = subprocess.run(command, env=environment, stdout=None if show else subprocess.PIPE)  # noqa: S603
        if done.returncode not in (0, NOT_HELD):
            sys.exit(done.returncode)
        result = found(*read(samples))
    after = counters(url)
    result = {
        "name": name,
        "date": f"{began:%Y-%m-%d}",
        "machine": machine(),
        "versions": versions(url),
        "command": " ".join(["k6 run", *words, "load.js"]),
        "settings": dict(settings),
        "thresholds_held": done.returncode == 0,
        **result,
        "service": {key: round(after[key] - before[key], 4) for key in sorted(after) if after[key] != before[key]},
    }
    (where / "results").mkdir(exist_ok=True)
    (where / "results" / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def versions(url: str) -> dict[str, str]:
    service = json.loads(asked(url) or "{}")
    k6 = subprocess.run([K6, "version"], check=True, capture_output=True, text=True).stdout  # noqa: S603
    known = {"k6": k6.split()[1], "python": platform.python_version()}
    return known | {service["name"]: service["version"]} if service else known


def main() -> None:
    if len(sys.argv) < 3 or not Path(sys.argv[1], "load.js").exists() or not all("=" in word for word in sys.argv[3:]):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # k6 is stopped then, too, and what it wrote is removed
    settings = dict(word.split("=", 1) for word in sys.argv[3:])
    try:
        result = measure(Path(sys.argv[1]), sys.argv[2], settings, show=True)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if result["thresholds_held"] else NOT_HELD)


if __name__ == "__main__":
    main()
