"""One AMQP connection on the running loop: pika speaks the protocol, what is awaited here is a future.

``open_link`` gives a connection; its ``closed`` tells when and why it ended.  Deliveries and publications, of which
there are tens of thousands a second, pass pika by (``broker/frames.py``, ``broker/publication.py``); all else is its
own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from pika import URLParameters, frame, spec
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.exceptions import AMQPError, StreamLostError

from broker.frames import cut

Took = Callable[[int, bytes], None]
"""``took(delivery_tag, body)``: called on the loop, must not raise."""

READ_AT_ONCE = 65536
OPEN_S, ANSWER_S = 5.0, 10.0


class LinkLost(ConnectionError):
    """The connection or channel is gone, or does not answer; the message says why."""


class Link:
    """An open connection.  ``closed`` is done when it is not any more, with the reason.

    ``blocked``: the broker is under a memory or disk alarm, and reads nothing more of who publishes until it is over.
    """

    def __init__(self, raw: _Connection) -> None:
        self._raw = raw
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.blocked = False
        self.on_unblocked: Callable[[], None] = _nothing
        raw.add_on_close_callback(self._on_closed)
        raw.add_on_connection_blocked_callback(self._on_blocked)
        raw.add_on_connection_unblocked_callback(self._on_unblocked)
        raw._transport._MAX_RECV_BYTES = READ_AT_ONCE

    async def channel(self) -> Channel:
        """Open a channel; raises LinkLost."""
        opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            raw = self._raw.channel(on_open_callback=partial(_settle, opened))
            raw.add_on_close_callback(lambda _, why: _fail(opened, why))
            await asyncio.wait({opened, self.closed}, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        except AMQPError as error:
            raise LinkLost(_said(error)) from error
        if not opened.done():
            opened.cancel()
            raise LinkLost(self.closed.result() if self.closed.done() else "no channel was opened in time")
        return Channel(self._raw, opened.result())

    async def close(self) -> None:
        """Say goodbye, and wait a little for the answer."""
        if not self.closed.done():
            with suppress(AMQPError):  # it is being closed already
                self._raw.close()
            await asyncio.wait({self.closed}, timeout=2)
        self.drop()

    def drop(self) -> None:
        """Let go of the connection without a word."""
        self._raw.drop()
        _settle(self.closed, "given up")

    def _on_closed(self, _: object, why: BaseException) -> None:
        _settle(self.closed, _said(why))

    def _on_blocked(self, *_: object) -> None:
        self.blocked = True

    def _on_unblocked(self, *_: object) -> None:
        self.blocked = False
        self.on_unblocked()


class Channel:
    """An open channel.  ``closed`` is done when it is not any more; ``cancelled`` when its queue was taken away."""

    def __init__(self, connection: _Connection, raw: Any) -> None:
        loop = asyncio.get_running_loop()
        self._connection, self._raw = connection, raw
        self.number: int = raw.channel_number
        self.body_max: int = connection._body_max_length  # of one frame
        self.closed: asyncio.Future[str] = loop.create_future()
        self.cancelled: asyncio.Future[None] = loop.create_future()
        self._consumer: str | None = None
        raw.add_on_close_callback(self._on_closed)
        raw.add_on_cancel_callback(self._on_cancelled)
        if not raw.is_open:
            self.closed.set_result("closed while it was opened")

    @property
    def is_open(self) -> bool:
        """Whether frames can be sent."""
        return not self.closed.done() and bool(self._raw.is_open)

    async def declare(self, queue: str, arguments: Mapping[str, Any]) -> tuple[int, int]:
        """Declare a durable queue; give how many messages wait in it, and how many consume from it."""
        answer = await self._answer(self._raw.queue_declare, queue, durable=True, arguments=dict(arguments))
        return answer.method.message_count, answer.method.consumer_count

    async def consume(self, queue: str, *, prefetch: int, took: Took) -> None:
        """Begin to consume; ``took`` may be called before this returns."""
        await self._answer(self._raw.basic_qos, prefetch_count=prefetch)
        self._connection.took[self.number] = took

        def rare(_: object, method: Any, __: object, body: bytes) -> None:
            took(method.delivery_tag, body)  # a message of more than one frame, or none

        self.cancelled = asyncio.get_running_loop().create_future()
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._consumer = self._called(self._raw.basic_consume, queue, rare, callback=partial(_settle, done))
        await self._answered(done)

    async def cancel(self) -> None:
        """Stop consuming: when this returns, nothing more is delivered.  What was delivered stays ours."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None and self.is_open:
            await self._answer(self._raw.basic_cancel, consumer)

    async def take(self, queue: str, limit: int) -> list[tuple[int, bytes]]:
        """Take so many messages off a queue, or as many as there are, as (delivery tag, body)."""
        taken: list[tuple[int, bytes]] = []
        while len(taken) < limit and (message := await self._get(queue)) is not None:
            taken.append(message)
        return taken

    async def _get(self, queue: str) -> tuple[int, bytes] | None:
        got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._raw.add_callback(lambda _: _settle(got, None), [spec.Basic.GetEmpty])
        self._called(self._raw.basic_get, queue, lambda _, told, __, body: _settle(got, (told.delivery_tag, body)))
        message: tuple[int, bytes] | None = await self._answered(got)
        return message

    async def confirm(self, answered: Callable[[Any], None], returned: Callable[..., None]) -> None:
        """Let the broker answer for what is published here.

        ``answered(frame)`` for each Basic.Ack and Nack, ``returned(channel, method, properties, body)`` for what no
        queue takes, before the answer for it; neither may raise.
        """
        self._raw.add_on_return_callback(returned)
        await self._answer(self._raw.confirm_delivery, answered)

    def publish(self, frames: bytes) -> None:
        """Send what ``broker.publication`` has put together; on a channel that is gone it changes nothing."""
        if self.is_open:
            self._connection.emit(frames)

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Acknowledge; on a channel that is gone it changes nothing, and the message comes again."""
        if self.is_open:
            self._raw.basic_ack(tag, multiple=multiple)

    def nack(self, tag: int, *, requeue: bool) -> None:
        """Give back to the queue, or to its dead letters."""
        if self.is_open:
            self._raw.basic_nack(tag, requeue=requeue)

    def leave(self) -> None:
        """Close it without waiting for the answer; what was taken and not acknowledged goes back to its queue."""
        if self.is_open:
            self._raw.close()

    async def close(self) -> None:
        """Close it; the broker has read all that was sent on it before it answers."""
        if self.is_open:
            self._raw.close()
            await asyncio.wait({self.closed}, timeout=ANSWER_S)

    def _called(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except AMQPError as error:
            raise LinkLost(_said(error)) from error

    async def _answer(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._called(method, *args, callback=partial(_settle, done), **kwargs)
        return await self._answered(done)

    async def _answered(self, done: asyncio.Future[Any]) -> Any:
        try:
            await asyncio.wait({done, self.closed}, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                return done.result()
            raise LinkLost(self.closed.result() if self.closed.done() else f"no answer within {ANSWER_S:g} s")
        finally:
            done.cancel()

    def _on_closed(self, _: object, why: BaseException) -> None:
        self._connection.took.pop(self.number, None)
        _settle(self.closed, _said(why))

    def _on_cancelled(self, _: object) -> None:
        self._consumer = None
        _settle(self.cancelled, None)


async def open_link(parameters: URLParameters) -> Link:
    """Connect within ``OPEN_S``; raises LinkLost."""
    opened: asyncio.Future[_Connection] = asyncio.get_running_loop().create_future()
    raw = _Connection(
        parameters,
        on_open_callback=lambda one: one.close() if opened.done() else _settle(opened, one),
        on_open_error_callback=lambda _, why: _fail(opened, _cause(why)),
    )
    where = f"{parameters.host}:{parameters.port}"
    try:
        async with asyncio.timeout(OPEN_S):
            return Link(await opened)
    except TimeoutError:
        raise LinkLost(f"no connection to {where} within {OPEN_S:g} s") from None
    except LinkLost as error:
        raise LinkLost(f"no connection to {where}: {error}") from error
    finally:
        if not opened.done() or opened.cancelled():
            raw.drop()


class _Connection(AsyncioConnection):
    """pika's connection, which is asked about deliveries only where they are unusual."""

    _frame_buffer: bytes  # what has come of a frame that is not whole yet
    _body_max_length: int
    _error: Exception | None  # why it ends

    def __init__(self, parameters: URLParameters, **callbacks: Any) -> None:
        self.took: dict[int, Took] = {}
        super().__init__(parameters, custom_ioloop=asyncio.get_running_loop(), **callbacks)

    def _on_data_available(self, data_in: bytes) -> None:
        data = self._frame_buffer + data_in if self._frame_buffer else data_in
        done = cut(data, self._delivered, self._framed)
        self.bytes_received += done  # by this the heartbeat knows that the broker lives
        self._frame_buffer = data[done:]

    def _delivered(self, channel: int, tag: int, body: bytes) -> None:
        took = self.took.get(channel)
        if took is not None:  # else the channel was closed meanwhile, and the broker has the message again
            took(tag, body)

    def _framed(self, data: bytes) -> None:
        _, value = frame.decode_frame(data)
        self._process_frame(value)

    def emit(self, frames: bytes) -> None:
        self.bytes_sent += len(frames)
        self._adapter_emit_data(frames)
        if type(self._transport) is _AsyncPlaintextTransport:
            self._transport._on_socket_writable()  # now, and not when the loop has asked whether it is

    def drop(self) -> None:
        """Let go of the socket without a word."""
        if self._transport is not None:
            # Without a reason, pika would tell nobody that it has ended.
            self._error = self._error or StreamLostError("given up")
            self._transport.abort()


def _nothing() -> None:
    return


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], why: BaseException) -> None:
    if not future.done():
        future.set_exception(LinkLost(_said(why)))


def _cause(why: BaseException) -> BaseException:
    """Find what pika has wrapped up: the last of its attempts, and in it what the system said."""
    inner = [*why.args[:1], *getattr(why, "exceptions", ()), getattr(why, "exception", None)]
    found = next((one for one in reversed(inner) if isinstance(one, BaseException)), None)
    return why if found is None else _cause(found)


def _said(why: BaseException) -> str:
    return f"{type(why).__name__}: {why}" if str(why) else type(why).__name__
