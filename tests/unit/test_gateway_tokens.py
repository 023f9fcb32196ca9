"""What counts as an access token: exactly what was signed here, for here, and is alive."""

from __future__ import annotations

import hmac
import json
import warnings
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt import PyJWK

from gateway.auth.claims import Claims, NoToken, Parties, sign, verify
from gateway.auth.keys import public_members
from gateway.auth.lives import LIFE_S
from gateway.principal import USER_SCOPES

NOW = 1_795_000_000
PARTIES = Parties("https://sluice.test", "sluice-api")
KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
PUBLIC = PyJWK(public_members(KEY), "ES256")
KID = "the-key"
CLAIMS = Claims(
    user=str(UUID(int=7)),
    role="user",
    scopes=USER_SCOPES,
    session=str(UUID(int=8)),
    id=str(UUID(int=9)),
    issued=NOW,
    expires=NOW + LIFE_S,
)
GOOD = sign(CLAIMS, PARTIES, KID, KEY)


def key_of(kid: str) -> PyJWK | None:
    return PUBLIC if kid == KID else None


def checked(token: str, now: float = NOW) -> Claims:
    return verify(token, PARTIES, key_of, now)


def refused(token: str, now: float = NOW) -> None:
    with pytest.raises(NoToken):
        checked(token, now)


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unpart(text: str) -> Any:
    return json.loads(urlsafe_b64decode(text + "=="))


HEADER, SAID = (unpart(one) for one in GOOD.split(".")[:2])


def signed(header: object, said: object, key: ec.EllipticCurvePrivateKey = KEY) -> str:
    """Any header and any claims, with a signature that fits."""
    text = f"{part(header)}.{part(said)}"
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(SHA256())))
    return f"{text}.{part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def test_a_good_token_says_what_was_signed() -> None:
    assert checked(GOOD) == CLAIMS
    assert checked(signed(HEADER, SAID)) == CLAIMS
    assert HEADER == {"alg": "ES256", "typ": "at+jwt", "kid": KID}


@pytest.mark.parametrize(
    "alg", ["none", "NoNe", "hs256", "HS256", "HS512", "RS256", "ES384", "es256", "ES256K", "EdDSA", "", None, 5]
)
def test_case_17_another_algorithm_is_refused(alg: object) -> None:
    refused(signed({**HEADER, "alg": alg}, SAID))
    refused(f"{part({**HEADER, 'alg': alg})}.{part(SAID)}.")


@pytest.mark.parametrize("alg", ["HS256", "ES256"])
def test_case_17_the_public_key_is_no_hmac_secret(alg: str) -> None:
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = f"{part({**HEADER, 'alg': alg})}.{part(SAID)}"
    for secret in (pem, json.dumps(public_members(KEY)).encode()):
        mac = hmac.digest(secret, text.encode(), sha256)
        refused(f"{text}.{part(mac)}")
        refused(f"{text}.{part(mac + mac)}")


def test_case_17_rs256_signed_by_somebody_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refused(jwt.encode(SAID, "0" * 32, algorithm="HS256", headers={"typ": "at+jwt", "kid": KID}))


