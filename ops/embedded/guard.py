"""Stops the servers of an owner that died: it holds one end of a pipe, which the system closes with the owner.

Run as ``python -m ops.embedded.guard VAR`` by Stack. A line on the pipe means that the owner has stopped them itself.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from ops.embedded.stack import GUARD, Owner, Stack


def main(var: Path, *, done: bool) -> None:
    """Stop what still runs under ``var``, unless somebody else owns it by now."""
    owner = Owner(var)
    if done or not owner.take(GUARD, within_s=5.0):
        return
    try:
        stack = Stack(var)
        for server in (stack.postgres, stack.redis, stack.rabbitmq):
            server.stop()
    finally:
        owner.give_back()


if __name__ == "__main__":
    # A signal meant for the whole family must not take the one whose work begins after it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main(Path(sys.argv[1]), done=bool(sys.stdin.readline()))
