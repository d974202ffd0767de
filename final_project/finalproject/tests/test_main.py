"""The routes, as a client sees them."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from finalproject.main import app


def test_root_names_the_service_and_paths_that_exist(client: TestClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    body = response.json()
    assert (body["name"], body["version"], body["inference_threads"] >= 1) == ("final_project", app.version, True)
    assert {"/health", "/health/live", "/health/ready", "/predict", "/metrics", "/docs"} <= set(body["paths"])
    for path in body["paths"]:
        assert client.options(path).status_code in {200, 405}, path  # an unknown path has 404


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_health_returns_the_time_of_the_response_in_utc(client: TestClient, path: str) -> None:
    for _ in range(2):  # each response has its own time
        before = datetime.now(UTC)
        response = client.get(path)
        after = datetime.now(UTC)
        assert (response.status_code, response.json()["status"]) == (200, "ok")
        timestamp = response.json()["timestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", timestamp)
        assert datetime.fromisoformat(timestamp).utcoffset() == timedelta(0)
        assert before <= datetime.fromisoformat(timestamp) <= after


@pytest.mark.parametrize("path", ["/nowhere", "/health/", "/predict/", "/hello?name=Ada"])
def test_unknown_path_is_404_and_never_redirects(client: TestClient, path: str) -> None:
    for method in ("GET", "POST"):
        response = client.request(method, path, follow_redirects=False)
        assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


def test_wrong_method_is_405(client: TestClient) -> None:
    for method, path in [("DELETE", "/"), ("GET", "/predict"), ("PUT", "/predict"), ("POST", "/health")]:
        response = client.request(method, path)
        assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})
