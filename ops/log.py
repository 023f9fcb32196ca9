"""Structured logs to stderr: an event and its fields, JSON for machines, columns for people.

Whatever was bound to the message (job, page, queue) is on every line; known secrets are cut out by value.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ops.settings import Settings

REDACTED = "REDACTED"
SECRET_FIELDS = frozenset({"token", "password", "secret", "authorization", "auth_token", "apikey", "api_key", "key"})


def configure(settings: Settings) -> None:
    """Set up logging for this process, once, before anything logs."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    last: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if settings.log_format == "console"
        else structlog.processors.JSONRenderer()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redactor(settings.secrets()),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard module; the same line shape for them.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)


def redactor(secrets: Iterable[str]) -> Processor:
    """Make a processor that cuts secrets out of every text, and the values of fields that are named like secrets."""
    known = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def clean(value: object) -> object:
        if isinstance(value, str):
            for secret in known:
                value = value.replace(secret, REDACTED)
        return value

    def process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {name: REDACTED if name in SECRET_FIELDS else clean(value) for name, value in event.items()}

    return process
