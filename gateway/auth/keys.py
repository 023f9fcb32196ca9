"""Keys that sign tokens: published before they sign, kept while their tokens live, dropped at once when they must be.

They lie in the database, so that every gateway has the same; the private halves are sealed with the master secret.
A key's state follows from two times and nothing else: it signs from ``signs_from`` on until a newer one does, and then
verifies as long as a token that it signed can live.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm
from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.claims import ALGORITHM
from gateway.auth.lives import LEEWAY_S, LIFE_S
from gateway.auth.master import Master, WeakSecret
from gateway.auth.tables import signing_keys

State = Literal["published", "signing", "verifying", "expired", "dropped"]
OUTLIVES = timedelta(seconds=LIFE_S + 2 * LEEWAY_S)
LEAD = timedelta(hours=24)
"""How long a key is published before it signs: whoever keeps a copy of our key set has seen it by then."""
_LOCK = 0x5_1_0_1_C_F


class OtherSecret(WeakSecret):
    """The signing keys in the database were sealed with another SLUICE_SIGNING_KEY: give this gateway the same."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key; ``private`` is None where it was not asked for, or dropped."""

    kid: str
    public: dict[str, str]
    created_at: datetime
    signs_from: datetime
    dropped_at: datetime | None
    private: ec.EllipticCurvePrivateKey | None = None


class KeyRing:
    """Every key of the system as it was read; what each is good for depends on the time."""

    def __init__(self, rows: Iterable[KeyRow]) -> None:
        """Order them; build each verifier once."""
        self.rows = sorted(rows, key=lambda row: (row.signs_from, row.created_at, row.kid))
        self._rows = {row.kid: row for row in self.rows}
        self._known = {row.kid: PyJWK(row.public, ALGORITHM) for row in self.rows if row.dropped_at is None}

    def state(self, row: KeyRow, now: datetime) -> State:
        """What a key does at a time."""
        if row.dropped_at is not None:
            return "dropped"
        if row.signs_from > now:
            return "published"
        later = [one for one in self.rows if one.dropped_at is None and one.signs_from <= now]
        newer = later[later.index(row) + 1 :]
        if not newer:
            return "signing"
        return "verifying" if now < newer[0].signs_from + OUTLIVES else "expired"

    def signer(self, now: datetime) -> tuple[str, ec.EllipticCurvePrivateKey]:
        """Give the key that signs now."""
        for row in reversed(self.rows):
            if row.private is not None and self.state(row, now) == "signing":
                return row.kid, row.private
        raise LookupError("no key signs")

    def verifier(self, kid: str, now: datetime) -> PyJWK | None:
        """Give the key of this name, if its tokens hold now."""
        row = self._rows.get(kid)
        return self._known[kid] if row and self.state(row, now) in ("signing", "verifying") else None

    def key_set(self, now: datetime) -> dict[str, list[dict[str, str]]]:
        """Give the JWK set (RFC 7517): public halves of those that sign, will sign, or signed what still lives."""
        shown = [row for row in self.rows if self.state(row, now) in ("published", "signing", "verifying")]
        return {"keys": [{**row.public, "kid": row.kid, "use": "sig", "alg": ALGORITHM} for row in shown]}


async def read_keys(conn: AsyncConnection, master: Master | None, *, strict: bool = True) -> KeyRing:
    """Read every key; with the master secret also the private halves.  Raises OtherSecret, WeakSecret.

    Not ``strict``: a private half that cannot be opened is left out; what was dropped is gone all the same.
    """
    rows = (await conn.execute(select(signing_keys))).all()
    return KeyRing(
        KeyRow(
            kid=row.kid,
            public=row.public,
            created_at=row.created_at,
            signs_from=row.signs_from,
            dropped_at=row.dropped_at,
            private=_private(row, master, strict=strict) if master and row.dropped_at is None else None,
        )
        for row in rows
    )


async def first_key(conn: AsyncConnection, master: Master, now: datetime) -> KeyRing:
    """Read every key; make one that signs at once where none does.  Of several that start at once, one makes it."""
    await conn.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    ring = await read_keys(conn, master)
    if not any(ring.state(row, now) == "signing" for row in ring.rows):
        await add_key(conn, master, now=now, signs_from=now)
        ring = await read_keys(conn, master)
    return ring


async def add_key(conn: AsyncConnection, master: Master, *, now: datetime, signs_from: datetime) -> str:
    """Make a key and publish it; give its kid."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = public_members(private)
    kid = thumbprint(public)
    await conn.execute(
        signing_keys.insert(),
        {
            "kid": kid,
            "public": public,
            "sealed": _sealed(master, kid, private),
            "created_at": now,
            "signs_from": signs_from,
        },
    )
    return kid


async def drop_key(conn: AsyncConnection, kid: str, now: datetime) -> bool:
    """Forget a key at once, with its private half: none of its tokens holds.  False where there is no such key."""
    query = signing_keys.update().where(signing_keys.c.kid == kid, signing_keys.c.dropped_at.is_(None))
    return (await conn.execute(query.values(dropped_at=now, sealed=None))).rowcount == 1


def public_members(private: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """Give kty, crv, x and y."""
    members = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {name: str(members[name]) for name in ("kty", "crv", "x", "y")}


def checked(key: object) -> ec.EllipticCurvePrivateKey:
    """Give a private key if it is of the one kind that signs here: ECDSA on P-256.  Raises WeakSecret."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise WeakSecret(f"a signing key is {type(key).__name__}, and only ECDSA keys on P-256 sign here; drop it")


def _sealed(master: Master, kid: str, private: ec.EllipticCurvePrivateKey) -> bytes:
    raw = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    nonce = os.urandom(12)
    return nonce + AESGCM(master.key("signing keys")).encrypt(nonce, raw, kid.encode())


def _private(row: Row[Any], master: Master, *, strict: bool) -> ec.EllipticCurvePrivateKey | None:
    try:
        return _opened(master, row.kid, row.sealed)
    except WeakSecret:
        if strict:
            raise
        return None


def _opened(master: Master, kid: str, sealed: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        raw = AESGCM(master.key("signing keys")).decrypt(sealed[:12], sealed[12:], kid.encode())
    except InvalidTag:
        raise OtherSecret(OtherSecret.__doc__) from None
    return checked(load_der_private_key(raw, password=None))


def thumbprint(public: dict[str, str]) -> str:
    """Name a key by what it is (RFC 7638)."""
    digest = sha256(orjson.dumps(public, option=orjson.OPT_SORT_KEYS)).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def described(ring: KeyRing, now: datetime) -> Sequence[tuple[KeyRow, State]]:
    """Give every key with its state, the newest first."""
    return [(row, ring.state(row, now)) for row in reversed(ring.rows)]
