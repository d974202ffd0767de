"""What the model has learned, on the test set: its score, and the direction in which a feature moves the price."""

from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from sklearn.metrics import r2_score

from tests.conftest import TestSet


def prices(client: TestClient, rows: list[dict[str, Any]]) -> np.ndarray:
    return np.array(client.post("/predict", json={"data": rows}).json()["predictions"])


def test_r2_on_the_test_set_is_above_0_86(client: TestClient, test_set: TestSet) -> None:
    rows, values = test_set
    assert r2_score(values, prices(client, rows)) > 0.86


def test_higher_income_raises_the_price(client: TestClient, test_set: TestSet) -> None:
    rows = [row for row in test_set[0] if row["MedInc"] < 6]
    change = prices(client, [row | {"MedInc": row["MedInc"] + 3} for row in rows]) - prices(client, rows)
    assert (change > 0).mean() > 0.95
    assert change.mean() > 0.3


def test_more_people_per_household_lower_the_price(client: TestClient, test_set: TestSet) -> None:
    crowded, spacious = (prices(client, [row | {"AveOccup": people} for row in test_set[0]]) for people in (5.0, 2.0))
    assert (crowded < spacious).mean() > 0.9


def test_same_houses_cost_more_at_the_coast(client: TestClient, test_set: TestSet) -> None:
    def mean_price(latitude: float, longitude: float) -> float:
        rows = [row | {"Latitude": latitude, "Longitude": longitude} for row in test_set[0]]
        return float(prices(client, rows).mean())

    assert mean_price(34.02, -118.49) > 1.3 * mean_price(34.11, -117.29)  # Santa Monica, San Bernardino
    assert mean_price(37.77, -122.44) > 1.3 * mean_price(36.74, -119.79)  # San Francisco, Fresno
