"""Passwords, the shared secret, signing keys through their lives, and what was verified a moment ago."""

from __future__ import annotations

import ast
import asyncio
import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import active_count
from uuid import UUID

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth import lives, seen
from gateway.auth.keys import KeyRing, KeyRow, checked, public_members, thumbprint
from gateway.auth.master import Master, WeakSecret
from gateway.auth.passwords import WAITING_MAX, Passwords, half, refusal
from gateway.auth.seen import Revoked, SeenTokens
from gateway.principal import SCOPES, USER_SCOPES, Principal
from gateway.problems import Problem
from ops.settings import GatewaySettings, Secret, Settings
from ops.signing import FILE, master_of

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SOURCES = Path(__file__).parents[2] / "gateway"

# -- passwords ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    with closing(Passwords(CHEAP, threads=1)) as made:
        yield made


TAKEN = [
    "gravel orchid 71",
    "пароль и мир на века",
    "密码是很长的句子",
    "   x  y  z q w  ",
    "☂☀☁☃☄★☆☎",
    "k3VfT9xq",
    ("gravel orchid 71 tuba " * 6)[:128],
]


@pytest.mark.parametrize("password", TAKEN)
async def test_case_36_any_characters_are_taken_exactly_as_they_are(passwords: Passwords, password: str) -> None:
    assert refusal(password, ["alice"]) is None
    kept = await passwords.hash(password)
    assert await passwords.verify(kept, password)
    for other in (password.strip(), password + " ", password[:-1], password.upper(), password.lower()):
        if other != password:
            assert not await passwords.verify(kept, other)


@pytest.mark.parametrize("length", [7, 129])
def test_case_36_shorter_and_longer_ones_are_refused(length: int) -> None:
    assert refusal(("gravel orchid " * 20)[:length], []) is not None
    assert refusal(("gravel orchid " * 20)[:8], []) is None


@pytest.mark.parametrize(
    "password",
    [
        *("password", "Password1", "P@ssw0rd!", "12345678", "87654321", "qwertyuiop", "aaaaaaaa", "abababab"),
        *("iloveyou2026", "letmein123", "Bitcoin2026!", "sluice2026!", "SLUICE-sluice", "summer2026", "1q2w3e4r"),
        *("alice-alice-1", "Alice12345", "4lice!!!!", "wonderland7", "football99", "        ", "\ud800" * 8),
    ],
)
def test_case_36_common_words_and_the_users_own_are_refused(password: str) -> None:
    assert refusal(password, ["alice", "wonderland"]) is not None


async def test_case_36_what_is_kept_is_argon2id_of_at_least_the_floor() -> None:
    with closing(Passwords(threads=1)) as usual:
        kept = await usual.hash("gravel orchid 71")
    assert kept.startswith("$argon2id$")
    used = extract_parameters(kept)
    assert used.type is Type.ID
    assert (used.memory_cost >= 19 * 1024, used.time_cost >= 2, used.parallelism >= 1) == (True, True, True)
    assert "gravel" not in kept


def test_case_36_a_hash_of_other_parameters_is_outdated(passwords: Passwords) -> None:
    assert not passwords.outdated(CHEAP.hash("x"))
    assert passwords.outdated(PasswordHasher(time_cost=1, memory_cost=32, parallelism=1).hash("x"))


