"""The OpenAPI schema behind /docs: every route and field is described, and every response matches the schema."""

import json
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings

from finalproject.main import app

OPENAPI = app.openapi()
schema = schemathesis.openapi.from_asgi("/openapi.json", app)
STATUSES = {"200", "400", "408", "413", "422", "429", "500", "503"}
FIELDS = [
    (model, field, properties)
    for model, definition in OPENAPI["components"]["schemas"].items()
    if model not in {"HTTPValidationError", "ValidationError"}  # FastAPI's own
    for field, properties in definition["properties"].items()
]


def test_documentation_pages_exist(client: TestClient) -> None:
    assert client.get("/docs").status_code == 200
    assert client.get("/openapi.json").json() == OPENAPI


@pytest.mark.parametrize("path", list(OPENAPI["paths"]))
def test_every_route_has_a_summary(path: str) -> None:
    assert all(operation["summary"] for operation in OPENAPI["paths"][path].values())


@pytest.mark.parametrize(("model", "field", "properties"), FIELDS)
def test_every_field_has_a_description_and_an_example(model: str, field: str, properties: dict[str, Any]) -> None:
    assert properties["description"], f"{model}.{field}"
    assert properties["examples"], f"{model}.{field}"


def test_every_error_is_listed_and_the_examples_are_of_this_service() -> None:
    assert set(OPENAPI["paths"]["/predict"]["post"]["responses"]) == STATUSES
    for path in ("/health", "/health/live", "/health/ready"):
        assert "503" in OPENAPI["paths"][path]["get"]["responses"]
    assert not [word for word in ("Latitude", "MedInc", '"data"') if word in json.dumps(OPENAPI)]
    text = OPENAPI["components"]["schemas"]["Texts"]["properties"]["text"]
    assert "512 tokens" in text["description"]
    assert (text["maxItems"], text["items"]["minLength"], text["items"]["maxLength"]) == (1_000, 1, 10_000)


# schemathesis generates requests from the schema: property-based testing. Time limits would fail on a slow machine.
@schema.parametrize()
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_response_matches_the_schema(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()
