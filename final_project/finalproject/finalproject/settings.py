"""The settings of the service. No other module reads environment variables."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings
from redis.asyncio.connection import parse_url

from .cpus import available_cpus
from .errors import StartupError

MAX_THREADS = 256


def check_redis_url(url: str) -> str:
    """The URL, or ValueError. The Redis client accepts more, and repeats the password in its error messages."""
    with suppress(ValueError):
        if re.fullmatch(r"rediss?://([^@/?#\s]*@)?[^@/?#\s]+(/[0-9]*)?|unix:///[^@?#\s]+", url) and parse_url(url):
            return url
    raise ValueError("should be redis://[:password@]host[:port][/number], rediss:// for TLS, or unix:///path")


class Settings(BaseSettings, env_ignore_empty=True):
    model_dir: Path = Field(default=Path(__file__).parents[1] / "model")
    max_body_bytes: int = Field(default=4 * 2**20, ge=1)
    redis_url: Annotated[str, AfterValidator(check_redis_url)] | None = None  # None: no cache
    cache_ttl_seconds: int = Field(default=86_400, ge=1, le=10**9)
    inference_threads: int = Field(default_factory=lambda: min(available_cpus(), MAX_THREADS), ge=1, le=MAX_THREADS)
    batch_tokens: int = Field(default=144, ge=1, le=10**6)
    max_queue_seconds: float = Field(default=1, gt=0, le=3_600)
    deadline_seconds: float = Field(default=10, gt=0, le=3_600)
    drain_seconds: float = Field(default=0, ge=0, le=60)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None  # None: uvicorn's --log-level decides


def get_settings() -> Settings:
    """The settings. Raises a StartupError that names each invalid variable and its allowed values."""
    try:
        return Settings()
    except ValidationError as error:
        raise StartupError("; ".join(f"{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())) from None
