"""The routes of lab_1, as a caller sees them."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient


def test_root_names_the_service_and_paths_that_answer(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    body = answer.json()
    assert re.fullmatch(r"final_project", body["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", body["version"])
    assert body["paths"]
    assert body["inference_threads"] >= 1
    for path in body["paths"]:
        assert client.options(path).status_code in {200, 405}, f"{path} is not there"


@pytest.mark.parametrize(
    "name", ["Ada", "ada LOVELACE", "  two  spaces ", "Zoë 李 🚀", "a" * 250, "<b>&amp;", "%41", "0"]
)
def test_hello_echoes_the_name_as_sent(client: TestClient, name: str) -> None:
    answer = client.get("/hello", params={"name": name})
    assert answer.status_code == 200
    assert answer.json() == {"message": "Hello " + name}


def test_hello_ignores_other_parameters(client: TestClient) -> None:
    assert client.get("/hello?name=Ada&age=36").json() == {"message": "Hello Ada"}


@pytest.mark.parametrize("query", ["", "?name=", "?Name=Ada", "?nam=Ada"])
def test_hello_refuses_a_missing_or_empty_name(client: TestClient, query: str) -> None:
    answer = client.get("/hello" + query)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "name"]


def test_health_tells_the_time_of_the_answer_in_utc(client: TestClient) -> None:
    for _ in range(2):  # a second answer has a time of its own
        before = datetime.now(UTC)
        answer = client.get("/health")
        after = datetime.now(UTC)
        assert answer.status_code == 200
        assert answer.json()["status"] == "ok"
        told = datetime.fromisoformat(answer.json()["timestamp"])
        assert told.utcoffset() == timedelta(0)
        assert before <= told <= after
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", answer.json()["timestamp"])


def test_an_unknown_path_is_404_and_a_wrong_method_405(client: TestClient) -> None:
    assert client.get("/nowhere").status_code == 404
    assert client.delete("/hello?name=Ada").status_code == 405
