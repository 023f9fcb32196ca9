"""Messages, counted by a middleware of our own.

Dramatiq's own Prometheus middleware counts retries twice, keeps what dead processes had in hand, measures in
milliseconds and forks a server that nobody starts again when it dies.
"""

from __future__ import annotations

import time

from dramatiq import MessageProxy
from dramatiq.broker import Broker
from dramatiq.middleware import Middleware

from ops.metrics.meters import Meters


class MessageMeters(Middleware):
    """Counts messages by actor.  It comes before those that decide what becomes of a message: of the hooks behind a
    message, Dramatiq calls the last one first."""

    def __init__(self, meters: Meters) -> None:
        """Count into these meters."""
        self._meters = meters
        self._began: dict[int, tuple[float, str]] = {}

    def in_hand(self, queue: str) -> bool:
        """Whether a message of this queue is being worked on."""
        return any(name == queue for _, name in list(self._began.values()))

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002  Dramatiq's hook
        self._began[id(message)] = (time.perf_counter(), message.queue_name)
        self._meters.add("sluice_messages_in_hand", 1)
        waited_s = time.time() - message.message_timestamp / 1000  # Dramatiq's envelope has milliseconds
        self._meters.observe("sluice_message_wait_seconds", max(0.0, waited_s), message.actor_name)

    def after_process_message(
        self,
        broker: Broker,  # noqa: ARG002
        message: MessageProxy,
        *,
        result: object = None,  # noqa: ARG002
        exception: BaseException | None = None,
    ) -> None:
        outcome = "done" if exception is None else "dead" if message.failed else "failed"
        self._ended(message, outcome)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:  # noqa: ARG002
        self._ended(message, "skipped")

    def _ended(self, message: MessageProxy, outcome: str) -> None:
        self._meters.count("sluice_messages_total", message.actor_name, outcome)
        began = self._began.pop(id(message), None)
        if began is not None:  # else another middleware skipped it before it came here
            self._meters.add("sluice_messages_in_hand", -1)
            self._meters.observe("sluice_message_seconds", time.perf_counter() - began[0], message.actor_name)
