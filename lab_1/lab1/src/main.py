"""lab_1: a typed HTTP API. FastAPI validates, converts and documents every parameter and response by its type."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

app = FastAPI(title="lab_1", version="1.1.0", redirect_slashes=False)  # redirects use http://, even behind a TLS proxy


class Service(BaseModel):
    name: str = Field(description="Name of the service", examples=["lab_1"])
    version: str = Field(description="Version of the service", examples=["1.1.0"])
    paths: list[str] = Field(description="Paths to try", examples=[["/hello?name=Ada"]])


class Greeting(BaseModel):
    message: str = Field(description="The greeting", examples=["Hello Ada"])


class Health(BaseModel):
    status: Literal["ok"] = Field(description="The service responds to requests", examples=["ok"])
    timestamp: str = Field(description="Time of the response, UTC", examples=["2026-11-22T21:04:05.123456+00:00"])


@app.get("/", summary="Describe the service")
async def root() -> Service:
    return Service(name=app.title, version=app.version, paths=["/hello?name=Ada", "/health", "/docs"])


@app.get("/hello", summary="Greet a person")
async def hello(name: Annotated[str, Query(min_length=1, description="Name to greet", examples=["Ada"])]) -> Greeting:
    return Greeting(message=f"Hello {name}")


@app.get("/health", summary="Report that the service is up")
async def health() -> Health:
    return Health(status="ok", timestamp=datetime.now(UTC).isoformat(timespec="microseconds"))
