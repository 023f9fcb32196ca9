"""Access tokens, pure: what one says, how it is signed, and everything a text must be to count as one.

JWT (RFC 7519) as RFC 9068 profiles it and RFC 8725 wants it checked: one algorithm, one type, one issuer, one audience,
exactly these header fields and exactly these claims.  Whatever differs is refused, whatever its signature says.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from gateway.auth.lives import LEEWAY_S, LIFE_S
from gateway.principal import SCOPES, Role

ALGORITHM, TYPE = "ES256", "at+jwt"
TOKEN_CHARS_MAX = 4000
_HEADER = frozenset({"alg", "typ", "kid"})
_CLAIMS = frozenset({"iss", "aud", "sub", "exp", "iat", "nbf", "jti", "scope", "role", "sid"})
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,500}\.[A-Za-z0-9_-]{1,4000}\.[A-Za-z0-9_-]{86}", re.ASCII)


class NoToken(Exception):
    """This text is not a token that holds.  Why is for the log only: the sender is told nothing more."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says; times in whole seconds since 1970."""

    user: str
    role: Role
    scopes: frozenset[str]
    session: str
    id: str
    issued: int
    expires: int


@dataclass(frozen=True, slots=True)
class Parties:
    """Who gives tokens, and for whom they are."""

    issuer: str = "sluice"
    audience: str = "sluice-api"


def sign(claims: Claims, parties: Parties, kid: str, key: EllipticCurvePrivateKey) -> str:
    """Write a token.  The claims must not live longer than a quarter of an hour."""
    assert 0 < claims.expires - claims.issued <= LIFE_S, "access tokens are short-lived"
    said = {
        "iss": parties.issuer,
        "aud": parties.audience,
        "sub": claims.user,
        "exp": claims.expires,
        "iat": claims.issued,
        "nbf": claims.issued,
        "jti": claims.id,
        "scope": " ".join(sorted(claims.scopes)),
        "role": claims.role,
        "sid": claims.session,
    }
    return jwt.encode(said, key, algorithm=ALGORITHM, headers={"typ": TYPE, "kid": kid})


def verify(token: str, parties: Parties, key_of: Callable[[str], PyJWK | None], now: float) -> Claims:
    """Give what a token says, if it holds at ``now``.  Raises NoToken, and nothing else, whatever the text is."""
    # What is long is not even looked at; what fits the pattern has three parts of base64url and no other sign.
    if len(token) > TOKEN_CHARS_MAX or not _TOKEN.fullmatch(token):
        raise NoToken("not three parts of base64url")
    head, body, signature = token.split(".")
    _canonical(signature)
    key = key_of(_kid(_object(head)))
    if key is None:
        raise NoToken("unknown key")
    said = _object(body)
    try:
        jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=parties.audience,
            issuer=parties.issuer,
            options={
                "require": sorted(_CLAIMS),
                "strict_aud": True,
                # Times are checked below, by the clock that was passed.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except (PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise NoToken(type(error).__name__) from None
    return _claims(said, now)


def _kid(header: Mapping[str, Any]) -> str:
    # jwk, jku, x5u, x5c, crit, zip, b64: a header with anything more is not one of ours.
    if header.keys() != _HEADER or header["alg"] != ALGORITHM or header["typ"] != TYPE:
        raise NoToken("another header")
    kid = header["kid"]
    if not isinstance(kid, str):
        raise NoToken("no kid")
    return kid


def _claims(said: Mapping[str, Any], now: float) -> Claims:
    if said.keys() != _CLAIMS:
        raise NoToken("other claims")
    issued, expires = _times(said, now)
    role = said["role"]
    if role not in get_args(Role):
        raise NoToken("another role")
    scope = said["scope"]
    scopes = frozenset(scope.split(" ")) if isinstance(scope, str) and scope else frozenset[str]()
    if not isinstance(scope, str) or not scopes <= SCOPES[cast(Role, role)]:
        raise NoToken("more than the role allows")
    return Claims(
        user=_uuid(said["sub"]),
        role=cast(Role, role),
        scopes=scopes,
        session=_uuid(said["sid"]),
        id=_uuid(said["jti"]),
        issued=issued,
        expires=expires,
    )


def _times(said: Mapping[str, Any], now: float) -> tuple[int, int]:
    # A whole number and nothing else: not text, not 1e400, not NaN, not true.
    exp, iat, nbf = (said[name] for name in ("exp", "iat", "nbf"))
    if not (type(exp) is int and type(iat) is int and type(nbf) is int):
        raise NoToken("times are whole numbers")
    if not (nbf == iat and 0 < exp - iat <= LIFE_S and now < exp and iat <= now + LEEWAY_S):
        raise NoToken("not now")
    return iat, exp


def _uuid(text: object) -> str:
    try:
        if isinstance(text, str) and str(UUID(text)) == text:
            return text
    except ValueError:
        pass
    raise NoToken("no id")


def _object(part: str) -> dict[str, Any]:
    try:
        said = json.loads(
            _canonical(part).decode("utf-8", "strict"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise NoToken("not JSON") from None
    if type(said) is not dict:
        raise NoToken("not an object")
    return said


def _canonical(part: str) -> bytes:
    """Decode base64url without padding; each value has one spelling, so that a changed character is a changed token."""
    try:
        raw = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise NoToken("not base64url") from None
    if urlsafe_b64encode(raw).rstrip(b"=") != part.encode():
        raise NoToken("another spelling")
    return raw


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name comes twice")
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
