"""What a request costs: our gateway beside a bare aiohttp, and beside what others limit with.  And the limiter alone.

python -m tests.benchmarks.bench_gateway [--requests 5000] [--decisions 50000] [--paced-s 30] [--repeats 7] [--json]

HTTP is measured in processor time of the server per request, in turns in one run.  The server has a core of its own
where the machine has more than one; the client and Redis share another.  All servers are asked the same with the same
tokens; ours verifies their signatures (and knows them a minute), the others look them up in a table.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from gateway.auth.claims import Claims, Parties, sign
from gateway.principal import SCOPES, Role
from ops.embedded.redis import Redis as RedisServer
from ops.settings import environment_with
from tests.benchmarks.http_load import load, request
from tests.benchmarks.limiter_alone import alone
from tests.benchmarks.pairs import Line, interleaved, parser, show
from tests.benchmarks.peers.gateway_people import PATH
from tests.benchmarks.system import ROOT

USERS = 64
NEVER = (100_000, 1_000_000)
PEERS = {"slowapi": "FastAPI + slowapi", "fastapi_limiter": "FastAPI + fastapi-limiter", "limits": "aiohttp + limits"}


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs: its port, and its processor's clock."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """Give the processor time that it has used, all its threads together."""
        return time.clock_gettime(~self.pid << 3 | 2)  # CLOCK_PROCESS_CPUTIME_ID of another process, as Linux names it


def people(many: int, role: Role, key: ec.EllipticCurvePrivateKey, kid: str) -> list[dict[str, str]]:
    """Make so many users with a token each."""
    now = int(time.time())
    made = []
    for _ in range(many):
        user, session, name = (str(uuid4()) for _ in range(3))
        claims = Claims(user, role, SCOPES[role], session, name, now, now + 900)
        made.append({"user": user, "token": sign(claims, Parties(), kid, key)})
    return made


@asynccontextmanager
async def server(name: str, file: Path, core: int | None) -> AsyncIterator[Served]:
    """Run one of the peers' files until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"tests.benchmarks.peers.gateway_{name}",
        str(file),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=(file.parent / f"{name}.log").open("ab"),
        env=environment_with({}),
    )
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        yield Served(int(await process.stdout.readline()), process.pid)
    finally:
        process.kill()
        await process.wait()


def cores() -> tuple[int | None, int | None]:
    """Give one core to the servers and one to the rest, where there are two."""
    known = sorted(os.sched_getaffinity(0))
    return (known[0], known[1]) if len(known) > 1 else (None, None)


async def http(redis_url: str, var: Path, many: int, repeats: int) -> list[Line]:
    """Measure every server in turns."""
    key, kid = ec.generate_private_key(ec.SECP256R1()), "benchmark"
    admitted, refused = people(USERS, "admin", key, kid), people(8, "user", key, kid)
    public = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": "ES256", "use": "sig"}
    file = var / "given.json"
    told = {"redis_url": redis_url, "people": admitted + refused, "minute": NEVER[0], "hour": NEVER[1]}
    file.write_text(json.dumps({**told, "public": public, "kid": kid}))
    good, bad = ([request(PATH, f"Bearer {one['token']}") for one in some] for some in (admitted, refused))
    installed = [name for name in PEERS if find_spec("fastapi" if name == "slowapi" else name) and find_spec("slowapi")]
    async with AsyncExitStack() as stack:
        names = ["hello", "ours", *installed]
        served = {name: await stack.enter_async_context(server(name, file, cores()[0])) for name in names}
        plan = {name: measured(served[name], good, many, 200) for name in names}
        plan["refused"] = measured(served["ours"], bad, many, 429)
        plan["hello again"] = measured(served["hello"], good, many, 200)
        for way in plan.values():
            await way()  # connects, verifies, fills caches
        results = await interleaved(plan, repeats)
    return lines(results, installed)


def measured(served: Served, requests: Sequence[bytes], many: int, expected: int) -> Callable[[], Awaitable[float]]:
    """Give a way that loads a server and returns its requests per second of processor time."""

    async def way() -> float:
        for _ in range(2):  # every token is known, every refusal told
            await load(served.port, requests, len(requests) * 4)
        began = served.cpu_s()
        statuses = await load(served.port, requests, many)
        took = served.cpu_s() - began
        assert statuses == Counter({expected: many}), f"{statuses} where only {expected} was expected"
        return many / took

    return way


def lines(results: Mapping[str, Sequence[float]], installed: Sequence[str]) -> list[Line]:
    """Put the results against what is wanted."""
    hello, unit = results["hello"], "requests/cpu s"
    return [
        Line("a request, token known, both windows, all headers", unit, "bare aiohttp", results["ours"], hello, 0.5),
        Line("a refused request", unit, "bare aiohttp", results["refused"], hello, 0.55),
        Line("bare aiohttp against itself", unit, "bare aiohttp", results["hello again"], hello),
        *(Line("a request with a limit", unit, PEERS[one], results["ours"], results[one], 5) for one in installed),
    ]


async def measure(many: int, decisions: int, paced_s: float, repeats: int) -> Sequence[Line]:
    """Run a Redis of our own and measure everything on it."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder, RedisServer(Path(folder)) as redis:
        process, (_, other) = redis.process, cores()
        if other is not None and process is not None:
            process.cpu_affinity([other])
            os.sched_setaffinity(0, {other})
        shares = await http(redis.url, Path(folder), many, repeats)
        return [*shares, *await alone(redis.url, decisions, paced_s, repeats)]


def main() -> None:
    """Read the command line."""
    made = parser(__doc__, repeats=7)
    made.add_argument("--requests", type=int, default=5000)
    made.add_argument("--decisions", type=int, default=50_000)
    made.add_argument("--paced-s", type=float, default=30.0)
    args = made.parse_args()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    show(measure(args.requests, args.decisions, args.paced_s, args.repeats), as_json=args.json)


if __name__ == "__main__":
    main()
