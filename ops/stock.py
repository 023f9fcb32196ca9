"""For Dramatiq's own command: ``dramatiq ops.stock:broker`` serves the same queues as ``sluice worker``.

This module is an entry point, so importing it reads the environment; nothing else imports it.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

import dramatiq
from dramatiq.broker import Broker
from dramatiq.middleware import AsyncIO, Middleware, TimeLimit

from ops.log import configure, shipping
from ops.servers import located
from ops.settings import Settings
from ops.worker import make_broker


class Shipping(Middleware):
    """Ships what a worker process logs, from after its fork until its work is done."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._open = settings, ExitStack()

    def after_process_boot(self, broker: Broker) -> None:  # noqa: ARG002  Dramatiq's hook
        self._open.enter_context(shipping(self._settings, "worker"))

    def after_worker_shutdown(self, broker: Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        self._open.close()


settings = located(Settings.from_env())
configure(settings, sys.stdout)
broker = make_broker(settings, TimeLimit())  # it interrupts the thread that Dramatiq's worker has for each message
broker.add_middleware(Shipping(settings), before=AsyncIO)  # what comes first ends last
