"""This lab and other model servers on the same pickle: `.venv/bin/python -m bench.compare` (12 minutes, needs wrk).

Each server in bench/rivals/ has its own virtual environment and runs with the defaults of its documentation.
RIVALS="fastapi litserve" selects servers. ROUNDS, SECONDS and PORT are settings, too.
"""

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request

import numpy as np

from src.main import model
from src.schemas import Batch, BlockGroup, Predictions

from .load import SECONDS, MeasurementError, Result, print_comparison, require_wrk, warm_up_and_measure
from .start import PORT, URL, opener, service

FOLDER = Path(__file__).with_name("rivals")
COMMANDS = {  # relative to bin/ of the environment; the ports come from VARIABLES
    "fastapi": ["uvicorn", "fastapi_server:app", "--app-dir", str(FOLDER), "--log-level", "warning"],
    "litserve": ["python", str(FOLDER / "litserve_server.py")],
    "bentoml": ["bentoml", "serve", "bentoml_server:Housing", "--working-dir", str(FOLDER)],
    "mlserver": ["mlserver", "start", str(FOLDER / "mlserver")],
}
VARIABLES = {
    "UVICORN_PORT": PORT,
    "LITSERVE_PORT": PORT,
    "BENTOML_PORT": PORT,
    "BENTOML_HOME": ".",
    "BENTOML_DO_NOT_TRACK": "True",
    "MLSERVER_HTTP_PORT": PORT,
    "MLSERVER_GRPC_PORT": str(int(PORT) + 1),
    "MLSERVER_METRICS_PORT": str(int(PORT) + 2),
}
START_SECONDS, STOP_SECONDS = 60, 10
BOUNDS = ((0.5, 12), (1, 52), (2, 9), (0.8, 1.4), (100, 4000), (1.5, 4.5), (32.5, 42), (-124.3, -114.3))  # of rows.lua


def random_block_groups(count: int) -> list[dict[str, float]]:
    rows = [[round(random.uniform(*bounds), 4) for bounds in BOUNDS] for _ in range(count)]  # noqa: S311
    return [dict(zip(BlockGroup.model_fields, row, strict=True)) for row in rows]


def install(name: str) -> bool:
    """Creates the environment unless it has these requirements. Returns whether that succeeded."""
    environment, requirements = FOLDER / f".venv-{name}", FOLDER / f"requirements-{name}.txt"
    installed = environment / "requirements.txt"  # written last, so it is absent after an interrupted installation
    if installed.exists() and installed.read_text() == requirements.read_text():
        return True
    print(f"{name}: installs its packages, at most 105 MB to download", file=sys.stderr, flush=True)
    create = [sys.executable, "-m", "venv", "--clear", str(environment)]
    pip = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
    for command in (create, pip):
        if subprocess.run(command).returncode:  # noqa: S603
            print(f"{name} is left out: its installation failed", file=sys.stderr)
            return False
    installed.write_text(requirements.read_text())
    return True


@contextmanager
def rival(name: str) -> Iterator[str]:
    """The server in a process group of its own: yields its URL, then stops the group."""
    url = URL + ("/v2/models/housing/infer" if name == "mlserver" else "/predict")
    environment, (program, *arguments) = FOLDER / f".venv-{name}", COMMANDS[name]
    log = environment / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            [environment / "bin" / program, *arguments],
            cwd=environment,  # LitServe and MLServer create files there
            env=os.environ | VARIABLES,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until_ready(process, url, log)
        yield url
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError, PermissionError):  # there is no process left
            os.killpg(process.pid, signal.SIGKILL)


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return check(url)
        except (OSError, LookupError, ValueError) as error:  # connection refused, or an error response
            if process.poll() is not None or time.monotonic() > deadline:
                last_lines = " | ".join(log.read_text().splitlines()[-3:])
                raise MeasurementError(f"{url} is not ready: {error}; {log} ends with: {last_lines}") from error
        time.sleep(0.2)


def check(url: str) -> None:
    """Raises a MeasurementError if the server's predictions are not the model's."""
    block_groups = random_block_groups(3)
    body: dict[str, Any] = {"data": block_groups}
    if "/v2/" in url:
        rows = [list(block_group.values()) for block_group in block_groups]
        body = {"inputs": [{"name": "x", "shape": [3, 8], "datatype": "FP64", "data": rows}]}
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310
    with opener.open(request, timeout=30) as response:
        answer = json.load(response)
    predictions = answer["outputs"][0]["data"] if "outputs" in answer else answer["predictions"]
    expected = model.predict([BlockGroup(**block_group) for block_group in block_groups])
    if len(predictions) != 3 or not all(map(math.isclose, predictions, expected)):
        raise MeasurementError(f"{url} returned {predictions}, but the model returns {expected}")


def measure_lab(rows: int, connections: int) -> Result:
    with service():
        check(URL + "/predict")
        return warm_up_and_measure(URL + "/predict", rows, connections)


def measure_rival(name: str, rows: int, connections: int) -> Result:
    with rival(name) as url:
        return warm_up_and_measure(url, rows, connections)


def measure_loop(bodies: list[str]) -> Result:
    """A loop that parses, validates, predicts and serializes: the upper bound of one process."""
    times = [began := time.perf_counter()]
    while times[-1] < began + SECONDS:
        batch = Batch.model_validate_json(bodies[len(times) % len(bodies)])
        Predictions(predictions=model.predict(batch.data)).model_dump_json()
        times.append(time.perf_counter())
    p50, p99 = np.percentile(np.diff(times) * 1000, [50, 99])
    return Result((len(times) - 1) / (times[-1] - began), float(p50), float(p99))


def main() -> None:
    require_wrk()
    names = os.environ.get("RIVALS", " ".join(COMMANDS)).split()
    if unknown := set(names) - set(COMMANDS):
        sys.exit(f"RIVALS: {' '.join(unknown)} is not one of {' '.join(COMMANDS)}")
    installed = list(filter(install, names))
    succeeded = installed == names
    for rows, connections in ((1, 32), (1000, 4)):
        measurements: dict[str, Callable[[], Result]] = {"this lab": partial(measure_lab, rows, connections)}
        measurements |= {name: partial(measure_rival, name, rows, connections) for name in installed}
        if rows == 1000:
            bodies = [json.dumps({"data": random_block_groups(rows)}) for _ in range(20)]
            measurements["loop without a server"] = partial(measure_loop, bodies)
        succeeded &= print_comparison(measurements, rows, connections)
    sys.exit(not succeeded)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server is stopped in `finally`
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
