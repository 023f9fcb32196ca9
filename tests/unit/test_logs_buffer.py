"""What waits to be shipped is bounded, errors stay longest, and what AWS refuses is never sent."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from random import Random

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError, ParamValidationError
from hypothesis import given
from hypothesis import strategies as st

from ops.logs.batches import (
    BATCH_BYTES,
    BATCH_RECORDS,
    EVENT_BYTES,
    HOUR_MS,
    SPAN_MS,
    batches,
    fitting,
    refused_by,
    timely,
)
from ops.logs.buffer import Buffer, Line
from ops.logs.losses import Losses
from ops.logs.remedies import PAUSE_CLOSING_S_MAX, PAUSE_S_MAX, pause_s, remedy

NOW_MS = 1_800_000_000_000


def line(name: str, level: int = logging.INFO, at_ms: int = NOW_MS) -> Line:
    return Line(at_ms, level, name.encode())


def names(lines: list[Line]) -> list[str]:
    return [one.text.decode() for one in lines]


@pytest.fixture
def dropped() -> Counter[str]:
    return Counter()


def bounded(dropped: Counter[str], records: int, size: int = 10_000) -> Buffer:
    return Buffer(records, size, lambda reason, count: dropped.update({reason: count}))


def test_the_oldest_makes_room_and_is_counted(dropped: Counter[str]) -> None:
    buffer = bounded(dropped, 3)
    for name in "abcde":
        buffer.put(line(name))
    assert names(buffer.take(0)) == ["c", "d", "e"]
    assert dropped == {"full": 2}


def test_errors_stay_while_there_is_anything_else_to_drop(dropped: Counter[str]) -> None:
    buffer = bounded(dropped, 3)
    for name, level in [("a", 40), ("b", 20), ("c", 50), ("d", 20), ("e", 40), ("f", 20)]:
        buffer.put(line(name, level))
    assert names(buffer.take(0)) == ["a", "c", "e"]
    assert dropped == {"full": 3}


def test_of_errors_alone_the_oldest_goes(dropped: Counter[str]) -> None:
    buffer = bounded(dropped, 2)
    for name in "abc":
        buffer.put(line(name, logging.ERROR))
    assert names(buffer.take(0)) == ["b", "c"]


def test_bytes_bound_it_as_well_and_the_batch_in_hand_counts(dropped: Counter[str]) -> None:
    buffer = bounded(dropped, 100, size=4 * line("x" * 100).size)
    for _ in range(3):
        buffer.put(line("x" * 100))
    assert len(buffer.take(0)) == 3
    for _ in range(3):
        buffer.put(line("y" * 100))
    assert (len(buffer), dropped["full"]) == (4, 2)
    buffer.done()
    assert (len(buffer), buffer.bytes) == (1, line("y" * 100).size)


@given(st.lists(st.tuples(st.integers(1, 400), st.sampled_from([20, 40]), st.booleans()), max_size=60))
def test_it_never_holds_more_than_its_bounds_and_accounts_for_every_record(
    puts: list[tuple[int, int, bool]],
) -> None:
    lost, shipped = Counter[str](), 0
    buffer = bounded(lost, 10, size=1500)
    for length, level, take in puts:
        buffer.put(line("x" * length, level))
        assert len(buffer) <= 10
        assert buffer.bytes <= 1500
        if take:
            buffer.done()
            buffer.hurry()
            shipped += len(buffer.take(0))
    buffer.done()
    assert shipped + lost["full"] + len(buffer) == len(puts)


def test_a_full_batch_is_handed_out_without_waiting_for_more(dropped: Counter[str]) -> None:
    buffer = bounded(dropped, 10_000, size=10 * BATCH_BYTES)
    taken: list[list[Line]] = []
    reader = threading.Thread(target=lambda: taken.append(buffer.take(within_s=600)))
    reader.start()
    for _ in range(12):
        buffer.put(line("x" * 100_000))
    reader.join(30)
    assert [len(batch) for batch in taken] == [10]


def test_what_comes_after_the_end_is_counted(dropped: Counter[str]) -> None:
    buffer = bounded(dropped, 3)
    buffer.put(line("a"))
    assert buffer.abandon() == 1
    buffer.put(line("b"))
    assert (len(buffer), dropped) == (0, {"closed": 1})


@given(st.lists(st.tuples(st.integers(0, 40 * HOUR_MS), st.integers(1, EVENT_BYTES)), max_size=40))
def test_every_batch_keeps_every_limit_and_nothing_is_left_out(made: list[tuple[int, int]]) -> None:
    lines = sorted((Line(NOW_MS + at, 20, b"x" * size) for at, size in made), key=lambda one: one.at_ms)
    cut = list(batches(lines))
    assert [one for batch in cut for one in batch] == lines
    for batch in cut:
        assert 0 < len(batch) <= BATCH_RECORDS
        assert sum(one.size for one in batch) <= BATCH_BYTES
        assert batch[-1].at_ms - batch[0].at_ms < SPAN_MS


def test_a_batch_has_at_most_ten_thousand_records() -> None:
    assert [len(batch) for batch in batches([line("x")] * 25_000)] == [10_000, 10_000, 5_000]


def test_too_old_and_too_far_ahead_are_left_out_and_counted() -> None:
    times = {"ancient": -15 * 24, "old": -13 * 24, "now": 0, "soon": 1, "ahead": 3}
    kept, refused = timely([line(name, at_ms=NOW_MS + hours * HOUR_MS) for name, hours in times.items()], NOW_MS)
    assert names(kept) == ["old", "now", "soon"]
    assert refused == {"too_old": 1, "too_new": 1}


def test_what_aws_says_it_left_out_is_counted() -> None:
    assert refused_by({}, 5) == {}
    rejected = {"tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2, "tooNewLogEventStartIndex": 4}
    assert refused_by({"rejectedLogEventsInfo": rejected}, 5) == {"too_old": 2, "too_new": 1}


def test_a_line_that_is_too_long_becomes_its_head_and_says_so() -> None:
    text = json.dumps({"event": "long", "text": 'é"' * 200_000}, ensure_ascii=False).encode()
    cut = fitting(text)
    assert len(cut) <= EVENT_BYTES
    assert json.loads(cut)["bytes"] == len(text)
    assert fitting(b"short") == b"short"


def refusal(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutLogEvents")


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (refusal("ThrottlingException"), "again"),
        (refusal("ServiceUnavailableException", 503), "again"),
        (refusal("ExpiredTokenException"), "again"),
        (refusal("AccessDeniedException"), "again"),
        (ConnectTimeoutError(endpoint_url="http://x"), "again"),
        (NoCredentialsError(), "again"),
        (OSError(), "again"),
        (refusal("ResourceNotFoundException"), "make_stream"),
        (refusal("DataAlreadyAcceptedException"), "done"),
        (refusal("InvalidParameterException"), "refused"),
        (refusal("", 413), "refused"),
        (ParamValidationError(report="x"), "refused"),
    ],
)
def test_only_what_is_wrong_with_the_data_is_given_up_at_once(error: Exception, what: str) -> None:
    assert remedy(error) == what


def test_pauses_grow_to_their_limit_and_are_shorter_at_the_end() -> None:
    rng = Random(1)
    pauses = [pause_s(attempt, rng) for attempt in range(200)]
    assert 0.1 <= pauses[0] <= 0.2
    assert max(pauses) <= PAUSE_S_MAX
    assert min(pauses[20:]) >= PAUSE_S_MAX / 2
    assert len(set(pauses)) == len(pauses)
    assert max(pause_s(attempt, rng, closing=True) for attempt in range(50)) <= PAUSE_CLOSING_S_MAX


def test_losses_are_counted_at_once_and_told_once() -> None:
    counted: list[tuple[str, int]] = []
    moments = iter([10.0, 70.0, 100.0])
    losses = Losses(lambda reason, records: counted.append((reason, records)), clock=lambda: next(moments))
    assert losses.told() is None
    losses.add("full", 0)
    losses.add("full", 2)
    losses.add("gave_up", 3)
    loss = losses.told()
    assert loss is not None
    assert (loss.records, loss.by_reason) == (5, {"full": 2, "gave_up": 3})
    assert (loss.since.timestamp(), loss.until.timestamp()) == (10, 70)
    assert losses.told() is None
    assert counted == [("full", 2), ("gave_up", 3)]
