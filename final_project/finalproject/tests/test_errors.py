"""Every error response has FastAPI's format, names the invalid field, and contains no value that the client sent."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from finalproject.model import FILES
from tests.conftest import PROJECT, server


def errors(client: TestClient, body: object) -> list[dict[str, Any]]:
    """The validation errors of a body: bytes, or an object that is sent as JSON."""
    response = client.post("/predict", content=body if isinstance(body, bytes) else json.dumps(body).encode())
    assert response.status_code == 422, response.text
    detail: list[dict[str, Any]] = response.json()["detail"]
    assert 1 <= len(detail) <= 20
    assert all(set(item) == {"loc", "msg", "type"} for item in detail)
    assert len(response.content) < 5_000
    return detail


@pytest.mark.parametrize(
    "value",
    ['""', "4711", "4.5", "true", "null", "NaN", "[]", "{}", '["4711"]', '"\\ud800"', '"\\udc00\\ud800"']
    + ["9" * 4000, '"' + "4711" * 2_501 + '"'],
)
def test_value_that_is_no_text_is_rejected_and_not_repeated(client: TestClient, value: str) -> None:
    (error,) = errors(client, f'{{"text": ["good", "bad", "fair", {value}]}}'.encode())
    assert error["loc"] == ["body", "text", 3]
    assert "4711" not in json.dumps(error)


@pytest.mark.parametrize("value", ['"good"', "1", "null", "{}", '{"0": "good"}', "true", '["a"' + ',"a"' * 1_000 + "]"])
def test_value_that_is_no_list_of_at_most_1000_texts_is_rejected(client: TestClient, value: str) -> None:
    (error,) = errors(client, f'{{"text": {value}}}'.encode())
    assert error["loc"] == ["body", "text"]


def test_missing_and_unknown_fields_are_named(client: TestClient) -> None:
    (missing,) = errors(client, {})
    (unknown,) = errors(client, {"text": ["good"], "texts": []})
    assert (missing["loc"], missing["type"], unknown["loc"]) == (["body", "text"], "missing", ["body", "texts"])


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"{", b'{"text": [}', b"\xff\xfe{}", b"\0", b'{"\\ud800": 1}', b'{"text": ["\\u12"]}']
    + [b"[]", b"1", b'"text"', b"null", b"{}", b'{"text": ["good"]} {}', b'{"text": ["\0"]}', b"text=good"],
)
def test_body_that_is_no_batch_is_rejected(client: TestClient, content: bytes) -> None:
    assert errors(client, content)[0]["loc"][0] == "body"


@pytest.mark.parametrize("content", [b"9" * 5_000, b'{"text": ["\xc3\x28"]}', b'{"text": [' + b"9" * 5_000 + b"]}"])
def test_body_that_pythons_parser_cannot_read_is_400(client: TestClient, content: bytes) -> None:
    response = client.post("/predict", content=content)
    assert (response.status_code, response.json()) == (400, {"detail": "There was an error parsing the body"})


def test_many_errors_are_cut_to_20_and_long_names_to_100_characters(client: TestClient) -> None:
    detail = errors(client, {f"{number}" + "x" * 1000: 1 for number in range(90)})
    assert [len(item["loc"][-1]) for item in detail[1:]] == [100] * 19
    (error,) = errors(client, {"text": [1] * 1_000})  # validation stops at the first invalid text
    assert error["loc"] == ["body", "text", 0]


def test_failing_model_is_500_without_a_reason_and_one_traceback_in_the_log(tmp_path: Path) -> None:
    """The tokenizer has one more word than the model. Batches without this word do not fail."""
    contents = {name: (PROJECT / "model" / name).read_bytes() for name in FILES}
    tokenizer = json.loads(contents["tokenizer.json"])
    options = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    tokenizer["added_tokens"].append({"id": 10**6, "content": "xyzzy"} | options)
    contents["tokenizer.json"] = json.dumps(tokenizer).encode()
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    checksums = {name: {"sha256": sha256(content).hexdigest()} for name, content in contents.items()}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": checksums}))
    with (
        open(tmp_path / "log", "w") as log,
        server(log, MODEL_DIR=str(tmp_path), LOG_LEVEL="ERROR") as (port, _),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        response = client.post("/predict", json={"text": ["good", "a word like xyzzy"]})
        assert (response.status_code, response.json()) == (500, {"detail": "Internal Server Error"})
        assert client.get("/health/live").status_code == 200
        assert client.post("/predict", json={"text": ["good", "a word"]}).status_code == 200
    text = (tmp_path / "log").read_text()
    assert (text.count("Traceback"), text.count("InvalidArgument: "), text.count("INFO:")) == (1, 1, 0)
