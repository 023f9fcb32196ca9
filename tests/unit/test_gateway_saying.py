"""What a client is told about a value that does not fit names what would."""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec
import pytest

from gateway.dispatching import _converted
from gateway.problems import Problem
from gateway.texts import moment


class Book(Enum):
    GLASS = "glass"
    HUMAN = "human"


class Query(msgspec.Struct, forbid_unknown_fields=True):
    book: Book | None = None
    by: Literal["hour", "day"] = "hour"
    limit: int = 5


@pytest.mark.parametrize(("given", "choices"), [({"book": "nope"}, "glass, human"), ({"by": "year"}, "day, hour")])
def test_a_wrong_choice_is_told_the_right_ones(given: dict[str, str], choices: str) -> None:
    with pytest.raises(Problem) as refused:
        _converted(given, Query)
    assert str(refused.value.detail).endswith(f": one of {choices}")


def test_what_has_no_choices_is_told_in_the_decoders_words() -> None:
    with pytest.raises(Problem) as refused:
        _converted({"limit": "many"}, Query)
    assert refused.value.detail == "Expected `int`, got `str` - at `$.limit`"


def test_a_moment_that_is_none_is_answered_with_one() -> None:
    with pytest.raises(Problem) as refused:
        moment("since", "24h")
    assert "such as 2026-11-22T12:00:00Z" in str(refused.value.detail)
