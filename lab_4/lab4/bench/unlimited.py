"""The service without the limits of src/limits.py and src/schemas.py. Only FastAPI's max_body_size is left."""

from src.schemas import Batch, BlockGroup

for model in (BlockGroup, Batch):
    model.__pydantic_decorators__.model_validators.clear()  # limit_fields
    model.model_rebuild(force=True)

from src.main import app  # noqa: E402 - its routes use the models as they are now

app.user_middleware.clear()
