"""Every error has FastAPI's shape, names the place, and gives nothing away."""

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import httpx2
import joblib
import numpy as np
import pytest
import sklearn
from fastapi.testclient import TestClient
from sklearn.linear_model import LinearRegression

from tests.conftest import serving

HeldOut = tuple[list[dict[str, Any]], list[float]]


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
    "value", ['"4.5"', "true", "null", "NaN", "Infinity", "-Infinity", "1e39", "1e400", "-1e9", "[]", "{}", "9" * 5000]
)
@pytest.mark.parametrize(
    "field", ["MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude"]
)
def test_a_value_that_is_no_number_in_range_is_refused(
    client: TestClient, held_out: HeldOut, field: str, value: str
) -> None:
    rows = json.dumps({"data": [*held_out[0][:3], held_out[0][3] | {field: "HERE"}]})
    (wrong,) = refusal(client, rows.replace('"HERE"', value))
    # a number of 5,000 digits is no JSON number, so it has no field
    assert wrong["loc"] == (["body"] if len(value) == 5000 else ["body", "data", 3, field])


@pytest.mark.parametrize(
    ("field", "value"),
    [("Latitude", 90.001), ("Latitude", -90.001), ("Longitude", 180.001), ("Longitude", -180.001)]
    + [("Population", 0), ("Population", -1), ("MedInc", -0.001), ("HouseAge", -1), ("AveOccup", 1.001e9)],
)
def test_predict_rejects_a_value_out_of_range(client: TestClient, held_out: HeldOut, field: str, value: float) -> None:
    (wrong,) = refusal(client, json.dumps({"data": [held_out[0][0] | {field: value}]}))
    assert wrong["loc"] == ["body", "data", 0, field]


def test_a_missing_field_is_named(client: TestClient, held_out: HeldOut) -> None:
    row = held_out[0][0].copy()
    del row["AveOccup"]
    (wrong,) = refusal(client, json.dumps({"data": [row]}))
    assert wrong["loc"] == ["body", "data", 0, "AveOccup"]
    assert wrong["type"] == "missing"


def test_an_unknown_field_is_named_in_a_block_group_and_beside_data(client: TestClient, held_out: HeldOut) -> None:
    row = held_out[0][0]
    inside, beside = (
        refusal(client, json.dumps(body))[0]["loc"]
        for body in ({"data": [row | {"Pool": 1}]}, {"data": [row], "Pool": 1})
    )
    assert inside == ["body", "data", 0, "Pool"]
    assert beside == ["body", "Pool"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"{",
        b'{"data": [}',
        b"\xff\xfe{}",
        b'{"data": "\xc3\x28"}',
        b"[" * 100_000,
        b'{"a":' * 5000,
        b"\0",
    ]
    + [b'{"data": [{"\\ud800": 1}]}', b"[]", b"1", b'"data"', b"null", b"{}", b'{"data": null}', b'{"data": {}}'],
    ids=lambda content: content[:12].decode("latin1"),
)
def test_a_body_that_is_no_batch_in_json_is_refused(client: TestClient, content: bytes) -> None:
    assert refusal(client, content)[0]["loc"][0] == "body"


@pytest.mark.parametrize(
    "content",
    [
        b'{"data": [' + b",".join([b"{}"] * 10_000) + b"]}",
        b'{"data": [{' + b",".join(b'"%d": 1' % number for number in range(80_000)) + b"}]}",
        b'{"data": [{' + b",".join(b'"%d": 1' % number for number in range(400_000)) + b"}]}",
        b'{"data": [], ' + b",".join(b'"%d": 1' % number for number in range(400_000)) + b"}",
        b'{"data": [{"' + b"x" * 8_000_000 + b'": 1}]}',
    ],
    ids=["empty objects", "unknown fields", "more", "beside data", "a long name"],
)
def test_the_answer_to_a_flood_of_mistakes_is_small(client: TestClient, content: bytes) -> None:
    detail = refusal(client, content)
    assert len(json.dumps(detail)) < 5_000
    assert all(len(str(part)) <= 100 for wrong in detail for part in wrong["loc"])


def test_what_was_sent_is_not_echoed(client: TestClient, held_out: HeldOut) -> None:
    detail = refusal(client, json.dumps({"data": [held_out[0][0] | {"MedInc": "private-4711"}]}))
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


def test_the_limit_is_8_mib(client: TestClient) -> None:
    limit = 8 * 2**20
    assert client.post("/predict", content=b'{"data": []}'.ljust(limit)).status_code == 200
    assert client.post("/predict", content=b'{"data": []}'.ljust(limit + 1)).status_code == 413


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/predict", 405)])
def test_an_unknown_path_or_method_has_the_shape_too(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"detail"}


def test_a_model_that_fails_is_500_with_no_word_of_why_and_one_in_the_log(tmp_path: Path, held_out: HeldOut) -> None:
    """A real pickle that only takes three features."""
    joblib.dump(LinearRegression().fit(np.eye(3), np.arange(3)), tmp_path / "model_pipeline.pkl")
    digest = hashlib.sha256((tmp_path / "model_pipeline.pkl").read_bytes()).hexdigest()
    manifest = {"sha256": digest, "versions": {"scikit-learn": sklearn.__version__}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    model_path = str(tmp_path / "model_pipeline.pkl")
    with open(tmp_path / "log", "w") as log, serving(log, MODEL_PATH=model_path) as url:
        answer = httpx2.post(url + "/predict", json={"data": held_out[0][:1]})
        assert httpx2.get(url + "/health").status_code == 200
    assert answer.status_code == 500
    assert answer.json() == {"detail": "Internal Server Error"}
    assert (tmp_path / "log").read_text().count("ValueError: X has 8 features") == 1
