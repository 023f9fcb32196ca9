"""Install what tests need of the system's packages: RabbitMQ, which may not start a broker of its own, and curl.

Run as ``python -m ops.embedded.install``; the test command does. Needs root and apt-get, else says what to do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.embedded.rabbitmq import find_rabbitmq
from ops.embedded.server import CannotStart, Missing

POLICY = Path("/usr/sbin/policy-rc.d")  # Debian asks it before a package may start a service; 101 means no


def install_rabbitmq() -> Path:
    """The folder of RabbitMQ's scripts, after installing it where it is missing; raises Missing or CannotStart."""
    try:
        return find_rabbitmq()
    except Missing:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
    with _no_service_starts():
        _apt_get("update")
        _apt_get("install", "-y", "--no-install-recommends", "rabbitmq-server")
    return find_rabbitmq()


def install_curl() -> None:
    """Install curl, which the documents' examples are typed with, where it is missing and may be installed."""
    if shutil.which("curl") is None and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        _apt_get("update")
        _apt_get("install", "-y", "--no-install-recommends", "curl")


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Forbid it for the time of the installation, where nobody has a policy already."""
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)


def _apt_get(*arguments: str) -> None:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    done = subprocess.run(["apt-get", "-q", *arguments], env=environment, check=False)  # noqa: S603, S607  (our own words; found on the PATH given)
    if done.returncode != 0:
        raise CannotStart(f"apt-get {' '.join(arguments)} ended with status {done.returncode}")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"RabbitMQ: {install_rabbitmq()}\n")
        install_curl()
    except CannotStart as error:
        sys.exit(str(error))
