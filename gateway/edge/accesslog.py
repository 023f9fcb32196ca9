"""One JSON line for a request, at a cost that is small against the request.

aiohttp's own access log takes longer than a whole answer.  Here a line is encoded in about a microsecond, and lines are
written together, at most ``FLUSH_S`` after they were made.  A line holds the path without its query and without what
looks like a key or a token, and no header: so nothing that could be a secret.  Whatever the bytes of a path are, the
line is one line of ASCII.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from random import Random
from urllib.parse import quote

import msgspec
from aiohttp import web

from gateway.edge.passage import Passage

FLUSH_S = 0.2
LINES_MAX = 200
REFUSALS_MAX = 100
SECRET_CHARS_MIN = 47  # the shortest is a refresh token
_SECRET = re.compile(r"(?:slc_|slr_|eyJ)[\w.-]{24,}", re.ASCII)
_encode = msgspec.json.Encoder().encode


class AccessLog:
    """Collects lines and hands them on together: every error, refusals, and a share of the rest.

    Of refusals, which strangers can cause at will, ``REFUSALS_MAX`` in a second get a line each; one more tells how
    many others there were.
    """

    def __init__(
        self, write: Callable[[bytes], object], *, share: float = 1.0, chance: Callable[[], float] | None = None
    ) -> None:
        """``write`` takes whole lines; ``share`` is between 0 and 1."""
        self._write, self._share, self._chance = write, share, chance or Random().random  # noqa: S311  a sample, no secret
        self._lines: list[bytes] = []
        self._refusals, self._skipped = (0, 0), 0  # the second and how many there were in it
        self.lost = 0
        self._flushing: asyncio.TimerHandle | None = None

    def __call__(self, request: web.BaseRequest, passage: Passage, status: int) -> None:
        """Note one answer."""
        if status < 400 and (passage.quiet or (self._share < 1.0 and self._chance() >= self._share)):
            return
        asker, now = passage.asker, time.time()
        if 400 <= status < 500 and not self._has_room(int(now)):
            return
        line = {
            "event": "request",
            "level": "info" if status < 500 else "error",
            "timestamp": _moment(now),
            "request_id": passage.request_id,
            "method": _ascii(request.method[:20]),
            "path": _path(request.rel_url.raw_path),
            "route": passage.route,
            "status": status,
            "ms": round((time.perf_counter() - passage.began) * 1000, 3),
            "address": passage.address,
        }
        if asker is not None:
            line["user"] = asker.user
            line["credential"] = asker.credential
        self._lines.append(_encode(line))
        if len(self._lines) >= LINES_MAX:
            self.flush()
        elif self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def _has_room(self, second: int) -> bool:
        then, many = self._refusals
        self._refusals = second, many + 1 if then == second else 1
        if self._refusals[1] <= REFUSALS_MAX:
            return True
        self._skipped += 1
        return False

    def flush(self) -> None:
        """Write what was collected."""
        if self._skipped:
            told = {"event": "refusals_not_logged", "level": "warning", "timestamp": _moment(time.time())}
            self._lines.append(_encode({**told, "count": self._skipped}))
            self._skipped = 0
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._lines:
            lines, self._lines = self._lines, []
            try:
                self._write(b"\n".join(lines) + b"\n")
            except OSError:
                self.lost += len(lines)  # nowhere to say it: whoever reads metrics is told


def _path(path: str) -> str:
    """Write a path; who takes the place of an id for that of a key or a token must not find it in a log."""
    return _ascii(path[:500] if len(path) < SECRET_CHARS_MIN else _SECRET.sub("(secret)", path)[:500])


def _ascii(text: str) -> str:
    """Quote what is not ASCII, were it half a character: no line separator of any alphabet gets through."""
    return text if text.isascii() else quote(text.encode("utf-8", "surrogateescape"), safe="/%:?&=+;,@!$'()*~")


_second: tuple[int, str] = (0, "")


def _moment(now: float) -> str:
    """Write a moment as RFC 3339; the date and time to the second are written once a second."""
    global _second  # noqa: PLW0603  a memory of one value
    whole = int(now)
    if _second[0] != whole:
        _second = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)))
    return f"{_second[1]}.{int((now - whole) * 1000):03d}Z"
