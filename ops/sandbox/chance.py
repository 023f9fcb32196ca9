"""Draws that depend on what they are for, never on the order or number of draws: the same seed is the same universe."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def draw(*parts: object) -> int:
    """Give 64 even bits for these parts."""
    return int.from_bytes(blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest(), "big")


def fraction(*parts: object) -> float:
    """Give a number from 0 up to but not including 1."""
    return (draw(*parts) >> 11) / (1 << 53)


def between(low: int, high: int, *parts: object) -> int:
    """Give a whole number from ``low`` to ``high``, both included."""
    return low + draw(*parts) % (high - low + 1)


def pick(choices: Sequence[T], *parts: object) -> T:
    """Choose one of the choices."""
    return choices[draw(*parts) % len(choices)]


def hexadecimal(length: int, *parts: object) -> str:
    """Give ``length`` hex digits (at most 128)."""
    return blake2b("\x1f".join(map(str, parts)).encode(), digest_size=64).hexdigest()[:length]


BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(length: int, *parts: object) -> str:
    """Give a text in the alphabet of Solana addresses and signatures (at most 88 characters)."""
    number = int.from_bytes(blake2b("\x1f".join(map(str, parts)).encode(), digest_size=64).digest(), "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 58)
        digits.append(BASE58[digit])
    return "".join(digits)
