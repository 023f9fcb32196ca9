"""Celery with late acknowledgement, no results and confirms.  An entry point: it reads the environment."""

from __future__ import annotations

import os
import threading
from typing import Any

import orjson
import psycopg
from celery import Celery

from tests.benchmarks.peers import count

app = Celery("peer", broker=os.environ["BENCH_BROKER_URL"])
app.conf.update(
    task_default_queue="peer_celery",
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=12,
    worker_hijack_root_logger=False,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
)
_local = threading.local()


@app.task
def noop() -> None:
    """Do nothing."""
    count.begin()
    count.end()


@app.task
def insert(row: list[Any]) -> None:
    """Write one row and commit."""
    count.begin()
    if not hasattr(_local, "conn"):
        _local.conn = psycopg.connect(os.environ["BENCH_DATABASE_URL"], autocommit=True)
    _local.conn.execute(os.environ["BENCH_INSERT"], row)
    count.end()


def publish(task: str, many: int) -> None:
    """Send, each confirmed before the next."""
    if task == "noop":
        for _ in range(many):
            noop.delay()
        return
    with open(os.environ["BENCH_ROWS"], "rb") as rows:  # noqa: PTH123
        for line in rows:
            insert.delay(orjson.loads(line))
