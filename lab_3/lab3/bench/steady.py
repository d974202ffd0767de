"""A steady load in the open workload model: a fixed arrival rate, whatever the latency of the responses."""

import asyncio
import json
import random
import sys
import time
from collections import deque
from itertools import count
from typing import NamedTuple

from .start import PORT

RATE, ROWS, PERCENT_NEW, KNOWN = 100, 10, 10, 500
TIMEOUT_SECONDS = 10
BLOCK_GROUP = {"MedInc": 8.3252, "HouseAge": 41, "AveRooms": 6.9841, "AveBedrms": 1.0238, "Population": 322}
BLOCK_GROUP |= {"AveOccup": 2.5556, "Latitude": 37.88, "Longitude": -122.23}


class Sample(NamedTuple):
    arrival: float  # when the request is due, s on time.monotonic()
    end: float  # when the response is complete
    hits: int
    failed: bool

    @property
    def latency_ms(self) -> float:
        return (self.end - self.arrival) * 1000


class SteadyLoad:
    """Sends RATE requests/s of ROWS block groups. PERCENT_NEW of them are new, the others are some of KNOWN."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._idle = deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()  # kept-alive connections

    async def run(self) -> None:
        """Sends requests until it is cancelled."""
        start = time.monotonic()
        async with asyncio.TaskGroup() as requests:
            for number in count():
                await asyncio.sleep(start + number / RATE - time.monotonic())
                requests.create_task(self._send(start + number / RATE))

    async def _send(self, arrival: float) -> None:
        hits, failed = 0, False
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                hits = await self._post(json.dumps({"data": [block_group() for _ in range(ROWS)]}).encode())
        except (OSError, EOFError, ValueError, LookupError) as error:  # TimeoutError is an OSError
            failed = True
            print(f"a request failed: {error!r}", file=sys.stderr, flush=True)
        self.samples.append(Sample(arrival, time.monotonic(), hits, failed))

    async def _post(self, body: bytes) -> int:
        """The number of hits. Raises an error if the connection fails, or if the response is not the expected one."""
        reader, writer = self._idle.popleft() if self._idle else await asyncio.open_connection("127.0.0.1", int(PORT))
        writer.write(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = dict(line.split(": ") for line in lines)
        response = await reader.readexactly(int(headers["content-length"]))
        hits, misses = int(headers.get("x-cache-hits", 0)), int(headers.get("x-cache-misses", 0))
        if " 200 " not in status or len(json.loads(response)["predictions"]) != ROWS or hits + misses != ROWS:
            raise ValueError(f"{status}, {headers}, {response[:200]!r}")
        self._idle.append((reader, writer))
        return hits


def block_group() -> dict[str, float]:
    known = random.randrange(100) >= PERCENT_NEW  # noqa: S311
    number = random.randrange(KNOWN) if known else random.uniform(KNOWN, 10 * KNOWN)  # noqa: S311
    return BLOCK_GROUP | {"MedInc": number / KNOWN}
