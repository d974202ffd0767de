"""More connections than the service can serve: each sends its next text as soon as it has an answer, also when that was
a refusal. wrk does not tell how long the answers of one status took, so this does."""

import asyncio
import itertools
import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple, cast

HEAD = re.compile(rb"HTTP/1.1 (\d+).*?content-length: (\d+).*?\r\n\r\n", re.DOTALL | re.IGNORECASE)


class Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], answers: dict[int, list[float]]) -> None:
        self._requests, self._answers, self._received = requests, answers, b""
        self.closed = False  # by the service

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self.asked = time.perf_counter()
        self._transport.write(next(self._requests))

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = HEAD.match(self._received)
        if head and len(self._received) >= head.end() + int(head[2]):
            self._answers[int(head[1])].append(time.perf_counter() - self.asked)
            self._received = b""
            self._ask()


class Outcome(NamedTuple):
    answers: dict[int, list[float]]  # seconds that each took, by status
    longest_wait: float  # seconds, of those that are not answered at the end
    closed: int  # connections, by the service

    def __str__(self) -> str:
        by_status = [
            f"{len(took)} of {status}, p99 {sorted(took)[len(took) * 99 // 100]:.2f} s"
            for status, took in self.answers.items()
        ]
        return f"{'; '.join(by_status)}; longest wait at the end {self.longest_wait:.2f} s; closed {self.closed}"


async def overload(port: int, texts: list[str], connections: int, seconds: float) -> Outcome:
    bodies = [json.dumps({"text": [text]}).encode() for text in texts]
    requests = [
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s" % (len(b), b) for b in bodies
    ]
    answers: dict[int, list[float]] = defaultdict(list)
    endless = itertools.cycle(requests)
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: Connection(endless, answers), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    now, clients = time.perf_counter(), [client for _, client in made]
    outcome = Outcome(answers, max(now - client.asked for client in clients), sum(client.closed for client in clients))
    for transport, _ in made:
        transport.abort()
    return outcome