@pytest.mark.parametrize(
    "more",
    [
        {"jwk": public_members(OTHER)},
        {"jku": "http://127.0.0.1:1/keys"},
        {"x5u": "http://127.0.0.1:1/cert"},
        {"x5c": ["MA"]},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
    ids="+".join,
)
def test_case_18_a_header_with_anything_more_is_refused(more: Mapping[str, Any]) -> None:
    """Nothing in the verifier can fetch: it is handed keys, and has neither a client nor a socket."""
    refused(signed({**HEADER, **more}, SAID))
    refused(signed({**HEADER, **more}, SAID, OTHER))


@pytest.mark.parametrize(
    "kid", ["other", "../../etc/passwd", "' OR 1=1 --", "http://127.0.0.1/", "", None, 3, ["the-key"], "THE-KEY"]
)
def test_case_18_an_unknown_kid_is_refused(kid: object) -> None:
    refused(signed({**HEADER, "kid": kid}, SAID))


def test_case_18_a_token_of_another_key_is_refused() -> None:
    refused(signed(HEADER, SAID, OTHER))


TIMES: list[Any] = [
    None,
    True,
    "soon",
    str(NOW),
    NOW + 0.5,
    1e400,
    float("nan"),
    -1,
    0,
    253_402_300_799,
    10**400,
    [],
    {},
]


@pytest.mark.parametrize("value", TIMES, ids=repr)
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_case_19_times_are_whole_numbers_of_now(name: str, value: object) -> None:
    refused(signed(HEADER, {**SAID, name: value}))


def test_case_19_expired_early_and_long_lived_tokens_are_refused() -> None:
    assert checked(GOOD, NOW + LIFE_S - 0.001)
    refused(GOOD, NOW + LIFE_S)
    assert checked(GOOD, NOW - 5)  # clocks differ a little
    refused(GOOD, NOW - 6)
    refused(signed(HEADER, {**SAID, "nbf": NOW + 6}))
    refused(signed(HEADER, {**SAID, "iat": NOW + 6, "nbf": NOW + 6}))
    refused(signed(HEADER, {**SAID, "exp": NOW + LIFE_S + 1}))
    refused(signed(HEADER, {**SAID, "iat": NOW - 1}))  # longer than a quarter of an hour
    refused(signed(HEADER, {**SAID, "iat": SAID["exp"]}), NOW + LIFE_S - 1)


@pytest.mark.parametrize("name", sorted(SAID))
def test_case_19_every_claim_must_be_there_and_none_more(name: str) -> None:
    refused(signed(HEADER, without(SAID, name)))
    refused(signed(HEADER, {**SAID, name: None}))
    refused(signed(HEADER, {**SAID, name.upper(): SAID[name]}))


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://sluice.test.evil.example"},
        {"iss": "https://sluice.tes"},
        {"iss": ["https://sluice.test"]},
        {"iss": ""},
        {"aud": "another-api"},
        {"aud": ["sluice-api"]},
        {"aud": ["sluice-api", "another-api"]},
        {"aud": "sluice"},
        {"aud": ""},
    ],
    ids=str,
)
def test_case_20_another_issuer_or_audience_is_refused(change: Mapping[str, Any]) -> None:
    refused(signed(HEADER, {**SAID, **change}))


@pytest.mark.parametrize("typ", ["refresh+jwt", "JWT", "jwt", "AT+JWT", "application/at+jwt", "", None, ["at+jwt"]])
def test_case_20_another_type_is_refused(typ: object) -> None:
    refused(signed({**HEADER, "typ": typ}, SAID))
    refused(signed(without(HEADER, "typ"), SAID))


def test_case_21_a_claim_that_comes_twice_is_refused() -> None:
    said = json.dumps(SAID)
    for name in SAID:
        twice = said[:-1] + f', "{name}": {json.dumps(SAID[name])}}}'
        refused(signed(HEADER, twice.encode()))
    header = json.dumps(HEADER)
    refused(signed(header[:-1].encode() + b', "alg": "ES256"}', SAID))
    refused(signed(header[:-1].encode() + b', "k\\u0069d": "the-key"}', SAID))


@pytest.mark.parametrize(
    "spoilt",
    [
        f"{GOOD}=",
        f"{GOOD}==",
        f"{GOOD}\n",
        f"\n{GOOD}",
        f" {GOOD}",
        f"{GOOD} ",
        f"{GOOD}\x00",
        f"{GOOD}é",
        f"{GOOD}.",
        f".{GOOD}",
        f"{GOOD}.a.b",
        GOOD.replace(".", "=.", 1),
        GOOD.rsplit(".", 1)[0],
        f"{GOOD.rsplit('.', 1)[0]}.",
        "",
        ".",
        "..",
        "a.b.c",
        "." * 4000,
    ],
)
def test_case_21_another_spelling_is_refused(spoilt: str) -> None:
    refused(spoilt)


