"""``pytest tests/chaos -s --chaos-seed N --chaos-rounds K``: K runs, with the seeds N, N + 1 and so on."""

from __future__ import annotations

import pytest

SEED = 10  # what the test command runs, without extras: a quick one


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a failed run be run again, and many seeds be tried."""
    group = parser.getgroup("chaos")
    group.addoption("--chaos-seed", type=int, default=SEED, help="seed of the first chaos run")
    group.addoption("--chaos-rounds", type=int, default=1, help="how many chaos runs, each with the next seed")
    group.addoption("--chaos-extras", type=int, default=0, help="blows beyond those that every run has")


@pytest.fixture
def chaos_extras(request: pytest.FixtureRequest) -> int:
    """How many blows a run has beyond those that every run has."""
    return int(request.config.getoption("chaos_extras", 0))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each seed."""
    if "chaos_seed" in metafunc.fixturenames:
        # A run over all tests reads this file too late for its options to be known.
        first = metafunc.config.getoption("chaos_seed", SEED)
        rounds = metafunc.config.getoption("chaos_rounds", 1)
        metafunc.parametrize("chaos_seed", range(first, first + rounds))
