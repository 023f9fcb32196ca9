"""Who asks from where, which pages may read, what goes wrong and what is told of it, and the line in the log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import psycopg
import pytest
import redis
import structlog
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from structlog.testing import capture_logs

from broker.producer import BrokerUnreachableError
from gateway.call import Call
from gateway.edge import refusals
from gateway.edge.accesslog import REFUSALS_MAX
from gateway.edge.settings import EdgeSettings
from gateway.routes import Routes
from tests.integration.gateway.front import AS_ADMIN, AS_USER, USER, Front, Thing, open_front
from tests.workshop import eventually

CONSOLE = "https://console.example.org"
THINGS = "/api/v1/things"
PROXIES = EdgeSettings(trusted_proxies=(ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8")))


@pytest.fixture(scope="module")
async def front() -> AsyncIterator[Front]:
    async with open_front(settings=EdgeSettings(cors_origins=frozenset({CONSOLE}))) as opened:
        yield opened


@pytest.fixture(scope="module")
async def behind() -> AsyncIterator[Front]:
    """A gateway behind a proxy at 127.0.0.1."""
    async with open_front(settings=PROXIES) as opened:
        yield opened


# -- pages of other origins -------------------------------------------------------------------------------------------


async def test_case_65_a_page_in_the_list_may_read_and_is_named_exactly(front: Front) -> None:
    answer = await front.ask("GET", THINGS, headers=AS_USER | {"Origin": CONSOLE})
    assert answer.headers["Access-Control-Allow-Origin"] == CONSOLE
    assert answer.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "X-RateLimit-Remaining" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "https://console.example.org.evil.example",
        "http://console.example.org",
        "https://console.example.org:444",
        "HTTPS://CONSOLE.example.org",
        "*",
    ],
)
async def test_case_65_no_other_page_may_read(front: Front, origin: str) -> None:
    for method in ("GET", "OPTIONS"):
        asked = {"Origin": origin, "Cookie": "a=b", "Access-Control-Request-Method": "POST"}
        answer = await front.ask(method, THINGS, headers=AS_USER | asked)
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_case_65_a_browser_that_asks_first_is_told_without_a_token(front: Front) -> None:
    asked = {"Origin": CONSOLE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"}
    answer = await front.ask("OPTIONS", THINGS, headers=asked)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == CONSOLE
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
    assert "X-Content-Type-Options" in answer.headers


async def test_a_refusal_may_be_read_by_such_a_page_too(front: Front) -> None:
    answer = await front.ask("GET", THINGS, headers={"Origin": CONSOLE})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, CONSOLE)


# -- proxies ----------------------------------------------------------------------------------------------------------


async def test_case_47_who_is_no_proxy_cannot_say_where_a_request_is_from(front: Front) -> None:
    before = front.limiter.charged["address:127.0.0.1"]
    for number in range(5):
        headers = {"X-Forwarded-For": f"198.51.100.{number}", "Forwarded": f"for=198.51.100.{number}"}
        assert (await front.ask("GET", THINGS, headers=headers)).status == 401
    assert front.limiter.charged["address:127.0.0.1"] == before + 5
    assert not [quota for quota in front.limiter.charged if "198.51.100" in quota]
    front.limiter.spent.add("address:127.0.0.1")
    try:
        refused = await front.ask("GET", THINGS, headers={"X-Forwarded-For": "198.51.100.99"})
        assert (refused.status, refused.code) == (429, "rate_limited")
        assert int(refused.headers["Retry-After"]) >= 1
    finally:
        front.limiter.spent.clear()


@pytest.mark.parametrize(
    ("given", "address"),
    [
        (["198.51.100.7"], "198.51.100.7"),
        (["203.0.113.9, 198.51.100.7"], "198.51.100.7"),  # what the client itself wrote stands left of the truth
        (["198.51.100.7, 10.1.2.3"], "198.51.100.7"),
        (["198.51.100.7", "10.1.2.3"], "198.51.100.7"),
        (["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        (["2001:db8::1"], "2001:db8::1"),
        ([], "127.0.0.1"),
    ],
    ids=str,
)
async def test_a_proxy_says_where_a_request_is_from(behind: Front, given: list[str], address: str) -> None:
    headers = [("Authorization", "Bearer user-word"), *(("X-Forwarded-For", one) for one in given)]
    assert (await behind.ask("GET", THINGS, headers=headers)).status == 200
    assert behind.doing.seen[-1].address == address


@pytest.mark.parametrize("given", ["nonsense", "198.51.100.7, <script>", "1.2.3.4:80", ",".join(["10.0.0.1"] * 30)])
async def test_a_list_of_a_proxy_that_is_none_is_400(behind: Front, given: str) -> None:
    answer = await behind.ask("GET", THINGS, headers=AS_USER | {"X-Forwarded-For": given})
    assert (answer.status, answer.code) == (400, "malformed_request")


async def test_a_request_id_is_a_trusted_proxys_or_ours(front: Front, behind: Front) -> None:
    given = {"X-Request-Id": "from-the.proxy_1"}
    assert (await behind.ask("GET", THINGS, headers=AS_USER | given)).headers["X-Request-Id"] == "from-the.proxy_1"
    assert (await front.ask("GET", THINGS, headers=AS_USER | given)).headers["X-Request-Id"] != "from-the.proxy_1"
    for evil in ("x" * 65, "a b", 'a"b', "a;b", "<b>"):
        made = (await behind.ask("GET", THINGS, headers=AS_USER | {"X-Request-Id": evil})).headers["X-Request-Id"]
        assert made != evil
    ids = [(await front.ask("GET", THINGS, headers=AS_USER)).headers["X-Request-Id"] for _ in range(5)]
    assert len(set(ids)) == 5


# -- what goes wrong --------------------------------------------------------------------------------------------------


async def test_case_68_what_nobody_expected_is_500_with_the_request_id_and_one_stack_in_the_log(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "log", structlog.get_logger())
    front.doing.error = KeyError("a secret of the code")
    with capture_logs() as logs:
        answer = await front.ask("GET", "/api/v1/fails", headers=AS_USER)
    assert (answer.status, answer.code) == (500, "internal")
    assert answer.json.keys() == {"type", "title", "status", "code", "request_id"}
    assert b"secret" not in answer.body
    (line,) = [one for one in logs if one["log_level"] == "error"]
    assert (line["event"], line["request_id"]) == ("request_failed", answer.headers["X-Request-Id"])
    assert line["exc_info"] is front.doing.error


class Lost(DBAPIError):
    """A connection that ended in the middle."""

    def __init__(self) -> None:
        super().__init__("SELECT 1", None, Exception("gone"), connection_invalidated=True)


AWAY: list[Exception] = [
    OperationalError("SELECT 1", None, psycopg.OperationalError("away")),
    OperationalError("SELECT 1", None, psycopg.errors.AdminShutdown("terminating connection")),
    OperationalError("SELECT 1", None, psycopg.errors.QueryCanceled("statement timeout")),
    psycopg.OperationalError("away"),
    PoolTimeoutError("no connection free"),
    Lost(),
    redis.ConnectionError("away"),
    redis.TimeoutError("away"),
    BrokerUnreachableError("away"),
    ConnectionRefusedError("away"),
    TimeoutError("too long"),
]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
async def test_a_store_that_is_away_is_503_with_a_time_to_come_back_never_500(front: Front, error: Exception) -> None:
    front.doing.error = error
    answer = await front.ask("GET", "/api/v1/fails", headers=AS_USER)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert b"away" not in answer.body.replace(b"Something this needs is away", b"")


async def test_a_log_that_fails_takes_no_answer_away(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: bytes) -> None:
        raise OSError("disk full")

    front.log.flush()
    monkeypatch.setattr(front.log, "_write", full)
    answer = await front.ask("GET", THINGS, headers=AS_USER)
    front.log.flush()
    assert answer.status == 200


# -- the log ----------------------------------------------------------------------------------------------------------


async def test_a_line_says_who_asked_what_and_how_it_went(front: Front) -> None:
    answer = await front.ask("GET", f"{THINGS}/1", headers=AS_USER)
    line = front.told()[-1]
    assert line.pop("ms") >= 0
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "request_id": answer.headers["X-Request-Id"],
        "method": "GET",
        "path": f"{THINGS}/1",
        "route": "GET /api/v1/things/{thing}",
        "status": 200,
        "address": "127.0.0.1",
        "user": USER,
        "credential": f"token-of-{USER}",
    }


@pytest.mark.parametrize(
    "path",
    [
        '/x\n{"level":"error"}',
        "/x%0a%7b%22level%22:%22error%22%7d",
        "/\u2028x",
        "/%E2%80%A8x",
        "/%1b[31mred",
        '/"},{"a":"',
        "/\\u000a",
        "/\x85",
    ],
)
async def test_case_72_whatever_a_path_holds_the_line_is_one_of_ascii(front: Front, path: str) -> None:
    front.told()
    front.lines.clear()
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: \x1b[31m\u2028\r\nConnection: close\r\n\r\n"
    await front.raw(head.encode())
    front.log.flush()
    (written,) = front.lines
    assert written.isascii()
    assert written.decode().isprintable() or written.decode().rstrip("\n").isprintable()
    assert json.loads(written)["event"] == "request"


async def test_case_73_no_token_and_no_query_and_no_header_is_in_a_line(front: Front) -> None:
    front.told()
    front.lines.clear()
    secrets = ["sek-1", "sek-2", "sek-3", "sek-4", "sek-5", "user-word", "admin-word"]
    headers: dict[str, Any] = {"Cookie": "session=sek-1", "X-Api-Key": "sek-2", "Referer": "https://x/?token=sek-3"}
    await front.ask("GET", f"{THINGS}?limit=5&coin=sek-4", headers=AS_USER | headers)
    await front.ask("GET", THINGS, headers={"Authorization": "Bearer sek-5"})
    await front.ask("GET", "/api/v1/works", headers=AS_ADMIN)
    await front.ask("POST", "/api/v1/forms", data={"name": "sek-1", "password": "sek-2"})
    front.log.flush()
    written = b"".join(front.lines).decode()
    assert written.count("\n") == 4
    assert [secret for secret in secrets if secret in written] == []


@pytest.mark.parametrize(
    "secret",
    [
        "slc_0123456789abcdef_" + "aB3-_" * 8 + "xyz",
        "slr_" + "aB3-_" * 8 + "xyz",
        ".".join(("eyJhbGciOiJFUzI1NiJ9", "x" * 99, "y" * 86)),
    ],
    ids=["API key", "refresh token", "access token"],
)
async def test_case_73_who_writes_a_secret_into_a_path_does_not_find_it_in_a_line(front: Front, secret: str) -> None:
    front.told()
    front.lines.clear()
    await front.ask("GET", f"{THINGS}/{secret}/pages", headers=AS_USER)
    (line,) = front.told()
    assert line["path"] == f"{THINGS}/(secret)/pages"


async def test_case_73_a_row_that_could_not_be_written_is_not_logged_with_its_values(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "log", structlog.get_logger())
    front.doing.error = DBAPIError("INSERT INTO users", {"password_hash": "$argon2id$sek"}, Exception("no"))
    with capture_logs() as logs:
        assert (await front.ask("GET", "/api/v1/fails", headers=AS_USER)).status == 500
    assert "INSERT" in str(logs[0]["exc_info"])
    assert "sek" not in str(logs[0]["exc_info"])


async def test_refusals_at_will_are_not_lines_at_will(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    front.told()
    front.lines.clear()
    monkeypatch.setattr("gateway.edge.accesslog.time.time", lambda: 1_795_000_000.5)
    for _ in range(REFUSALS_MAX + 20):
        assert (await front.ask("GET", "/nowhere")).status == 404
    assert (await front.ask("GET", THINGS, headers=AS_USER)).status == 200
    *lines, last = front.told()
    assert [line["status"] for line in lines] == [404] * REFUSALS_MAX + [200]
    assert (last["event"], last["count"]) == ("refusals_not_logged", 20)


async def test_whatever_is_logged_while_a_request_is_answered_names_it() -> None:
    routes, seen = Routes("logging"), list[dict[str, Any]]()

    @routes.get("/logs", needs="jobs:read")
    async def logs(_: Call) -> Thing:
        """Do what structlog does with a line."""
        seen.append(dict(structlog.contextvars.merge_contextvars(None, "info", {"event": "hello"})))
        return Thing("logs")

    async with open_front(more=[routes]) as front:
        answers = [await front.ask("GET", "/api/v1/logs", headers=AS_USER) for _ in range(2)]
    assert [line["request_id"] for line in seen] == [answer.headers["X-Request-Id"] for answer in answers]


async def test_of_good_answers_a_share_is_written_and_of_the_others_all() -> None:
    async with open_front(share=0.0) as front:
        await front.ask("GET", THINGS, headers=AS_USER)
        await front.ask("GET", "/healthz")
        await front.ask("GET", THINGS)
        await front.ask("GET", "/nowhere")
        assert [line["status"] for line in front.told()] == [401, 404]


async def test_lines_are_written_without_being_asked_for(front: Front) -> None:
    front.told()
    front.lines.clear()
    await front.ask("GET", THINGS, headers=AS_USER)

    async def written() -> bool:
        return bool(front.lines)

    await eventually(written)
