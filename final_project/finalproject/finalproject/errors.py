"""The shape of every error: {"detail": a sentence}, or for 422 {"detail": [{"loc", "msg", "type"}, ...]}."""

from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

MOST_ERRORS = 20  # 30 KB of empty objects would come back as megabytes
LONGEST_PART = 100  # of a place: an unknown field's name is the caller's, and may be as long as the body


class Failure(BaseModel):
    detail: str = Field(description="What went wrong, in a sentence", examples=["Not Found"])


class Wrong(BaseModel):
    loc: list[str | int] = Field(description="Where", examples=[["body", "text", 3]])
    msg: str = Field(description="What it should be", examples=["String should have at least 1 character"])
    type: str = Field(description="pydantic's name of the error", examples=["string_too_short"])


class Invalid(BaseModel):
    detail: list[Wrong] = Field(
        description=f"What is wrong, at most {MOST_ERRORS} of it",
        examples=[[{"loc": ["body", "text"], "msg": "Field required", "type": "missing"}]],
    )


INVALID: dict[int | str, dict[str, Any]] = {422: {"model": Invalid, "description": "Not what the schema asks for"}}
TOO_LARGE: dict[int | str, dict[str, Any]] = {413: {"model": Failure, "description": "The body is too large"}}
FAILED: dict[int | str, dict[str, Any]] = {
    500: {"model": Failure, "description": "The service failed; its log says how"}
}


async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    """Leaves out the `input` and `url` that pydantic adds: what was sent may be NaN, huge or private."""
    detail = [
        {
            "loc": [part[:LONGEST_PART] if isinstance(part, str) else part for part in wrong["loc"]],
            "msg": wrong["msg"],
            "type": wrong["type"],
        }
        for wrong in error.errors()[:MOST_ERRORS]
    ]
    return JSONResponse({"detail": detail}, 422)


async def failed(_: Request, __: Exception) -> JSONResponse:
    """The server logs the exception; the caller learns nothing of it."""
    return JSONResponse({"detail": "Internal Server Error"}, 500)
