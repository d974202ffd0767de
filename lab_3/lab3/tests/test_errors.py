"""Every error response has FastAPI's format, names the invalid field, and contains no value that the client sent."""

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx2
import joblib
import numpy as np
import pytest
import sklearn
from fastapi.testclient import TestClient
from sklearn.linear_model import LinearRegression

from src.main import app
from src.schemas import BlockGroup
from tests.conftest import TestSet, server


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
    "value", ['"4.5"', "true", "null", "NaN", "Infinity", "1e39", "1e400", "-1e9", "[]", "{}", "9" * 400, "9" * 4000]
)
@pytest.mark.parametrize("field", BlockGroup.model_fields)
def test_value_that_is_no_number_in_range_is_rejected(
    client: TestClient, test_set: TestSet, field: str, value: str
) -> None:
    body = json.dumps({"data": [*test_set[0][:3], test_set[0][3] | {field: "HERE"}]})
    (error,) = errors(client, body.replace('"HERE"', value).encode())
    assert error["loc"] == ["body", "data", 3, field]
    assert (error["type"] == "finite_number") == (value in {"NaN", "Infinity", "1e400"})


@pytest.mark.parametrize(
    ("field", "value"),
    [("Latitude", 90.001), ("Latitude", -90.001), ("Longitude", 180.001), ("Longitude", -180.001)]
    + [("Population", 0), ("Population", -1), ("MedInc", -0.001), ("HouseAge", -1), ("AveOccup", 1.001e9)],
)
def test_value_beyond_a_bound_is_rejected(client: TestClient, test_set: TestSet, field: str, value: float) -> None:
    (error,) = errors(client, {"data": [test_set[0][0] | {field: value}]})
    assert error["loc"] == ["body", "data", 0, field]


def test_missing_and_unknown_fields_are_named(client: TestClient, test_set: TestSet) -> None:
    row = test_set[0][0]
    (missing,) = errors(client, {"data": [{name: value for name, value in row.items() if name != "AveOccup"}]})
    (unknown,) = errors(client, {"data": [row | {"Pool": 1}]})
    (outside,) = errors(client, {"data": [row], "Pool": 1})
    assert (missing["loc"], missing["type"]) == (["body", "data", 0, "AveOccup"], "missing")
    assert (unknown["loc"], outside["loc"]) == (["body", "data", 0, "Pool"], ["body", "Pool"])


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"{", b'{"data": [}', b"\xff\xfe{}", b"\0", b'{"data": [{"\\ud800": 1}]}', b'{"\\udfff": 1}']
    + [b"[]", b"1", b'"data"', b"null", b"{}", b'{"data": null}', b'{"data": {}}', b'{"data": "\\ud800"}'],
)
def test_body_that_is_no_batch_is_rejected(client: TestClient, content: bytes) -> None:
    assert errors(client, content)[0]["loc"][0] == "body"


@pytest.mark.parametrize("content", [b"[" * 10_000, b'{"a":' * 5_000, b"9" * 5_000, b'{"data": "\xc3\x28"}'])
def test_body_that_pythons_parser_cannot_read_is_400(client: TestClient, content: bytes) -> None:
    response = client.post("/predict", content=content)
    assert (response.status_code, response.json()) == (400, {"detail": "There was an error parsing the body"})


def test_many_errors_are_cut_to_20_and_long_names_to_100_characters(client: TestClient, test_set: TestSet) -> None:
    detail = errors(client, {"data": [test_set[0][0] | {f"{number}" + "x" * 1000: 1 for number in range(90)}]})
    assert [len(item["loc"][-1]) for item in detail] == [100] * 20


@pytest.mark.parametrize(("body", "loc"), [({"data": [{}]}, ["body", "data", 0]), ({"data": []}, ["body"])])
def test_object_with_more_than_100_fields_is_one_error(
    client: TestClient, body: dict[str, Any], loc: list[Any]
) -> None:
    place = body["data"][0] if body["data"] else body
    place |= {f"field {number}": 1 for number in range(101)}
    (error,) = errors(client, body)
    assert error == {"loc": loc, "msg": "Too many fields", "type": "too_long"}


@pytest.mark.parametrize("change", [{"MedInc": "private-4711"}, {"Latitude": 4711}, {"Pool": 4711}, {"MedInc": [4711]}])
def test_response_does_not_repeat_a_value(client: TestClient, test_set: TestSet, change: dict[str, Any]) -> None:
    detail = errors(client, {"data": [test_set[0][0] | change]})
    assert "4711" not in json.dumps(detail)
    assert set(client.get("/hello").json()["detail"][0]) == {"loc", "msg", "type"}


def test_examples_in_the_documentation_name_fields_of_this_service() -> None:
    items = app.openapi()["components"]["schemas"]["ValidationErrorItem"]["properties"]
    assert items["loc"]["examples"][0][-1] in BlockGroup.model_fields


def test_failing_model_is_500_without_a_reason_and_one_traceback_in_the_log(tmp_path: Path, test_set: TestSet) -> None:
    """The pickle is valid, but its model needs three features."""
    path = tmp_path / "model_pipeline.pkl"
    joblib.dump(LinearRegression().fit(np.eye(3), np.arange(3)), path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest = {"sha256": checksum, "versions": {"scikit-learn": sklearn.__version__}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with open(tmp_path / "log", "w") as log, server(log, MODEL_PATH=str(path), LOG_LEVEL="ERROR") as (port, _):
        response = httpx2.post(f"http://127.0.0.1:{port}/predict", json={"data": test_set[0][:1]}, trust_env=False)
    assert (response.status_code, response.json()) == (500, {"detail": "Internal Server Error"})
    assert response.headers["connection"] == "close"  # the server closes it: a second request on it would be lost
    text = (tmp_path / "log").read_text()
    assert (text.count("ValueError: X has 8 features"), text.count("INFO:")) == (1, 0)
