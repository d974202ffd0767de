"""The settings of the service. No other module reads environment variables."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings

from .errors import StartupError


class Settings(BaseSettings, env_ignore_empty=True):
    model_path: Path = Field(default=Path(__file__).parents[1] / "model_pipeline.pkl")
    max_body_bytes: int = Field(default=4 * 2**20, ge=1)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None  # None: uvicorn's --log-level decides


def get_settings() -> Settings:
    """The settings. Raises a StartupError that names each invalid variable and its allowed values."""
    try:
        return Settings()
    except ValidationError as error:
        raise StartupError("; ".join(f"{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())) from None
