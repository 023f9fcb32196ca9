"""Structured logs: an event and its fields, JSON for machines, columns for people.

Whatever was bound to the message (job, page, queue) is on every line; secrets are cut out by value and by name.  A
second sink may be attached (``shipping``), which is handed every line as JSON and must not block.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from ops.logs.redaction import Redaction, redactor
from ops.settings import Settings

JSON = structlog.processors.JSONRenderer()
LAST_WORDS_S = 2.0
LEVELS = logging.getLevelNamesMapping()


class Sink(Protocol):
    """Takes finished lines, and sends them elsewhere."""

    def take(self, level: int, text: str) -> None:
        """Take one line of a level of the standard module; never waits."""

    def flush(self, within_s: float) -> None:
        """Send what waits, and wait for that, but not longer."""


class Tee:
    """Makes an event the line for the console, and hands it to the sinks as JSON."""

    def __init__(self) -> None:
        self.sinks: tuple[Sink, ...] = ()
        self.redaction = Redaction(())
        self.render: Processor = JSON
        self.console: TextIO = sys.stderr

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        if not self.sinks:
            return cast(str, self.render(logger, name, event))
        line = cast(str, JSON(logger, name, dict(event)))
        level = LEVELS.get(str(event.get("level", "")).upper(), logging.INFO)
        for sink in self.sinks:
            sink.take(level, line)
        return line if self.render is JSON else cast(str, self.render(logger, name, event))


_tee = Tee()  # one per process, as structlog's own configuration is


def configure(settings: Settings, console: TextIO) -> None:
    """Set up logging for this process, once, before anything logs.

    ``console``: standard output where the log is all that a process says, standard error beside a command's answer.
    """
    level = LEVELS[settings.log_level.upper()]
    people = settings.log_format == "console"
    _tee.render = (
        structlog.dev.ConsoleRenderer(colors=console.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if people
        else JSON
    )
    _tee.redaction, _tee.console = Redaction(settings.secrets()), console
    structlog.configure(
        processors=[*_shared(settings), _tee],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(console),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard module; the same line shape for them.
    handler = logging.StreamHandler(console)
    handler.setFormatter(_formatter(settings, _tee.render))
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    # pika tells of each attempt to connect in seven lines; whoever asked for it is told the reason, and says it in one.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def write_lines(lines: bytes) -> None:
    """Write finished lines of JSON, as the access log does, to the console and to the sinks."""
    lines = _tee.redaction.lines(lines)
    for sink in _tee.sinks:
        for line in lines.splitlines():
            sink.take(logging.ERROR if b'"level":"error"' in line else logging.INFO, line.decode("utf-8", "replace"))
    _tee.console.buffer.write(lines)
    _tee.console.buffer.flush()


@contextmanager
def shipping(settings: Settings, role: str) -> Iterator[None]:
    """Send this process's records to CloudWatch as well, where a group is set, until the block ends.

    To be entered in the process that logs, after any fork.  At the end what waits has some seconds to arrive.
    """
    with ExitStack() as stack:
        if settings.cloudwatch_group is not None:
            # AWS's client takes half a second to import, and most processes never need it.
            from ops.logs.shipping import shipped  # noqa: PLC0415

            stack.enter_context(shipped(settings, settings.cloudwatch_group, role))
        yield


def last_words(within_s: float = LAST_WORDS_S) -> None:
    """Let what was logged arrive before a process ends without being asked to; not longer than it takes to say it."""
    for sink in _tee.sinks:
        sink.flush(within_s)


@contextmanager
def attached(settings: Settings, handler: logging.Handler, sink: Sink) -> Iterator[None]:
    """Hand every line to this sink, and every library's record to its handler, until the block ends."""
    handler.setFormatter(_formatter(settings, JSON))
    root = logging.getLogger()
    root.addHandler(handler)
    _tee.sinks = (*_tee.sinks, sink)
    try:
        yield
    finally:
        _tee.sinks = tuple(one for one in _tee.sinks if one is not sink)
        root.removeHandler(handler)


def _shared(settings: Settings) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redactor(settings.secrets()),  # after tracebacks have become text
    ]


def _formatter(settings: Settings, render: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(settings),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
    )
