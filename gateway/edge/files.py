"""How many files this process may have open, of which each connection is one."""

from __future__ import annotations

import resource

BESIDE = 256
"""Files that are no connections: those of the stores, logs, listeners."""


def room_for(connections: int) -> int:
    """Say for how many connections there is room, up to so many, once the soft limit was raised as far as it may be.

    A gateway that took more would fail at the next question to a store, or at accepting anybody at all.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + BESIDE
    if soft < wanted and soft != resource.RLIM_INFINITY:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft - BESIDE))
