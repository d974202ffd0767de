"""An empty GET route: the cost of FastAPI and of the server. The service's bound of speed."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
@app.get("/health")
async def empty() -> dict[str, str]:
    return {}
