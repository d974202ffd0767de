"""The cost of expensive bodies, with and without src/limits.py: `.venv/bin/python -m bench.hostile` (1 minute, Linux).

Each body has at most 4 MiB. 8 clients send it at the same time. The event loop is blocked for as long as the slowest
GET /health takes while one client sends the body. The peak memory is VmHWM of the process.
"""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from .machine import machine
from .start import PORT, service

LIMIT = 4 * 2**20
BLOCK_GROUP = b'{"MedInc":8.3252111,"HouseAge":41.25,"AveRooms":6.9841269,"AveBedrms":1.0238095,"Population":322.5,'
BLOCK_GROUP += b'"AveOccup":2.5555555,"Latitude":37.8811111,"Longitude":-122.2311111}'


def repeated(*units: bytes) -> bytes:
    """{"data":[unit,unit,...]} of the maximum size."""
    room = (LIMIT - len(b'{"data":[]}')) // (len(b",".join(units)) + 1)
    return b'{"data":[' + b",".join(units * room) + b"]}"


def numbered(count: int, digits: int) -> bytes:
    """One object with that many fields, which have different names."""
    return b'{"data":[{' + b",".join(b'"%0*d":1' % (digits, number) for number in range(count)) + b"}]}"


BODIES = {
    "10,000 block groups (valid)": b'{"data":[' + b",".join([BLOCK_GROUP] * 10_000) + b"]}",
    "350,000 unknown fields in one object": numbered(350_000, 6),
    "79,999 unknown fields with long names": numbered(79_999, 40),
    "79,000 unknown fields and 90 objects": b'{"data":[{'
    + b",".join(b'"%d":%s' % (number, b"1" if number % 900 else b"{}") for number in range(79_000))
    + b"}]}",
    "500,000 objects with one field": repeated(b'{"a":1}'),
    "1,400,000 lists": repeated(b"[]"),
    "1,000,000 floats": repeated(b"1.5"),
    "800,000 strings": repeated(b'"ab"'),
    "600,000 strings of 4-byte characters": repeated('"\U0001d11e"'.encode()),
}


def send(body: bytes) -> int:
    with closing(HTTPConnection("127.0.0.1", int(PORT))) as connection:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        return connection.getresponse().status


def slowest_health_check(body: bytes) -> float:
    """Seconds of the slowest GET /health while one client sends the body 3 times."""
    connection, slowest = HTTPConnection("127.0.0.1", int(PORT)), 0.0
    client = threading.Thread(target=lambda: [send(body) for _ in range(3)])
    client.start()
    while client.is_alive():
        start = time.perf_counter()
        connection.request("GET", "/health")
        connection.getresponse().read()
        slowest = max(slowest, time.perf_counter() - start)
        time.sleep(0.002)
    return slowest


def cost(app: str, body: bytes) -> tuple[str, str]:
    with service(app) as (pid, _), ThreadPoolExecutor(8) as clients:
        seconds = slowest_health_check(body)
        statuses = set(clients.map(send, [body] * 8))
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return "/".join(map(str, statuses)), f"{seconds:.2f} s, {int(peak) / 1024:.0f} MiB"


def main() -> None:
    print(f"{machine()}\n\n| body | status | with limits | without |\n|---|---|---|---|")
    for name, body in BODIES.items():
        (status, limited), (_, unlimited) = cost("src.main:app", body), cost("bench.unlimited:app", body)
        print(f"| {name} | {status} | {limited} | {unlimited} |", flush=True)


if __name__ == "__main__":
    main()
