"""``pytest tests/chaos -s --chaos-seed N --chaos-rounds K``: K runs, with the seeds N, N + 1 and so on."""

from __future__ import annotations

import pytest

SEED = 1  # what the test command runs


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a failed run be run again, and many seeds be tried."""
    group = parser.getgroup("chaos")
    group.addoption("--chaos-seed", type=int, default=SEED, help="seed of the first chaos run")
    group.addoption("--chaos-rounds", type=int, default=1, help="how many chaos runs, each with the next seed")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each seed."""
    if "chaos_seed" in metafunc.fixturenames:
        # A run over all tests reads this file too late for its options to be known.
        first = metafunc.config.getoption("chaos_seed", SEED)
        rounds = metafunc.config.getoption("chaos_rounds", 1)
        metafunc.parametrize("chaos_seed", range(first, first + rounds))
