"""What people mistype, and ports that are taken: one line, exit 2, and nothing that looks like success."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.terminal import Shell, bare


@pytest.fixture(scope="module")
def shell(ledger_url: str, redis_url: str, rabbitmq_url: str, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    servers = {"SLUICE_DATABASE_URL": ledger_url, "SLUICE_REDIS_URL": redis_url, "SLUICE_BROKER_URL": rabbitmq_url}
    return bare(tmp_path_factory.mktemp("var")).given(**servers)


@pytest.fixture
def taken() -> Iterator[str]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


@pytest.fixture
def free() -> str:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_gateway_whose_port_is_taken_is_not_said_to_run(shell: Shell, taken: str, command: str) -> None:
    said = shell.given(SLUICE_PORT=taken).fails(command)
    assert f"127.0.0.1:{taken}" in said
    assert "SLUICE_PORT" in said


@pytest.mark.parametrize("command", ["worker", "dispatch", "serve"])
def test_a_port_for_metrics_that_is_taken_is_named(shell: Shell, taken: str, free: str, command: str) -> None:
    assert "SLUICE_METRICS_PORT" in shell.given(SLUICE_METRICS_PORT=taken, SLUICE_PORT=free).fails(command)


def test_a_host_that_nobody_knows_is_named(shell: Shell) -> None:
    assert "SLUICE_HOST" in shell.given(SLUICE_HOST="nowhere.invalid").fails("serve")


@pytest.mark.parametrize("words", [["items", "show"], ["stories", "show"], ["stories", "merge", "1"]])
def test_an_id_that_no_row_can_have_is_refused(shell: Shell, words: list[str]) -> None:
    _, said = shell.both(*words, "99999999999999999999", exits=2)
    assert "is not in the range" in said


@pytest.mark.parametrize("words", [["verify"], ["statement"], ["pnl", "summary"]])
def test_books_of_nobody_neither_agree_nor_are_printed(shell: Shell, words: list[str]) -> None:
    assert "nobody is no user and has no books" in shell.fails(*words, "--user", "nobody")
