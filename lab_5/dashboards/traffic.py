"""The load: the command of k6's, and requests of all kinds that it leaves out, counted as their senders see them."""

import csv
import json
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from services import HERE

K6 = Path(sys.executable).with_name("k6")
LOADS = {"lab_4": HERE / "load.js", "final_project": HERE.parent / "final_project" / "load.js"}
KNOWN = 100  # items that both ask for before they begin, so that they are cached

BLOCK_GROUP = {"MedInc": 8.3252, "HouseAge": 41, "AveRooms": 6.984, "AveBedrms": 1.024, "Population": 322}
BLOCK_GROUP |= {"AveOccup": 2.556, "Latitude": 37.88, "Longitude": -122.23}
FILM = "a film that is never quite as good or as bad as its first scene and yet worth the time it takes"
WORDS = FILM.split()


def k6(lab: str, url: str, *options: str, **settings: str | float) -> list[str]:
    """The command that runs the lab's load.js, with its settings."""
    words = [word for name, value in {"URL": url, **settings}.items() for word in ("--env", f"{name}={value}")]
    quiet = ["--quiet", "--no-usage-report", "--address", "127.0.0.1:0"]  # other k6 may run at the same time
    return [str(K6), "run", *quiet, *options, *words, str(LOADS[lab])]


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
        self._url, self._lock = url, threading.Lock()
        self.counted: Counter[str] = Counter()

    def __call__(self, what: dict[str, Any] | None = None, path: str = "/predict") -> None:
        body = json.dumps(what).encode() if what is not None else None
        try:
            answer = urlopen(Request(self._url + path, body), timeout=60)  # noqa: S310 - one of ours
        except HTTPError as error:
            answer = error
        with self._lock, answer:
            if path == "/predict":
                self.counted[str(answer.status)] += 1
                for kind in ("hits", "misses"):
                    self.counted[kind] += int(answer.headers.get(f"x-cache-{kind}", 0))


def texts(number: int, many: int, long: int = 1) -> list[str]:
    """None of them are in those of another number; of up to 22 words times `long`, and three more."""
    return [" ".join([f"take {number}.{n}:", *(WORDS * long)[: (1 + n % len(WORDS)) * long]]) for n in range(many)]


numbers = count()


def wrong(send: Sender) -> None:
    send({"data": [BLOCK_GROUP | {"Population": 0}], "text": []})  # 422 of either service
    send(path="/nowhere")


def housing(send: Sender, broken: Sender) -> None:
    """What k6 leaves out: refused requests, some of many block groups, and what a broken pod does."""
    number = next(numbers)
    wrong(send)
    send({"data": [BLOCK_GROUP | {"MedInc": 1 + number / 1000, "HouseAge": n % 50} for n in range(40)]})
    broken({"data": [BLOCK_GROUP]})


def sentiment(send: Sender) -> None:
    """Texts that are new, texts that are known, and refused requests."""
    number = next(numbers)
    send({"text": texts(number, 1 + number % 12)})
    send({"text": texts(0, 5)})
    if not number % 5:
        wrong(send)


def overload(send: Sender) -> None:
    """More than may wait at once: the last are told to come again, the others that they were not answered in time."""
    seen = send.counted.copy()
    for _ in range(5):  # on a machine that is slow just now, all may come too late to be refused
        with ThreadPoolExecutor(5) as pool:
            list(pool.map(send, [{"text": texts(next(numbers), 1000, long=8)} for _ in range(5)]))
        if all(send.counted[status] > seen[status] for status in ("429", "503")):
            break
