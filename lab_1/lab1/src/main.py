"""A typed HTTP API: what comes in and goes out has a type, and FastAPI checks it, converts it and documents it."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

app = FastAPI(title="lab_1", version="1.0.0")


class Service(BaseModel):
    name: str = Field(description="Name of the service", examples=["lab_1"])
    version: str = Field(description="Version of the service", examples=["1.0.0"])
    paths: list[str] = Field(description="Paths worth trying", examples=[["/hello?name=Ada"]])


class Greeting(BaseModel):
    message: str = Field(description="The greeting", examples=["Hello Ada"])


class Health(BaseModel):
    status: Literal["ok"] = Field(description="The service answers", examples=["ok"])
    timestamp: str = Field(
        description="Time of the answer, ISO 8601, UTC", examples=["2026-11-22T21:04:05.123456+00:00"]
    )


@app.get("/", summary="What this service is")
async def root() -> Service:
    return Service(name=app.title, version=app.version, paths=["/hello?name=Ada", "/health", "/docs"])


@app.get("/hello", summary="Greet somebody")
async def hello(
    name: Annotated[str, Query(min_length=1, description="Whom to greet, echoed as sent", examples=["Ada"])],
) -> Greeting:
    return Greeting(message=f"Hello {name}")


@app.get("/health", summary="Is the service up?")
async def health() -> Health:
    return Health(status="ok", timestamp=datetime.now(UTC).isoformat(timespec="microseconds"))
