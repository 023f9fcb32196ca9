"""Whom an address belongs to, wherever something is counted by address: connections, calls, wrong passwords."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

CHARS_MAX = 64


@lru_cache(maxsize=10_000)
def network_of(address: str) -> str:
    """Give the address itself, or for IPv6 its network of 64 bits, any address of which one customer may take."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:CHARS_MAX]
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"
