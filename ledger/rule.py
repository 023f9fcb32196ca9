"""The figures of the rule by which titles tell stories, in one value: chosen on one half of labelled titles.

``python -m tests.benchmarks.choose_stories`` finds them again and reports on the other half (docs/stories.md).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """What is asked of a title by a story, and of two stories by one another."""

    join: float = 0.16
    """Cosine of a title and a story from which the title tells that story, once the story is a long one."""
    join_more: float = 0.0
    """What a story of one title asks for beyond that; one of n titles asks for the nth part."""
    silence_more: float = 0.2
    """What is asked for beyond that for each hour between a title and the story's last (or first)."""
    silence_more_max: float = 0.6
    """The most that silence asks: a day later the same words mostly tell of something else."""
    retold: float = 3.8
    """Likeness of a title to one of a story's last titles from which it is the same news, whatever the story's rest."""
    group_weight: float = 0.8
    """What a word counts that headlines use for others (``=kill``): it tells what happened, and names tell to whom."""
    merge: float = 0.22
    """Cosine of two stories, each of two titles at least, from which they are one."""
    merge_silence_s: float = 2 * 3_600
    """Stories with a longer silence between them stay two."""
    pattern: float = 0.4
    """Share of the shorter title's terms that make a pattern of two titles, when they stand in the same order.  Two
    titles of one pattern with other names and numbers in it tell two stories; above 1 nothing is a pattern."""
    names: bool = True
    """Whether a story that shares no name and no number with a title is another one, where both have some."""


RULE = Rule()
