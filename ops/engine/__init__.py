"""Engines for Dramatiq's actors: what takes messages off the queues and runs them (``docs/engine.md``)."""

from ops.engine.asynchronous import AsyncWorker
from ops.engine.loop import LoopWorker

__all__ = ["AsyncWorker", "LoopWorker"]
