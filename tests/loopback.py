"""A loopback between a client and a real server: another kind of socket, TLS, or a delay."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CHUNK = 65_536


@dataclass
class Loopback:
    """Passes bytes on; each direction's bytes wait ``delay_s``, as on a long line, without waiting for each other."""

    host: str
    port_behind: int
    delay_s: float = 0.0
    port: int = 0
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def on_port(
        cls, host: str, port: int, *, tls: ssl.SSLContext | None = None, delay_s: float = 0.0
    ) -> AsyncIterator[Loopback]:
        """Listen on a free port of 127.0.0.1."""
        loopback = cls(host, port, delay_s)
        server = await asyncio.start_server(loopback._connected, "127.0.0.1", 0, ssl=tls)
        loopback.port = server.sockets[0].getsockname()[1]
        async with loopback._serving(server):
            yield loopback

    @classmethod
    @asynccontextmanager
    async def on_socket(cls, path: Path, host: str, port: int) -> AsyncIterator[Loopback]:
        """Listen on a unix socket."""
        loopback = cls(host, port)
        async with loopback._serving(await asyncio.start_unix_server(loopback._connected, path)):
            yield loopback

    @asynccontextmanager
    async def _serving(self, server: asyncio.Server) -> AsyncIterator[None]:
        try:
            yield
        finally:
            server.close()
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_behind = await asyncio.open_connection(self.host, self.port_behind)
        try:
            await asyncio.gather(self._pass(reader, to_behind), self._pass(behind, writer))
        finally:
            for one in (to_behind, writer):
                one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.delay_s:
                    loop.call_later(self.delay_s, _write, writer, data)
                else:
                    writer.write(data)
        loop.call_later(self.delay_s, writer.transport.abort)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.transport.is_closing():
        writer.write(data)


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate for localhost: what a server shows, and the file that a client is to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    shown, secret = folder / "certificate.pem", folder / "key.pem"
    shown.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, secret)
    return context, shown
