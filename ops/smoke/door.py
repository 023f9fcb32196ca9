"""What stands before any request: the name must lead somewhere, and the certificate must hold for a while."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from yarl import URL

from ops.smoke.verdict import Failed, Skipped

CERTIFICATE_LASTS_MIN = timedelta(days=21)


def on_loopback(url: URL) -> bool:
    """Whether the address is this machine's own, so that nothing goes over a wire."""
    if url.host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ip_address(url.host or "").is_loopback
    return False


async def name_resolves(url: URL) -> str:
    """Look the host up; raise Failed where it has no address."""
    host = url.host or ""
    with contextlib.suppress(ValueError):
        ip_address(host)
        raise Skipped(f"{host} is an address, there is no name to look up")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, url.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Failed(f"{host} has no address: {error.strerror or error}") from None
    return ", ".join(sorted({str(address[0]) for *_, address in found}))


async def certificate_holds(url: URL, trusted: ssl.SSLContext | None, *, now: datetime) -> str:
    """Shake hands as a client does; raise Failed for a certificate that is not trusted or ends within 21 days."""
    if url.scheme == "http":
        if on_loopback(url):
            raise Skipped("plain http on loopback")
        raise Failed("plain http: passwords and tokens would go over the wire unencrypted")
    try:
        _, writer = await asyncio.open_connection(url.host, url.port, ssl=trusted)
    except ssl.SSLCertVerificationError as error:
        raise Failed(f"the certificate is not trusted: {error.verify_message}") from None
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"no TLS connection: {error.strerror or type(error).__name__}") from None
    try:
        told = writer.get_extra_info("peercert")
        version = writer.get_extra_info("ssl_object").version()
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(told["notAfter"]), UTC)
    lasts = f"ends {ends:%Y-%m-%d}, in {(ends - now).days} days"
    if ends - now <= CERTIFICATE_LASTS_MIN:
        raise Failed(f"the certificate {lasts}: more than {CERTIFICATE_LASTS_MIN.days} are needed")
    return f"{version}, {lasts}"
