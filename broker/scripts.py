"""The limiter's Lua scripts: how they are run, what they are asked, and the names of their keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis import exceptions as redis_errors

from broker.limits import BURST_DIVISOR, Limits, Period, us_of_time

if TYPE_CHECKING:
    from redis.asyncio import Redis

NAMES = ("acquire", "release", "settle", "seed", "failed", "close")
LEASE_MARGIN_S = 20.0  # a lease outlives the request's own time-out by this: body, landing, a slow loop

_UNREACHABLE = (
    OSError,
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.OutOfMemoryError,
    redis_errors.ClusterDownError,
)


ScriptCall = tuple[str, list[str], tuple[str | int | float, ...]]
"""A script's name, its keys, its arguments."""


class LimiterUnreachable(Exception):
    """The limiter's Redis does not answer: make no call until it does."""


class Scripts:
    """The scripts of ``broker/lua``, loaded into Redis when it does not know them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        folder = files("broker").joinpath("lua")
        self._known = {name: redis.register_script(folder.joinpath(f"{name}.lua").read_text("utf-8")) for name in NAMES}

    async def __call__(self, name: str, keys: list[str], *args: str | int | float) -> Any:
        """Run a script and return what its header says; raise LimiterUnreachable when Redis does not answer."""
        with reaching():
            return await self._known[name](keys, args)

    async def all(self, calls: Sequence[ScriptCall], *, first_delete: Sequence[str] = ()) -> list[Any]:
        """Run several scripts in one trip, in order, after some keys are gone; return what each says."""
        with reaching():
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in first_delete:
                    pipe.delete(name)
                for script, keys, args in calls:
                    pipe.evalsha(self._known[script].sha, len(keys), *keys, *args)
                told = await pipe.execute(raise_on_error=False)
        return [await self._given(call, answer) for call, answer in zip(calls, told[len(first_delete) :], strict=True)]

    async def _given(self, call: ScriptCall, answer: Any) -> Any:
        if isinstance(answer, redis_errors.NoScriptError):
            name, keys, args = call
            return await self(name, keys, *args)
        if isinstance(answer, Exception):
            with reaching():
                raise answer
        return answer


@contextmanager
def reaching() -> Iterator[None]:
    """Say in one line that Redis did not answer."""
    try:
        yield
    except _UNREACHABLE as error:
        raise LimiterUnreachable(f"the limiter's Redis does not answer: {error}") from error


def question(
    limits: Limits, cost: int, period: Period | None, *, lease: str, patience_s: float, spread_s: float
) -> dict[str, Any]:
    """Say what lua/acquire.lua is asked, times in microseconds."""
    ask: dict[str, Any] = {
        "lease": lease,
        "cost": cost,
        "lease_us": lease_time(limits) // timedelta(microseconds=1),
        "patience_us": round(patience_s * 1e6),
        "rates": [[rate.calls, round((rate.per_s + spread_s) * 1e6)] for rate in limits.rates],
    }
    if limits.concurrency is not None:
        ask["concurrency"] = limits.concurrency
    if limits.budget is not None and period is not None:
        span = {"start": us_of_time(period.start), "end": us_of_time(period.end)}
        ask["budget"] = {"amount": limits.budget.amount, "burst_divisor": BURST_DIVISOR, **span}
    return ask


def lease_time(limits: Limits) -> timedelta:
    """How long a lease lasts from its slot, unless it is given back."""
    return timedelta(seconds=limits.timeout_s + LEASE_MARGIN_S)


def key(provider: str, *names: str) -> str:
    """Name a key of a provider; the hash tag puts all of them in one slot of a cluster."""
    return ":".join((f"{{sluice:{provider}}}", *names))


def budget_key(provider: str, period: Period | None) -> str:
    """Name the key of a period's count."""
    if period is None:
        return key(provider, "budget")  # an acquire without a budget names it, but does not touch it
    return key(provider, "budget", f"{period.start:%Y-%m-%d}", f"{period.length.days}d")


def text(value: bytes | str) -> str:
    """Read a string of Redis, whether or not the client decodes."""
    return value.decode() if isinstance(value, bytes) else value


def strings(fields: Mapping[bytes | str, bytes | str]) -> dict[str, str]:
    """Read a hash of Redis, whether or not the client decodes."""
    return {text(name): text(value) for name, value in fields.items()}
