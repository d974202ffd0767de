"""POST /predict: what it answers, against the pipeline called directly."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import joblib
import numpy as np
import pytest
from fastapi.testclient import TestClient

from src.main import app

HeldOut = tuple[list[dict[str, Any]], list[float]]
PICKLE = Path(__file__).parents[1] / "model_pipeline.pkl"
NAMES = ("MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude")


def ask(client: TestClient, rows: list[dict[str, Any]]) -> list[float]:
    answer = client.post("/predict", json={"data": rows})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"predictions"}
    predictions: list[float] = answer.json()["predictions"]
    return predictions


def test_predictions_are_those_of_the_pipeline_in_the_order_of_the_request(
    client: TestClient, held_out: HeldOut
) -> None:
    rows, _ = held_out
    expected = joblib.load(PICKLE).predict(np.array([[row[name] for name in NAMES] for row in rows]))
    assert ask(client, rows) == expected.tolist()
    assert ask(client, rows[::-1]) == expected[::-1].tolist()


def test_the_order_of_the_fields_does_not_matter(client: TestClient, held_out: HeldOut) -> None:
    row = held_out[0][0]
    assert ask(client, [dict(reversed(row.items()))]) == ask(client, [row])


def test_a_batch_answers_as_its_block_groups_alone_do(client: TestClient, held_out: HeldOut) -> None:
    rows = held_out[0][:20]
    assert ask(client, rows) == [ask(client, [row])[0] for row in rows]


def test_an_empty_batch_has_no_predictions(client: TestClient) -> None:
    assert ask(client, []) == []


def test_ten_thousand_block_groups_are_answered_and_one_more_is_refused(client: TestClient, held_out: HeldOut) -> None:
    rows = (held_out[0] * 26)[:10_001]
    assert len(ask(client, rows[:10_000])) == 10_000
    answer = client.post("/predict", json={"data": rows})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "data"]


@pytest.mark.parametrize(
    "content_type", [None, "application/x-www-form-urlencoded", "text/plain", "application/json", "x"]
)
def test_the_body_is_json_whatever_its_content_type(
    client: TestClient, held_out: HeldOut, content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    content = json.dumps({"data": held_out[0][:1]}).encode()
    answer = client.post("/predict", content=content, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["predictions"] == ask(client, held_out[0][:1])


@pytest.mark.parametrize(
    ("field", "value"),
    [("MedInc", 0), ("MedInc", 1e9), ("Population", 1e-9), ("Population", 1e9), ("AveOccup", 0), ("HouseAge", 41)]
    + [
        ("Latitude", -90),
        ("Latitude", 90),
        ("Longitude", -180),
        ("Longitude", 180),
        ("AveRooms", 6),
        ("AveBedrms", 1e9),
    ],
)
def test_a_value_at_the_edge_of_its_range_is_answered(
    client: TestClient, held_out: HeldOut, field: str, value: float
) -> None:
    (price,) = ask(client, [held_out[0][0] | {field: value}])
    assert np.isfinite(price)


def test_requests_at_the_same_time_get_each_its_own_answer(client: TestClient, held_out: HeldOut) -> None:
    rows = held_out[0][:60]
    alone = ask(client, rows)

    async def all_at_once() -> list[float]:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as many:
            answers = await asyncio.gather(*(many.post("/predict", json={"data": [row]}) for row in rows))
        return [answer.json()["predictions"][0] for answer in answers]

    assert asyncio.run(all_at_once()) == alone
