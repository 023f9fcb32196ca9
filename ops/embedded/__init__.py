"""Real PostgreSQL, Redis and RabbitMQ servers, private to one checkout: started here, reached by URL, stopped here."""

from ops.embedded.server import CannotStart, Missing, Server
from ops.embedded.stack import AlreadyRunning, Stack, attach

__all__ = ["AlreadyRunning", "CannotStart", "Missing", "Server", "Stack", "attach"]
