"""Dramatiq's Redis broker with the same guards as RabbitMQ's (``broker/connect.py``)."""

from __future__ import annotations

from dramatiq import MessageProxy
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer

from broker.connect import guarded
from broker.envelope import Envelope


class _GuardedRedisConsumer(_RedisConsumer):
    def __next__(self) -> MessageProxy | None:
        return guarded(super().__next__(), self.queue_name, self.broker)


class GuardedRedisBroker(RedisBroker):
    """Dramatiq's Redis broker, without delay queues; what a stranger put there by hand can be acknowledged too."""

    def do_fetch(self, queue_name: str, prefetch: int) -> list[bytes | None]:
        fetched: list[bytes | None] = self.__getattr__("do_fetch")(queue_name, prefetch)
        return [body and self._with_id(queue_name, body) for body in fetched]

    def _with_id(self, queue_name: str, body: bytes) -> bytes:
        """Add the id that Redis keeps a message by: its body tells it, unless somebody else than Dramatiq wrote it."""
        if b'"redis_message_id"' in body:
            return body
        kept = self.client.hscan_iter(f"{self.namespace}:{queue_name}.msgs")
        found = next((name.decode() for name, stored in kept if stored == body), "")
        envelope = Envelope()
        return envelope.encode({**envelope.decode(body), "options": {"redis_message_id": found}})

    @property
    def consumer_class(self) -> type[_RedisConsumer]:
        return _GuardedRedisConsumer

    def declare_queue(self, queue_name: str) -> None:
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)
