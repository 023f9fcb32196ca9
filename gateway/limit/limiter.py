"""Who may ask now: exact windows by one script in Redis, refusals remembered, bounded decisions while Redis is away.

    async with open_limiter(url) as limiter:
        verdict = await limiter.charge(principal.quota, limits)
        answer.headers.update(limiter.headers(verdict))
        if not verdict.admitted:
            raise limiter.refusal(verdict)

While Redis is away the process decides by its own log (``local.py``), and what it admitted is charged when Redis is
back, before Redis decides again.  ``guard`` closes what must not be open to guessing meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import structlog

from gateway.limit.client import PATIENCE_S, RING, LimitClient, Undecided
from gateway.limit.denials import Denials
from gateway.limit.link import Command
from gateway.limit.local import LocalLog
from gateway.limit.observer import Observer, Outcome, Silent
from gateway.limit.outage import Breaker, Outage, Owed
from gateway.limit.verdict import Limits, Verdict, headers, refusal
from gateway.networks import network_of
from gateway.problems import Problem

log = structlog.get_logger(__name__)

PUSHED_AT_ONCE = 500
GUARD_RETRY_S = 1

Report = Callable[[Outage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Policy:
    """How to limit.

    ``address``: what one address may fail to verify, or ask without a token.  ``processes``: how many gateway processes
    share a limit while each decides alone; ``strict``: none decides alone, all answer 503.  ``budget_s``: how long
    Redis may take; ``probe_s``: how often it is tried while it is away.
    """

    address: Limits = field(default_factory=Limits)
    processes: int = 1
    strict: bool = False
    budget_s: float = 0.05
    probe_s: float = 0.5


class RateLimiter:
    """Made by ``open_limiter``, on the loop that it is used on."""

    def __init__(
        self,
        url: str,
        policy: Policy,
        observer: Observer,
        report: Report | None,
        *,
        rng: Random,
        prefix: str = "sluice:limit:",
        script: str = RING,
    ) -> None:
        self.policy = policy
        self.client = LimitClient(url, prefix=prefix, budget_s=policy.budget_s, script=script, late=self._late)
        self._observer, self._report, self._rng = observer, report, rng
        self._loop = asyncio.get_running_loop()
        self._denials, self._log, self._owed = Denials(), LocalLog(self._loop.time), Owed()
        self._breaker, self._outage = Breaker(), Outage(datetime.now(UTC))
        self._tasks: set[asyncio.Task[None]] = set()
        self._replaying, self._settling = asyncio.Lock(), False

    # -- asking -------------------------------------------------------------------------------------------------------

    def denied(self, quota: str, limits: Limits) -> Verdict | None:
        """Tell a refusal that is known to be true still; awaits nothing and asks nobody."""
        return self._denials.find(quota, limits, self._loop.time())

    async def charge(self, quota: str, limits: Limits) -> Verdict:
        """Decide about one call and charge it if it is admitted.

        Raises Problem "unavailable" only under a strict policy, while Redis does not decide.
        """
        began = self._loop.time()
        if (known := self._denials.find(quota, limits, began)) is not None:
            self._observer.decided("refused_from_cache", self._loop.time() - began)
            return known
        if self._breaker.is_open:
            return self._alone(quota, limits, began)
        command = self.client.decide(quota, limits)
        try:
            admitted, clock, minute, minute_wait, hour, hour_wait = await command.answer
        except Undecided as error:
            self._fail(error)
            return self._alone(quota, limits, began, command)
        verdict = Verdict(admitted == 1, limits, clock, minute, minute_wait, hour, hour_wait)
        self._log.trail(quota).note(verdict)
        now = self._loop.time()
        if admitted:
            self._observer.decided("admitted", now - began)
        else:
            self._denials.note(quota, verdict, asked=command.sent, heard=now)
            self._observer.decided("refused", now - began)
        return verdict

    async def charge_address(self, address: str) -> Verdict:
        """Charge an address for a failed verification or a call without a token; an IPv6 network of 64 bits is one."""
        return await self.charge(address_quota(address), self.policy.address)

    def guard(self) -> None:
        """Refuse what must not be tried without an exact limit: login, refresh, API keys, administration.

        Raises Problem "unavailable" with Retry-After while Redis is away.
        """
        if self._breaker.is_open:
            raise _unavailable()

    @property
    def is_degraded(self) -> bool:
        """Whether this process decides alone."""
        return self._breaker.is_open

    def headers(self, verdict: Verdict) -> dict[str, str]:
        """Write a verdict for a client."""
        return headers(verdict, self._rng)

    def refusal(self, verdict: Verdict) -> Problem:
        """Make the 429 of a verdict that did not admit."""
        return refusal(verdict, self._rng)

    # -- resetting ----------------------------------------------------------------------------------------------------

    async def reset(self, quota: str) -> None:
        """Give a quota its whole limit back; raises Undecided.  Tell the other processes to ``forget_refusals``."""
        await self.client.forget(quota).answer
        self._denials.forget(quota)

    def forget_refusals(self) -> None:
        """Believe no refusal from before now: somewhere a quota was reset."""
        self._denials.resets += 1

    # -- alone --------------------------------------------------------------------------------------------------------

    def _alone(self, quota: str, limits: Limits, began: float, command: Command | None = None) -> Verdict:
        if self.policy.strict:
            raise _unavailable()
        verdict = self._log.decide(quota, limits, self.client.now_ms(), self.policy.processes)
        if verdict.admitted:
            self._owe(quota, verdict, command)
        self._outage = replace(
            self._outage,
            admitted=self._outage.admitted + verdict.admitted,
            refused=self._outage.refused + (not verdict.admitted),
        )
        outcome: Outcome = "admitted_locally" if verdict.admitted else "refused_locally"
        self._observer.decided(outcome, self._loop.time() - began)
        return verdict

    def _owe(self, quota: str, verdict: Verdict, command: Command | None) -> None:
        if command is not None:
            command.stamp = (quota, verdict.clock_ms)
        if not self._owed.add(quota, verdict.limits, verdict.clock_ms):
            self._observer.dropped(1)
        self._observer.pending(self._owed.count)
        if not self._breaker.is_open and not self._settling:
            self._settling = True
            self._start(self._settle_debts())

    def _late(self, command: Command, reply: list[int]) -> None:
        """Redis did charge what was decided without it: it need not be told again."""
        if reply[0] == 1 and command.stamp is not None:
            self._owed.withdraw(*command.stamp)

    def _fail(self, error: Undecided) -> None:
        self._observer.failed(error.failure)
        if self._breaker.failed(self._loop.time()):
            self._outage = Outage(datetime.now(UTC))
            self._observer.degraded(True)
            log.error("rate_limit_degraded", failure=error.failure, detail=error.detail, strict=self.policy.strict)
            self._start(self._tell(self._outage))
            self._start(self._recover())

    # -- coming back --------------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Try until Redis answers and knows of every call that was admitted without it; then let it decide again."""
        repaid = False
        while not repaid:
            await asyncio.sleep(self.policy.probe_s)
            repaid = await self._repay(self.policy.budget_s)
        self._breaker.close()  # in the turn of the loop in which nothing was owed
        self._observer.degraded(False)
        over = replace(self._outage, ended=datetime.now(UTC))
        log.warning("rate_limit_exact_again", admitted=over.admitted, refused=over.refused)
        await self._tell(over)

    async def _settle_debts(self) -> None:
        """Calls were decided here and the breaker stayed closed: tell Redis as soon as it answers."""
        while self._owed.count and not self._breaker.is_open:
            if not await self._repay(PATIENCE_S):
                await asyncio.sleep(self.policy.probe_s)
        self._settling = False

    async def _repay(self, patience_s: float) -> bool:
        """Tell Redis of every call that was admitted without it; False if it does not answer.

        Replies come in order: after the ping's, all that Redis did charge after all is known and owed no more.
        """
        try:
            await self.client.ping(patience_s).answer
            async with self._replaying:
                await self._replay()
        except Undecided:
            return False
        return True

    async def _replay(self) -> None:
        while self._owed.count:
            batch = self._owed.take(PUSHED_AT_ONCE)
            commands = [self.client.push(quota, limits, stamps) for quota, limits, stamps in batch]
            answers = await asyncio.gather(*(command.answer for command in commands), return_exceptions=True)
            failed = None
            for (quota, limits, stamps), answer in zip(batch, answers, strict=True):
                if isinstance(answer, Undecided):
                    failed = answer
                    self._owed.give_back(quota, limits, stamps)
                else:
                    self._observer.replayed(len(stamps))
            self._observer.pending(self._owed.count)
            if failed is not None:
                raise failed

    async def _tell(self, outage: Outage) -> None:
        if self._report is None:
            return
        try:
            await self._report(outage)
        except Exception as error:  # whatever the audit's trouble is, the limiter goes on
            log.exception("outage_not_reported", error=type(error).__name__)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def open(self) -> None:
        """Connect."""
        await self.client.open()

    async def close(self) -> None:
        """Leave; what Redis was not told of is lost with the process."""
        for task in [*self._tasks]:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.client.close()


def _unavailable() -> Problem:
    return Problem("unavailable", "The rate limit cannot be kept", headers={"Retry-After": str(GUARD_RETRY_S)})


def address_quota(address: str) -> str:
    """Name whose quota an address uses."""
    return f"address:{network_of(address)}"


@asynccontextmanager
async def open_limiter(
    url: str,
    policy: Policy | None = None,
    *,
    observer: Observer | None = None,
    report: Report | None = None,
    rng: Random | None = None,
) -> AsyncIterator[RateLimiter]:
    """Connect to Redis (``redis://``, ``rediss://``, ``unix://``) and limit until the block ends.

    A Redis that is away is no error: it is an outage.  ``report`` hears of each outage when it begins and ends.
    """
    limiter = RateLimiter(url, policy or Policy(), observer or Silent(), report, rng=rng or Random())  # noqa: S311  jitter
    await limiter.open()
    try:
        yield limiter
    finally:
        await limiter.close()
