"""What comes in at the edge: bytes that are no request, tokens in the wrong place, bodies that are too much."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.edge.settings import EdgeSettings
from gateway.edge.timelimit import TimeLimit
from gateway.problems import MEDIA_TYPE
from tests.integration.gateway.front import AS_ADMIN, AS_USER, Front, open_front, parsed

SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
BODY_MAX = 10_000
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
async def front() -> AsyncIterator[Front]:
    async with open_front(settings=EdgeSettings(body_bytes_max=BODY_MAX)) as opened:
        yield opened


def request(*lines: str, body: bytes = b"") -> bytes:
    """A request written by hand, for a user."""
    head = [*lines, "Host: x", "Authorization: Bearer user-word", "Connection: close"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


POST = "POST /api/v1/things HTTP/1.1"
BROKEN = {
    "length and chunked": request(POST, "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "two lengths": request(POST, "Content-Length: 5", "Content-Length: 6", body=b"12345"),
    "a signed length": request(POST, "Content-Length: +5", body=b"12345"),
    "an unknown coding": request(POST, "Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "a space before the colon": request(POST, "X-Evil : marker-9f"),
    "a bare line feed": b"GET /api/v1/things HTTP/1.1\nHost: x\nX-Evil: marker-9f\n\n",
    "a folded line": request("GET /api/v1/things HTTP/1.1", "X-Evil: marker-9f\r\n folded"),
    "a NUL": request("GET /api/v1/things HTTP/1.1", "X-Evil: marker-9f\x00"),
    "no host": b"GET /api/v1/things HTTP/1.1\r\nX-Evil: marker-9f\r\n\r\n",
    "two hosts": request("GET /api/v1/things HTTP/1.1", "Host: marker-9f"),
    "a broken version": b"GET / HTTP/marker-9f\r\n\r\n",
    "a long line": b"GET /" + b"marker-9f" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "many headers": request("GET /api/v1/things HTTP/1.1", *(f"X-{n}: marker-9f" for n in range(200))),
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
async def test_case_63_what_cannot_be_read_in_one_way_is_400_and_closed_and_never_repeated(
    front: Front, sent: bytes
) -> None:
    answer = await front.raw(sent)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert SECURITY.items() <= dict(answer.headers).items()
    assert "server" not in answer.headers
    assert b"marker-9f" not in answer.body
    assert b"marker" not in b"".join(front.lines)


async def test_case_64_http_2_in_clear_is_505(front: Front) -> None:
    answer = await front.raw(request("GET /api/v1/things HTTP/2.0"))
    assert (answer.status, answer.code) == (505, "version_not_supported")


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "LOCK", "PUT", "DELETE", "OPTIONS"])
async def test_case_64_a_method_that_a_path_does_not_take_is_405_with_those_it_takes(front: Front, method: str) -> None:
    answer = await front.raw(request(f"{method} /api/v1/things HTTP/1.1"))
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    answer = await front.raw(request(f"{method} /api/v1/things/1 HTTP/1.1"))
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert b"user-word" not in answer.body


async def test_case_64_connect_is_405(front: Front) -> None:
    answer = await front.raw(request("CONNECT x:443 HTTP/1.1"))
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    "sent", [request("MARKER /api/v1/things HTTP/1.1"), b"\x16\x03\x01MARKER\r\n\r\n"], ids=["a word", "no request"]
)
async def test_case_64_what_is_no_method_is_501(front: Front, sent: bytes) -> None:
    answer = await front.raw(sent)
    assert (answer.status, answer.code) == (501, "method_unknown")
    assert "GET" in answer.headers["allow"]
    assert b"MARKER" not in answer.body


async def test_case_22_two_authorization_headers_are_400(front: Front) -> None:
    sent = request("GET /api/v1/things HTTP/1.1", "Authorization: Bearer admin-word")
    assert (await front.raw(sent)).code == "malformed_request"


@pytest.mark.parametrize("length", [4097, 8000])
async def test_case_23_a_long_authorization_is_refused_before_anybody_looks_at_it(front: Front, length: int) -> None:
    answer = await front.ask("GET", "/api/v1/things", headers={"Authorization": "Bearer " + "x" * (length - 7)})
    assert (answer.status, answer.code) == (401, "unauthenticated")


async def test_case_24_a_token_in_the_query_is_no_token_and_is_not_logged(front: Front) -> None:
    answer = await front.ask("GET", "/api/v1/things?access_token=user-word&token=user-word")
    assert answer.status == 401
    assert front.told()[-1]["path"] == "/api/v1/things"
    assert "user-word" not in json.dumps(front.told())


async def test_case_50_a_body_over_the_limit_is_413_and_closed(front: Front) -> None:
    thing = json.dumps({"name": "x" * 100, "within": "y" * BODY_MAX}).encode()
    answer = await front.raw(
        request(POST, "Content-Type: application/json", f"Content-Length: {len(thing)}", body=thing)
    )
    assert (answer.status, answer.code) == (413, "too_large")
    assert answer.headers["connection"] == "close"


async def test_case_50_a_bomb_is_413_before_it_is_unpacked(front: Front) -> None:
    bomb = gzip.compress(b"[" + b" " * 20_000_000 + b"]")
    answer = await front.ask("POST", "/api/v1/things", data=bomb, headers=AS_USER | JSON | {"Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (413, "too_large")


async def test_a_small_packed_body_is_taken(front: Front) -> None:
    body = gzip.compress(b'{"name": "a"}')
    answer = await front.ask("POST", "/api/v1/things", data=body, headers=AS_USER | JSON | {"Content-Encoding": "gzip"})
    assert (answer.status, answer.json["name"]) == (201, "a")


async def test_a_body_that_is_not_packed_as_it_says_is_400(front: Front) -> None:
    headers = AS_USER | JSON | {"Content-Encoding": "gzip"}
    answer = await front.ask("POST", "/api/v1/things", data=b'{"name": "a"}', headers=headers)
    assert (answer.status, answer.code) == (400, "malformed_request")


BAD_JSON = {
    "deep lists": b'{"name": "a", "within": ' + b"[" * 4_000 + b"]" * 4_000 + b"}",
    "deeper than the cap": b'{"name": "a", "within": ' + b"[" * 40 + b"]" * 40 + b"}",
    "NaN": b'{"name": "a", "amount": NaN}',
    "Infinity": b'{"name": "a", "within": -Infinity}',
    "5000 digits": b'{"name": "a", "amount": ' + b"1" * 5000 + b"}",
    "not UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "truncated": b'{"name": "a"',
    "two texts": b'{"name": "a"}{"name": "b"}',
    "a name twice": b'{"name": "a", "name": "b"}',
    "a name twice further in": b'{"name": "a", "within": {"x": 1, "x": 2}}',
    "a comment": b'{"name": "a" /* b */}',
    "nothing": b"",
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
async def test_case_51_what_is_not_one_json_text_is_400(front: Front, body: bytes) -> None:
    answer = await front.ask("POST", "/api/v1/things", data=body, headers=AS_USER | JSON)
    assert (answer.status, answer.code) == (400, "malformed_request"), answer.body


async def test_case_51_a_hundred_thousand_levels_are_400() -> None:
    async with open_front() as front:
        body = b"[" * 100_000 + b"]" * 100_000
        answer = await front.ask("POST", "/api/v1/things", data=body, headers=AS_USER | JSON)
    assert (answer.status, answer.code) == (400, "malformed_request")


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "a", "within": 1e400}',
        b'{"name": "a\\u0000b"}',
        b'{"name": "a", "within": {"x\\u0000": 1}}',
        b'{"name": "\\ud800"}',
        b'{"name": "a", "owner_id": 1}',
        b'{"name": 1}',
        b"[]",
        b"null",
    ],
)
async def test_json_that_says_what_cannot_be_is_422(front: Front, body: bytes) -> None:
    answer = await front.ask("POST", "/api/v1/things", data=body, headers=AS_USER | JSON)
    assert (answer.status, answer.code) == (422, "invalid"), answer.body


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "application/jsonx", None],
)
async def test_case_52_another_content_type_is_415(front: Front, kind: str | None) -> None:
    more = {"skip_auto_headers": ["Content-Type"]} if kind is None else {}
    headers = AS_USER | ({"Content-Type": kind} if kind else {})
    answer = await front.ask("POST", "/api/v1/things", data=b'{"name": "a"}', headers=headers, **more)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=101", "limit=1e9", "limit=abc", "limit=", "limit=null"]
)
async def test_case_53_a_limit_out_of_bounds_is_422(front: Front, query: str) -> None:
    answer = await front.ask("GET", f"/api/v1/things?{query}", headers=AS_USER)
    assert (answer.status, answer.code) == (422, "invalid")


@pytest.mark.parametrize(
    "query", ["limit=1&limit=2", "user=b", "limit=1&&x", "coin=%00", "coin=a%0d%0ab", "limit%00=1"]
)
async def test_a_query_has_known_names_once_each_and_no_control_characters(front: Front, query: str) -> None:
    answer = await front.ask("GET", f"/api/v1/things?{query}", headers=AS_USER)
    assert (answer.status, answer.code) == (422, "invalid")


async def test_a_list_in_a_query_is_its_name_several_times(front: Front) -> None:
    answer = await front.ask("GET", "/api/v1/things?coin=BTC&coin=ETH&limit=7", headers=AS_USER)
    assert answer.json == {"limit": 7, "coin": ["BTC", "ETH"]}


async def test_a_route_that_takes_no_query_refuses_one(front: Front) -> None:
    answer = await front.ask("GET", "/api/v1/csv?user=b", headers=AS_USER)
    assert (answer.status, answer.code) == (422, "invalid")


@pytest.mark.parametrize(
    ("body", "status"),
    [("name=a&amount=2", 200), ("name=a&name=b", 422), ("name=a&x=1", 422), ("name=%ff", 400), ("a;b", 400), ("", 422)],
)
async def test_a_form_is_read_as_strictly(front: Front, body: str, status: int) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await front.ask("POST", "/api/v1/forms", data=body.encode(), headers=headers)
    assert answer.status == status


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\x00b", "\x1b[31m", "a\u2028b", "';--", "{{7*7}}", "../../etc/passwd"]
)
async def test_case_62_what_travels_on_is_refused_or_comes_back_as_it_was(front: Front, value: str) -> None:
    answer = await front.ask("POST", "/api/v1/things", json={"name": value}, headers=AS_USER)
    assert "x-evil" not in answer.headers
    if answer.status == 201:
        assert answer.json["name"] == value
    else:
        assert (answer.status, answer.code) == (422, "invalid")


async def test_case_12_a_token_that_lacks_the_scope_is_told_which(front: Front) -> None:
    answer = await front.ask("GET", "/api/v1/works", headers=AS_USER)
    assert (answer.status, answer.code) == (403, "insufficient_scope")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="admin:read"'
    assert (await front.ask("GET", "/api/v1/works", headers=AS_ADMIN)).status == 200


async def test_one_piece_and_aiohttps_way_write_the_same_headers(front: Front) -> None:
    one = await front.raw(request("GET /api/v1/things HTTP/1.1"))
    reader, writer = await front.connect()
    writer.write(b"GET /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer user-word\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    piece = parsed(head)
    varying = {"date", "connection", "x-request-id", "x-ratelimit-remaining", "ratelimit"}
    assert {k: v for k, v in one.headers.items() if k not in varying} == {
        k: v for k, v in piece.headers.items() if k not in varying
    }
    assert piece.headers.keys() == one.headers.keys() - {"connection"}
    assert SECURITY.items() <= dict(piece.headers).items()


async def test_head_answers_as_get_without_its_body(front: Front) -> None:
    get = await front.ask("GET", "/api/v1/things", headers=AS_USER)
    head = await front.ask("HEAD", "/api/v1/things", headers=AS_USER)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


async def test_a_table_of_text_has_its_type_and_every_header(front: Front) -> None:
    answer = await front.ask("GET", "/api/v1/csv", headers=AS_USER)
    assert (answer.body, answer.headers["Content-Type"]) == (b"a,b\n", "text/csv; charset=utf-8")
    assert answer.headers["Content-Disposition"] == "attachment"
    assert SECURITY.items() <= {name.lower(): value for name, value in answer.headers.items()}.items()
    assert "Server" not in answer.headers


async def test_work_that_takes_too_long_is_stopped_and_other_cancellations_stay_what_they_are() -> None:
    limit = TimeLimit(0.05)
    with pytest.raises(TimeoutError):
        await limit.within(asyncio.Event().wait())
    assert await limit.within(_at_once()) == "done"
    task = asyncio.create_task(limit.within(asyncio.Event().wait()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _at_once() -> Any:
    return "done"
