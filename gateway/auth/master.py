"""The one secret that all gateways of a system share; every key is derived from it, each for one purpose.

It is not in the database: whoever has only the database can forge no token, use no API key, and open no signing key.
"""

from __future__ import annotations

import hmac
from collections import Counter
from hashlib import sha256
from math import log2

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

LENGTH_MIN = 32
BITS_MIN = 100.0  # of a text's own disorder; 32 hexadecimal digits of chance have about 110
DEFAULTS = ("changeme", "change-me", "change_me", "secret", "default", "example", "sluice", "password", "insecure")


class WeakSecret(ValueError):
    """SLUICE_SIGNING_KEY could be guessed; the text says why, without the secret."""


class Master:
    """A secret that is good enough; it is never shown."""

    __slots__ = ("_secret",)

    def __init__(self, text: str) -> None:
        """Take a text of at least 32 bytes of chance.  Raises WeakSecret."""
        check(text)
        self._secret = sha256(text.encode()).digest()

    def __repr__(self) -> str:
        """Nothing of it."""
        return "Master(…)"

    def key(self, purpose: str) -> bytes:
        """Give the 32 bytes for one purpose, the same in every process with this secret."""
        return HKDFExpand(SHA256(), 32, f"sluice {purpose}".encode()).derive(self._secret)


def keyed(key: bytes, text: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.digest(key, text, sha256)


def check(text: str) -> None:
    """Refuse what people type when they are asked for a secret, and what they paste.  Raises WeakSecret."""
    remedy = "set SLUICE_SIGNING_KEY to 32 random bytes or more, such as `openssl rand -base64 48` prints"
    if "PRIVATE KEY" in text or "BEGIN " in text:
        raise WeakSecret(f"the signing secret is a PEM file, and keys are made by Sluice itself; {remedy}")
    if len(text.encode()) < LENGTH_MIN:
        raise WeakSecret(f"the signing secret is shorter than {LENGTH_MIN} bytes; {remedy}")
    if disorder(text) < BITS_MIN:
        raise WeakSecret(f"the signing secret is not random; {remedy}")
    if any(word in text.lower() for word in DEFAULTS):
        raise WeakSecret(f"the signing secret holds a word of examples; {remedy}")


def disorder(text: str) -> float:
    """Estimate the bits in a text from how often each character stands in it; what repeats as a whole counts once."""
    once = text[: (text + text).index(text, 1)]
    return -sum(n * log2(n / len(once)) for n in Counter(once).values())
