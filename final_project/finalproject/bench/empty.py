"""An empty GET route: the cost of FastAPI and of the server. It uses the same HTTP parser as the service."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
@app.get("/health")
async def empty() -> dict[str, str]:
    return {}
