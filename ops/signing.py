"""The secret that all gateways of a system share: SLUICE_SIGNING_KEY, else a file that the first start makes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex, token_urlsafe

from gateway.auth.claims import Parties
from gateway.auth.master import Master, WeakSecret
from gateway.auth.passwords import half
from gateway.auth.service import AuthSettings
from gateway.auth.sessions import Spans
from ops.settings import Settings

FILE = "signing-secret"


def auth_settings(settings: Settings) -> AuthSettings:
    """What authentication is opened with.  Raises WeakSecret where the secret could be guessed or read by others."""
    gateway = settings.gateway
    return AuthSettings(
        master_of(settings),
        Parties(issuer=gateway.public_url or "sluice"),
        spans=Spans(most=gateway.sessions_max),
        hash_threads=half(gateway.processes),
    )


def master_of(settings: Settings) -> Master:
    """Give the secret; where none is set, the one in ``var``, made now if there is none.  Raises WeakSecret."""
    given = settings.gateway.signing_key
    return Master(given.reveal() if given else _kept(settings.var / FILE))


def _kept(path: Path) -> str:
    with suppress(FileNotFoundError):
        return _read(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f".{FILE}-{token_hex(8)}")
    mine.touch(mode=0o600)
    try:
        mine.write_text(token_urlsafe(48))
        with suppress(FileExistsError):
            os.link(mine, path)  # of several that start at once, one makes it, and it is whole
    finally:
        mine.unlink()
    return _read(path)


def _read(path: Path) -> str:
    text = path.read_text().strip()
    if path.stat().st_mode & 0o077:
        raise WeakSecret(f"{path} can be read by others: chmod 600 it, or set SLUICE_SIGNING_KEY")
    return text
