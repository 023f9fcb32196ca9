"""Who did it, in which request, from where: what the record of a deed says of its origin."""

from __future__ import annotations

from gateway.auth.audit import ANYBODY, Origin
from gateway.call import Call


def origin(call: Call) -> Origin:
    """Give the origin of a call."""
    return Origin(call.asker.user if call.asker else ANYBODY, call.request_id, call.address)
