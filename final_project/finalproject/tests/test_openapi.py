"""What /docs promises: every route and field explained, and no answer that the schema does not list."""

import json
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings

from finalproject.main import app

OPENAPI = app.openapi()
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


def fields() -> list[tuple[str, str, dict[str, Any]]]:
    own = {name: model for name, model in OPENAPI["components"]["schemas"].items() if "ValidationError" not in name}
    return [(name, field, spec) for name, model in own.items() for field, spec in model["properties"].items()]


def test_the_documentation_pages_answer(client: TestClient) -> None:
    assert client.get("/docs").status_code == 200
    assert client.get("/openapi.json").json() == OPENAPI


@pytest.mark.parametrize("path", list(OPENAPI["paths"]))
def test_every_route_has_a_summary(path: str) -> None:
    for operation in OPENAPI["paths"][path].values():
        assert operation["summary"]


@pytest.mark.parametrize(("model", "field", "spec"), fields())
def test_every_field_has_a_description_and_an_example(model: str, field: str, spec: dict[str, Any]) -> None:
    assert spec["description"], f"{model}.{field}"
    assert spec["examples"], f"{model}.{field}"


def test_no_example_is_of_the_housing_service() -> None:
    assert not [word for word in ("Latitude", "MedInc", '"data"') if word in json.dumps(OPENAPI)]


@schema.parametrize()
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_input_gets_an_answer_that_the_schema_does_not_list(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()
