"""The service without PrometheusMiddleware."""

from src.main import app

del app.user_middleware[0]  # main.py adds it last, so it is the first in the list
