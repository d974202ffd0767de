"""Measures the time from start to first response, and the memory at rest: `.venv/bin/python -m bench.start`.

Settings: ROUNDS (5), PORT (8000).
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from .machine import machine

ROUNDS, PORT = int(os.environ.get("ROUNDS", "5")), os.environ.get("PORT", "8000")
URL = f"http://127.0.0.1:{PORT}"
opener = build_opener(ProxyHandler({}))  # the service is on this machine: no proxy


def responds() -> bool:
    with contextlib.suppress(URLError):
        return bool(opener.open(URL + "/health", timeout=5).status == 200)
    return False


@contextlib.contextmanager
def service(app: str = "src.main:app") -> Iterator[tuple[int, float]]:
    """Starts the service. Yields its process id and the seconds from start to first response, then stops it."""
    if responds():
        sys.exit(f"another service uses port {PORT}: set PORT to a free one")
    start = time.monotonic()
    command = [sys.executable, "-m", "uvicorn", app, "--port", PORT, "--http", "h11", "--log-level", "warning"]
    with subprocess.Popen(command) as process:  # noqa: S603
        try:
            while not responds():
                if process.poll() is not None:
                    sys.exit(f"the service did not start; if port {PORT} is in use, set PORT to another")
                time.sleep(0.01)
            yield process.pid, time.monotonic() - start
        finally:
            process.terminate()


def resident_megabytes(pid: int) -> float:
    output = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True).stdout  # noqa: S603, S607
    return int(output) / 1024


def main() -> None:
    seconds, megabytes = [], []
    for _ in range(ROUNDS):
        with service() as (pid, start_seconds):
            seconds.append(start_seconds)
            megabytes.append(resident_megabytes(pid))
    print(f"{machine()}; median (lowest to highest) of {ROUNDS} starts")
    print(f"start to first response  {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
    print(f"memory at rest           {median(megabytes):.0f} MB ({min(megabytes):.0f} to {max(megabytes):.0f})")


if __name__ == "__main__":
    main()
