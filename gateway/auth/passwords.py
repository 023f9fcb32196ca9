"""Passwords: what is accepted, and how it is kept (Argon2id, off the event loop, so many at once and no more)."""

from __future__ import annotations

import asyncio
import os
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from gateway.auth.commonest import WORDS
from gateway.problems import Problem

SHORTEST, LONGEST = 8, 128
OWN_CHARS_MIN = 5
"""What must be left of a password without its words that everybody guesses first."""
PASSES, KIB, LANES = 2, 19 * 1024, 1
"""OWASP's minimum for Argon2id; about 30 ms.  Where it is raised, old hashes follow at the next login."""
WAITING_MAX = 64
_LEET = str.maketrans("@4301!$57", "aaeoiisst")
_RUNS = ("abcdefghijklmnopqrstuvwxyz", "0123456789", "qwertyuiop", "asdfghjkl", "zxcvbnm")
R = TypeVar("R")


def refusal(password: str, context: Iterable[str]) -> str | None:
    """Say why a password is not taken, or None.  ``context`` are words that belong to its user."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"a password has {SHORTEST} to {LONGEST} characters"
    if any(unicodedata.category(sign) == "Cs" for sign in password):
        return "a password is text that can be written down"
    words = {word.casefold() for word in context if len(word) >= 3} | {"sluice"} | WORDS
    if len(_own(password.casefold(), words)) < OWN_CHARS_MIN:
        return "a password needs more than common words, names and rows of keys"
    return None


def _own(text: str, words: Iterable[str]) -> str:
    """Leave out common words, also where they are written with digits, and all but the first of what repeats."""
    left = []
    for folded in (text, text.translate(_LEET)):
        for word in sorted(words, key=len, reverse=True):
            folded = folded.replace(word, "")  # noqa: PLW2901  longest first, from what the longer ones left
        left.append(_unrepeated(folded))
    return min(left, key=len)


def _unrepeated(text: str) -> str:
    """Drop each character that was foreseen: the same as one of the three before, or the next in a row of keys."""
    kept = []
    for at, sign in enumerate(text):
        before = text[max(0, at - 3) : at]
        row = before[-1:] + sign
        if sign in before or (at and any(row in run or row in run[::-1] for run in _RUNS)):
            continue
        kept.append(sign)
    return "".join(kept)


def half(processes: int = 1) -> int:
    """How many threads are half of the machine, shared by so many processes; one at least."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2 // processes)


@dataclass(slots=True)
class Passwords:
    """Hashes and verifies on threads of its own; at most half of the machine, so that a login starves nobody.

    When ``WAITING_MAX`` are waiting, further ones are refused with ``unavailable``.
    """

    hasher: PasswordHasher = field(default_factory=lambda: PasswordHasher(PASSES, KIB, LANES))
    threads: int = field(default_factory=half)
    verified: int = 0
    _pool: ThreadPoolExecutor = field(init=False)
    _nobody: str = field(init=False)
    _waiting: int = 0

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="password")
        self._nobody = self.hasher.hash(os.urandom(16).hex())

    def close(self) -> None:
        """End the threads, when their work is done."""
        self._pool.shutdown()

    async def hash(self, password: str) -> str:
        """Give what is kept of a password: ``$argon2id$…``."""
        return await self._off(lambda: self.hasher.hash(password))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether it is the password.  Where none is kept, it takes as long to say no."""
        self.verified += 1
        matches = await self._off(lambda: self._matches(kept or self._nobody, password))
        return matches and kept is not None

    def outdated(self, kept: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self.hasher.check_needs_rehash(kept)

    def _matches(self, kept: str, password: str) -> bool:
        try:
            return self.hasher.verify(kept, password)
        except (Argon2Error, InvalidHashError, UnicodeEncodeError):
            return False

    async def _off(self, work: Callable[[], R]) -> R:
        if self._waiting >= WAITING_MAX:
            raise Problem("unavailable", "too many are logging in right now", headers={"Retry-After": "2"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
