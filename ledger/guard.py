"""What keeps two alike titles apart: other names and other numbers.  Pure.

Headlines are written after patterns ("A drained of $7 million in bridge exploit"), and the words of the pattern are
alike whoever A is.  Where the same words in the same order are filled with something else in two places, or with a name
and nothing else where another name stands, the news is another; and so it is where a title names somebody and something
is counted, and the story knows neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence, Set
from itertools import product

from ledger.likeness import DAYS

NAME = "^"
"""Stands before a term that is a name for sure: written with a capital where other words are not (``^wexbrook``)."""
FILLINGS_MIN = 2
"""So many places filled otherwise make another story of the same pattern: one may be a correction, or a later count.
A name for a name counts as many."""
PATTERN_MIN = 2


def plain(terms: Sequence[str]) -> tuple[str, ...]:
    """Give terms without the marks of names."""
    return tuple([term[1:] if term[0] == NAME else term for term in terms])


def names(terms: Collection[str]) -> frozenset[str]:
    """Give the terms that are marked as names, without the mark."""
    return frozenset([term[1:] for term in terms if term[0] == NAME])


def knows_neither(title: Sequence[str], told: Collection[str]) -> bool:
    """Tell whether a title has names and numbers, of which a story's terms hold none, while they hold other numbers.

    ``title`` is marked, ``told`` is plain.
    """
    named = names(title)
    if not named or any(name in told for name in named):
        return False
    numbers = [term for term in title if term[0].isdigit()]
    return bool(numbers) and not any(n in told for n in numbers) and any(term[0].isdigit() for term in told)


def name_others(one: Collection[str], other: Collection[str]) -> bool:
    """Tell whether both name somebody and nobody of the one is told of in the other; the terms are marked."""
    its, theirs = names(one), names(other)
    if not its or not theirs:
        return False
    return its.isdisjoint(plain([*other])) and theirs.isdisjoint(plain([*one]))


def filled_otherwise(one: Sequence[str], other: Sequence[str], share: float) -> bool:
    """Tell whether two marked titles are one pattern with other names, numbers, places or days in it.

    ``share`` is the part of the shorter title that the pattern must be.
    """
    a, b = plain(one), plain(other)
    alone_a, alone_b = set(a) - set(b), set(b) - set(a)
    enough = max(PATTERN_MIN, share * min(len(a), len(b)))
    if len(set(a)) - len(alone_a) < enough or not alone_a or not alone_b:
        return False
    named = names(one), names(other)
    if not _fillings(alone_a, alone_b, *named)[0]:
        return False
    common, gaps = _aligned(a, b)
    if common < enough:
        return False
    filled = [_fillings(alone_a.intersection(x), alone_b.intersection(y), *named) for x, y in gaps]
    sure, loose = map(sum, zip(*filled, strict=True))
    return sure > 0 and sure + loose >= FILLINGS_MIN


def parted(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]], share: float) -> bool:
    """Tell whether two stories' last titles, marked, are of one pattern that is filled otherwise, or name others."""
    if name_others({term for title in one for term in title}, {term for title in other for term in title}):
        return True
    return any(filled_otherwise(a, b, share) for a, b in product(one, other))


def _fillings(one: Set[str], other: Set[str], names_one: Set[str], names_other: Set[str]) -> tuple[int, int]:
    """Count what fills the same place of a pattern otherwise: what is so for sure, and words that may be names."""
    if one and other and one <= names_one and other <= names_other:
        return FILLINGS_MIN, 0
    kinds = set(map(_kind, one)), set(map(_kind, other))
    sure = len((kinds[0] & kinds[1]) - {"word", "group"})
    if any(term in names_one for term in one) and any(term in names_other for term in other):
        return sure + 1, 0
    return sure, int(not sure and "word" in kinds[0] and "word" in kinds[1])


def _kind(term: str) -> str:
    if term[0].isdigit():
        return "number"
    if term in DAYS:
        return "day"
    return {"@": "place", "=": "group"}.get(term[0], "word")


def _aligned(one: Sequence[str], other: Sequence[str]) -> tuple[int, Sequence[tuple[Sequence[str], Sequence[str]]]]:
    """Find the longest row of terms common to both; give its length, and what stands in each gap of it."""
    rows = [[0] * (len(other) + 1)]
    for x in reversed(one):
        row, below = [0], rows[-1]
        for n, y in enumerate(reversed(other)):
            row.append(below[n] + 1 if x == y else max(row[-1], below[n + 1]))
        rows.append(row)
    return rows[-1][-1], [*_gaps(one, other, rows)]


def _gaps(
    one: Sequence[str], other: Sequence[str], rows: Sequence[Sequence[int]]
) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    i = j = start_i = start_j = 0
    while i < len(one) and j < len(other):
        above, aside = rows[len(one) - i - 1][len(other) - j], rows[len(one) - i][len(other) - j - 1]
        if one[i] == other[j]:
            yield one[start_i:i], other[start_j:j]
            i, j = i + 1, j + 1
            start_i, start_j = i, j
        elif above >= aside:
            i += 1
        else:
            j += 1
    yield one[start_i:], other[start_j:]
