"""What the model has learned, on block groups that it has not seen."""

from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from sklearn.metrics import r2_score

HeldOut = tuple[list[dict[str, Any]], list[float]]


def prices(client: TestClient, rows: list[dict[str, Any]]) -> np.ndarray:
    return np.array(client.post("/predict", json={"data": rows}).json()["predictions"])


def test_it_explains_most_of_the_prices_it_has_not_seen(client: TestClient, held_out: HeldOut) -> None:
    rows, values = held_out
    assert r2_score(values, prices(client, rows)) > 0.86


def test_more_income_means_a_higher_price(client: TestClient, held_out: HeldOut) -> None:
    rows = [row for row in held_out[0] if row["MedInc"] < 6]
    rise = prices(client, [row | {"MedInc": row["MedInc"] + 3} for row in rows]) - prices(client, rows)
    assert (rise > 0).mean() > 0.95
    assert rise.mean() > 0.3


def test_the_same_houses_cost_more_at_the_coast_than_inland(client: TestClient, held_out: HeldOut) -> None:
    places = {"Santa Monica": (34.02, -118.49), "San Bernardino": (34.11, -117.29)}
    places |= {"San Francisco": (37.77, -122.44), "Fresno": (36.74, -119.79)}
    mean = {
        name: prices(client, [row | {"Latitude": north, "Longitude": east} for row in held_out[0]]).mean()
        for name, (north, east) in places.items()
    }
    assert mean["Santa Monica"] > 1.3 * mean["San Bernardino"]
    assert mean["San Francisco"] > 1.3 * mean["Fresno"]


def test_crowded_homes_are_cheaper(client: TestClient, held_out: HeldOut) -> None:
    change = prices(client, [row | {"AveOccup": 5.0} for row in held_out[0]])
    change -= prices(client, [row | {"AveOccup": 2.0} for row in held_out[0]])
    assert (change < 0).mean() > 0.9


def test_a_price_is_one_that_a_house_could_have(client: TestClient, held_out: HeldOut) -> None:
    predicted = prices(client, held_out[0])
    assert predicted.min() > 0
    assert predicted.max() < 6
