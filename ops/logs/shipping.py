"""Ship what a process logs to CloudWatch Logs while it runs, where a group is set."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import structlog
from botocore.config import Config

from ops.log import attached
from ops.logs.handler import BoundedHandler, Bounds, Told
from ops.logs.losses import REASONS, Loss
from ops.metrics.drops import log_dropped
from ops.settings import Settings

log = structlog.get_logger(__name__)

CONNECT_S, READ_S = 2.0, 5.0


@contextmanager
def shipped(settings: Settings, group: str, role: str, bounds: Bounds | None = None) -> Iterator[BoundedHandler]:
    """Ship this process's records to ``group`` until the block ends, under ``role/machine/process``.

    Nothing is asked of AWS here, so a dead endpoint or missing credentials stop no start: stderr has every record.
    """
    handler = BoundedHandler(
        group,
        lambda: f"{role}/{socket.gethostname()}/{os.getpid()}".translate(_NOT_IN_STREAM_NAMES),
        client,
        bounds=bounds,
        told=Told(count=log_dropped, failing=_failing, lost=_lost),
    )
    for reason in REASONS:
        log_dropped(reason, 0)  # so that the first drop is seen as growth
    handler.start()
    try:
        with attached(settings, handler, handler):
            yield handler
    finally:
        handler.close()


def client() -> Any:
    """Make a client that tries once and soon gives up: when to try again is the handler's to say."""
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=1,
    )
    return boto3.session.Session().client("logs", config=config)


_NOT_IN_STREAM_NAMES = str.maketrans(":*", "--")


def _failing(error: Exception) -> None:
    log.warning("log_shipping_fails", error=f"{type(error).__name__}: {error}"[:500])


def _lost(loss: Loss) -> None:
    log.warning(
        "log_records_dropped",
        records=loss.records,
        by_reason=loss.by_reason,
        since=loss.since.isoformat(timespec="milliseconds"),
        until=loss.until.isoformat(timespec="milliseconds"),
    )
