"""The experiments of Findings.md: `./run.sh experiments [NAME...] [--commit]`

NAME is hit-ratio, invalid-data, break-even, workload or bottleneck; the default is all of them. The results go to
results/local/, or with --commit to results/. A run takes DURATION (12s). Configurations alternate in ROUNDS (3), so
that a slow moment of the machine affects all of them.
"""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from services import HERE, LAB_4, service, valkey, wait_for_cache

from .measure import measure, origin, seconds, write

DURATION, ROUNDS = os.environ.get("DURATION", "12s"), int(os.environ.get("ROUNDS", "3"))
APP = {"CACHE": "yes", "MODEL_MS": "0", "MAX_BATCH": "1"}  # of the service: see app.py. Other settings: load.js
PLAIN, CLOSED, OPEN = {"CACHE": "no", "CACHE_RATE": "0"}, {"VUS": "32"}, {"RATE": "200"}
EXPERIMENTS: dict[str, list[dict[str, str]]] = {
    "hit-ratio": [{**workload, "CACHE_RATE": rate} for workload in (CLOSED, OPEN) for rate in ("0", "0.5", "1")],
    "invalid-data": [{**OPEN, "CACHE_RATE": "0", "INVALID_RATE": rate} for rate in ("0", "0.03")],
    "break-even": [
        {**CLOSED, "MODEL_MS": milliseconds, **cache}
        for milliseconds in ("0", "2", "5", "20")
        for cache in (PLAIN, *({"CACHE_RATE": rate} for rate in ("0", "0.25", "0.5", "1")))
    ],
    "workload": [
        *({**PLAIN, "VUS": vus} for vus in ("1", "8", "32", "128")),
        *({**PLAIN, "CAPACITY": factor} for factor in ("0.5", "0.8", "1.3")),
    ],
    "bottleneck": [
        CLOSED | PLAIN,
        *({**CLOSED, "CACHE_RATE": rate} for rate in ("0", "1")),
        {**CLOSED, **PLAIN, "MAX_BATCH": "32"},
    ],
}


def start_services(configs: list[dict[str, str]], folder: Path, stack: ExitStack) -> list[str]:
    """The URL of the service of each configuration."""
    redis, urls = stack.enter_context(valkey(folder)), dict[str, str]()
    for app in configs:
        if str(app) not in urls:
            cache = {"REDIS_URL": redis} if app["CACHE"] == "yes" else {}
            log, environment = folder / f"{len(urls)}.log", app | cache | {"PYTHONPATH": str(LAB_4)}
            urls[str(app)] = stack.enter_context(service(LAB_4, "bench.app:app", log, HERE, **environment))
            if cache:
                wait_for_cache(urls[str(app)])
    return [urls[str(app)] for app in configs]


def experiment(name: str, file: Path) -> None:
    configs, runs = [APP | config for config in EXPERIMENTS[name]], list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        apps = [{key: config[key] for key in APP} for config in configs]
        urls = start_services(apps, Path(folder), stack)
        for _ in range(ROUNDS):
            capacity = 0.0
            for config, url in zip(configs, urls, strict=True):
                variables = {**config, "DURATION": DURATION}
                if "CAPACITY" in config:  # RATE as a multiple of the closed workloads' throughput
                    variables["RATE"] = str(round(float(config["CAPACITY"]) * capacity))
                run = measure(url, variables, quiet=True)
                runs.append(run)
                capacity = max(capacity, run["requests_per_second"] if "VUS" in config else 0)
                settings = " ".join(f"{key}={value}" for key, value in variables.items() if APP.get(key) != value)
                measured = f"{run['requests_per_second']:.0f} requests/s, p99 {run['p99_ms']:.1f} ms"
                print(f"{name} {len(runs)} of {ROUNDS * len(configs)}: {measured}; {settings}", flush=True)
        write(file, {**origin(urls[0]), "note": "", "rounds": ROUNDS, "runs": runs})


def main() -> None:
    names = [argument for argument in sys.argv[1:] if argument != "--commit"] or list(EXPERIMENTS)
    if not set(names) <= EXPERIMENTS.keys():
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the services are then stopped
    folder = HERE / "results" / ("" if "--commit" in sys.argv else "local")
    minutes = sum(len(EXPERIMENTS[name]) for name in names) * ROUNDS * (seconds(DURATION) + 3) / 60
    print(f"about {minutes:.0f} min; the results go to {folder}", flush=True)
    try:
        for name in names:
            experiment(name, folder / f"{name}.json")
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:  # a service, or its installation
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
