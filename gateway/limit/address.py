"""Where the limiter's Redis is and how to be let in, read from the same URLs that redis-py takes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from redis.asyncio.connection import parse_url

P = TypeVar("P", bound=asyncio.BaseProtocol)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """``redis://``, ``rediss://`` or ``unix://`` with user, password and number of the database."""

    host: str
    port: int
    path: str | None
    database: int
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, url: str) -> RedisAddress:
        """Read a URL; raises ValueError (whose text repeats none of it) for one that is none."""
        try:
            told = cast(dict[str, Any], parse_url(url))
        except ValueError:
            raise ValueError("a Redis URL begins with redis://, rediss:// or unix://") from None
        return cls(
            host=told.get("host", "localhost"),
            port=told.get("port", 6379),
            path=told.get("path"),
            database=int(told.get("db", 0)),
            username=told.get("username"),
            password=told.get("password"),
            tls=_tls(told) if url.startswith("rediss://") else None,
        )

    async def connect(self, protocol: Callable[[], P]) -> P:
        """Open a connection; raises OSError."""
        loop = asyncio.get_running_loop()
        if self.path is not None:
            _, made = await loop.create_unix_connection(protocol, self.path)
        else:
            _, made = await loop.create_connection(protocol, self.host, self.port, ssl=self.tls)
        return made

    def greeting(self) -> list[tuple[bytes, ...]]:
        """The commands that must be answered well before anything else is sent."""
        words: list[tuple[bytes, ...]] = []
        if self.password is not None:
            user = () if self.username is None else (self.username.encode(),)
            words.append((b"AUTH", *user, self.password.encode()))
        if self.database:
            words.append((b"SELECT", str(self.database).encode()))
        return words


def _tls(told: dict[str, Any]) -> ssl.SSLContext:
    # The names of redis-py, so that one URL means the same to both clients.
    context = ssl.create_default_context(cafile=told.get("ssl_ca_certs"), capath=told.get("ssl_ca_path"))
    required = str(told.get("ssl_cert_reqs", "required"))
    if required == "none" or str(told.get("ssl_check_hostname", "true")).lower() in ("false", "0", "no"):
        context.check_hostname = False
    if required in ("none", "optional"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE if required == "none" else ssl.CERT_OPTIONAL
    if certificate := told.get("ssl_certfile"):
        context.load_cert_chain(certificate, told.get("ssl_keyfile"))
    return context
