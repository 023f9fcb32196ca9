"""Shipping to CloudWatch (moto) through all that goes wrong: who logs never waits, and nothing is lost untold."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from ops.logs import handler as handling
from ops.logs.batches import BATCH_BYTES, BATCH_RECORDS, HOUR_MS, SPAN_MS
from ops.logs.handler import BoundedHandler, Bounds, Told
from ops.logs.losses import Loss
from tests.cloudwatch import CloudWatch, cloudwatch

SHORT = Bounds(interval_s=0.02, close_s=30.0, close_unreachable_s=30.0)


@pytest.fixture(scope="module")
def server() -> Iterator[CloudWatch]:
    with cloudwatch() as cloud:
        yield cloud


@pytest.fixture
def cloud(server: CloudWatch, monkeypatch: pytest.MonkeyPatch) -> CloudWatch:
    server.reset()
    monkeypatch.setattr(handling, "pause_s", lambda *_, **__: Random().uniform(0.005, 0.02))
    return server


@dataclass
class Shipped:
    """A handler, and what it told."""

    handler: BoundedHandler
    dropped: Counter[str]
    failures: list[Exception] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    told: threading.Event = field(default_factory=threading.Event)

    def take(self, count: int, start: int = 0, level: int = logging.INFO) -> set[str]:
        """Log records with numbers; give their texts."""
        texts = [f"record {number}" for number in range(start, start + count)]
        for text in texts:
            self.handler.take(level, text)
        return set(texts)


@contextmanager
def shipped(
    cloud: CloudWatch, bounds: Bounds = SHORT, *, read_s: float = 30.0, client: Callable[[], Any] | None = None
) -> Iterator[Shipped]:
    dropped, failures, losses, told = Counter[str](), list[Exception](), list[Loss](), threading.Event()

    def lost(loss: Loss) -> None:
        losses.append(loss)
        told.set()

    handler = BoundedHandler(
        cloud.group,
        lambda: f"tests/machine/{os.getpid()}",
        client or (lambda: cloud.client(read_s=read_s)),
        bounds=bounds,
        told=Told(
            count=lambda reason, records: dropped.update({reason: records}),
            failing=failures.append,
            lost=lost,
        ),
    )
    try:
        yield Shipped(handler, dropped, failures, losses, told)
    finally:
        handler.close(0)


def wait_for(event: threading.Event) -> None:
    assert event.wait(60)


def test_every_record_arrives_once_in_one_stream_named_for_the_process(cloud: CloudWatch) -> None:
    with shipped(cloud) as one:
        texts = one.take(12_000)
        one.handler.close()
        assert list(cloud.streams()) == [f"tests/machine/{os.getpid()}"]
        assert sorted(cloud.stored()) == sorted(texts)
        assert not one.dropped
    assert set(cloud.calls) == {"CreateLogStream", "PutLogEvents"}


def test_making_it_asks_nobody_and_starts_nothing(cloud: CloudWatch) -> None:
    made: list[int] = []
    before = threading.active_count()
    with shipped(cloud, client=lambda: made.append(1)):
        assert (made, cloud.calls, threading.active_count()) == ([], [], before)


def test_batches_keep_the_limits_of_aws(cloud: CloudWatch) -> None:
    with shipped(cloud, Bounds(interval_s=0.02, close_s=60, bytes=64 * 1024 * 1024)) as one:
        for number in range(40):
            one.handler.take(20, f"{number} {'é' * 50_000}")
        one.handler.take(20, "x" * 2_000_000)
        for hours in (-30 * 24, -200, -26, -1, 0, 1, 30):
            one.handler.take(20, f"at {hours}", at_s=time.time() + hours * 3600)
        one.handler.close()
        assert one.dropped == {"too_old": 1, "too_new": 1}
        assert len(cloud.stored()) == 40 + 1 + 5
    for batch in cloud.batches:
        times = [event["timestamp"] for event in batch]
        assert len(batch) <= BATCH_RECORDS
        assert times == sorted(times)
        assert times[-1] - times[0] < SPAN_MS
        assert sum(len(event["message"].encode()) + 26 for event in batch) <= BATCH_BYTES
        assert max(times) < (time.time() + 2 * 3600) * 1000
        assert min(times) > time.time() * 1000 - 14 * 24 * HOUR_MS


def test_across_an_outage_nothing_is_lost_up_to_the_bound(cloud: CloudWatch) -> None:
    with shipped(cloud) as one:
        texts = one.take(50)
        one.handler.flush(30)
        cloud.close()
        texts |= one.take(3000, start=50)
        until(lambda: bool(one.failures))
        cloud.open()
        one.handler.close()
        assert set(cloud.stored()) == texts
        assert len(cloud.stored()) == len(texts)
        assert (dict(one.dropped), one.losses, len(one.failures)) == ({}, [], 1)


def test_beyond_the_bound_the_oldest_go_and_are_counted_and_told_in_one_line(cloud: CloudWatch) -> None:
    cloud.close()
    with shipped(cloud, Bounds(records=100, interval_s=0.02, close_s=30, close_unreachable_s=30)) as one:
        errors = one.take(10, level=logging.ERROR)
        until(lambda: bool(one.failures))
        texts = one.take(1000, start=10)
        cloud.open()
        wait_for(one.told)
        one.handler.close()
        stored = set(cloud.stored())
        lost = 1010 - len(stored)
        assert errors <= stored <= errors | texts
        assert "record 1009" in stored
        assert one.dropped == {"full": lost}
        assert [(loss.records, loss.by_reason) for loss in one.losses] == [(lost, {"full": lost})]
        assert one.losses[0].since <= one.losses[0].until


@pytest.mark.parametrize("fault", ["throttle", "fail"])
def test_throttling_and_failures_are_waited_out(cloud: CloudWatch, fault: Any) -> None:
    cloud.fault = fault
    with shipped(cloud) as one:
        texts = one.take(300)
        until(lambda: cloud.calls.count("PutLogEvents") > 6)  # more than watchtower's own five
        cloud.fault = None
        one.handler.close()
        assert sorted(cloud.stored()) == sorted(texts)
        assert (dict(one.dropped), len(one.failures)) == ({}, 1)


def test_what_aws_refuses_is_not_sent_again_and_is_counted(cloud: CloudWatch) -> None:
    cloud.fault = "refuse"
    with shipped(cloud) as one:
        one.take(5)
        until(lambda: one.dropped == {"refused": 5})
        cloud.fault = None
        texts = one.take(5, start=5)
        one.handler.close()
        assert set(cloud.stored()) == texts
        assert sum(loss.records for loss in one.losses) == 5


def test_what_cannot_be_sent_for_too_long_is_given_up(cloud: CloudWatch) -> None:
    cloud.fault = "throttle"
    with shipped(cloud, Bounds(interval_s=0.02, give_up_s=0.0)) as one:
        one.take(5)
        until(lambda: one.dropped == {"gave_up": 5})


def test_who_logs_does_not_wait_for_a_server_that_hangs(cloud: CloudWatch) -> None:
    cloud.fault = "hang"
    with shipped(cloud, read_s=0.2) as one:
        texts = one.take(1)
        wait_for(cloud.asked)
        texts |= one.take(3000, start=1)  # all the while nobody answers
        until(lambda: cloud.calls.count("PutLogEvents") >= 2)
        assert cloud.stored() == []
        cloud.fault = None
        cloud.go_on.set()
        one.handler.close()
        assert set(cloud.stored()) == texts  # what hung may have arrived as well
        assert not one.dropped


def test_closing_ends_at_its_deadline_and_counts_what_is_left(cloud: CloudWatch) -> None:
    cloud.fault = "hang"
    with shipped(cloud) as one:
        one.take(10)
        wait_for(cloud.asked)
        one.take(20, start=10)
        one.handler.close(0.05)
        assert one.dropped == {"closed": 30}
        assert [loss.by_reason for loss in one.losses] == [{"closed": 30}]
        one.take(1)
        assert one.dropped == {"closed": 31}


def test_a_missing_stream_or_group_is_waited_for_and_made_again(cloud: CloudWatch) -> None:
    with shipped(cloud) as one:
        texts = one.take(5)
        one.handler.flush(30)
        cloud.client().delete_log_stream(logGroupName=cloud.group, logStreamName=one.handler.log_stream_name)
        cloud.client().delete_log_group(logGroupName=cloud.group)
        texts = one.take(5, start=5)
        until(lambda: bool(one.failures))
        cloud.client().create_log_group(logGroupName=cloud.group)
        one.handler.close()
        assert set(cloud.stored()) == texts
        assert not one.dropped


def test_a_client_that_cannot_be_made_is_tried_again(cloud: CloudWatch) -> None:
    tries: list[int] = []

    def make() -> Any:
        tries.append(1)
        if len(tries) < 4:
            raise RuntimeError("no region, no credentials")
        return cloud.client()

    with shipped(cloud, client=make) as one:
        texts = one.take(5)
        one.handler.close()
        assert set(cloud.stored()) == texts
        assert [str(error) for error in one.failures] == ["no region, no credentials"]


@contextmanager
def heard_by(one: Shipped) -> Iterator[logging.Logger]:
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(one.handler)
    root.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    try:
        yield logging.getLogger("library")
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        root.removeHandler(one.handler)


def test_what_sending_itself_logs_is_not_sent(cloud: CloudWatch) -> None:
    cloud.fault = "throttle"
    with shipped(cloud) as one, heard_by(one) as library:
        library.info("first")
        for name in ("botocore.endpoint", "urllib3.connectionpool", "watchtower", "boto3"):
            logging.getLogger(name).error("no")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("no", stacklevel=1)
        until(lambda: cloud.calls.count("PutLogEvents") > 2)
        cloud.fault = None
        library.info("last")
        one.handler.close()
    assert {"first", "last"} <= set(cloud.stored())
    assert not [text for text in cloud.stored() if text == "no" or "logs" in text]


def test_a_record_with_a_dict_leaves_it_as_it_was(cloud: CloudWatch) -> None:
    with shipped(cloud) as one, heard_by(one) as library:
        given = {"a": 1}
        library.info(given)
        library.info("")
        one.handler.close()
        assert given == {"a": 1}
        assert cloud.stored() == ['{"a": 1}']


def test_a_forked_child_ships_its_own_records_in_its_own_stream(cloud: CloudWatch) -> None:
    with shipped(cloud) as one:
        mine = one.take(100)
        until(lambda: len(cloud.stored()) == 100)  # a client is made, and the session that all share here is not locked
        mine |= one.take(100, start=100)
        children = []
        for number in range(3):
            child = os.fork()
            if child == 0:
                try:
                    one.take(100, start=1000 * (number + 1))
                    one.handler.close(30)
                finally:
                    os._exit(1 if one.dropped else 0)
            children.append(child)
        mine |= one.take(200, start=200)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
        one.handler.close()
        by_process = {int(name.rpartition("/")[2]): sorted(texts) for name, texts in cloud.streams().items()}
        assert by_process.pop(os.getpid()) == sorted(mine)
        assert by_process == {
            child: sorted(f"record {n}" for n in range(1000 * number, 1000 * number + 100))
            for number, child in enumerate(children, start=1)
        }


def until(check: Callable[[], bool]) -> None:
    """Wait until the check says yes."""
    pause = threading.Event()
    for _ in range(6000):
        if check():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come")
