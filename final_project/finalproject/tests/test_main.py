"""The routes, as a client sees them."""

import re
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from finalproject.main import app

PATHS = ["/health", "/health/live", "/health/ready", "/predict", "/metrics", "/docs"]


def test_root_names_the_service_and_paths_that_exist(client: TestClient) -> None:
    body = client.get("/").json()
    assert (body["name"], body["version"], body["paths"]) == ("final_project", app.version, PATHS)
    for path in PATHS:
        assert client.options(path).status_code == 405  # an unknown path has 404


@pytest.mark.parametrize("path", PATHS[:3])
def test_health_returns_the_time_of_the_response_in_utc(client: TestClient, path: str) -> None:
    before = datetime.now(UTC)
    response = client.get(path)
    timestamp = response.json()["timestamp"]
    assert (response.status_code, response.json()) == (200, {"status": "ok", "timestamp": timestamp})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", timestamp)
    assert before <= datetime.fromisoformat(timestamp) <= datetime.now(UTC)


@pytest.mark.parametrize("path", ["/nowhere", "/predict/", "/hello?name=Ada"])
def test_unknown_path_is_404_and_never_redirects(client: TestClient, path: str) -> None:
    response = client.post(path, follow_redirects=False)
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
