"""The OpenAPI schema behind /docs: every route and field is described, and every response matches the schema."""

from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings

from src.main import app

OPENAPI = app.openapi()
schema = schemathesis.openapi.from_asgi("/openapi.json", app)
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


# schemathesis generates requests from the schema: property-based testing. Time limits would fail on a slow machine.
@schema.parametrize()
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_response_matches_the_schema(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()
