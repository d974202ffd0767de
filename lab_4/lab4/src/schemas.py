"""What a request may be, and what the answer is."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MOST_BLOCK_GROUPS = 10_000

EXAMPLE = {"MedInc": 8.3252, "HouseAge": 41, "AveRooms": 6.9841, "AveBedrms": 1.0238}
EXAMPLE |= {"Population": 322, "AveOccup": 2.5556, "Latitude": 37.88, "Longitude": -122.23}

Amount = Annotated[float, Field(ge=0, le=1e9)]


class BlockGroup(BaseModel):
    """A block group of the census: the eight features, by scikit-learn's names and in its order."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    MedInc: Amount = Field(description="Median income, 10,000 dollars", examples=[8.3252])
    HouseAge: Amount = Field(description="Median age of the houses, years", examples=[41.0])
    AveRooms: Amount = Field(description="Rooms per household", examples=[6.9841])
    AveBedrms: Amount = Field(description="Bedrooms per household", examples=[1.0238])
    Population: float = Field(gt=0, le=1e9, description="People", examples=[322.0])
    AveOccup: Amount = Field(description="People per household", examples=[2.5556])
    Latitude: float = Field(ge=-90, le=90, description="Degrees north", examples=[37.88])
    Longitude: float = Field(ge=-180, le=180, description="Degrees east", examples=[-122.23])


class Batch(BaseModel):
    """The block groups of one request."""

    model_config = ConfigDict(extra="forbid")

    data: list[BlockGroup] = Field(
        max_length=MOST_BLOCK_GROUPS, fail_fast=True, description="The block groups", examples=[[EXAMPLE]]
    )


class Predictions(BaseModel):
    predictions: list[float] = Field(
        description="Median house values, 100,000 dollars, in the order of the request", examples=[[4.526]]
    )
