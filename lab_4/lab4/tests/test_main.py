"""The routes, as a client sees them."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient


def test_root_names_the_service_and_paths_that_exist(client: TestClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.json()["name"] == Path(__file__).parents[2].name
    assert re.fullmatch(r"\d+\.\d+\.\d+", response.json()["version"])
    assert len(response.json()["paths"]) >= 3
    for path in response.json()["paths"]:
        assert client.options(path).status_code in {200, 405}, path  # an unknown path has 404


@pytest.mark.parametrize("name", ["Ada", "  two  SPACES ", "Zoë 李 🚀", "a" * 250, "<b>&amp;", "%41", "0"])
def test_hello_returns_the_name_unchanged(client: TestClient, name: str) -> None:
    response = client.get("/hello", params={"name": name, "age": "36"})
    assert (response.status_code, response.json()) == (200, {"message": "Hello " + name})


@pytest.mark.parametrize("query", ["", "?name=", "?Name=Ada", "?nam=Ada"])
def test_hello_rejects_a_missing_or_empty_name(client: TestClient, query: str) -> None:
    response = client.get("/hello" + query)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "name"]


def test_health_returns_the_time_of_the_response_in_utc(client: TestClient) -> None:
    for _ in range(2):  # each response has its own time
        before = datetime.now(UTC)
        response = client.get("/health")
        after = datetime.now(UTC)
        assert response.status_code == 200
        assert response.json()["status"] == "ok"
        timestamp = response.json()["timestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", timestamp)
        assert datetime.fromisoformat(timestamp).utcoffset() == timedelta(0)
        assert before <= datetime.fromisoformat(timestamp) <= after


@pytest.mark.parametrize("path", ["/nowhere", "/health/", "/hello/?name=Ada"])
def test_unknown_path_is_404_and_never_redirects(client: TestClient, path: str) -> None:
    response = client.get(path, follow_redirects=False)
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


def test_wrong_method_is_405(client: TestClient) -> None:
    assert client.delete("/hello?name=Ada").status_code == 405
