"""NewsCatcher's query language, as far as a sandbox needs it: AND OR NOT, + -, "phrases", word*, parentheses.  Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

Matches = Callable[[str], bool]
FORBIDDEN = frozenset("[]/\\:^")
_TOKENS = re.compile(r'"[^"]*"|\(|\)|[^\s()"]+')
_AND, _OR, _NOT = "AND", "OR", "NOT"


class InvalidQuery(ValueError):
    """The query breaks a rule of the language."""


@lru_cache(maxsize=512)
def compiled(query: str) -> Matches:
    """Turn a query into a test of a text in lower case; between bare words stands AND."""
    if bad := FORBIDDEN & set(query):
        raise InvalidQuery(f"Invalid query: forbidden character {min(bad)}")
    tokens = _TOKENS.findall(query)
    if not tokens:
        raise InvalidQuery("Invalid query: it is empty")
    test, rest = _any_of(tokens)
    if rest:
        raise InvalidQuery("Invalid query: unbalanced parentheses")
    return test


def _any_of(tokens: list[str]) -> tuple[Matches, list[str]]:
    tests = []
    test, rest = _all_of(tokens)
    tests.append(test)
    while rest and rest[0] == _OR:
        test, rest = _all_of(rest[1:])
        tests.append(test)
    return (lambda text: any(test(text) for test in tests)), rest


def _all_of(tokens: list[str]) -> tuple[Matches, list[str]]:
    tests, rest = [], tokens
    while rest and rest[0] not in {_OR, ")"}:
        if rest[0] == _AND:
            rest = rest[1:]
            continue
        test, rest = _one(rest)
        tests.append(test)
    if not tests:
        raise InvalidQuery("Invalid query: an operator stands alone")
    return (lambda text: all(test(text) for test in tests)), rest


def _one(tokens: list[str]) -> tuple[Matches, list[str]]:
    head, rest = tokens[0], tokens[1:]
    if head == _NOT:
        if not rest:
            raise InvalidQuery("Invalid query: NOT stands alone")
        test, rest = _one(rest)
        return (lambda text: not test(text)), rest
    if head == "(":
        test, rest = _any_of(rest)
        if not rest or rest[0] != ")":
            raise InvalidQuery("Invalid query: unbalanced parentheses")
        return test, rest[1:]
    if head.startswith("-") and len(head) > 1:
        test = _word(head[1:])
        return (lambda text: not test(text)), rest
    return _word(head.lstrip("+")), rest


def _word(token: str) -> Matches:
    if token.startswith("*"):
        raise InvalidQuery("Invalid query: * cannot come first")
    wanted = token.strip('"').casefold()
    end = "" if wanted.endswith("*") else r"(?!\w)"
    pattern = re.compile(rf"(?<!\w){re.escape(wanted.rstrip('*'))}{end}")
    return lambda text: pattern.search(text) is not None
