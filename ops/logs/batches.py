"""What CloudWatch Logs takes in one PutLogEvents, kept by us: what breaks a rule would take its whole batch with it.

Rules: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ops.logs.buffer import Line

BATCH_BYTES = 1024 * 1024
BATCH_RECORDS = 10_000
EVENT_EXTRA_BYTES = 26
EVENT_BYTES = 256 * 1024 - EVENT_EXTRA_BYTES
HEAD_BYTES = 100_000  # of a line that is too long; quoting it may double it

HOUR_MS = 3_600_000
SPAN_MS = 24 * HOUR_MS
OLDEST_MS = 14 * 24 * HOUR_MS - 2 * HOUR_MS  # a batch may be tried for more than an hour
NEWEST_MS = 2 * HOUR_MS - 60_000


def fitting(text: bytes) -> bytes:
    """Give the line as it is, or, when it is longer than an event may be, its head as JSON that says so."""
    if len(text) <= EVENT_BYTES:
        return text
    head = text[:HEAD_BYTES].decode(errors="ignore")
    return json.dumps({"event": "line_cut", "bytes": len(text), "head": head}).encode()


def timely(lines: Iterable[Line], now_ms: int) -> tuple[list[Line], dict[str, int]]:
    """Give what is neither too old nor too far ahead, by time, and how many were."""
    ordered = sorted(lines, key=lambda line: line.at_ms)
    old = sum(line.at_ms < now_ms - OLDEST_MS for line in ordered)
    new = sum(line.at_ms > now_ms + NEWEST_MS for line in ordered)
    refused = {reason: count for reason, count in (("too_old", old), ("too_new", new)) if count}
    return ordered[old : len(ordered) - new], refused


def batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Cut lines, which are in the order of time, so that each part keeps every limit."""
    part: list[Line] = []
    size = 0
    for line in lines:
        over = size + line.size > BATCH_BYTES or len(part) >= BATCH_RECORDS
        if part and (over or line.at_ms - part[0].at_ms >= SPAN_MS):
            yield part
            part, size = [], 0
        part.append(line)
        size += line.size
    if part:
        yield part


def refused_by(answer: dict[str, Any], count: int) -> dict[str, int]:
    """Read how many of ``count`` events an answer says were not taken, by reason."""
    info = answer.get("rejectedLogEventsInfo") or {}
    old = max(info.get("tooOldLogEventEndIndex", 0), info.get("expiredLogEventEndIndex", 0))
    new = count - info.get("tooNewLogEventStartIndex", count)
    return {reason: lost for reason, lost in (("too_old", old), ("too_new", new)) if lost}
