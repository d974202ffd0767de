"""POST /predict: the model's predictions, in the order of the request, for every valid body."""

import asyncio
import json
from typing import Any

import httpx2
import joblib
import numpy as np
import pytest
from fastapi.testclient import TestClient

from src.main import app
from tests.conftest import PROJECT, TestSet

NAMES = ("MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude")


def predictions(client: TestClient, rows: list[dict[str, Any]]) -> list[float]:
    response = client.post("/predict", json={"data": rows})
    assert response.status_code == 200, response.text
    assert set(response.json()) == {"predictions"}
    values: list[float] = response.json()["predictions"]
    return values


def test_predictions_are_the_pipelines_in_the_order_of_the_request(client: TestClient, test_set: TestSet) -> None:
    rows, _ = test_set
    pipeline = joblib.load(PROJECT / "model_pipeline.pkl")
    expected = pipeline.predict(np.array([[row[name] for name in NAMES] for row in rows])).tolist()
    assert predictions(client, rows) == expected
    assert predictions(client, [dict(reversed(row.items())) for row in reversed(rows)]) == expected[::-1]
    assert [predictions(client, [row])[0] for row in rows[:20]] == expected[:20]


def test_empty_batch_has_no_predictions(client: TestClient) -> None:
    assert predictions(client, []) == []


def test_10_000_block_groups_are_accepted_and_10_001_rejected(client: TestClient, test_set: TestSet) -> None:
    rows = (test_set[0] * 26)[:10_001]
    assert len(predictions(client, rows[:10_000])) == 10_000
    assert client.post("/predict", json={"data": rows}).status_code == 422


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "text/plain", "x"])
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_body_is_read_as_json_whatever_its_content_type(
    client: TestClient, test_set: TestSet, content_type: str | None, prefix: bytes
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    content = prefix + json.dumps({"data": test_set[0][:1]}).encode()
    response = client.post("/predict", content=content, headers=headers)
    assert (response.status_code, response.json()["predictions"]) == (200, predictions(client, test_set[0][:1]))


@pytest.mark.parametrize(
    ("field", "value"),
    [("MedInc", 0), ("MedInc", 1e9), ("Population", 1e-9), ("Population", 1e9), ("HouseAge", 41), ("AveBedrms", 1e9)]
    + [("AveOccup", 0), ("Latitude", -90), ("Latitude", 90), ("Longitude", -180), ("Longitude", 180)],
)
def test_value_at_a_bound_is_accepted(client: TestClient, test_set: TestSet, field: str, value: float) -> None:
    (price,) = predictions(client, [test_set[0][0] | {field: value}])
    assert np.isfinite(price)


def test_concurrent_requests_get_their_own_predictions(client: TestClient, test_set: TestSet) -> None:
    rows = test_set[0][:60]

    async def concurrently() -> list[float]:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as session:
            responses = await asyncio.gather(*(session.post("/predict", json={"data": [row]}) for row in rows))
        return [response.json()["predictions"][0] for response in responses]

    assert asyncio.run(concurrently()) == predictions(client, rows)