def test_case_21_json_serialisation_and_other_json_are_refused() -> None:
    head, body, signature = GOOD.split(".")
    refused(json.dumps({"payload": body, "protected": head, "signature": signature}))
    for said in ([SAID], "text", None, 5, b"", b"{", b'{"a":NaN}', b"\xff\xfe", b"[" * 2900, b'{"a":' * 700):
        refused(signed(HEADER, said))
        refused(signed(said, SAID))


@pytest.mark.parametrize(
    "change",
    [
        {"sub": "alice"},
        {"sub": f"{UUID(int=7)}\n"},
        {"sub": str(UUID(int=0xABC)).upper()},
        {"sub": UUID(int=7).hex},
        {"sub": "7" * 1000},
        {"sid": "x"},
        {"jti": ""},
        {"jti": 9},
        {"role": "root"},
        {"role": "Admin"},
        {"role": ["user"]},
        {"scope": "admin:write"},
        {"scope": "jobs:read  jobs:write"},
        {"scope": ["jobs:read"]},
        {"scope": None},
        {"scope": "everything"},
    ],
    ids=str,
)
def test_claims_of_another_form_are_refused_whoever_signed_them(change: Mapping[str, Any]) -> None:
    refused(signed(HEADER, {**SAID, **change}))


def test_case_23_what_is_long_is_refused_before_it_is_parsed() -> None:
    def no_key(_: str) -> PyJWK | None:
        raise AssertionError("the header was read")

    for token in (signed(HEADER, {**SAID, "sub": "x" * 4096}), "a" * 65_536, f"{'a' * 500_000}.b.c"):
        with pytest.raises(NoToken):
            verify(token, PARTIES, no_key, NOW)


def test_a_token_for_longer_than_a_quarter_of_an_hour_is_not_signed() -> None:
    with pytest.raises(AssertionError):
        sign(replace(CLAIMS, expires=NOW + LIFE_S + 1), PARTIES, KID, KEY)


# -- whatever else somebody may send --------------------------------------------------------------------------------

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_changed_character_is_accepted(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD) - 1))
    sign_ = data.draw(st.sampled_from(LETTERS + ".=+/ \n") | st.characters())
    changed = GOOD[:at] + sign_ + GOOD[at + 1 :]
    if changed == GOOD:
        assert checked(changed) == CLAIMS
    else:
        refused(changed)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_cut_or_longer_token_is_accepted(data: st.DataObject) -> None:
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))))
    refused(GOOD[:start] + GOOD[end:] if start != end else GOOD + data.draw(st.text(min_size=1, max_size=5)))


def same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(SAID)), value=JSON)
def test_a_changed_claim_is_never_accepted_without_a_new_signature(name: str, value: Any) -> None:
    head, body, signature = GOOD.split(".")
    changed = part({**SAID, name: value})
    if changed != body:
        refused(f"{head}.{changed}.{signature}")


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(["iss", "aud", "sub", "sid", "jti", "role", "scope", "exp", "iat", "nbf"]), value=JSON)
def test_a_changed_claim_is_refused_even_when_it_is_signed(name: str, value: Any) -> None:
    """Signed by our own key: what is checked of each claim holds by itself."""
    if name == "scope" and value == "":
        return  # a token that allows nothing
    if not same(value, SAID[name]):
        refused(signed(HEADER, {**SAID, name: value}))


@settings(max_examples=200, deadline=None)
@given(name=st.text(max_size=10) | st.sampled_from(["alg", "typ", "kid", "jwk", "jku", "crit"]), value=JSON)
def test_a_changed_header_is_refused_even_when_it_is_signed(name: str, value: Any) -> None:
    if not same(value, HEADER.get(name)):
        refused(signed({**HEADER, name: value}, SAID))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_raise_nothing_but_a_refusal(raw: bytes) -> None:
    refused(raw.decode("latin-1"))
    refused(f"{part(raw)}.{part(raw)}.{part(bytes(64))}")
    refused(f"{part(HEADER)}.{part(raw)}.{part(bytes(64))}")
    refused(signed(HEADER, raw))
