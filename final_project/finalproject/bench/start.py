"""Start to first answer, and memory at rest: `.venv/bin/python -m bench.start`, five starts."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median
from urllib.error import URLError
from urllib.request import urlopen

from .machine import machine

PORT = os.environ.get("PORT", "8000")
URL = f"http://127.0.0.1:{PORT}"


def answers() -> bool:
    with contextlib.suppress(URLError):
        return bool(urlopen(URL + "/health", timeout=5).status == 200)  # noqa: S310
    return False


@contextlib.contextmanager
def service(app: str = "finalproject.main:app") -> Iterator[tuple[int, float]]:
    """Process id of the service, and the seconds from its start to its first answer."""
    began = time.monotonic()
    command = [sys.executable, "-m", "uvicorn", app, "--port", PORT, "--log-level", "warning"]
    with subprocess.Popen(command) as process:  # noqa: S603
        try:
            while not answers():
                if process.poll() is not None:
                    sys.exit(f"the service did not start; is port {PORT} free? PORT=8001 is another")
                time.sleep(0.01)
            yield process.pid, time.monotonic() - began
        finally:
            process.terminate()


def resident_megabytes(pid: int) -> float:
    output = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True).stdout  # noqa: S603, S607
    return int(output) / 1024


def main() -> None:
    seconds, megabytes = [], []
    for _ in range(5):
        with service() as (pid, took):
            seconds.append(took)
            megabytes.append(resident_megabytes(pid))
    print(machine())
    print(f"start to first answer  {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
    print(f"memory at rest         {median(megabytes):.0f} MB ({min(megabytes):.0f} to {max(megabytes):.0f})")


if __name__ == "__main__":
    main()