async def test_hashing_leaves_half_of_the_machine_and_the_loop_alone(passwords: Passwords) -> None:
    assert half() <= max(1, (os.cpu_count() or 1) // 2)
    assert half(1000) == 1
    before = active_count()
    answers = await asyncio.gather(*(passwords.verify(None, "x") for _ in range(WAITING_MAX)))
    assert answers == [False] * WAITING_MAX
    assert active_count() <= before + 1


async def test_more_than_may_wait_are_told_to_come_again(passwords: Passwords) -> None:
    answers = await asyncio.gather(
        *(passwords.verify(None, "x") for _ in range(WAITING_MAX + 3)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, Problem)]
    assert [(one.code, "Retry-After" in one.headers) for one in refused] == [("unavailable", True)] * 3


async def test_case_33_where_no_password_is_kept_one_is_verified_all_the_same(passwords: Passwords) -> None:
    assert not await passwords.verify(None, "anything")
    assert not await passwords.verify("not a hash", "anything")
    assert not await passwords.verify(CHEAP.hash("x"), "\ud800")


# -- the shared secret -------------------------------------------------------------------------------------------------

GOOD = "q7V0mXo2Zr-9cTnJ4yKdW1sGhB6uPeLa8f"
RSA_PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIBOgIBAAJBAK\n"


@pytest.mark.parametrize(
    "weak",
    [
        *("", "short", "changeme", "x" * 31, "x" * 64, "0123456789abcdef" * 4, "password" * 8),
        *("changeme-" + GOOD, GOOD + "-secret", RSA_PEM, RSA_PEM + GOOD * 20),
    ],
)
def test_case_32_a_secret_that_could_be_guessed_ends_the_start(weak: str) -> None:
    with pytest.raises(WeakSecret) as refused:
        Master(weak)
    assert "openssl rand" in str(refused.value)
    assert len(weak) < 8 or weak not in str(refused.value)
    if weak:
        with pytest.raises(WeakSecret):
            master_of(Settings(gateway=GatewaySettings(signing_key=Secret(weak))))


@given(st.binary(min_size=32, max_size=64))
def test_random_bytes_are_a_good_secret_in_hexadecimal_and_in_base64(raw: bytes) -> None:
    if len(set(raw)) > 24:
        assert Master(raw.hex()).key("a") != Master(b64encode(raw).decode()).key("a")


def test_keys_for_different_purposes_are_different_and_the_same_everywhere() -> None:
    assert Master(GOOD).key("a") == Master(GOOD).key("a") != Master(GOOD).key("b")
    assert len(Master(GOOD).key("a")) == 32


def test_without_a_setting_the_first_start_makes_a_secret_that_only_its_user_reads(tmp_path: Path) -> None:
    settings = Settings(var=tmp_path / "var")
    first = master_of(settings)
    path = settings.var / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in settings.var.iterdir()] == [FILE]
    assert master_of(settings).key("a") == first.key("a")
    path.chmod(0o644)
    with pytest.raises(WeakSecret, match="chmod 600"):
        master_of(settings)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=1024),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        b"an hmac secret of more than 32 bytes, really",
    ],
    ids=lambda key: type(key).__name__,
)
def test_case_32_only_one_kind_of_key_signs(key: object) -> None:
    """RSA of any size, other curves and HMAC secrets are refused alike: one key, one algorithm."""
    with pytest.raises(WeakSecret):
        checked(key)


# -- signing keys ------------------------------------------------------------------------------------------------------


def row(name: int, signs_from: datetime, *, dropped: bool = False) -> KeyRow:
    private = ec.generate_private_key(ec.SECP256R1())
    public = public_members(private)
    return KeyRow(f"{name}-{thumbprint(public)}", public, NOW, signs_from, NOW if dropped else None, private)


def test_case_31_a_key_goes_from_published_to_expired_by_the_clock_alone() -> None:
    old, new = row(1, NOW), row(2, NOW + timedelta(hours=24))
    ring = KeyRing([new, old])
    life = timedelta(seconds=lives.LIFE_S)
    table = [
        (timedelta(0), "signing", "published"),
        (timedelta(hours=24) - timedelta(seconds=1), "signing", "published"),
        (timedelta(hours=24), "verifying", "signing"),
        (timedelta(hours=24) + life, "verifying", "signing"),
        (timedelta(hours=24) + life + timedelta(seconds=10), "expired", "signing"),
    ]
    for after, *states in table:
        assert [ring.state(one, NOW + after) for one in (old, new)] == states, after
        signs = old if states[0] == "signing" else new
        assert ring.signer(NOW + after) == (signs.kid, signs.private)
        assert (ring.verifier(old.kid, NOW + after) is None) == (states[0] == "expired")
        shown = [key["kid"] for key in ring.key_set(NOW + after)["keys"]]
        assert shown == [one.kid for one, state in zip((old, new), states, strict=True) if state != "expired"]


def test_a_dropped_key_signs_and_verifies_nothing() -> None:
    good, dropped = row(1, NOW), row(2, NOW + timedelta(seconds=1), dropped=True)
    ring = KeyRing([good, dropped])
    later = NOW + timedelta(seconds=2)
    assert ring.signer(later)[0] == good.kid
    assert ring.verifier(dropped.kid, later) is None
    assert [key["kid"] for key in ring.key_set(later)["keys"]] == [good.kid]
    with pytest.raises(LookupError):
        KeyRing([dropped]).signer(later)


# -- what was verified a moment ago ------------------------------------------------------------------------------------

