"""What is counted by address is counted by whom the address belongs to."""

from __future__ import annotations

import resource

import pytest

from gateway.edge.files import BESIDE, room_for
from gateway.limit.limiter import address_quota
from gateway.networks import network_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not an address", "not an address"),
        ("", ""),
        ("x" * 100, "x" * 64),
    ],
)
def test_an_address_stands_for_its_network(address: str, network: str) -> None:
    assert (network_of(address), address_quota(address)) == (network, f"address:{network}")


@pytest.mark.parametrize(
    ("limits", "asked", "room", "raised"),
    [
        ((1024, 4096), 2000, 2000, 2000 + BESIDE),
        ((1024, 4096), 20_000, 4096 - BESIDE, 4096),
        ((1024, resource.RLIM_INFINITY), 20_000, 20_000, 20_000 + BESIDE),
        ((100_000, 100_000), 20_000, 20_000, None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 20_000, 20_000, None),
        ((64, 64), 20_000, 1, 64),
    ],
)
def test_connections_leave_room_for_other_files(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], asked: int, room: int, raised: int | None
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, given: told.append(given))
    assert room_for(asked) == room
    assert told == ([] if raised is None else [(raised, limits[1])])
