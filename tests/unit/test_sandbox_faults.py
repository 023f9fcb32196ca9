"""Faults: how they are written, and that each strikes where its seed says and nowhere else."""

from __future__ import annotations

import pytest

from ops.sandbox.faults import Fault, parse_fault, reordered, repeated, struck


def test_a_probability_an_interval_and_options_are_read() -> None:
    assert parse_fault("429=0.25") == Fault("429", probability=0.25)
    assert parse_fault("nansen:cut=every 7") == Fault("cut", every=7, provider="nansen")
    assert parse_fault("slow=every 2, ms=30").option("ms") == 30


@pytest.mark.parametrize(
    "text", ["429", "418=0.1", "slow=often", "slow=1.5", "slow=0.1,volume=3", "kraken:429=0.1", "cut=every"]
)
def test_a_fault_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_fault(text)


def test_every_third_call_is_struck_and_no_other() -> None:
    fault = parse_fault("500=every 3")
    assert [call for call in range(1, 10) if fault.strikes(1, "nansen", call)] == [3, 6, 9]


def test_a_probability_strikes_about_as_often_and_the_same_calls_for_the_same_seed() -> None:
    fault = parse_fault("500=0.2")
    struck_calls = [call for call in range(2000) if fault.strikes(5, "nansen", call)]
    assert 300 < len(struck_calls) < 500
    assert struck_calls == [call for call in range(2000) if fault.strikes(5, "nansen", call)]
    assert struck_calls != [call for call in range(2000) if fault.strikes(6, "nansen", call)]


def test_only_one_fault_answers_in_place_of_the_provider() -> None:
    chosen = struck([Fault("429", every=1), Fault("500", every=1), Fault("cut", every=1)], 1, "nansen", 1)
    assert set(chosen) == {"429", "cut"}


def test_a_fault_of_one_provider_leaves_the_others_alone() -> None:
    assert not struck([Fault("429", every=1, provider="nansen")], 1, "cryptopanic", 1)


def test_reordering_loses_nothing_and_repeating_only_adds() -> None:
    rows = list(range(50))
    assert sorted(reordered(rows, 1, 9)) == rows
    assert reordered(rows, 1, 9) != rows
    assert set(repeated(rows, 1, 9)) == set(rows)
    assert len(repeated(rows[:1], 1, 9)) == 2
