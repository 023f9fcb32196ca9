"""``python -m tests.benchmarks.peers.publish PEER TASK COUNT``: publish, and print the seconds that it took."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
from importlib import import_module


def main() -> None:
    """Read the command line."""
    peer, task, many = sys.argv[1], sys.argv[2], int(sys.argv[3])
    publish = import_module(f"tests.benchmarks.peers.{peer}_app").publish
    began = time.perf_counter()
    done = publish(task, many)
    if inspect.isawaitable(done):
        asyncio.run(_await(done))
    sys.stdout.write(json.dumps({"seconds": time.perf_counter() - began}) + "\n")


async def _await(done: object) -> None:
    assert inspect.isawaitable(done)
    await done


if __name__ == "__main__":
    main()
