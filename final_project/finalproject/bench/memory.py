"""Memory: `.venv/bin/python -m bench.memory dev.tsv` (Linux, 3 minutes, needs wrk).

Memory at rest and under load, and the peak (VmHWM of the process) for requests with the most expensive bodies within
the limit of 4 MiB. Each body is sent by 1 client, then by 16 clients at the same time, to a new process. The slowest
GET /health/live shows for how long the event loop was blocked. The memory limit of the Deployment is the bound.

Settings: SECONDS (10) of the load, HTTP (the service's), and BODIES, a list of names.
"""

import argparse
import json
import re
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from .command import run
from .load import text_file, wrk
from .results import Result, choices, read_texts, setting
from .servers import PROJECT, Server, resident_mib, service

SECONDS, CLIENTS, MAX_BYTES = setting("SECONDS", 10), 16, 4 * 2**20


def filled(start: str, unit: str, end: str) -> bytes:
    """start + unit, unit, ... + end, of the maximum size."""
    count = (MAX_BYTES - len((start + end).encode())) // (len(unit.encode()) + 1)
    return (start + ",".join([unit] * count) + end).encode()


def list_of(text: str, count: int) -> bytes:
    return json.dumps({"text": [text] * count}, ensure_ascii=False).encode()


def different(count: int, length: int) -> bytes:
    """Texts that share no words, so that neither the cache nor single-flight saves work."""
    return json.dumps({"text": [(f"{number} good bad film " * length)[:length] for number in range(count)]}).encode()


def numbered(digits: int) -> bytes:
    """One object with that many digits in each field name, of the maximum size."""
    count = (MAX_BYTES - 20) // (digits + 6)
    return ("{" + ",".join(f'"{number:0{digits}}":1' for number in range(count)) + "}").encode()


BODIES: dict[str, tuple[str, bytes]] = {
    "texts": ("1,000 texts of 4,000 characters (valid)", different(1_000, 4_000)),
    "one_byte": ("1,000 texts of 1 character (valid)", list_of("a", 1_000)),
    "four_byte": ("100 texts of 10,000 4-byte characters (valid)", list_of("\U0001d11e" * 10_000, 100)),
    "brackets": ("400 texts of brackets and colons (valid)", list_of('[{":' * 2_000, 400)),
    "escapes": ("200 texts of escaped quotes (valid)", filled('{"text":[', '"' + '\\"' * 10_000 + '"', "]}")),
    "nested": ("nested lists, 100 deep", filled('{"text":[', "[" * 100 + "]" * 100, "]}")),
    "deep": ("nested lists, 2 million deep", b'{"text":' + b"[" * (MAX_BYTES - 8)),
    "lists": ("1.4 million empty lists", filled('{"text":[', "[]", "]}")),
    "objects": ("500,000 objects with one field", filled('{"text":[', '{"a":1}', "]}")),
    "fields": ("350,000 unknown fields", numbered(6)),
    "long_fields": ("90,000 unknown fields with long names", numbered(40)),
    "repeated": ("the field `text` 466,000 times", filled("{", '"text":1', "}")),
    "strings": ("800,000 texts of 2 characters", filled('{"text":[', '"ab"', "]}")),
    "empty_strings": ("1.4 million empty texts", filled('{"text":[', '""', "]}")),
    "numbers": ("1 million numbers", filled('{"text":[', "1.5", "]}")),
    "one_text": ("1 text of 4 million characters", list_of("a" * (MAX_BYTES - 20), 1)),
    "unclosed": ("a string that does not end, of quotes", b'{"text":["' + b'\\"' * ((MAX_BYTES - 10) // 2)),
}


def memory_limit_mib() -> int:
    """The memory limit in the Deployment's manifest."""
    manifest = (PROJECT.parent / ".k8s/base/deployment.yaml").read_text()
    (limit,) = re.findall(r"limits:(?:\s+#.*)*\s+memory: (\d+)Mi", manifest)
    return int(limit)


def peak_mib(server: Server) -> float:
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())
    return int(peak) / 1024


def address(server: Server) -> tuple[str, int]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return host, int(port)


def send(server: Server, body: bytes) -> str:
    """The status, or "none" without a response."""
    with closing(HTTPConnection(*address(server), timeout=60)) as connection:
        with suppress(OSError):  # the response may come before the end of the body
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        try:
            return str(connection.getresponse().status)
        except (OSError, HTTPException):
            return "none"


def slowest_health_check(server: Server, body: bytes) -> tuple[float, str]:
    """Seconds of the slowest GET /health while 1 client sends the body, and the client's status."""
    statuses: list[str] = []
    client = threading.Thread(target=lambda: statuses.append(send(server, body)))
    client.start()
    slowest = 0.0
    with closing(HTTPConnection(*address(server), timeout=60)) as connection:
        while client.is_alive():
            start = time.perf_counter()
            connection.request("GET", "/health/live")
            connection.getresponse().read()
            slowest = max(slowest, time.perf_counter() - start)
            time.sleep(0.002)
    return slowest, statuses[0]


def cost(body: bytes) -> dict[str, Any]:
    with service() as server:
        seconds, status = slowest_health_check(server, body)
        single_peak = peak_mib(server)
        with ThreadPoolExecutor(CLIENTS) as clients:
            statuses = Counter(clients.map(lambda _: send(server, body), range(CLIENTS)))
        return {
            "bytes": len(body),
            "status": status,
            "statuses": dict(sorted(statuses.items())),
            "health_seconds": round(seconds, 3),
            "peak_mib": round(single_peak),
            "peak_mib_16_clients": round(peak_mib(server)),
        }


def measure(arguments: argparse.Namespace) -> Result:
    names = choices("BODIES", list(BODIES))
    with service() as server, text_file(read_texts(arguments.texts)) as texts:
        rest = resident_mib(server.pid)
        wrk(server.url, SECONDS, texts=texts, seed=1)
        load = {
            "rest_mib": round(rest),
            "load_mib": round(resident_mib(server.pid)),
            "peak_mib": round(peak_mib(server)),
        }
    bodies = {}
    for name in names:
        description, body = BODIES[name]
        bodies[description] = cost(body)
        print(f"{description}: {bodies[description]}", file=sys.stderr, flush=True)
    return {"limit_mib": memory_limit_mib(), "clients": CLIENTS, "load": load, "bodies": bodies}


if __name__ == "__main__":
    run("memory", measure, __doc__ or "")
