"""Fetch, dedup, post: each from its start to its end.

    fetch   claim a job ─▶ may we call? ─▶ one request ─▶ the page and the job's progress in one commit ─▶ say "dedup"
    dedup   read the page (pure) ─▶ what is known? ─▶ what was found, and the next page, in one commit ─▶ say "post"
    post    items, page, job counts and watermark in one commit

What dedup has read stays in the process for post (``workers/unposted.py``); without it, post reads the page again.
A message that comes twice finds its row already moved on.  A message that is lost is said again by the dispatcher.
Nothing here knows which engine runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import jobs, pages, providers, spoiled
from broker.jobs import Claimed
from broker.limiter import Ask, LimiterUnreachable
from broker.messages import DedupPage, PostPage, WorkOnJob
from broker.pages import LandedPage, NewPage
from broker.providers import Call, Standing
from broker.reparse import REPARSE
from broker.verdicts import Granted, Lease, Wait
from ledger.model import Item
from workers.attempts import Attempt, gave_trouble, went_well
from workers.bookkeeper import Bookkeeper, Rows
from workers.commits import Commits, Landing
from workers.database import transact
from workers.http import Answer, usage_of
from workers.inbox import Inbox
from workers.items import Dataset, Malformed, Parsed, Provider, ProviderError, Refused, Request, Usage
from workers.plan import page_of, provider_of, pull_of
from workers.reading import Reading
from workers.rules import GIVEN_BY_USERS
from workers.unposted import Unposted
from workers.works import Works, say

R = TypeVar("R")
log = structlog.get_logger(__name__)

CLOSED_FOR = timedelta(minutes=15)  # how often a job looks whether a person has helped its provider
UNREACHABLE_FOR = timedelta(seconds=5)
READ_AT_ONCE_BYTES = 4096  # nothing new, or a few rows: read in less time than a message about it takes to come back


class Pipeline:
    """The three stages over one process's open services; calls of one moment share their commits."""

    def __init__(self, works: Works) -> None:
        self.works = works
        self.bookkeeper = Bookkeeper(works)
        self.inbox = Inbox(works)
        self.commits = Commits(works)
        self.unposted: Unposted[Sequence[Item] | Rows] = Unposted()
        self._suspect = asyncio.Lock()
        self._reading = Reading()

    # -- fetch --------------------------------------------------------------------------------------------------------

    async def fetch(self, queue: str) -> None:
        """Work on the most urgent due job of the queue: one request, one landed page."""
        claimed = await self.commits.job(queue)
        if claimed is None:
            return
        job, standing = claimed
        structlog.contextvars.bind_contextvars(job=str(job.id))
        with self.works.hold(job):
            try:
                provider, _ = provider_of(job.args, self.works.providers)
                began, polled, now = job.started_at, job.polled_at, self.works.clock()
                pull = pull_of(job.kind, job.args, started_at=began, polled_at=polled, asked_at=now)
                request = provider.request(pull, job.cursor)
            except Refused as refusal:
                await self._fail(job, str(refusal))
                return
            except Exception as error:
                # A fault of the provider's file: the same job would meet it again and again.
                log.exception("request_failed", provider=job.args.get("provider"), dataset=job.args.get("dataset"))
                await self._fail(job, f"the request could not be made: {type(error).__name__}")
                return
            if job.attempt > self.works.policy.attempts_max:
                await self._fail(job, f"{job.attempt - 1} attempts came to no end: their workers died or gave up")
                return
            if not await self._may_call(job, standing):
                return
            landed = await self._call(job, provider, request)
        if landed is not None:
            await self._hand_on(job, landed)

    async def _hand_on(self, job: Claimed, page: NewPage) -> None:
        if page.taken_until is None:
            await say(self.works, DedupPage(page.id))
        else:
            await self._read(pages.in_hand(job, page))

    async def keep(self, queue: str) -> None:
        """Claim a job that brings its rows with it, and keep them as its page."""
        if (claimed := await self.commits.job(queue)) is not None:
            job, _ = claimed
            structlog.contextvars.bind_contextvars(job=str(job.id))
            with self.works.hold(job):
                if (page := await self.bookkeeper.land(job)) is not None:
                    await say(self.works, DedupPage(page))

    async def _may_call(self, job: Claimed, standing: Standing) -> bool:
        now = self.works.clock()
        if standing.until is not None and standing.until <= now:
            name = standing.name
            standing = await self._transact(lambda conn: providers.over(conn, name, now=now))
        if standing.state == "ok":
            return True
        until = standing.until or now + CLOSED_FOR
        reason = f"provider {standing.name} is {standing.state.replace('_', ' ')}: {standing.reason}"
        await self._put_off(job, until, reason, why=standing.state)
        return False

    async def _call(self, job: Claimed, provider: Provider, request: Request) -> NewPage | None:
        try:
            verdict = await self.commits.acquire(Ask(provider.name, request.cost))
        except LimiterUnreachable as error:
            until = self.works.clock() + UNREACHABLE_FOR
            await self._put_off(job, until, f"limits cannot be checked: {error}", why="unchecked")
            return None
        match verdict:
            case Wait(until=until, reason=reason, state=state):
                await self._put_off(job, until, reason, why=state)
                return None
            case Granted(lease=lease, delay_s=delay_s):
                page, released = None, False
                try:
                    if delay_s > 0:
                        await asyncio.sleep(delay_s)
                    page, released = await self._request(Attempt(job, provider, request, lease, self.works.clock()))
                finally:
                    if not released:
                        await self._release(lease)
                return page

    async def _request(self, attempt: Attempt) -> tuple[NewPage | None, bool]:
        """Make the call and keep its answer; give the page if it landed, and whether the lease was given back."""
        provider = attempt.provider
        try:
            answer = await self.works.fetcher.fetch(provider, attempt.request, timeout_s=provider.limits.timeout_s)
        except ProviderError as error:
            await gave_trouble(self.works, attempt, error)
            return None, False
        usage = usage_of(provider, answer.headers)
        page = await self._land(attempt, answer, usage)
        return page, await went_well(self.works, attempt, usage, self.commits.done)

    async def _land(self, attempt: Attempt, answer: Answer, usage: Usage) -> NewPage | None:
        job, name, now = attempt.job, attempt.provider.name, self.works.clock()
        cost = attempt.request.cost if usage.cost is None else usage.cost
        new = NewPage(
            provider=name,
            dataset=job.args["dataset"],
            request=request_row(attempt.request),
            body=answer.body,
            fetched_at=attempt.asked_at,
            answered_at=min(answer.date or attempt.asked_at, now),  # its clock may run ahead of ours
            cost=cost,
            taken_until=now + self.works.policy.lease if len(answer.body) <= READ_AT_ONCE_BYTES else None,
        )
        call = Call(name, new.dataset, job.id, attempt.asked_at, answer.status, "landed", cost, answer.seconds)

        landing = Landing(job, new, call, usage.remaining)
        ours = await self.commits.land(landing)
        self.works.observer.called(call)
        self.works.observer.page("landed" if ours else "spare")
        if ours:
            return new
        log.warning("lease_lost")
        return new if await self.commits.landed_before(landing) else None

    # -- dedup --------------------------------------------------------------------------------------------------------

    async def dedup(self, page_id: UUID) -> None:
        """Read a landed page, decide what is next, and send what the ledger does not know."""
        page = await self.commits.page(page_id)
        if page is not None:
            await self._read(page)
            return
        # Nothing to take, or a page that was started before.  Such a suspect is taken alone, so that if it does kill
        # this process again, no other page's deliveries are counted with it.
        async with self._suspect:
            if (page := await self.commits.suspect(page_id)) is not None:
                await self._read(page)

    async def _read(self, page: LandedPage) -> None:
        structlog.contextvars.bind_contextvars(page=str(page.id), job=str(page.job_id))
        with self.works.reads(page):
            await self._judge(page)

    async def _judge(self, page: LandedPage) -> None:
        if page.deliveries > self.works.policy.deliveries_max:
            await self._bury(page, f"its worker died on this page {page.deliveries - 1} times")
            return
        if page.sends >= self.works.policy.sends_max:
            await self._bury(page, f"post did not come to its end in {page.sends} attempts")
            return
        if page.provider == GIVEN_BY_USERS:
            await self._say_post(page.id, await self.bookkeeper.read(page))
            return
        try:
            parsed, dataset = await self._parsed(page)
        except Malformed as error:
            if page.kind == REPARSE:  # asking for it again would be paying for it again
                await self._bury(page, f"malformed: {error}")
            else:
                await self._malformed(page, str(error))
            return
        except Exception as error:
            log.exception("parser_failed", provider=page.provider, dataset=page.dataset)
            await self._bury(page, f"the parser failed: {type(error).__name__}")
            return
        fresh = await self.commits.decide((page, parsed, dataset))
        if fresh.decision.next is not None:
            await say(self.works, WorkOnJob(page.queue))
        if fresh.items:
            await self._say_post(page.id, fresh.items)

    async def _parsed(self, page: LandedPage) -> tuple[Parsed, Dataset]:
        provider, dataset = provider_of(page.args, self.works.providers)
        return await self._reading.read(provider, page_of(page)), dataset

    async def _say_post(self, page: UUID, read: Sequence[Item] | Rows) -> None:
        self.unposted.keep(page, read)
        await say(self.works, PostPage(page))

    async def _malformed(self, page: LandedPage, reason: str) -> None:
        now = self.works.clock()
        until = now + timedelta(seconds=self.works.rng.uniform(1, 5))
        attempts_max = self.works.policy.attempts_max
        await self._transact(
            lambda conn: spoiled.malformed(
                conn, page.id, reason=reason, until=until, attempts_max=attempts_max, now=now
            )
        )
        self.works.observer.page("malformed")
        log.warning("page_malformed", reason=reason)

    async def _bury(self, page: LandedPage, reason: str) -> None:
        await self._transact(lambda conn: spoiled.bury(conn, page.id, reason=reason, now=self.works.clock()))
        self.works.observer.page("dead")
        log.error("page_dead", reason=reason)

    # -- post ---------------------------------------------------------------------------------------------------------

    async def post(self, page_id: UUID) -> None:
        """Write what a page says and its job's progress, together with the other posts of this moment."""
        read = self.unposted.take(page_id)
        if read is None:
            read = await self._read_again(page_id)
        match read:
            case None:
                return
            case Rows():
                await self.bookkeeper.post(read)
            case _:
                await self.commits.post((page_id, read))

    async def _read_again(self, page_id: UUID) -> Sequence[Item] | Rows | None:
        """Read a page that another process has read, or this one long ago; None where there is nothing to post."""
        page = await self._transact(lambda conn: pages.read_before(conn, page_id))
        if page is None:
            return None
        if page.provider == GIVEN_BY_USERS:
            return self.bookkeeper.read_again(page)
        try:
            parsed, _ = await self._parsed(page)
        except Exception as error:  # noqa: BLE001  dedup knows what to do about each
            log.warning("page_unreadable_now", page=str(page.id), error=type(error).__name__)
            parsed = None
        if parsed is None or len(parsed.items) + len(parsed.rejected) != page.found:
            await say(self.works, DedupPage(page.id))  # the parser was mended meanwhile: all is decided anew
            return None
        return await self.commits.unseen(page, parsed)

    # -- jobs without pages -------------------------------------------------------------------------------------------

    async def probe(self, queue: str) -> None:
        """Claim a job that asks for nothing, and end it."""
        if (claimed := await self.commits.job(queue)) is not None:
            await self.commits.finish(claimed[0])

    # -- small steps --------------------------------------------------------------------------------------------------

    async def _fail(self, job: Claimed, reason: str) -> None:
        await self._transact(lambda conn: jobs.fail(conn, job, error=reason, now=self.works.clock()))

    async def _put_off(self, job: Claimed, until: datetime, reason: str, *, why: str) -> None:
        await self._transact(lambda conn: jobs.put_off(conn, job, until=until, reason=reason, counted=False))
        self.works.observer.put_off(job.queue.removeprefix("fetch."), why, until)
        log.info("job_waits", reason=reason, until=until.isoformat())

    async def _release(self, lease: Lease) -> None:
        try:
            await self.works.limiter.release(lease)
        except LimiterUnreachable:
            log.warning("limiter_away")  # the lease ends by itself

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[R]]) -> R:
        return await transact(self.works.database, work)


def request_row(request: Request) -> dict[str, Any]:
    """Give the request as it is kept beside its page; it never held the token."""
    row: dict[str, Any] = {"method": request.method, "api": request.api, "path": request.path}
    if request.query:
        row["query"] = [list(pair) for pair in request.query]
    if request.json is not None:
        row["json"] = dict(request.json)
    return row
