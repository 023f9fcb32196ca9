"""Installing RabbitMQ: only as root, and the package never starts a broker of its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ops.embedded import CannotStart, Missing, install

SCRIPTS = Path("/somewhere/bin")


class Machine:
    """A machine without RabbitMQ, which its package manager can put there, or cannot."""

    def __init__(self, policy: Path, *, breaks: bool) -> None:
        self.policy, self.breaks, self.installed = policy, breaks, False
        self.policies: list[str] = []

    def find(self) -> Path:
        if not self.installed:
            raise Missing("RabbitMQ is not installed")
        return SCRIPTS

    def apt_get(self, *arguments: str) -> None:
        self.policies.append(self.policy.read_text())
        if self.breaks:
            raise CannotStart(f"apt-get {arguments[0]} ended with status 100")
        self.installed = "rabbitmq-server" in arguments


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path / "policy-rc.d", breaks=getattr(request, "param", False))
    monkeypatch.setattr(install, "POLICY", machine.policy)
    monkeypatch.setattr(install, "find_rabbitmq", machine.find)
    monkeypatch.setattr(install, "_apt_get", machine.apt_get)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return machine


def test_no_service_may_start_while_the_package_is_installed(machine: Machine) -> None:
    assert install.install_rabbitmq() == SCRIPTS
    assert machine.policies == ["#!/bin/sh\nexit 101\n"] * 2  # 101: forbidden
    assert not machine.policy.exists()


@pytest.mark.parametrize("machine", [True], indirect=True)
def test_a_failed_installation_leaves_no_policy_behind(machine: Machine) -> None:
    with pytest.raises(CannotStart, match="status 100"):
        install.install_rabbitmq()
    assert not machine.policy.exists()


def test_a_policy_that_was_there_stays_as_it_was(machine: Machine) -> None:
    machine.policy.write_text("#!/bin/sh\nexit 0\n")
    install.install_rabbitmq()
    assert machine.policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_who_is_not_root_is_told_what_to_do(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Missing, match="not installed"):
        install.install_rabbitmq()
    assert machine.policies == []


def test_nothing_is_done_where_it_is_there(machine: Machine) -> None:
    machine.installed = True
    assert install.install_rabbitmq() == SCRIPTS
    assert machine.policies == []
