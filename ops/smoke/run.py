"""The order of the checks: what depends on one that failed is not tried, and says so."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from ops.smoke.door import certificate_holds, name_resolves
from ops.smoke.verdict import Check, Failed, Skipped, State
from ops.smoke.visitor import Visitor
from ops.smoke.works import Works

REQUEST_S = 10.0
Step = tuple[str, Callable[[], Awaitable[str]], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Where, as whom, and what to hold it to.

    ``schema`` is the revision its database must have; ``within_s`` bounds each job; ``ca`` is a file of authorities
    to trust in place of the system's.
    """

    url: URL
    user: str
    password: str
    schema: str
    within_s: float = 30.0
    ca: str | None = None


async def examined(plan: Plan, told: Callable[[Check], object] = lambda _: None) -> list[Check]:
    """Run every check in order, telling of each as it ends."""
    checks: dict[str, Check] = {}
    without = set[str]()  # what failed, and what was not tried because of that
    bound = aiohttp.ClientTimeout(total=max(REQUEST_S, plan.within_s + 5), sock_connect=REQUEST_S)
    trusted = await _trusted(plan)
    connector = aiohttp.TCPConnector(ssl=trusted or True)
    async with aiohttp.ClientSession(timeout=bound, connector=connector) as http:
        visitor = Visitor(http, plan.url)
        works = Works(visitor, plan.schema, plan.within_s, plan.user, plan.password)
        for name, step, needs in _steps(plan, works, trusted):
            checks[name] = await _tried(name, step, [need for need in needs if need in without])
            if checks[name].state == "failed" or any(need in without for need in needs):
                without.add(name)
            told(checks[name])
    return list(checks.values())


def _steps(plan: Plan, works: Works, trusted: ssl.SSLContext | None) -> Iterator[Step]:
    yield "name", lambda: name_resolves(plan.url), ()
    yield "certificate", lambda: _certificate(plan, trusted), ("name",)
    # Nothing is sent where the certificate does not hold, and no password over an open line.
    yield "health", works.health, ("certificate",)
    yield "readiness", works.readiness, ("health",)
    yield "schema", works.migrated, ("health",)
    yield "login", works.login, ("health",)
    yield "secrets", works.secrets, ("login",)
    yield "enqueue", works.enqueue, ("login",)
    yield "follow", works.follow, ("enqueue",)
    yield "read", works.read, ("follow",)
    yield "round trip", works.round_trip, ("read",)
    yield "post", works.post, ("login",)
    yield "reverse", works.reverse, ("post",)
    yield "logout", works.logout, ("login",)


async def _tried(name: str, step: Callable[[], Awaitable[str]], broken: list[str]) -> Check:
    began = time.perf_counter()
    state: State = "ok"
    if broken:
        return Check(name, "skipped", f"no use without: {', '.join(broken)}", 0.0)
    try:
        detail = await step()
    except Skipped as skipped:
        state, detail = "skipped", str(skipped)
    except Failed as failed:
        state, detail = "failed", str(failed)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        state, detail = "failed", f"an answer of another shape than expected: {error!r}"
    return Check(name, state, detail, time.perf_counter() - began)


async def _certificate(plan: Plan, trusted: ssl.SSLContext | None) -> str:
    if trusted is None and plan.url.scheme == "https":
        raise Failed(f"{plan.ca}: no certificates can be read from this file")
    return await certificate_holds(plan.url, trusted, now=datetime.now(UTC))


async def _trusted(plan: Plan) -> ssl.SSLContext | None:
    """Read once whom to trust: the system's list is long.  None where none can be read, or nobody need be trusted."""
    try:
        return (
            await asyncio.to_thread(ssl.create_default_context, cafile=plan.ca) if plan.url.scheme == "https" else None
        )
    except OSError:  # ssl.SSLError is one
        return None
