"""A GET route that does nothing: what FastAPI and the server cost by themselves."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
@app.get("/health")
async def nothing() -> dict[str, str]:
    return {}
