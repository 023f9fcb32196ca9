"""FastAPI with slowapi: moving windows in Redis, its own headers."""

from __future__ import annotations

import uvicorn
import uvloop
from fastapi import FastAPI, Request, Response
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded

from tests.benchmarks.peers.gateway_people import PATH, given, listening, ready

told = given()


def asker(request: Request) -> str:
    """Tell whose quota is charged."""
    return told.people[request.headers["Authorization"]]


limiter = Limiter(
    key_func=asker,
    storage_uri=told.redis_url,
    strategy="moving-window",
    headers_enabled=True,
    retry_after="delta-seconds",
)
app = FastAPI()
app.state.limiter = limiter


def refused(request: Request, error: Exception) -> Response:
    """Answer with the library's own refusal."""
    assert isinstance(error, RateLimitExceeded)
    return _rate_limit_exceeded_handler(request, error)


app.add_exception_handler(RateLimitExceeded, refused)


@app.get(PATH)
@limiter.limit(f"{told.minute}/minute;{told.hour}/hour")
async def hello(request: Request, response: Response) -> dict[str, str]:
    """Say who asks."""
    return {"hello": asker(request)}


if __name__ == "__main__":
    sock = listening()
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, http="httptools", loop="uvloop"))
    ready(sock.getsockname()[1])
    uvloop.run(server.serve(sockets=[sock]))