ALICE = Principal(str(UUID(int=1)), "user", USER_SCOPES, str(UUID(int=2)), str(UUID(int=3)))
ADMIN = Principal(str(UUID(int=4)), "admin", SCOPES["admin"], str(UUID(int=5)), str(UUID(int=6)))


class Hands:
    """Two clocks."""

    def __init__(self) -> None:
        self.wall, self.monotonic = 1000.0, 0.0


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def tokens(hands: Hands) -> SeenTokens:
    return SeenTokens(Revoked(), wall=lambda: hands.wall, clock=lambda: hands.monotonic)


def remember(tokens: SeenTokens, text: str = "Bearer a", principal: Principal = ALICE, expires: float = 1900.0) -> None:
    tokens.remember(text, principal, issued=1000.0, expires=expires)


def test_a_seen_token_is_known_for_a_minute_and_never_beyond_its_end(tokens: SeenTokens, hands: Hands) -> None:
    remember(tokens)
    remember(tokens, "Bearer short", expires=1010.0)
    hands.monotonic, hands.wall = 59.9, 1009.9
    assert tokens.known("Bearer a") is ALICE
    assert tokens.known("Bearer short") is ALICE
    hands.wall = 1010.0
    assert tokens.known("Bearer short") is None
    hands.monotonic = 60.0
    assert tokens.known("Bearer a") is None
    assert not tokens.entries


@pytest.mark.parametrize("text", ["", "Bearer b", "bearer a", "Bearer a ", "Bearer é", "Bearer \ud800"])
def test_another_text_is_unknown(tokens: SeenTokens, text: str) -> None:
    remember(tokens)
    assert tokens.known(text) is None


@pytest.mark.parametrize("dead", [ALICE.credential, ALICE.session])
def test_case_25_a_revoked_credential_or_session_is_known_no_more(tokens: SeenTokens, dead: str) -> None:
    remember(tokens)
    tokens.revoked.credentials[dead] = 2000.0
    assert tokens.known("Bearer a") is None


def test_case_26_what_was_issued_before_the_epoch_is_known_no_more(tokens: SeenTokens) -> None:
    remember(tokens)
    tokens.revoked.epochs[ALICE.user] = (1000, 2000.0)
    assert tokens.known("Bearer a") is ALICE
    tokens.revoked.epochs[ALICE.user] = (1001, 2000.0)
    assert tokens.known("Bearer a") is None


def test_case_15_the_role_of_today_counts_and_gives_no_scope(tokens: SeenTokens) -> None:
    remember(tokens)
    remember(tokens, "Bearer admin", ADMIN)
    tokens.revoked.roles.update({ADMIN.user: (1, "user", 2000.0), ALICE.user: (2, "admin", 2000.0)})
    lowered, raised = tokens.known("Bearer admin"), tokens.known("Bearer a")
    assert lowered is not None
    assert raised is not None
    assert (lowered.role, lowered.scopes) == ("user", USER_SCOPES)
    assert (raised.role, raised.scopes) == ("admin", USER_SCOPES)


def test_ten_thousand_are_kept_the_oldest_goes_first(tokens: SeenTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "ENTRIES_MAX", 100)
    for n in range(150):
        remember(tokens, f"Bearer {n}")
    assert len(tokens.entries) == 100
    assert tokens.known("Bearer 49") is None
    assert tokens.known("Bearer 50") is ALICE


def test_what_was_revoked_is_forgotten_when_nothing_living_is_about_it() -> None:
    revoked = Revoked({"a": 10.0, "b": 20.0}, {"u": (5, 10.0)}, {"u": (1, "user", 20.0)})
    revoked.forget(10.0)
    assert (revoked.credentials, revoked.epochs, revoked.roles) == ({"b": 20.0}, {}, {"u": (1, "user", 20.0)})


# -- how the code compares ---------------------------------------------------------------------------------------------

SECRET_WORDS = ("secret", "digest", "mac", "signature", "password_hash", "pepper", "kept", "api_key")


def test_case_38_no_secret_is_compared_with_an_equals_sign() -> None:
    """compare_digest and Argon2's own comparison are used; look-ups by SHA-256 are the database's index."""
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
                names = {part for side in sides for part in side.replace("(", ".").split(".")}
                if names & set(SECRET_WORDS) and "c" not in names:  # table.c.digest == … is SQL
                    found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert found == []
    assert "hmac.compare_digest" in (SOURCES / "auth" / "apikeys.py").read_text()
