"""Runs of load.js: `.venv/bin/python -m bench.measure URL` measures 3 cache rates in both workloads, for run.sh."""

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

import analyze
from services import HERE, get

K6 = Path(sys.executable).with_name("k6")
K6_RUN = [str(K6), "run", "--address", "127.0.0.1:0", "--include-system-env-vars=false", "--no-usage-report"]
THRESHOLD_FAILED = 99  # exit status of k6
STEADY_STATE, STEADY_SHARE = "{phase:steady,status:200}", 0.8  # as in load.js
LATENCIES = {"mean_ms": "avg", "p50_ms": "med", "p95_ms": "p(95)", "p99_ms": "p(99)"}  # k6's names
STATUSES = ("200", "422", "429", "5xx", "none", "other")
SERVICE_METRICS = re.compile(r"^(process_cpu_seconds_total|model_inference_\w+_(?:sum|count)) (\S+)$", re.MULTILINE)


def origin(url: str) -> dict[str, Any]:
    """Where, when and of what a result is measured."""
    information = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", information)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    service = json.loads(get(f"{url}/"))
    k6 = subprocess.run([K6, "version"], check=True, capture_output=True, text=True).stdout.split()[1]  # noqa: S603
    return {
        "machine": f"{model[1] if model else platform.machine()}, {cores} cores, {platform.system()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": f"{service['name']} {service['version']}, k6 {k6}",
    }


def service_metrics(url: str) -> dict[str, float]:
    """Only of a service on this machine: behind another address can be several pods."""
    text = get(f"{url}/metrics") if url.startswith("http://127.0.0.1:") else ""
    return {name: float(value) for name, value in SERVICE_METRICS.findall(text)}


def seconds(duration: str) -> float:
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def measure(url: str, variables: Mapping[str, str], quiet: bool = False) -> dict[str, Any]:
    """Throughput and latencies are of the requests that were sent in the steady state and got status 200.

    The counts and the goodput are of the whole run. Without a response with status 200 it ends the process.
    """
    before = service_metrics(url)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "summary.json")
        command = [*K6_RUN, *(f"--env={name}={value}" for name, value in {"URL": url, **variables}.items())]
        command += ["--summary-export", str(file), *(["--quiet"] if quiet else []), str(HERE / "load.js")]
        # a variable such as K6_VUS in the user's shell would replace the workload
        kept = {name: value for name, value in os.environ.items() if name == "K6_NO_THRESHOLDS" or name[:3] != "K6_"}
        output = subprocess.PIPE if quiet else None
        process = subprocess.run(command, env=kept, stdout=output, stderr=output, text=True)  # noqa: S603
        if process.returncode not in (0, THRESHOLD_FAILED):
            print(process.stderr or "", file=sys.stderr)
            sys.exit(f"k6 failed with exit status {process.returncode}")
        summary = json.loads(file.read_text())["metrics"]

    def count(metric: str) -> int:
        return int(summary.get(metric, {"count": 0})["count"])

    duration, latency = seconds(variables["DURATION"]), summary[f"http_req_duration{STEADY_STATE}"]
    if not count(f"http_reqs{STEADY_STATE}"):
        sys.exit("no request of the steady state got status 200")
    return {
        "settings": dict(variables),
        "seconds": duration,
        "thresholds_passed": process.returncode == 0,
        "requests_per_second": round(count(f"http_reqs{STEADY_STATE}") / (STEADY_SHARE * duration), 1),
        "goodput": round(summary["responses_200"]["rate"], 1),
        **{name: round(latency[key], 3) for name, key in LATENCIES.items()},
        "responses": {status: count(f"responses_{status}") for status in STATUSES},
        **{name: count(name) for name in ("cache_hits", "cache_misses", "dropped_iterations")},
        "service": {name: round(value - before[name], 4) for name, value in service_metrics(url).items()},
    }


def write(file: Path, result: Mapping[str, Any]) -> None:
    """JSON with one line per run. An interrupted run leaves the former file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({**result, "runs": []}, indent=1)
    text = head.replace("[]", "[\n  " + ",\n  ".join(map(json.dumps, result["runs"])) + "\n ]") + "\n"
    file.with_suffix(".new").write_text(text)
    file.with_suffix(".new").replace(file)


def main(url: str) -> None:
    folder, runs = HERE / "results" / "local", list[dict[str, Any]]()
    for workload in ("VUS", "RATE"):
        for rate in ("0", "0.5", "1"):
            variables = {workload: os.environ[workload], "CACHE_RATE": rate}
            print("\n" + " ".join("=".join(item) for item in variables.items()), flush=True)
            runs.append(measure(url, {**variables, "DURATION": os.environ["DURATION"]}))
    write(folder / "hit-ratio.json", {**origin(url), "note": os.environ["NOTE"], "rounds": 1, "runs": runs})
    analyze.main(folder)
    if not all(run["thresholds_passed"] for run in runs):
        sys.exit("a threshold of load.js failed: see the lines with ✗ above")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # subprocess.run then stops k6
    try:
        main(sys.argv[1])
    except OSError as error:
        sys.exit(f"the service stopped responding, or the result cannot be written: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
