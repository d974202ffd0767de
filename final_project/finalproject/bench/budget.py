"""Which budget of tokens a batch: `.venv/bin/python -m bench.budget dev.tsv`, BATCH_TOKENS by BATCH_TOKENS in turn.

Texts of SST-2's dev set, one a request, over 32 connections, no cache. ROUNDS (5) and SECONDS (2) can be set. It needs
wrk (Debian: apt install wrk; macOS: brew install wrk).
"""

import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from .limit import read
from .machine import machine
from .table import ROUNDS, Load, service, spread, wrk

BUDGETS = (48, 96, 144, 192, 256, 384)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    loads: dict[int, list[Load]] = defaultdict(list)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(read(Path(sys.argv[1]))) + "\n")
        file.flush()
        for turn in range(ROUNDS):
            print(f"round {turn + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            for budget in BUDGETS:
                with service(0, REDIS_URL="", BATCH_TOKENS=str(budget)) as alone:
                    wrk(alone.url, file.name, seconds=1)
                    loads[budget].append(wrk(alone.url, file.name))
    print(f"{machine()}; {ROUNDS} rounds\n\n| tokens a batch | requests/s | 99 %, ms |\n|---|---|---|")
    for budget, those in loads.items():
        print(f"| {budget} | {spread([load.rate for load in those])} | {median(load.most for load in those):.0f} |")


if __name__ == "__main__":
    main()
