"""What must hold at the end, whatever happened on the way; each broken rule is told by its first difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from .system import System

COUNTS = ("found", "rejected", "skipped")


@dataclass(frozen=True, slots=True)
class Account:
    """The ledger and the books about it, in a form that two runs can be compared by.

    ``items``: (provider, key) to head, all fingerprints, and whether it has a story.  ``lists``: what was asked (as
    text) to pages, found, rejected and skipped.
    """

    items: Mapping[tuple[str, str], tuple[str, tuple[str, ...], bool]]
    lists: Mapping[str, Mapping[str, int]]

    @property
    def pages(self) -> int:
        """All pages that count."""
        return sum(one["pages"] for one in self.lists.values())


async def account(system: System) -> Account:
    """Read the ledger as it stands."""
    items = await system.rows(
        """SELECT i.provider, i.key, i.fingerprint, i.story_id IS NOT NULL AS told,
            array_agg(r.fingerprint ORDER BY r.fingerprint) AS fingerprints
        FROM items i JOIN revisions r ON r.item_id = i.id GROUP BY i.id"""
    )
    lists = await system.rows("SELECT args, posted AS pages, found, rejected, skipped FROM jobs")
    return Account(
        {(row.provider, row.key): (row.fingerprint, tuple(row.fingerprints), row.told) for row in items},
        {_text(row.args): {name: getattr(row, name) for name in ("pages", *COUNTS)} for row in lists},
    )


async def check_books(system: System) -> None:
    """Check what must hold of any run by itself."""
    for rule, query in RULES.items():
        broken = await system.rows(query)
        assert not broken, f"{rule}: {dict(broken[0]._mapping)}, and {len(broken) - 1} more"


def check_equal(faulty: Account, clean: Account) -> None:
    """Compare the ledger, and what each list held, with those of the run without faults."""
    _same("item", faulty.items, clean.items)
    _same("list", faulty.lists, clean.lists)


async def check_paid(system: System, hits: Mapping[str, int]) -> int:
    """Compare what the sandbox answered with what was kept; give the number of answers that were paid for again.

    ``hits``: how often a kill hit an open call of each request; each may cost one answer more.
    """
    good = system.witness.good()
    for what, times in good.items():
        allowed = 1 + hits.get(what, 0)
        assert times <= allowed, f"paid for twice: {what} was answered {times} times, {allowed} could be explained"
    report = system.witness.report()
    extra: int = sum(max(0, row["ok"] - 1) for row in report["requests"])
    assert extra <= sum(hits.values()), f"{extra} answers too many, {sum(hits.values())} calls hit by a kill"
    await _check_budget(system, report, hits)
    return extra


async def _check_budget(system: System, report: Mapping[str, Any], hits: Mapping[str, int]) -> None:
    """What was charged is booked, but for the calls that a kill hit; what is booked as answered was charged."""
    for row in await system.rows(
        """SELECT provider, sum(cost) AS booked, sum(cost) FILTER (WHERE status = 200) AS answered, max(cost) AS dearest
        FROM calls GROUP BY provider"""
    ):
        charged = sum(one["cost"] for one in report["endpoints"] if one["provider"] == row.provider)
        lost = row.dearest * sum(n for what, n in hits.items() if f'"/{row.provider}/' in what)
        assert row.answered <= charged, f"{row.provider}: {row.answered} booked as answered, {charged} charged"
        assert charged <= row.booked + lost, f"{row.provider}: {charged} charged, {row.booked} booked, {lost} explained"


def _same(noun: str, ours: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> None:
    lost, invented = sorted(theirs.keys() - ours.keys()), sorted(ours.keys() - theirs.keys())
    assert not lost, f"{len(lost)} {noun}s lost, the first is {lost[0]}"
    assert not invented, f"{len(invented)} {noun}s too many, the first is {invented[0]}"
    for name, one in theirs.items():
        assert ours[name] == one, f"{noun} {name} differs: {ours[name]}, without faults {one}"


def _text(args: Mapping[str, Any]) -> str:
    return orjson.dumps(args, option=orjson.OPT_SORT_KEYS).decode()


RULES: Mapping[str, str] = {
    "a job did not succeed": """SELECT id, kind, args ->> 'dataset' AS dataset, state, reason, last_error, attempt
        FROM jobs WHERE state <> 'succeeded'""",
    "a page was not posted": "SELECT id, state, reason FROM pages WHERE state NOT IN ('posted', 'malformed', 'spare')",
    "a page number is there twice": """SELECT job_id, seq, count(*) FROM pages WHERE state = 'posted'
        GROUP BY job_id, seq HAVING count(*) > 1""",
    "a job's pages do not add up": """SELECT j.id, j.posted, j.landed, j.want, count(p.id) AS pages
        FROM jobs j LEFT JOIN pages p ON p.job_id = j.id AND p.state = 'posted'
        GROUP BY j.id HAVING NOT (j.posted = j.landed AND j.landed = j.want AND j.want = count(p.id))""",
    "a job's counts do not add up": """SELECT id, found, new, duplicate, amended, rejected FROM jobs
        WHERE found <> new + duplicate + amended + rejected""",
    "a job counts other than its pages": """SELECT j.id, j.found, j.new, j.duplicate, j.amended, j.rejected, j.skipped
        FROM jobs j JOIN pages p ON p.job_id = j.id AND p.state = 'posted' GROUP BY j.id
        HAVING (j.found, j.new, j.duplicate, j.amended, j.rejected, j.skipped) <> (sum(p.found), sum(p.new),
            sum(p.duplicate), sum(p.amended), sum(p.rejected), sum(p.skipped))""",
    "new items were counted other than written": """SELECT provider, sum(new) AS counted, sum(held) AS held FROM (
            SELECT args ->> 'provider' AS provider, new, 0 AS held FROM jobs
            UNION ALL SELECT provider, 0, 1 FROM items) AS both_sides
        GROUP BY provider HAVING sum(new) <> sum(held)""",
    "amendments were counted other than written": """SELECT provider, sum(amended) AS counted, sum(held) AS held FROM (
            SELECT args ->> 'provider' AS provider, amended, 0 AS held FROM jobs
            UNION ALL SELECT provider, 0, count(*) - 1 FROM revisions GROUP BY provider, item_id) AS both_sides
        GROUP BY provider HAVING sum(amended) <> sum(held)""",
    "an item has no page that was posted": """SELECT i.provider, i.key FROM items i LEFT JOIN pages p
        ON p.id = i.page_id AND p.state = 'posted' WHERE p.id IS NULL""",
    "kept pages and answered calls differ": """SELECT j.id, count(p.id) AS pages FROM jobs j
        JOIN pages p ON p.job_id = j.id GROUP BY j.id
        HAVING count(p.id) <> (SELECT count(*) FROM calls c WHERE c.job_id = j.id AND outcome = 'landed')""",
}
