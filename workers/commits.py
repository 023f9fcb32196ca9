"""The commits that calls of one moment share: claims of jobs and pages, what dedup decides, posts, finishes.

Each method awaits the commit that its item went with (``workers/together.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from broker import jobs, pages, providers
from broker.jobs import Claimed
from broker.limiter import Ask, Done
from broker.pages import Counts, Decision, LandedPage, NewPage
from broker.providers import Call, Standing
from broker.verdicts import Granted, Wait
from ledger import store
from ledger.model import Item
from ledger.store import Posted, Posting
from workers.database import PAID_S, transact
from workers.items import Dataset, Parsed
from workers.observer import found_out
from workers.plan import decision, with_story_keys
from workers.together import Together
from workers.works import Works

BYTES_AT_ONCE = 4 * 2**20
ROWS_AT_ONCE = 1000
PAGES_AT_ONCE = 16  # in one commit: larger ones gain little, and let reading and writing wait for each other


@dataclass(frozen=True, slots=True)
class Fresh:
    """A page that dedup has read: the decision is written, and these items are for post."""

    decision: Decision
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Landing:
    """An answer that is to be kept, and the call that brought it."""

    job: Claimed
    page: NewPage
    call: Call
    remaining: int | None


class Commits:
    """One process's shared commits, and its shared trips to the limiter."""

    def __init__(self, works: Works) -> None:
        self.works = works
        self._claims: dict[str, Together[None, tuple[Claimed, Standing] | None]] = {}
        self.page: Together[UUID, LandedPage | None] = Together(self._claim_pages, size_max=PAGES_AT_ONCE)
        self.decide: Together[tuple[LandedPage, Parsed, Dataset], Fresh] = Together(
            self._decide, size_max=PAGES_AT_ONCE
        )
        self.post: Together[tuple[UUID, Sequence[Item]], None] = Together(
            self._post, size_max=PAGES_AT_ONCE, weight_of=lambda ready: len(ready[1]), weight_max=ROWS_AT_ONCE
        )
        self.finish: Together[Claimed, None] = Together(self._finish)
        self.land: Together[Landing, bool] = Together(
            self._land, weight_of=lambda landing: len(landing.page.body), weight_max=BYTES_AT_ONCE
        )
        self.acquire: Together[Ask, Granted | Wait] = Together(self._acquire)
        self.done: Together[Done, None] = Together(self._done)

    async def _acquire(self, asked: Sequence[Ask]) -> Sequence[Granted | Wait]:
        return await self.works.limiter.acquire_all(asked)

    async def job(self, queue: str) -> tuple[Claimed, Standing] | None:
        """Claim the most urgent due job of a queue, with how its provider stands; None when nothing is due."""
        if queue not in self._claims:

            async def claim(hints: Sequence[None]) -> list[tuple[Claimed, Standing] | None]:
                return await self._claim_jobs(queue, len(hints))

            self._claims[queue] = Together(claim)
        return await self._claims[queue](None)

    async def _claim_jobs(self, queue: str, count: int) -> list[tuple[Claimed, Standing] | None]:
        works = self.works

        async def claim(conn: AsyncConnection) -> list[tuple[Claimed, Standing] | None]:
            provider, now, lease = queue.removeprefix("fetch."), works.clock(), works.policy.lease
            taken = await jobs.claim_to_call(
                conn, queue, count, provider=provider, worker=works.name, now=now, lease=lease
            )
            return [*taken]

        claimed = await transact(self.works.database, claim)
        return claimed + [None] * (count - len(claimed))

    async def _claim_pages(self, wanted: Sequence[UUID]) -> list[LandedPage | None]:
        works = self.works
        taken = await transact(
            self.works.database,
            lambda conn: pages.claim(conn, wanted, suspects=False, now=works.clock(), lease=works.policy.lease),
        )
        return _one_each(wanted, taken)

    async def suspect(self, page: UUID) -> LandedPage | None:
        """Claim a page that was started before, in a commit of its own."""
        works = self.works
        taken = await transact(
            self.works.database,
            lambda conn: pages.claim(conn, [page], suspects=True, now=works.clock(), lease=works.policy.lease),
        )
        return taken[0] if taken else None

    async def _land(self, answers: Sequence[Landing]) -> list[bool]:
        """Keep pages and move their jobs on; False for a job that is no longer this worker's."""
        now = self.works.clock()

        async def land(conn: AsyncConnection) -> frozenset[UUID]:
            landed = await pages.land_all(conn, [(one.job, one.page, one.call) for one in answers], now=now)
            await providers.heard_all(conn, [(one.call, one.remaining) for one in answers if one.page.id in landed])
            return landed

        # Where several do not land for one locked row, each is soon tried alone.
        patience_s = PAID_S if len(answers) == 1 else PAID_S / 4
        landed = await transact(self.works.database, land, patience_s=patience_s)
        return [one.page.id in landed for one in answers]

    async def landed_before(self, answer: Landing) -> bool:
        """Tell whether an answer had landed in an earlier try, whose commit was not heard; else keep it as a spare."""

        async def keep(conn: AsyncConnection) -> bool:
            if not await pages.keep_spare(conn, answer.job, answer.page):
                return True
            await providers.called(conn, answer.call, remaining=answer.remaining)
            return False

        return await transact(self.works.database, keep, patience_s=PAID_S)

    async def _done(self, ended: Sequence[Done]) -> list[None]:
        await self.works.limiter.done_all(ended)
        return [None] * len(ended)

    async def _decide(self, read: Sequence[tuple[LandedPage, Parsed, Dataset]]) -> list[Fresh]:
        now = self.works.clock()

        async def decide(conn: AsyncConnection) -> tuple[list[Fresh], dict[UUID, datetime]]:
            keys = {(item.provider, item.key) for _, parsed, _ in read for item in parsed.items}
            known = await store.known(conn, keys)
            decided = [
                Fresh(
                    decision(page, parsed, dataset, {key for name, key in known if name == page.provider}),
                    with_story_keys(store.unseen(parsed.items, known, page.id)),
                )
                for page, parsed, dataset in read
            ]
            done = {fresh.decision.page for fresh in decided if not fresh.items}  # post would find nothing to write
            posted = await pages.decide(conn, [fresh.decision for fresh in decided], now=now, done=done)
            return decided, posted

        decided, posted = await transact(self.works.database, decide)
        for (page, _, _), fresh in zip(read, decided, strict=True):
            found_out(self.works.observer, page.provider, fresh.decision, len(fresh.items))
        for answered_at in posted.values():
            self._posted(now - answered_at)
        return decided

    async def unseen(self, page: LandedPage, parsed: Parsed) -> list[Item]:
        """Give what the ledger does not know of a page that was decided before."""
        keys = {(item.provider, item.key) for item in parsed.items}
        known = await transact(self.works.database, lambda conn: store.known(conn, keys))
        return with_story_keys(store.unseen(parsed.items, known, page.id))

    async def _post(self, ready: Sequence[tuple[UUID, Sequence[Item]]]) -> list[None]:
        now = self.works.clock()

        async def post(conn: AsyncConnection) -> list[tuple[Posting, Posted]]:
            answered = await pages.lock_landed(conn, [page for page, _ in ready])
            postings = [Posting(page, answered[page], items) for page, items in dict(ready).items() if page in answered]
            posted = await store.post(conn, postings, now=now)
            counts = [Counts(p.page, c.new, c.amended, c.observed) for p, c in zip(postings, posted, strict=True)]
            await pages.posted(conn, counts, now=now)
            return list(zip(postings, posted, strict=True))

        for posting, counted in await transact(self.works.database, post):
            self._tell(posting, counted, now)
        return [None] * len(ready)

    def _posted(self, waited: timedelta) -> None:
        self.works.observer.page("posted")
        self.works.observer.posted(max(0.0, waited.total_seconds()))

    def _tell(self, posting: Posting, counted: Posted, now: datetime) -> None:
        observer = self.works.observer
        self._posted(now - posting.seen_at)
        for item in posting.items[:1]:  # a page is of one provider
            observer.rows(item.provider, "new", counted.new)
            observer.rows(item.provider, "amended", counted.amended)
            observer.rows(item.provider, "duplicate", counted.duplicate)

    async def _finish(self, done: Sequence[Claimed]) -> list[None]:
        await transact(self.works.database, lambda conn: jobs.finish(conn, done, now=self.works.clock()))
        return [None] * len(done)


def _one_each(wanted: Sequence[UUID], taken: Sequence[LandedPage]) -> list[LandedPage | None]:
    # A page named twice in one batch was taken once: the second asker gets nothing.
    left = {page.id: page for page in taken}
    return [left.pop(page, None) for page in wanted]
