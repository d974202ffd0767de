"""Every error response has FastAPI's format, names the invalid field, and contains no value that the client sent."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from finalproject.model import FILES
from tests.conftest import PROJECT, server

NO_TEXT = ['""', "4711", "true", "null", "NaN", '["4711"]', '"\\ud800"', "9" * 4000, '"' + "4711" * 2_501 + '"']
NO_LIST = ['"4711"', "4711", "null", '{"0": "4711"}', '["a"' + ',"a"' * 1_000 + "]"]
BODIES = [(f'{{"text": ["good", "bad", "fair", {value}]}}', ["text", 3]) for value in NO_TEXT]
BODIES += [(f'{{"text": {value}}}', ["text"]) for value in NO_LIST]
BODIES += [("{}", ["text"]), ('{"text": ["good"], "texts": 4711}', ["texts"]), ("", []), ('{"text": [4711}', [14])]


def errors(client: TestClient, body: str) -> list[dict[str, Any]]:
    response = client.post("/predict", content=body.encode())
    assert response.status_code == 422, response.text
    detail: list[dict[str, Any]] = response.json()["detail"]
    assert all(set(item) == {"loc", "msg", "type"} for item in detail)
    assert len(response.content) < 5_000
    return detail


@pytest.mark.parametrize(("body", "loc"), BODIES, ids=lambda value: repr(value)[:40])
def test_invalid_value_is_named_and_not_repeated(client: TestClient, body: str, loc: list[object]) -> None:
    (error,) = errors(client, body)
    assert error["loc"] == ["body", *loc]
    assert "4711" not in json.dumps(error)


def test_body_that_pythons_parser_cannot_read_is_400(client: TestClient) -> None:
    for content in (b"9" * 5_000, b'{"text": ["\xc3\x28"]}'):
        response = client.post("/predict", content=content)
        assert (response.status_code, response.json()) == (400, {"detail": "There was an error parsing the body"})


def test_many_errors_are_cut_to_20_and_long_names_to_100_characters(client: TestClient) -> None:
    detail = errors(client, json.dumps({f"{number}" + "x" * 1000: 1 for number in range(90)}))
    assert [len(item["loc"][-1]) for item in detail[1:]] == [100] * 19
    (error,) = errors(client, json.dumps({"text": [1] * 1_000}))  # validation stops at the first invalid text
    assert error["loc"] == ["body", "text", 0]


def test_failing_model_is_500_without_a_reason_and_one_traceback_in_the_log(tmp_path: Path) -> None:
    """The model does not know the number of one token, so it fails for batches with this token."""
    files = {}
    for name in FILES:
        content = re.sub(rb'"awful":\d+', b'"awful":99999', (PROJECT / "model" / name).read_bytes())
        (tmp_path / name).write_bytes(content)
        files[name] = {"sha256": sha256(content).hexdigest()}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": files}))
    with (
        open(tmp_path / "log", "w") as log,
        server(log, MODEL_DIR=str(tmp_path), LOG_LEVEL="ERROR") as (client, _),
    ):
        response = client.post("/predict", json={"text": ["good", "an awful film"]})
        assert (response.status_code, response.json()) == (500, {"detail": "Internal Server Error"})
        assert response.headers["connection"] == "close"  # the server closes it: a second request on it would be lost
        assert client.get("/health/live").status_code == 200
        assert client.post("/predict", json={"text": ["good", "a film"]}).status_code == 200
        metrics = client.get("/metrics").text
    assert 'http_requests_total{handler="/predict",method="POST",status="500"} 1.0\n' in metrics
    assert "http_requests_in_progress 1.0\n" in metrics  # GET /metrics
    text = (tmp_path / "log").read_text()
    assert (text.count("Traceback"), text.count("InvalidArgument: "), text.count("INFO:")) == (1, 1, 0)
