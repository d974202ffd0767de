"""What a request may be, and what the answer is."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

MOST_TEXTS = 1_000

Text = Annotated[str, Field(strict=True, min_length=1, max_length=10_000)]


class Texts(BaseModel):
    """The texts of one request."""

    model_config = ConfigDict(extra="forbid")

    text: list[Text] = Field(
        strict=True,
        max_length=MOST_TEXTS,
        fail_fast=True,
        description="The texts, in English, of 1 to 10,000 characters; "
        "of one that is longer than 512 tokens, the model's window, only these are read",
        examples=[["I love you!", "I hate you!"]],
    )


class Score(TypedDict):
    """How sure the model is of a label."""

    label: Annotated[str, Field(description="The label", examples=["POSITIVE"])]
    score: Annotated[float, Field(ge=0, le=1, description="Its probability, 0 to 1, to 4 decimals", examples=[0.9992])]


EXAMPLE = [[{"label": "NEGATIVE", "score": 0.0008}, {"label": "POSITIVE", "score": 0.9992}]]


class Predictions(BaseModel):
    predictions: list[list[Score]] = Field(
        description="The score of each label, a list a text, in the order of the request", examples=[EXAMPLE]
    )
