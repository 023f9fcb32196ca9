"""Which tags are acknowledged when: never twice, never before their end, and all of them in the end."""

from __future__ import annotations

from random import Random

import pytest

from ops.engine.tags import Tags


def test_one_frame_speaks_for_all_up_to_the_lowest_unfinished() -> None:
    tags = Tags()
    for tag in (1, 2, 3, 4):
        tags.came(tag)
    for tag in (2, 1, 4):
        tags.ended(tag)
    assert tags.due() == 2
    assert tags.due() is None
    assert tags.behind == 1
    tags.ended(3)
    assert tags.due() == 4


def test_what_was_given_back_is_never_named_by_an_acknowledgement() -> None:
    tags = Tags()
    for tag in (1, 2, 3):
        tags.came(tag)
    tags.ended(1)
    tags.said(2)
    tags.said(3)
    assert tags.due() == 1


def test_out_of_turn_is_said_once() -> None:
    tags = Tags()
    for tag in (1, 2, 3):
        tags.came(tag)
    tags.ended(3)
    assert tags.due() is None
    assert tags.out_of_turn() == [3]
    tags.ended(1)
    tags.ended(2)
    assert tags.due() == 2
    assert tags.out_of_turn() == []


@pytest.mark.parametrize("seed", range(50))
def test_against_a_broker_that_counts(seed: int) -> None:
    rng, tags = Random(seed), Tags()
    open_, running, ended, given_back, last = set[int](), set[int](), set[int](), set[int](), 0

    def acknowledge(tag: int, *, multiple: bool) -> None:
        assert tag in open_, "the broker closes the channel"
        named = {one for one in open_ if one <= tag} if multiple else {tag}
        assert named <= ended, "acknowledged before its end"
        open_.difference_update(named)

    def flush(*, everything: bool) -> None:
        if (due := tags.due()) is not None:
            acknowledge(due, multiple=True)
        if everything:
            for tag in tags.out_of_turn():
                acknowledge(tag, multiple=False)

    for _ in range(300):
        match rng.randrange(4):
            case 0 | 1:
                last += 1
                open_.add(last)
                running.add(last)
                tags.came(last)
            case 2 if running:
                one = rng.choice(sorted(running))
                running.discard(one)
                if rng.random() < 0.1:
                    tags.said(one)
                    open_.discard(one)
                    given_back.add(one)
                else:
                    tags.ended(one)
                    ended.add(one)
            case _:
                flush(everything=rng.random() < 0.2)
    for one in sorted(running):
        tags.ended(one)
        ended.add(one)
    flush(everything=True)
    assert open_ == set()
