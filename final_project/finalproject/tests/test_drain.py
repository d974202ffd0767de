"""SIGTERM under load: who has a connection is told that it ends, before it does."""

import http.client
import os
import signal
import subprocess
import time
from contextlib import closing

import pytest

from tests.conftest import start
from tests.test_start import last_words


def served(drain_seconds: str) -> tuple[http.client.HTTPConnection, subprocess.Popen[str]]:
    """A connection that was used once and is kept, and the process at its other end."""
    url, process = start(subprocess.DEVNULL, DRAIN_SECONDS=drain_seconds)
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    for _ in range(300):
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    return connection, process


def ask(connection: http.client.HTTPConnection) -> str | None:
    """What the answer says of the connection."""
    connection.request("POST", "/predict", b'{"text": []}')
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b'{"predictions":[]}')
    return answer.getheader("connection")


def test_after_sigterm_a_kept_connection_is_answered_once_more_and_told_to_close() -> None:
    connection, process = served("60")
    try:
        assert ask(connection) is None
        process.terminate()
        time.sleep(0.5)  # the server by itself would have closed it by now
        assert ask(connection) == "close"
        assert process.poll() is None
    finally:
        connection.close()
        process.kill()
        process.wait()


@pytest.mark.parametrize("drain_seconds", ["0", "0.5"])
def test_then_the_server_ends_by_itself(drain_seconds: str) -> None:
    connection, process = served(drain_seconds)
    with closing(connection):
        assert ask(connection) is None
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


def test_ctrl_c_ends_it_at_once() -> None:
    connection, process = served("60")
    with closing(connection):
        ask(connection)
        os.kill(process.pid, signal.SIGINT)
        process.wait(30)


def test_a_wrong_time_is_told() -> None:
    assert last_words(DRAIN_SECONDS="-1").startswith("DRAIN_SECONDS: ")
