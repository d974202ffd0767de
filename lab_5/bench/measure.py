"""One run of load.js: `.venv/bin/python -m bench.measure URL FILE [NAME=VALUE...]`

The variables are those of load.js. The result is added to FILE. The exit status is k6's: 99 if a threshold failed.
"""

import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services import HERE, get

K6 = Path(sys.executable).with_name("k6")
THRESHOLD_FAILED = 99  # exit status of k6
STEADY_STATE, STEADY_SHARE = "{phase:steady,status:200}", 0.8  # as in load.js
LATENCIES = {"mean_ms": "avg", "p50_ms": "med", "p95_ms": "p(95)", "p99_ms": "p(99)"}  # k6's names
SERVICE_METRICS = re.compile(r"^(process_cpu_seconds_total|model_inference_\w+_(?:sum|count)) (\S+)$", re.MULTILINE)


def origin(url: str) -> dict[str, Any]:
    """Where, when and of what a result is measured."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        processor = re.findall(r"model name\s*: (.*)", f"{Path('/proc/cpuinfo').read_text()}\nmodel name: {processor}")[
            0
        ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    service = json.loads(get(f"{url}/"))
    k6 = subprocess.run([K6, "version"], check=True, capture_output=True, text=True).stdout.split()[1]  # noqa: S603
    return {
        "machine": f"{processor}, {cores} cores, {platform.system()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": f"{service['name']} {service['version']}, k6 {k6}",
        "note": os.environ.get("NOTE", ""),
    }


def service_metrics(url: str) -> dict[str, float]:
    """Only of a service on this machine: behind another address can be several pods."""
    text = get(f"{url}/metrics") if url.startswith("http://127.0.0.1:") else ""
    return {name: float(value) for name, value in SERVICE_METRICS.findall(text)}


def seconds(duration: str) -> float:
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def measure(url: str, variables: Mapping[str, str], quiet: bool = False) -> dict[str, Any]:
    """Throughput and latencies are of the steady state and status 200, counts and goodput of the whole run."""
    before = service_metrics(url)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "summary.json")
        command = [str(K6), "run", "--address", "127.0.0.1:0", "--include-system-env-vars=false", "--no-usage-report"]
        command += [f"--env={name}={value}" for name, value in {"URL": url, **variables}.items()]
        command += ["--summary-export", str(file), *(["--quiet"] if quiet else []), str(HERE / "load.js")]
        output = subprocess.PIPE if quiet else None
        process = subprocess.run(command, stdout=output, stderr=output, text=True)  # noqa: S603
        if process.returncode not in (0, THRESHOLD_FAILED):
            print(process.stderr or "", file=sys.stderr)
            sys.exit(process.returncode)
        summary = json.loads(file.read_text())["metrics"]
    duration, latency = seconds(variables["DURATION"]), summary[f"http_req_duration{STEADY_STATE}"]

    def count(metric: str) -> int:
        return int(summary.get(metric, {"count": 0})["count"])

    statuses = ("200", "422", "429", "5xx", "none", "other")
    return {
        "settings": dict(variables),
        "seconds": duration,
        "thresholds_passed": process.returncode == 0,
        "requests_per_second": round(count(f"http_reqs{STEADY_STATE}") / (STEADY_SHARE * duration), 1),
        "goodput": round(summary.get("responses_200", {"rate": 0})["rate"], 1),
        **{name: round(latency[key], 3) for name, key in LATENCIES.items()},
        "responses": {status: count(f"responses_{status}") for status in statuses},
        **{name: count(name) for name in ("cache_hits", "cache_misses", "dropped_iterations")},
        "service": {name: round(value - before[name], 4) for name, value in service_metrics(url).items()},
    }


def write(file: Path, result: Mapping[str, Any]) -> None:
    """JSON with one line per run."""
    file.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({**result, "runs": []}, indent=1)
    file.write_text(head.replace("[]", "[\n  " + ",\n  ".join(map(json.dumps, result["runs"])) + "\n ]") + "\n")


def main() -> None:
    url, file, *variables = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # subprocess.run then stops k6
    try:
        run = measure(url, dict(variable.split("=", 1) for variable in variables))
        runs = json.loads(Path(file).read_text())["runs"] if Path(file).exists() else []
        write(Path(file), {**origin(url), "rounds": 1, "runs": [*runs, run]})
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0 if run["thresholds_passed"] else THRESHOLD_FAILED)


if __name__ == "__main__":
    main()
