"""The load: the command of k6's, and requests of all kinds that it leaves out, counted as their senders see them."""

import csv
import json
import sys
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from services import HERE

K6 = Path(sys.executable).with_name("k6")
KNOWN = 100  # items that load.js asks for before it begins, so that they are cached

BLOCK_GROUP = {"MedInc": 8.3252, "HouseAge": 41, "AveRooms": 6.984, "AveBedrms": 1.024, "Population": 322}
BLOCK_GROUP |= {"AveOccup": 2.556, "Latitude": 37.88, "Longitude": -122.23}


def k6(url: str, *options: str, **settings: str | float) -> list[str]:
    """The command that runs load.js, with its settings."""
    words = [word for name, value in {"URL": url, **settings}.items() for word in ("--env", f"{name}={value}")]
    quiet = ["--quiet", "--no-usage-report", "--address", "127.0.0.1:0"]  # other k6 may run at the same time
    return [str(K6), "run", *quiet, *options, *words, str(HERE / "load.js")]


def counted_by_k6(samples: Path) -> Counter[str]:
    """With the request of its setup, which its own counters leave out, and whose items nobody asked for before."""
    counters: Counter[str] = Counter()
    with samples.open(newline="") as lines:
        for line in csv.DictReader(lines):
            counters[line["metric_name"]] += round(float(line["metric_value"]))
    names = {"answers_200": "200", "answers_422": "422", "cache_hits": "hits", "cache_misses": "misses"}
    counted: Counter[str] = Counter({name: counters[counter] for counter, name in names.items()})
    if counters["http_reqs"] != counted["200"] + counted["422"] + 1:
        raise ValueError(f"k6 got other answers than 200 and 422: {counters}")
    return counted + Counter({"200": 1, "misses": KNOWN})


class Sender:
    """Sends to one service, and counts its answers of /predict by status, and the `hits` and `misses` in them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.counted: Counter[str] = Counter()

    def __call__(self, what: dict[str, Any] | None = None, path: str = "/predict") -> None:
        body = json.dumps(what).encode() if what is not None else None
        try:
            answer = urlopen(Request(self._url + path, body), timeout=60)  # noqa: S310 - one of ours
        except HTTPError as error:
            answer = error
        with answer:
            if path == "/predict":
                self.counted[str(answer.status)] += 1
                for kind in ("hits", "misses"):
                    self.counted[kind] += int(answer.headers.get(f"x-cache-{kind}", 0))


numbers = count()


def housing(send: Sender, broken: Sender) -> None:
    """What k6 leaves out: refused requests, some of many block groups, and what a broken pod does."""
    number = next(numbers)
    send({"data": [BLOCK_GROUP | {"Population": 0}]})  # 422
    send(path="/nowhere")
    send({"data": [BLOCK_GROUP | {"MedInc": 1 + number / 1000, "HouseAge": n % 50} for n in range(40)]})
    broken({"data": [BLOCK_GROUP]})
