"""watchtower's handler, made bounded: it never blocks who logs, never grows, and never loses a record untold.

watchtower 3.4 by itself waits without bound in memory, drops a batch after five tries without a pause, shares its
connection with forked children, calls AWS when it is made, and gives up to thirty seconds a stream to a close.  What is
kept of it is its face (a ``logging.Handler`` with a group, a stream, a client and limits) and how it makes streams.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from botocore.exceptions import ClientError
from watchtower import CloudWatchLogHandler

from ops.logs.batches import batches, fitting, refused_by, timely
from ops.logs.buffer import Buffer, Line
from ops.logs.losses import Loss, Losses
from ops.logs.remedies import pause_s, remedy

SENDERS_OWN = frozenset({"botocore", "boto3", "urllib3", "s3transfer", "watchtower"})
FLUSH_S = 5.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a handler may hold and how long it may take; times in seconds."""

    records: int = 20_000
    bytes: int = 16 * 1024 * 1024
    interval_s: float = 2.0
    give_up_s: float = 3600.0
    close_s: float = 8.0
    close_unreachable_s: float = 2.0  # where nobody answered the last call either


@dataclass(frozen=True, slots=True)
class Told:
    """Who hears of trouble: ``count`` of each drop, by reason; ``failing`` once an outage; ``lost`` when it is over."""

    count: Callable[[str, int], object] = lambda _reason, _records: None
    failing: Callable[[Exception], object] = lambda _error: None
    lost: Callable[[Loss], object] = lambda _loss: None


