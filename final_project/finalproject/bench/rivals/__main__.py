"""This service and other model servers on the same model: `.venv/bin/python -m bench.rivals dev.tsv` (15 minutes, wrk).

Each server has its own virtual environment in bench/rivals/, and runs twice per round:
  documented: as its documentation shows it, with batches of up to 32 where it has batching
  threads:    2 model calls at a time with 1 thread each, as in this service with INFERENCE_THREADS=2
Each ratio is to this service, which is measured directly before. Settings: RIVALS (fastapi,litserve,bentoml,ray),
ROUNDS (3), SECONDS (6) of one measurement, and HTTP (the service's), the HTTP parser of this service.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from finalproject.model import SentimentModel

from ..command import run
from ..load import text_file, wrk
from ..results import Result, choices, read_texts, setting
from ..servers import PROJECT, MeasurementError, free_port, post_texts, service

FOLDER = Path(__file__).parent
NAMES = {"fastapi": "plain FastAPI", "litserve": "LitServe", "bentoml": "BentoML", "ray": "Ray Serve"}
COMMANDS = {  # relative to bin/ of the environment; {port} is the port
    "fastapi": [
        "uvicorn",
        "bench.rivals.fastapi_server:app",
        "--log-level",
        "warning",
        "--no-access-log",
        "--port",
        "{port}",
    ],
    "litserve": ["python", "-m", "bench.rivals.litserve_server"],
    "bentoml": [
        "bentoml",
        "serve",
        "bench.rivals.bentoml_server:Sentiment",
        "--working-dir",
        str(PROJECT),
        "--port",
        "{port}",
    ],
    "ray": ["serve", "run", "--route-prefix", "/predict", "bench.rivals.ray_server:app"],
}
VARIABLES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PYTHONPATH": str(PROJECT),
}
CONFIGURATIONS: dict[str, dict[str, str]] = {"documented": {}, "threads": {"THREADS": "1", "WORKERS": "2"}}
START_SECONDS, STOP_SECONDS = 90, 15
ROUNDS, SECONDS, THREADS = setting("ROUNDS", 3), setting("SECONDS", 6), 2


def install(name: str) -> bool:
    """Creates the environment unless it has these requirements. Returns whether that succeeded."""
    environment, requirements = FOLDER / f".venv-{name}", FOLDER / f"requirements-{name}.txt"
    installed = environment / "requirements.txt"  # written last, so it is absent after an interrupted installation
    if installed.exists() and installed.read_text() == requirements.read_text():
        return True
    print(f"{NAMES[name]}: installs its packages", file=sys.stderr, flush=True)
    create = [sys.executable, "-m", "venv", "--clear", str(environment)]
    pip = [str(environment / "bin/python"), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)]
    for command in (create, pip):
        if subprocess.run(command).returncode:  # noqa: S603
            print(f"{NAMES[name]} is left out: its installation failed", file=sys.stderr)
            return False
    installed.write_text(requirements.read_text())
    return True


@contextmanager
def rival(name: str, configuration: str) -> Iterator[str]:
    """The server in a process group of its own: yields its URL, then stops the group."""
    port = 8000 if name == "ray" else free_port()  # the default port of Ray Serve
    environment, (program, *arguments) = FOLDER / f".venv-{name}", COMMANDS[name]
    variables = (
        VARIABLES | CONFIGURATIONS[configuration] | {"PORT": str(port), "BENTOML_HOME": str(environment / "home")}
    )
    log = environment / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            [environment / "bin" / program, *(argument.format(port=port) for argument in arguments)],
            cwd=environment,  # some servers create files there
            env={"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "HOME": str(environment), **variables},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(process, url, log)
        yield url
    finally:
        process.send_signal(signal.SIGINT if name == "ray" else signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError, PermissionError):  # there is no process left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return check(url)
        except (OSError, LookupError, ValueError) as error:  # connection refused, or an error response
            if process.poll() is not None or time.monotonic() > deadline:
                last_lines = " | ".join(log.read_text(errors="replace").splitlines()[-3:])
                raise MeasurementError(f"{url} is not ready: {error}; {log} ends with: {last_lines}") from error
        time.sleep(0.2)


def check(url: str) -> None:
    """Raises an error if the server's scores are not those of the model in this service."""
    model = SentimentModel(PROJECT / "model")
    for text in ("I love you!", "I hate you!", "not a bad film, but a long one"):
        response, _ = post_texts(url, [text])
        (scores,) = response["predictions"] if isinstance(response, dict) else response
        (expected,) = map(json.loads, model.predict(model.encode([text])))
        for score, right in zip(scores, expected, strict=True):
            if score["label"] != right["label"] or not math.isclose(score["score"], right["score"], abs_tol=0.0002):
                raise MeasurementError(f"{url} returned {scores}, but the model returns {expected}")


def measure(arguments: argparse.Namespace) -> Result:
    names = [name for name in choices("RIVALS", list(NAMES)) if install(name)]
    values: dict[str, dict[str, list[dict[str, float]]]] = {
        name: {} for name in ("this service", *(NAMES[name] for name in names))
    }

    def load(url: str, texts: str) -> dict[str, Any]:
        wrk(url, 2, texts=texts)  # warm-up
        return wrk(url, SECONDS, texts=texts)._asdict()

    def record(name: str, configuration: str, result: dict[str, Any], own: dict[str, Any]) -> None:
        result = result | {"ratio": result["requests_per_second"] / own["requests_per_second"]}
        values[name].setdefault(configuration, []).append(result)
        print(f"{name}, {configuration}: {json.dumps(result)}", file=sys.stderr, flush=True)

    with text_file(read_texts(arguments.texts)) as texts, service(INFERENCE_THREADS=str(THREADS)) as server:
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            for name in names:
                for configuration in CONFIGURATIONS:
                    own = load(server.url, texts)
                    record("this service", configuration, own, own)
                    with rival(name, configuration) as url:
                        record(NAMES[name], configuration, load(url, texts), own)
    return {"rounds": ROUNDS, "seconds": SECONDS, "threads": THREADS, "values": values}


if __name__ == "__main__":
    run("rivals", measure, __doc__ or "")
