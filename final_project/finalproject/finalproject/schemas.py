"""The JSON schema of /predict: its request and its response."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic requires this one before Python 3.12

MAX_TEXTS = 1_000
MAX_CHARACTERS = 10_000
EXAMPLE = [[{"label": "NEGATIVE", "score": 0.0008}, {"label": "POSITIVE", "score": 0.9992}]]


class Texts(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    # fail_fast: validation stops at the first invalid text; 1,000 invalid ones cost no more than one
    text: list[Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]] = Field(
        max_length=MAX_TEXTS,
        fail_fast=True,
        description=f"English texts of 1 to {MAX_CHARACTERS:,} characters; the model reads 512 tokens of each",
        examples=[["I love you!", "I hate you!"]],
    )


class Score(TypedDict):
    label: Annotated[str, Field(description="The label", examples=["POSITIVE"])]
    score: Annotated[float, Field(ge=0, le=1, description="Its probability, 4 decimals", examples=[0.9992])]


class Predictions(BaseModel):
    predictions: list[list[Score]] = Field(
        description="The scores of each text, in the order of the request; the labels are in the model's order",
        examples=[EXAMPLE],
    )
