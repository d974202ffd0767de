"""The JSON schema of /predict: its request and its response."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

MAX_BLOCK_GROUPS = 10_000
Amount = Annotated[float, Field(ge=0, le=1e9)]


class Strict(BaseModel, extra="forbid", strict=True, allow_inf_nan=False):  # strict: "4.5" and true are no numbers
    @model_validator(mode="before")
    @classmethod
    def limit_fields(cls, value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict) and len(value) > 100:  # reporting each of 80,000 unknown fields takes 0.6 s
            raise PydanticCustomError("too_long", "Too many fields")  # a ValueError would keep the value in memory
        return value


class BlockGroup(Strict):
    """A block group: an area of the US census with 600 to 3,000 people. Names and order are scikit-learn's."""

    MedInc: Amount = Field(description="Median income, 10,000 dollars", examples=[8.3252])
    HouseAge: Amount = Field(description="Median age of the houses, years", examples=[41.0])
    AveRooms: Amount = Field(description="Rooms per household", examples=[6.9841])
    AveBedrms: Amount = Field(description="Bedrooms per household", examples=[1.0238])
    Population: float = Field(gt=0, le=1e9, description="People", examples=[322.0])
    AveOccup: Amount = Field(description="People per household", examples=[2.5556])
    Latitude: float = Field(ge=-90, le=90, description="Degrees north", examples=[37.88])
    Longitude: float = Field(ge=-180, le=180, description="Degrees east", examples=[-122.23])


EXAMPLE = {name: field.examples[0] for name, field in BlockGroup.model_fields.items() if field.examples}


class Batch(Strict):
    # fail_fast: validation stops at the first invalid block group; 10,000 invalid ones cost no more than one
    data: list[BlockGroup] = Field(
        max_length=MAX_BLOCK_GROUPS, fail_fast=True, description="The block groups", examples=[[EXAMPLE]]
    )


class Predictions(BaseModel):
    predictions: list[float] = Field(description="Median house values, 100,000 dollars", examples=[[4.526]])
