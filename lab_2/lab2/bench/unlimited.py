"""The service without the limits of src/limits.py. Only FastAPI's max_body_size is left."""

from src.main import app

app.user_middleware.clear()
