"""The runs behind Findings.md: `python -m bench.experiments [NAME ...]`.

In 35 minutes. NAME is one of those below; with none, all. SECONDS (60) of a run and ROUNDS (3) can be set. Runs that
are compared alternate, so that a slow moment of the machine falls on all of them.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from .lab_4 import batches, cache_rates, cost_of_a_miss, invalid_rate, past_capacity

ALL: list[Callable[[Path], None]] = [cache_rates, invalid_rate, cost_of_a_miss, past_capacity, batches]
EXPERIMENTS = {each.__name__.replace("_", "-"): each for each in ALL}


def main() -> None:
    names = sys.argv[1:] or list(EXPERIMENTS)
    if unknown := [name for name in names if name not in EXPERIMENTS]:
        print(f"{__doc__}\nno such experiment: {unknown[0]}; there are {', '.join(EXPERIMENTS)}", file=sys.stderr)
        sys.exit(2)
    for name in names:
        print(f"\n{name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            EXPERIMENTS[name](Path(folder))


if __name__ == "__main__":
    main()
