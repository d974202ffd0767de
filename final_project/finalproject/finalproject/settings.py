"""The environment variables of this service: read in this one place, and checked before it starts."""

import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .cache import RedisUrl
from .cpus import cpus


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True)

    model_dir: Path = Field(default=Path(__file__).parents[1] / "model")
    max_body_bytes: int = Field(default=16 * 2**20, ge=1)
    redis_url: RedisUrl | None = None  # none: no cache
    cache_ttl_seconds: int = Field(default=86_400, ge=1, le=10**9)
    inference_threads: int = Field(default_factory=cpus, ge=1, le=256)
    batch_tokens: int = Field(default=144, ge=1, le=10**6)
    queue_texts: int = Field(default=1_000, ge=1_000, le=10**6)
    deadline_seconds: float = Field(default=60, gt=0, le=3_600)
    drain_seconds: float = Field(default=0, ge=0, le=60)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None  # none: the server's own --log-level


def read_settings() -> Settings:
    """The settings, or the end of the process with one line that names each wrong variable and what it may be."""
    try:
        return Settings()
    except ValidationError as error:
        sys.exit("; ".join(f"{str(wrong['loc'][0]).upper()}: {wrong['msg']}" for wrong in error.errors()))
