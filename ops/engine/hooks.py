"""Dramatiq's middleware, called as Dramatiq calls it, without calling the hooks that nobody has written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import dramatiq
from dramatiq.middleware import Middleware, MiddlewareError

log = logging.getLogger(__name__)

Hook = Callable[..., object]


class Hooks:
    """The hooks around messages, as they stood when the worker started."""

    def __init__(self, broker: dramatiq.Broker) -> None:
        """Look once who has written which."""
        self._broker = broker
        self._before_process = _written(broker.middleware, "before_process_message")
        self._after_process = _written(broker.middleware[::-1], "after_process_message")
        self._after_skip = _written(broker.middleware[::-1], "after_skip_message")
        self._before = {what: _written(broker.middleware, f"before_{what}") for what in ("ack", "nack")}
        self._after = {what: _written(broker.middleware[::-1], f"after_{what}") for what in ("ack", "nack")}

    def before_process(self, message: dramatiq.MessageProxy) -> None:
        """Raises SkipMessage, and no other error than MiddlewareError."""
        for hook in self._before_process:
            try:
                hook(self._broker, message)
            except MiddlewareError:
                raise
            except Exception:
                log.critical("Unexpected failure in %r.", hook, exc_info=True)

    def after_process(
        self, message: dramatiq.MessageProxy, *, result: object = None, exception: BaseException | None = None
    ) -> None:
        """Whatever they raise is logged."""
        for hook in self._after_process:
            try:
                hook(self._broker, message, result=result, exception=exception)
            except Exception:
                log.critical("Unexpected failure in %r.", hook, exc_info=True)

    def after_skip(self, message: dramatiq.MessageProxy) -> None:
        """Whatever they raise is logged."""
        self._call(self._after_skip, message)

    def before(self, what: str, message: dramatiq.MessageProxy) -> None:
        """``what`` is ack or nack."""
        self._call(self._before[what], message)

    def after(self, what: str, message: dramatiq.MessageProxy) -> None:
        """``what`` is ack or nack."""
        self._call(self._after[what], message)

    def _call(self, hooks: Sequence[Hook], message: dramatiq.MessageProxy) -> None:
        for hook in hooks:
            try:
                hook(self._broker, message)
            except Exception:
                log.critical("Unexpected failure in %r.", hook, exc_info=True)


def _written(middleware: Sequence[Middleware], name: str) -> tuple[Hook, ...]:
    usual: Any = getattr(Middleware, name)
    return tuple(getattr(one, name) for one in middleware if getattr(type(one), name, None) is not usual)
