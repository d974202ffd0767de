"""Every error has FastAPI's shape, names the place, and gives nothing away."""

import json
import socket
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.conftest import PROJECT, serving


def refusal(client: TestClient, content: bytes | str) -> list[dict[str, Any]]:
    answer = client.post("/predict", content=content)
    assert answer.status_code == 422, answer.text
    assert set(answer.json()) == {"detail"}
    detail: list[dict[str, Any]] = answer.json()["detail"]
    assert 1 <= len(detail) <= 20
    for wrong in detail:
        assert set(wrong) == {"loc", "msg", "type"}
    return detail


@pytest.mark.parametrize(
    "value",
    ['""', "1", "4.5", "true", "null", "NaN", "Infinity", "[]", "{}", '["good"]', "9" * 5000, '"' + "x" * 10_001 + '"'],
)
def test_a_value_that_is_no_text_is_refused(client: TestClient, value: str) -> None:
    (wrong,) = refusal(client, f'{{"text": ["good", "bad", "fair", {value}]}}')
    # a number of 5,000 digits is no JSON number, so it has no field
    assert wrong["loc"] == (["body"] if len(value) == 5000 else ["body", "text", 3])


@pytest.mark.parametrize("value", ['"good"', "1", "null", "{}", '{"0": "good"}', "true"])
def test_a_value_that_is_no_list_is_refused(client: TestClient, value: str) -> None:
    (wrong,) = refusal(client, f'{{"text": {value}}}')
    assert wrong["loc"] == ["body", "text"]


def test_a_missing_field_is_named(client: TestClient) -> None:
    (wrong,) = refusal(client, "{}")
    assert wrong["loc"] == ["body", "text"]
    assert wrong["type"] == "missing"


def test_an_unknown_field_is_named(client: TestClient) -> None:
    (wrong,) = refusal(client, '{"text": ["good"], "texts": []}')
    assert wrong["loc"] == ["body", "texts"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"{",
        b'{"text": [}',
        b"\xff\xfe{}",
        b'{"text": ["\xc3\x28"]}',
        b"[" * 100_000,
        b'{"a":' * 5000,
        b"\0",
        b'{"text": ["\0"]}',
    ]
    + [b'{"text": ["\\ud800"]}', b'{"text": ["\\udc00\\ud800"]}', b'{"\\ud800": 1}', b'{"text": ["\\u12"]}']
    + [b"[]", b"1", b'"text"', b"null", b"{}", b'{"text": ["good"]} {}', b'{"text": [,]}'],
    ids=lambda content: content[:20].decode("latin1"),
)
def test_a_body_that_is_no_batch_in_json_is_refused(client: TestClient, content: bytes) -> None:
    assert refusal(client, content)[0]["loc"][0] == "body"


@pytest.mark.parametrize(
    "content",
    [
        b'{"text": [' + b",".join([b"{}"] * 10_000) + b"]}",
        b'{"text": [' + b",".join([b'""'] * 10_000) + b"]}",
        b'{"text": [], ' + b",".join(b'"%d": 1' % number for number in range(80_000)) + b"}",
        b'{"text": [], ' + b",".join(b'"%d": 1' % number for number in range(200_000)) + b"}",
        b'{"text": [{' + b",".join(b'"%d": 1' % number for number in range(400_000)) + b"}]}",
        b'{"text": [], "' + b"x" * 16_000_000 + b'": 1}',
        b'{"text": ["' + b":" * 16_000_000 + b'"]}',
        b'{"text": ["' + b":" * 100_000 + b'\\"' * 8_000_000,
    ],
    ids=["objects", "empty", "unknown fields", "more", "inside", "a long name", "a long text", "a text with no end"],
)
def test_the_answer_to_a_flood_of_mistakes_is_small(client: TestClient, content: bytes) -> None:
    detail = refusal(client, content)
    assert len(json.dumps(detail)) < 5_000
    assert all(len(str(part)) <= 100 for wrong in detail for part in wrong["loc"])


def test_too_many_fields_are_refused_unread(client: TestClient) -> None:
    content = b'{"text": [], ' + b",".join(b'"%d": 1' % number for number in range(200_000)) + b"}"
    assert refusal(client, content) == [{"loc": ["body"], "msg": "Too many fields", "type": "too_long"}]


def test_what_was_sent_is_not_echoed(client: TestClient) -> None:
    detail = refusal(client, json.dumps({"text": [["private-4711"]]}))
    assert "4711" not in json.dumps(detail)
    assert client.get("/hello").json()["detail"] == [
        {"loc": ["query", "name"], "msg": "Field required", "type": "missing"}
    ]


@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 99999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + b" " * 2000],
    ids=["told", "untold"],
)
def test_a_body_over_the_limit_is_413_before_it_is_read(body: bytes) -> None:
    """The length is told, or the first bytes beyond the limit come; the rest is never sent, and not waited for."""
    with serving(MAX_BODY_BYTES="1000") as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + body)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(content) == {"detail": "The body is larger than 1000 bytes"}


def test_the_limit_is_16_mib(client: TestClient) -> None:
    limit = 16 * 2**20
    assert client.post("/predict", content=b'{"text": []}'.ljust(limit)).status_code == 200
    assert client.post("/predict", content=b'{"text": []}'.ljust(limit + 1)).status_code == 413


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/predict", 405)])
def test_an_unknown_path_or_method_has_the_shape_too(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"detail"}


def test_a_model_that_fails_is_500_with_no_word_of_why_and_one_in_the_log(tmp_path: Path) -> None:
    """A tokenizer that knows one word more than the network does."""
    names = ("model.onnx", "tokenizer.json", "config.json")
    files = [(PROJECT / "model" / name).read_bytes() for name in names]
    tokenizer = json.loads(files[1])
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    tokenizer["added_tokens"].append({"id": 10**6, "content": "unheard"} | plain)
    files[1] = json.dumps(tokenizer).encode()
    for name, content in zip(names, files, strict=True):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "manifest.json").write_text(json.dumps({"sha256": sha256(b"".join(files)).hexdigest()}))
    with open(tmp_path / "log", "w") as log, serving(log, MODEL_DIR=str(tmp_path)) as url:
        answer = httpx2.post(url + "/predict", json={"text": ["good", "unheard of"]})
        for path in ("/health/live", "/health/ready", "/health"):
            assert httpx2.get(url + path).status_code == 200
        assert httpx2.post(url + "/predict", json={"text": ["good", "heard of"]}).status_code == 200
    assert answer.status_code == 500
    assert answer.json() == {"detail": "Internal Server Error"}
    told = (tmp_path / "log").read_text()
    assert told.count("Traceback") == 1
    assert "1000000" in told or "indices" in told
