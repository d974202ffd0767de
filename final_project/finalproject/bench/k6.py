"""Runs ../load.js with k6, and reads every sample that k6 has written."""

import contextlib
import csv
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from .servers import PROJECT, MeasurementError, pinned_to

SCRIPT = PROJECT.parent / "load.js"
THRESHOLD_FAILED = 99  # exit status of k6
STATUSES = (200, 429, 503)


class Sample(NamedTuple):
    start: float  # Unix time, seconds
    end: float
    status: int  # 0: no response

    @property
    def milliseconds(self) -> float:
        return 1e3 * (self.end - self.start)


class Samples(NamedTuple):
    requests: list[Sample]
    dropped: list[float]  # Unix time of each request that k6 could not send: too many were in flight
    start: float

    def summary(self, start: float, end: float) -> dict[str, Any]:
        """Of the requests that were sent between two times, in seconds since the start of the run.

        The goodput is the number of responses with status 200 per second in that time.
        """
        start, end = self.start + start, self.start + end
        sent = [sample for sample in self.requests if start <= sample.start < end]
        in_time = sum(sample.status == 200 and start <= sample.end < end for sample in self.requests)
        counts = Counter("none" if not sample.status else str(sample.status) for sample in sent)
        named = {name: counts.pop(name, 0) for name in (*map(str, STATUSES), "none")}
        return {
            "sent_per_second": round(len(sent) / (end - start), 1),
            "goodput": round(in_time / (end - start), 1),
            "p50_ms": percentile(sent, 200, 50),
            "p99_ms": percentile(sent, 200, 99),
            "p99_429_ms": percentile(sent, 429, 99),
            "counts": {**named, "other": counts.total()},
            "dropped": sum(start <= at < end for at in self.dropped),
        }

    def columns(self, step: float, probed: list[tuple[float, dict[str, float]]]) -> dict[str, list[float | None]]:
        """Per step of time: its start, the responses by status, the p99 of the 200s, and the last values of a probe."""
        last = max(sample.end for sample in self.requests)
        steps = range(int((last - self.start) / step))

        def step_of(at: float) -> int:
            return int((at - self.start) // step)

        counts = Counter((step_of(sample.end), sample.status) for sample in self.requests)
        latencies: dict[int, list[float]] = {}
        for sample in self.requests:
            if sample.status == 200:
                latencies.setdefault(step_of(sample.end), []).append(sample.milliseconds)
        values = {(step_of(at), name): value for at, probe in probed for name, value in probe.items()}
        return {
            "second": [number * step for number in steps],
            **{str(status): [counts[n, status] for n in steps] for status in sorted({status for _, status in counts})},
            "p99": [round(float(np.percentile(latencies[n], 99)), 2) if n in latencies else None for n in steps],
            **{name: [values.get((n, name)) for n in steps] for name in sorted({name for _, name in values})},
        }


def percentile(samples: list[Sample], status: int, percent: float) -> float | None:
    latencies = [sample.milliseconds for sample in samples if sample.status == status]
    return round(float(np.percentile(latencies, percent)), 2) if latencies else None


class Probe:
    """Calls a function every `seconds` in a thread, and keeps its values with their time."""

    def __init__(self, function: Callable[[], dict[str, float]], seconds: float) -> None:
        self.values: list[tuple[float, dict[str, float]]] = []
        self._function, self._seconds, self._stop = function, seconds, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self.values.append((time.time(), self._function()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def program() -> str:
    """The k6 of this environment (`./install.sh bench`), or the one that is installed on this machine."""
    found = shutil.which("k6", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not found:
        raise MeasurementError("k6 is not installed: ./install.sh bench")
    return found


def version() -> str:
    return subprocess.run([program(), "version"], check=True, capture_output=True, text=True).stdout.split()[1]  # noqa: S603


def allow_open_files() -> None:
    """Raises the soft limit on open files, for this process and those that it starts: macOS allows 256."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65_536, hard))


def load(url: str, variables: dict[str, object], core: int | None = None, options: tuple[str, ...] = ()) -> Samples:
    """Runs load.js with these variables. The samples need about 1 KB of disk per request."""
    allow_open_files()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "samples.csv")
        command = [program(), "run", "--quiet", "--address", "127.0.0.1:0", "--out", f"csv={file}", *options]
        for name, value in {"URL": url, **variables}.items():
            command += ["--env", f"{name}={value}"]
        environment = {"PATH": os.environ["PATH"], "K6_CSV_TIME_FORMAT": "unix_milli", "K6_NO_USAGE_REPORT": "true"}
        process = subprocess.run(  # noqa: S603
            pinned_to(core, [*command, str(SCRIPT)]), env=environment, capture_output=True, text=True
        )
        if process.returncode not in (0, THRESHOLD_FAILED):
            raise MeasurementError(f"k6: {process.stderr.strip()[-2000:]}")
        return read(file)


def read(file: Path) -> Samples:
    """The requests of the scenario. The requests of setup() have no scenario."""
    requests, dropped = [], []
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["scenario"] and row["metric_name"] == "http_req_duration":
                end = float(row["timestamp"]) / 1e3
                requests.append(Sample(end - float(row["metric_value"]) / 1e3, end, int(row["status"])))
            elif row["metric_name"] == "dropped_iterations":
                dropped += [float(row["timestamp"]) / 1e3] * round(float(row["metric_value"]))
    if not requests:
        raise MeasurementError("k6 has sent no request")
    return Samples(requests, dropped, min(sample.start for sample in requests))
