"""One URL, one broker for Dramatiq workers: ``amqp://`` is RabbitMQ, ``redis://`` is Redis.

Both are Dramatiq's own, with three guards (`docs/ARCHITECTURE.md`): the queue is taken from the consumer and not from
the body, nothing is held back in delay queues (waiting is a row's business), and RabbitMQ queues are quorum queues
with a delivery limit, so that a message which kills its workers ends in the dead letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import dramatiq
import structlog
from dramatiq import MessageProxy, Middleware
from dramatiq.broker import Broker
from dramatiq.brokers.rabbitmq import RabbitmqBroker, _RabbitmqConsumer
from dramatiq.common import xq_name
from pika.exceptions import AMQPChannelError, AMQPConnectionError

from broker.envelope import Envelope, addressed

log = structlog.get_logger(__name__)

NAMESPACE = "dramatiq"  # Dramatiq's own default, under which it keeps everything in Redis
SENDS_ONLY = "sends-only."  # how the name of a process begins that takes no messages from Redis
DELIVERIES_MAX = 8
DEAD_KEPT_MS = 7 * 24 * 3600 * 1000


class UnknownBrokerError(ValueError):
    """SLUICE_BROKER_URL must begin with amqp://, amqps://, redis:// or rediss://."""


def queue_arguments(queue: str) -> dict[str, Any]:
    """Say how a queue is declared, the same for every client: RabbitMQ refuses a second, different declaration."""
    # Dead letters travel at most once: the at-least-once strategy runs a process for each queue, and when these die a
    # few times in a second (queues deleted just after a start), quorum queues stay without a leader and refuse every
    # message until the broker is started again (rabbitmq-server#16652).  A dead hint lost is no loss: its row is there.
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERIES_MAX,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": xq_name(queue),
    }


def dead_queue_arguments() -> dict[str, Any]:
    """Say how the queue of a queue's dead letters is declared."""
    return {"x-queue-type": "quorum", "x-message-ttl": DEAD_KEPT_MS}


def from_url(url: str, *, middleware: Sequence[Middleware]) -> Broker:
    """Make the broker that a worker consumes from.  Connects only when it is used."""
    dramatiq.set_encoder(Envelope())
    match urlsplit(url).scheme:
        case "amqp" | "amqps":
            return QuorumBroker(url=amqp_url(url), middleware=list(middleware), confirm_delivery=True)
        case "redis" | "rediss":
            from broker.on_redis import GuardedRedisBroker  # noqa: PLC0415  7 MiB that RabbitMQ's users do without

            return GuardedRedisBroker(url=url, middleware=list(middleware))
    raise UnknownBrokerError(UnknownBrokerError.__doc__)


def amqp_url(url: str) -> str:
    """Add what a connection must not be without: heartbeats, and an end to waiting under a memory alarm."""
    parts = urlsplit(url)
    query = parts.query or "heartbeat=30&blocked_connection_timeout=30"
    return urlunsplit(parts._replace(query=query))


class _GuardedRabbitmqConsumer(_RabbitmqConsumer):
    """Acknowledges together what is done together.

    Messages are done with on any thread, but settled in callbacks on the one that reads the channel, in the order in
    which they were asked for.  Only that thread knows what the server still waits for, so it alone looks at
    ``_unsettled``: an acknowledgement of "all up to here" must not take one with it that is still to be refused.
    """

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._unsettled: set[int] = set()

    def __next__(self) -> MessageProxy | None:
        delivered = guarded(super().__next__(), self.queue_name, self.broker)
        if delivered is not None:
            self._unsettled.add(delivered._tag)
        return delivered

    def ack(self, message: MessageProxy) -> None:
        self.ack_all([message])

    def ack_all(self, messages: Sequence[MessageProxy]) -> None:
        """Acknowledge messages that this consumer gave; those of a connection that was lost come again anyway."""
        tags = sorted({message._tag for message in messages} & self.known_tags)
        self.known_tags.difference_update(tags)
        try:
            self.connection.add_callback_threadsafe(partial(self._ack_tags, tags))
        except (AMQPConnectionError, AMQPChannelError):
            log.warning("acks_lost", queue=self.queue_name, messages=len(messages))

    def _ack_tags(self, tags: Sequence[int]) -> None:
        # One frame for all up to the first that is not settled, and one for each of those behind it.
        self._unsettled.difference_update(tags)
        first = min(self._unsettled, default=None)
        before = [tag for tag in tags if first is None or tag < first]
        if before:
            self.channel.basic_ack(before[-1], multiple=True)
        for tag in tags[len(before) :]:
            self.channel.basic_ack(tag)

    def _nack(self, tag: int) -> None:
        self.connection.add_callback_threadsafe(partial(self._nack_tag, tag))

    def _nack_tag(self, tag: int) -> None:
        self._unsettled.discard(tag)
        self.channel.basic_nack(tag, requeue=False)


def guarded(delivered: MessageProxy | None, queue: str, broker: Broker) -> MessageProxy | None:
    """Make what one of Dramatiq's own consumers gives safe to dispatch (``broker/envelope.py``)."""
    if delivered is not None:
        delivered._message = addressed(delivered._message, queue, broker.actors)
    return delivered


class QuorumBroker(RabbitmqBroker):
    """RabbitMQ with quorum queues, and without Dramatiq's delay queues."""

    @property
    def consumer_class(self) -> type[_RabbitmqConsumer]:
        return _GuardedRabbitmqConsumer

    def declare_queue(self, queue_name: str, *, ensure: bool = False) -> None:
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.queues_pending.add(queue_name)
            self.emit_after("declare_queue", queue_name)
        if ensure:
            self._ensure_queue(queue_name)

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return queue_arguments(queue_name)

    def _declare_dq_queue(self, _: str) -> None:
        return

    def _declare_xq_queue(self, queue_name: str) -> Any:
        return self.channel.queue_declare(queue=xq_name(queue_name), durable=True, arguments=dead_queue_arguments())
