"""Each check of a smoke test is seen to fail when its subject is broken, and nothing else fails with it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from yarl import URL

from ops.smoke import Check, Plan, examined
from ops.smoke import works as smoke_works
from tests.pretender import PASSWORD, SCHEMA, Pretender, pretending

ORDER = [
    "name", "certificate", "health", "readiness", "schema", "login", "secrets", "enqueue", "follow", "read",
    "round trip", "post", "reverse", "logout",
]  # fmt: skip


async def looked_at(pretender: Pretender, **more: Any) -> dict[str, Check]:
    async with pretending(pretender) as url:
        return {one.name: one for one in await examined(replace(plan(url), **more))}


def plan(url: URL, **more: Any) -> Plan:
    return Plan(url=url, user="smoke", password=PASSWORD, schema=SCHEMA, within_s=2.0, **more)


def failed(checks: dict[str, Check]) -> list[str]:
    return [name for name, check in checks.items() if check.state == "failed"]


async def test_a_system_that_is_all_right_passes_every_check() -> None:
    told: list[Check] = []
    async with pretending(Pretender()) as url:
        checks = await examined(plan(url), told.append)
    assert [check.name for check in checks] == ORDER
    assert told == checks
    states = {check.name: check.state for check in checks}
    assert {name for name, state in states.items() if state != "ok"} == {"name", "certificate"}
    assert checks[1].detail == "plain http on loopback"
    assert all(check.seconds >= 0 and check.detail for check in checks)


BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("health", {"alive": ["something else"]}, "no gateway"),
    ("readiness", {"ready": {"status": "no", "checks": {"redis": "ConnectionError"}, "schema": SCHEMA}}, "redis: Conn"),
    ("schema", {"ready": {"status": "ready", "checks": {}, "schema": "0041"}}, "run sluice migrate"),
    ("schema", {"ready": {"status": "ready", "checks": {}}}, "does not say"),
    ("login", {"password": "another"}, "401 name or password is wrong"),
    ("secrets", {"keys": []}, "no signing key"),
    ("secrets", {"providers": [{"name": "nansen", "state": "disabled", "reason": "set X"}]}, "nansen: set X"),
    ("enqueue", {"enqueues": 429}, "429 the queue is full"),
    ("follow", {"ends": False}, "cut off"),
    ("read", {"job": {"state": "failed", "last_error": "it broke"}}, "it broke"),
    ("round trip", {"job": {"started_at": None}}, "no worker"),
    ("round trip", {"job": {"started_at": "2026-11-20T09:31:00+00:00"}}, "60.00 s after"),
    ("post", {"posted": 0}, "posted 0 entries"),
    ("reverse", {"reverses": False}, "not marked as reversed"),
    ("reverse", {"held": "0.5"}, "0.5 SLUICESMOKE are left"),
    ("logout", {"forgets": False}, "still taken"),
]


@pytest.mark.parametrize(("name", "changes", "why"), BROKEN, ids=lambda value: value if isinstance(value, str) else "")
async def test_each_check_fails_when_its_subject_is_broken(
    name: str, changes: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke_works, "REVOKED_EVERY_S", 0.0)
    checks = await looked_at(Pretender(**changes))
    assert failed(checks)[0] == name
    assert why in checks[name].detail
    # A job that did not end is one fault, and the books need jobs as well; otherwise nothing else is blamed.
    assert set(failed(checks)) - {name} <= {"post"}


async def test_what_depends_on_a_failed_check_is_not_tried() -> None:
    pretender = Pretender(password="another")
    checks = await looked_at(pretender)
    without = [name for name, check in checks.items() if check.detail.startswith("no use without")]
    assert without == ORDER[ORDER.index("secrets") :]
    assert pretender.asked[-1] == "POST /api/v1/login/access-token"


async def test_a_gateway_that_is_not_there_fails_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    checks = {one.name: one for one in await examined(plan(URL(f"http://127.0.0.1:{port}")))}
    assert failed(checks) == ["health"]
    assert "\n" not in checks["health"].detail


async def test_a_name_that_leads_nowhere_fails() -> None:
    checks = {one.name: one for one in await examined(plan(URL("https://nowhere.invalid")))}
    assert failed(checks) == ["name"]
    assert checks["certificate"].state == "skipped"


async def test_no_password_goes_over_an_open_line() -> None:
    checks = {one.name: one for one in await examined(plan(URL("http://192.0.2.1")))}
    assert failed(checks) == ["certificate"]
    assert "unencrypted" in checks["certificate"].detail
    assert checks["login"].state == "skipped"


def certificate(folder: Path, *, days: float, host: str = "localhost") -> tuple[ssl.SSLContext, str]:
    """A server's side with a certificate that signs itself, and the file to trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    return context, str(chain)


async def over_tls(folder: Path, *, trusted: bool = True, **how: Any) -> dict[str, Check]:
    tls, chain = certificate(folder, **how)
    async with pretending(Pretender(), tls) as url:
        return {one.name: one for one in await examined(plan(url, ca=chain if trusted else None))}


async def test_a_good_certificate_and_its_name_are_told(tmp_path: Path) -> None:
    checks = await over_tls(tmp_path, days=90)
    assert failed(checks) == []
    assert "127.0.0.1" in checks["name"].detail
    assert checks["certificate"].detail.startswith("TLSv1.3, ends ")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"days": 20}, "more than 21 are needed"),
        ({"days": -1}, "expired"),
        ({"days": 90, "host": "elsewhere.example"}, "not trusted"),
        ({"days": 90, "trusted": False}, "self-signed"),
    ],
)
async def test_a_bad_certificate_fails_and_nothing_is_sent(tmp_path: Path, how: dict[str, Any], why: str) -> None:
    checks = await over_tls(tmp_path, **how)
    assert failed(checks) == ["certificate"]
    assert why in checks["certificate"].detail
    assert checks["health"].state == "skipped"


async def test_authorities_that_cannot_be_read_are_a_failed_certificate(tmp_path: Path) -> None:
    url = URL("https://127.0.0.1:9")
    checks = {one.name: one for one in await examined(plan(url, ca=str(tmp_path / "none.pem")))}
    assert failed(checks) == ["certificate"]


OTHER_SHAPES: list[Callable[[], Pretender]] = [
    lambda: Pretender(job={"counts": None}),
    lambda: Pretender(ready={"status": "ready", "checks": None, "schema": SCHEMA}),
]


@pytest.mark.parametrize("made", OTHER_SHAPES)
async def test_answers_of_another_shape_fail_and_do_not_raise(made: Callable[[], Pretender]) -> None:
    (first, *_) = failed(await looked_at(made()))
    assert first in ("post", "readiness")
