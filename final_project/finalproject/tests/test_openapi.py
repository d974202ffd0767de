"""The OpenAPI schema behind /docs: every route and field is described, and every response matches the schema."""

import json
from typing import Any

import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings

from finalproject.main import app

OPENAPI = app.openapi()
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


def test_every_route_and_field_is_described_and_every_error_is_listed(client: TestClient) -> None:
    assert client.get("/docs").status_code == 200
    assert client.get("/openapi.json").json() == OPENAPI
    for path, operations in OPENAPI["paths"].items():
        assert all(operation["summary"] for operation in operations.values()), path
    for name, definition in OPENAPI["components"]["schemas"].items():
        if name not in {"HTTPValidationError", "ValidationError"}:  # FastAPI's own
            for field, properties in definition["properties"].items():
                assert properties.get("description"), f"{name}.{field}"
                assert properties.get("examples"), f"{name}.{field}"
    responses = OPENAPI["paths"]["/predict"]["post"]["responses"]
    assert set(responses) == {"200", "400", "408", "413", "422", "429", "500", "503"}
    assert "an inference thread died" in responses["503"]["description"]
    for path in ("/health", "/health/live", "/health/ready"):
        assert "503" in OPENAPI["paths"][path]["get"]["responses"]
    assert not [word for word in ("Latitude", "MedInc", '"data"') if word in json.dumps(OPENAPI)]  # other services'
    text = OPENAPI["components"]["schemas"]["Texts"]["properties"]["text"]
    assert "512 tokens" in text["description"]
    assert (text["maxItems"], text["items"]["minLength"], text["items"]["maxLength"]) == (1_000, 1, 10_000)


# schemathesis generates requests from the schema: property-based testing. Time limits would fail on a slow machine.
@schema.parametrize()
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_response_matches_the_schema(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()
