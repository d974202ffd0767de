"""Error responses in JSON, without the client's values and without the service's internals."""

from traceback import clear_frames
from typing import Any

import click
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MAX_ERRORS = 20  # without a limit, 4 MiB of unknown fields cause a response of the same size
MAX_LOC_LENGTH = 100  # the name of an unknown field comes from the client and may be as long as the body
EXAMPLE = {"loc": ["body", "text", 3], "msg": "String should have at least 1 character", "type": "string_too_short"}


class StartupError(click.ClickException):
    """The service cannot start. uvicorn's command line prints a ClickException as one line and exits with code 1."""


class ErrorResponse(BaseModel):
    detail: str = Field(description="What failed", examples=["Not Found"])


class ValidationErrorItem(BaseModel):
    loc: list[str | int] = Field(description="Place of the invalid value", examples=[EXAMPLE["loc"]])
    msg: str = Field(description="What the value should be", examples=[EXAMPLE["msg"]])
    type: str = Field(description="pydantic's name of the error", examples=[EXAMPLE["type"]])


class ValidationErrorResponse(BaseModel):
    detail: list[ValidationErrorItem] = Field(description=f"The first {MAX_ERRORS} errors", examples=[[EXAMPLE]])


INVALID: dict[int | str, dict[str, Any]] = {422: {"model": ValidationErrorResponse, "description": "Validation error"}}
BODY_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The body cannot be parsed"},
    408: {"model": ErrorResponse, "description": "The upload took too long"},
    413: {"content": {"text/plain": {}}, "description": "The body is too large"},
    500: {"model": ErrorResponse, "description": "Internal error; the log has the traceback"},
}


async def exception_handler(_: Request, error: Exception) -> JSONResponse:
    clear_frames(error.__traceback__)  # its reference cycles keep the body until the next full garbage collection
    if isinstance(error, HTTPException):
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    if not isinstance(error, RequestValidationError):
        return JSONResponse({"detail": "Internal Server Error"}, 500, {"Connection": "close"})  # as the server does
    detail = []  # without pydantic's `input`, the client's value, which may be private
    for item in error.errors()[:MAX_ERRORS]:
        loc = [part[:MAX_LOC_LENGTH] if isinstance(part, str) else part for part in item["loc"]]
        detail.append({"loc": loc, "msg": item["msg"], "type": item["type"]})
    return JSONResponse({"detail": detail}, 422)
