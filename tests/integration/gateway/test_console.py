"""The operators' console at a real gateway: what is served, and what an administrator sees and does in a browser."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import zstandard
from aiohttp import ClientSession
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import jobs, streams
from broker.jobs import NewJob
from broker.messages import fetch_queue
from broker.streams import NewStream
from gateway.auth import users
from gateway.auth.audit import Origin
from ops.console_files import CSP, FOLDER
from ops.embedded import Stack
from ops.gateway import gateway_served, open_gateway
from ops.settings import Settings
from tests.browser import Page, chromium, open_page
from tests.integration.gateway.accounts import KEPT, PASSWORD
from tests.integration.gateway.asking import look

HOSTILE = "<script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'> & co"


@dataclass(frozen=True)
class Site:
    """A gateway that serves the console, and the rows behind it."""

    url: str
    database: AsyncEngine
    dead: tuple[UUID, ...]


@pytest.fixture(scope="module")
async def site(ledger_url: str, stack: Stack, var: Path) -> AsyncIterator[Site]:
    """A gateway as ``sluice serve`` runs it, over a database of its own in which some things went wrong."""
    redis_url = stack.redis.start().database_url(11)
    settings = Settings.from_env(
        {
            "SLUICE_DATABASE_URL": ledger_url,
            "SLUICE_REDIS_URL": redis_url,
            "SLUICE_BROKER_URL": redis_url,
            "SLUICE_VAR": str(var / "console"),
            "SLUICE_HOST": "127.0.0.1",
            "SLUICE_SIGNING_KEY": "console tests only: not for people 0f9e8d7c6b",
        }
    )
    settings = replace(settings, gateway=replace(settings.gateway, port=0, notice_s=0.0))
    async with open_gateway(settings, write=lambda _: None) as opened, gateway_served(settings, opened) as port:
        yield Site(f"http://127.0.0.1:{port}", opened.parts.database, await furnish(opened.parts.database))


async def furnish(database: AsyncEngine) -> tuple[UUID, ...]:
    """Write users, a stream, jobs in every state, and dead letters whose every text is hostile; give the dead."""
    now, operator = datetime.now(UTC), Origin("operator")
    async with database.begin() as conn:
        await users.add(conn, operator, "warden", "admin", KEPT, now=now)
        await users.add(conn, operator, "guest", "user", KEPT, now=now)
        await streams.add(
            conn, NewStream("btc-posts", "cryptopanic", "posts", {"currencies": "BTC"}, interval_s=300), now=now
        )
        args = {"provider": "cryptopanic", "dataset": "posts", "params": {"currencies": HOSTILE}}
        new = [
            NewJob("fetch", fetch_queue("cryptopanic"), args, owner="system", idempotency_key=str(n)) for n in range(9)
        ]
        made = [one.id for one in await jobs.enqueue(conn, new, now=now - timedelta(hours=2))]
    dead = sorted(made[:4])
    await look(database, _FAILED, jobs=dead, error=f"page 7 of {HOSTILE}")
    await look(database, _DONE, jobs=made[4:6])
    body = json.dumps({"results": [{"title": HOSTILE}]}).encode()
    await look(database, _PAGE, id=uuid4(), job=dead[0], body=zstandard.compress(body), size=len(body))
    return tuple(dead)


async def test_a_gateway_serves_the_console_and_no_other_file(site: Site) -> None:
    async with ClientSession(site.url) as client:
        async with client.get("/console", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (308, "/console/")
        for name in ["", *(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.*"))]:
            async with client.get(f"/console/{name}") as answer:
                told = answer.headers
                assert (answer.status, told["Content-Security-Policy"]) == (200, CSP), name
                assert told["X-Content-Type-Options"] == "nosniff"
                assert await answer.read() == (FOLDER / (name or "index.html")).read_bytes()
        for name in ("console_files.py", "..%2fconsole_files.py", "screens/", "nothing.js"):
            async with client.get(f"/console/{name}") as answer:
                assert answer.status == 404, name
        async with client.post("/console/") as answer:
            assert answer.status == 405


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """A page of a browser; a start of it takes seconds, so the tests share it."""
    program = chromium()
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    async with open_page(program, tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.fixture
async def page(site: Site, browser: Page) -> Page:
    """The console, come to anew: nobody is logged in."""
    await browser.command("Page.navigate", url="about:blank")
    await browser.command("Page.navigate", url=f"{site.url}/console/")
    browser.troubles.clear()
    return browser


async def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    await page.fill("#username", name)
    await page.fill("#password", password)
    await page.click("Log in")


async def jobs_in(site: Site, state: str) -> int:
    told: list[Any] = await look(site.database, "SELECT count(*) FROM jobs WHERE state = :s", s=state)
    return int(told[0][0])


async def test_an_administrator_sees_the_queues_and_replays_dead_letters_and_hostile_texts_are_texts(
    site: Site, page: Page
) -> None:
    await log_in(page, "warden", "not the password")
    await page.shows("These credentials are not valid")
    await page.shows("Request id")
    await log_in(page, "guest")
    await page.shows("this user cannot have admin:read")
    page.troubles.clear()  # Chromium also notes each refusal that it was told to show
    await log_in(page, "warden")
    await page.shows("Queue fetch.cryptopanic: 4 jobs failed for good")
    await page.shows("its oldest job has been under way for 2 h")
    await page.shows("unknown")  # what Redis cannot tell

    await page.press("2")
    await page.until("document.querySelector('h1')?.textContent === 'Queues'")
    await page.shows("fetch.cryptopanic")

    await page.click("Dead letters")
    await page.shows("page # of <script>window.harmed = #</script>")
    await page.value("document.querySelector('tbody th a').click()")
    await page.until("document.querySelectorAll('tbody tr').length === 4")
    assert "error=" in await page.value("location.hash")
    await page.value("document.querySelectorAll('tbody input')[0].click()")
    await page.click("Replay 1 chosen")
    await page.click("Replay")
    await page.shows("1 asked for again, 0 could not be.")
    assert await jobs_in(site, "failed") == 3

    await page.click("Replay all of this kind…")
    await page.shows("This asks again for 3 jobs.")
    assert await jobs_in(site, "failed") == 3  # counting does nothing
    await page.click("Never mind")
    await page.value(f"location.hash = '#/jobs/{site.dead[0]}'")
    await page.shows('{"results": [{"title": "<script>window.harmed = 1</script>')
    await page.shows("not a list")
    await page.value("history.back()")
    await page.click("Replay all of this kind…")
    await page.shows("This asks again for 3 jobs.")
    await page.click("Replay them")
    await page.shows("3 asked for again, 0 could not be.")
    assert await jobs_in(site, "failed") == 0
    assert await page.value("window.harmed") is None
    assert page.troubles == []


async def test_every_screen_is_shown_and_what_it_does_is_done(site: Site, page: Page) -> None:
    await log_in(page, "warden")
    await page.shows("Needs somebody")
    for address, words in SCREENS.items():
        await page.value(f"location.hash = '{address}'")
        await page.shows(words)
        assert await page.value("document.querySelector('main .problem, main .stale')?.innerText ?? null") is None
    await page.value("location.hash = '#/jobs?state=queued'")
    await page.until("document.querySelector('#filter-state')?.value === 'queued'")

    await page.value("location.hash = '#/streams'")
    await page.click("Pause btc-posts")
    await page.fill("#field-reason", HOSTILE)
    await page.value("document.querySelector('dialog button[type=submit]').click()")
    await page.shows("btc-posts is paused.")
    await page.shows(HOSTILE)
    await page.value("location.hash = '#/providers'")
    await page.click("Pause nansen")
    await page.fill("#field-reason", "the bill")
    await page.value("document.querySelector('dialog button[type=submit]').click()")
    await page.shows("nansen is paused.")
    await page.shows("the bill")
    await page.click("Resume nansen")
    await page.value("document.querySelector('dialog button[type=submit]').click()")
    await page.shows("nansen is called again.")

    kept = "[localStorage.length, sessionStorage.length, document.cookie.length]"
    assert await page.value(kept) == [0, 0, 0]
    assert await page.value("window.harmed") is None
    await page.click("Log out")
    await page.shows("You are logged out.")
    assert page.troubles == []


async def test_chosen_dead_letters_are_discarded_and_the_record_names_every_one(site: Site, page: Page) -> None:
    asked = [
        NewJob("probe", "probe", {"note": str(n)}, owner="system", idempotency_key=f"discarded {n}") for n in range(14)
    ]
    async with site.database.begin() as conn:
        made = {str(one.id) for one in await jobs.enqueue(conn, asked, now=datetime.now(UTC))}
    await look(site.database, _FAILED, jobs=list(made), error="nobody wants this")
    await log_in(page, "warden")
    await page.value("location.hash = '#/dead/group?error=nobody%20wants%20this&kind=probe'")
    await page.until("document.querySelectorAll('tbody tr').length === 14")
    await page.value("document.querySelector('thead input').click()")
    await page.click("Discard 14 chosen")
    await page.fill("#field-reason", HOSTILE)
    await page.click("Discard")
    await page.shows("14 forgotten, 0 stay.")
    written = await look(site.database, "SELECT object FROM audit WHERE action = 'dead_letters.purge'")
    named = [told.removesuffix(f"; reason: {HOSTILE}") for (told,) in written]
    assert {job for told in named for job in told.split(", ")} == made
    assert page.troubles == []


async def test_what_is_refused_or_unknown_is_said_and_old_figures_are_called_old(site: Site, page: Page) -> None:
    await log_in(page, "warden")
    closed = "INSERT INTO queue_pauses VALUES ('dedup', 'olga@ops', :reason, now())"
    await look(site.database, closed, reason=HOSTILE)
    await page.value("location.hash = '#/queues'")
    await page.shows("fetch.nansen")
    await page.shows(f"{HOSTILE}: by olga@ops since")
    await look(site.database, "DELETE FROM queue_pauses")
    await page.value(_ANSWER % _LIMITED)
    await page.click("Read again")
    await page.shows("Too many requests")
    await page.shows("Wait: 30 s")
    await page.shows("Request id: abc-1")
    await page.shows("what is so since then is unknown")
    await page.shows("fetch.nansen")

    await page.value(_ANSWER % _DARK)
    await page.click("Read again")
    await page.until("document.querySelectorAll('tbody .unknown').length === 4")
    assert await page.value("document.querySelector('.stale')") is None

    # A token that is refused is renewed, once for all that ask at the same time, and nobody notices.
    await page.value(_REFUSED_UNTIL_RENEWED)
    await page.value("location.hash = '#/overview'")
    await page.shows("Needs somebody")
    assert await page.value("window.renewals") == 1
    assert page.troubles == []


async def test_a_tab_that_nobody_sees_asks_for_nothing_and_catches_up_when_it_is_seen(site: Site, page: Page) -> None:
    await log_in(page, "warden")
    await page.value("location.hash = '#/queues'")
    await page.shows("fetch.nansen")
    await page.value(_COUNTED)
    await page.press("r")
    await page.until("window.asked === 1 && window.plans === 1")
    await page.value(_SEEN % "true")
    await page.press("r")
    await page.until("window.asked === 2 && window.told === 2")
    assert await page.value("window.plans") == 1
    await page.value(_SEEN % "false")
    await page.until("window.asked === 3 && window.plans === 2")


SCREENS = {
    "#/queues": "Messages ready",
    "#/jobs": "Asked for",
    "#/jobs?kind=fetch&provider=cryptopanic&owner=system&since=2026-01-01T00:00": "cryptopanic posts",
    "#/dead": "Numbers and ids",
    "#/providers": "newscatcher",
    "#/streams": "btc-posts",
    "#/quality": "Completeness",
    "#/quality?window_s=604800&stream=btc-posts": "btc-posts",
    "#/users": "guest",
    "#/audit": "jobs.read",
    "#/audit?action=login&since=2026-01-01T00:00": "login",
    "#/nothing": "Needs somebody",
}

_FAILED = """UPDATE jobs SET state = 'failed', last_error = :error, finished_at = now(), attempt = 3
    WHERE id = ANY(:jobs)"""
_DONE = "UPDATE jobs SET state = 'succeeded', finished_at = now(), landed = want, new = 20 WHERE id = ANY(:jobs)"
_PAGE = """INSERT INTO pages (id, job_id, seq, provider, dataset, request, body, body_bytes, fetched_at, answered_at,
    polled_at, cost, state, reason)
    VALUES (:id, :job, 1, 'cryptopanic', 'posts', '{}', :body, :size, now(), now(), now(), 1, 'dead', 'not a list')"""

# What the page hears in place of the gateway's answer.
_ANSWER = "window.real ??= window.fetch; window.fetch = async () => new Response(%s)"
_LIMITED = """JSON.stringify({title: "Too many requests", status: 429, code: "rate_limited", request_id: "abc-1"}),
    {status: 429, headers: {"Retry-After": "30"}}"""
_DARK = """JSON.stringify([{name: "probe", ready: null, unacked: null, delayed: null, dead: null, jobs_queued: 0,
    jobs_running: 0, jobs_waiting: 0, jobs_failed: 0, oldest_at: null}])"""
_REFUSED_UNTIL_RENEWED = """window.renewals = 0;
    window.fetch = async (address, options) => {
        if (address.endsWith("/auth/refresh")) window.renewals += 1;
        else if (window.renewals === 0) return new Response("{}", {status: 401});
        return window.real(address, options);
    }"""

# Requests, answers that were shown (with what follows them), and plans to ask again in ten seconds or more.
_COUNTED = """window.asked = window.told = window.plans = 0;
    const [ask, plan] = [window.fetch, window.setTimeout];
    window.fetch = (...words) => {
        window.asked += 1;
        return ask(...words);
    };
    window.setTimeout = (act, ms) => {
        if (ms >= 10000) window.plans += 1;
        return plan(act, ms);
    };
    new MutationObserver(() => { window.told += 1; }).observe(document.getElementById("main"), {childList: true});"""
_SEEN = """Object.defineProperty(document, "hidden", {configurable: true, value: %s});
    document.dispatchEvent(new Event("visibilitychange"));"""