class Later:
    """An AWS client that is made when it is first used, by whoever uses it: to make one may already ask the network."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._made is None:
            self._made = self._make()
        return getattr(self._made, name)


class BoundedHandler(CloudWatchLogHandler):
    """One stream of one process, sent by one thread of its own, which starts with the first record."""

    def __init__(
        self,
        group: str,
        stream: Callable[[], str],
        client: Callable[[], Any],
        *,
        bounds: Bounds | None = None,
        told: Told | None = None,
    ) -> None:
        """Make no call and start nothing.  ``stream`` names this process, and a forked child anew; ``client`` makes
        a client of CloudWatch Logs, which should not retry by itself and should have short time-outs."""
        self._bounds, self._told, self._stream, self._client = bounds or Bounds(), told or Told(), stream, client
        self.closed = False
        super().__init__(
            log_group_name=group,
            log_stream_name=stream(),
            boto3_client=Later(client),
            create_log_group=False,
            create_log_stream=True,
        )
        self.addFilter(_not_the_senders_own)

    def _init_state(self) -> None:
        """Begin with nothing waiting and no thread; watchtower calls this when it is made and in a forked child."""
        super()._init_state()
        self.losses = Losses(self._told.count)
        self.buffer = Buffer(self._bounds.records, self._bounds.bytes, self.losses.add)
        self._rng = Random()  # noqa: S311  spreads retries
        self._sender: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closing, self._abandoned = threading.Event(), threading.Event()
        self._failing = self._unreachable = False

    def _at_fork_reinit(self) -> None:
        # What waits is the parent's to send; its connection carries the parent's answers.
        super()._at_fork_reinit()
        self.log_stream_name = self._stream()
        self.cwl_client = Later(self._client)

    # -- taking -------------------------------------------------------------------------------------------------------

    def emit(self, message: logging.LogRecord) -> None:
        """Queue a record of the standard module."""
        if threading.current_thread() is self._sender:
            return  # sending must not make more to send
        try:
            self.take(message.levelno, self.format(message), at_s=message.created)
        except Exception:  # noqa: BLE001  as every handler does: logging never raises into who logs
            self.handleError(message)

    def take(self, level: int, text: str, *, at_s: float | None = None) -> None:
        """Queue a finished line; never waits for anybody."""
        if not text:
            return  # which CloudWatch would refuse
        at_ms = int((time.time() if at_s is None else at_s) * 1000)
        self.buffer.put(Line(at_ms, level, fitting(text.encode("utf-8", "replace"))))
        if self._sender is None and not self.closed:
            self.start()

    def start(self) -> None:
        """Start sending; otherwise the first record does, and waits for a thread to start."""
        with self._starting:
            if self._sender is None and not self.closed:
                self._sender = threading.Thread(target=self._send, name="log shipping", daemon=True)
                self._sender.start()

    # -- sending, in a thread of its own ------------------------------------------------------------------------------

    def _send(self) -> None:
        self._make_stream()
        while True:
            taken = self.buffer.take(self._bounds.interval_s)
            if not taken and self._closing.is_set():
                return
            self._ship(taken)
            self.buffer.done()
            if loss := (None if self._failing else self.losses.told()):
                self._told.lost(loss)

    def _ship(self, taken: Sequence[Line]) -> None:
        kept, refused = timely(taken, int(time.time() * 1000))
        for reason, count in refused.items():
            self.losses.add(reason, count)
        for batch in batches(kept):
            self._submit_batch(batch, self.log_stream_name)

    def _submit_batch(self, batch: Sequence[Line], log_stream_name: str, max_retries: int = 0) -> None:  # noqa: ARG002  watchtower's
        """Send one batch, again and again until it is there, is refused, or has become too old to matter."""
        events = [{"timestamp": line.at_ms, "message": line.text.decode()} for line in batch]
        give_up = time.monotonic() + self._bounds.give_up_s
        attempt = 0
        while True:
            try:
                answer = self.cwl_client.put_log_events(
                    logGroupName=self.log_group_name, logStreamName=log_stream_name, logEvents=events
                )
            except Exception as error:  # noqa: BLE001  nothing that AWS, the network or boto raise may end this thread
                if self._is_over(error, len(batch), give_up):
                    return
            else:
                self._failing = self._unreachable = False
                for reason, count in refused_by(answer, len(batch)).items():
                    self.losses.add(reason, count)
                return
            self._pause(attempt)
            attempt += 1

    def _is_over(self, error: Exception, records: int, give_up: float) -> bool:
        match remedy(error):
            case "done":
                return True
            case "refused":
                self.losses.add("refused", records)
                self._trouble(error)
                self._failing = False
                return True
            case "make_stream":
                self._make_stream()
        self._trouble(error)
        if self._abandoned.is_set():
            return True  # who closed has counted it
        if time.monotonic() < give_up:
            return False
        self.losses.add("gave_up", records)
        return True

    def _pause(self, attempt: int) -> None:
        """Wait before the next attempt; whoever closes cuts it short, and has but short ones then."""
        if self._closing.is_set():
            self._abandoned.wait(pause_s(attempt, self._rng, closing=True))
        else:
            self._closing.wait(pause_s(attempt, self._rng))

    def _trouble(self, error: Exception) -> None:
        self._unreachable = not isinstance(error, ClientError)
        if not self._failing:
            self._failing = True
            self._told.failing(error)

    def _make_stream(self) -> None:
        with suppress(Exception):  # sending tells what is wrong, and tries this again
            self._idempotent_call(
                "create_log_stream", logGroupName=self.log_group_name, logStreamName=self.log_stream_name
            )

    # -- ending -------------------------------------------------------------------------------------------------------

    def flush(self, within_s: float = FLUSH_S) -> None:
        """Send what waits now, and wait for that, but not longer."""
        if not self.closed and self._sender is not None:
            self.buffer.hurry()
            self.buffer.drained(within_s)
            self.buffer.calm()

    def close(self, within_s: float | None = None) -> None:
        """Send what waits; what is not there in time (default: the bounds') is dropped, counted and told."""
        with self._starting:
            if self.closed:
                return
            self.closed = True
        if within_s is None:
            within_s = self._bounds.close_unreachable_s if self._unreachable else self._bounds.close_s
        self._closing.set()
        self.buffer.hurry()
        if self._sender is not None:
            self.buffer.drained(within_s)
        self._abandoned.set()
        self.losses.add("closed", self.buffer.abandon())
        if loss := self.losses.told():
            self._told.lost(loss)
        super().close()


def _not_the_senders_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] not in SENDERS_OWN and record.name != "py.warnings"
