"""For Dramatiq's own command: ``dramatiq ops.stock:broker`` serves the same queues as ``sluice worker``.

This module is an entry point, so importing it reads the environment; nothing else imports it.
"""

from __future__ import annotations

from dramatiq.middleware import TimeLimit

from ops.log import configure
from ops.servers import located
from ops.settings import Settings
from ops.worker import make_broker

settings = located(Settings.from_env())
configure(settings)
broker = make_broker(settings, TimeLimit())  # it interrupts the thread that Dramatiq's worker has for each message
