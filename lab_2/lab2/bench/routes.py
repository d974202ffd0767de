"""Three ways to call the model, under the same load: `.venv/bin/python -m bench.routes` (3 minutes, needs wrk)."""

import sys
from functools import partial

from .load import Result, print_comparison, require_wrk, warm_up_and_measure
from .start import URL, service

PATHS = {"direct": "/predict", "run_in_executor": "/predict/run_in_executor", "def route": "/predict/def"}


def measure_path(path: str) -> Result:
    with service("bench.variants:app"):
        return warm_up_and_measure(URL + path, rows=1, connections=32)


if __name__ == "__main__":
    require_wrk()
    succeeded = print_comparison({name: partial(measure_path, path) for name, path in PATHS.items()}, 1, 32)
    sys.exit(not succeeded)
