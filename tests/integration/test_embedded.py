"""The embedded servers: real, private, durable, and gone when their owner is, however it went."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import psutil
import psycopg
import pytest
import redis

from ops.embedded import AlreadyRunning, CannotStart, Server, Stack, attach
from ops.embedded.postgres import Postgres
from ops.embedded.rabbitmq import RabbitMQ
from ops.embedded.redis import Redis
from ops.embedded.server import has_ended, wait_for
from ops.embedded.state import State

OWNER = """
import signal, sys, time
from pathlib import Path
from ops.embedded import Stack
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started deaf to it
with Stack(Path(sys.argv[1]), durable=False):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A ``var`` folder of the test's own, with a blank in its name, that every account may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="sluice tests "))
    yield folder
    shutil.rmtree(folder)


def alive_in(place: Path) -> list[psutil.Process]:
    """Every server process whose data lies under this folder."""
    found: list[Server] = [Postgres(place), Redis(place), RabbitMQ(place), RabbitMQ(place).epmd]
    return [process for server in found if (process := server.process) is not None]


def spawn_owner(place: Path) -> subprocess.Popen[bytes]:
    """Another process that runs a stack in this folder, once it is up."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(place)], stdout=subprocess.PIPE, start_new_session=True)
    assert owner.stdout is not None
    with owner.stdout:
        assert owner.stdout.readline() == b"ready\n"
    return owner


def client(server: Redis) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=5)


def role(url: str) -> tuple[str, bool]:
    """Who we are, and whether we are above the law."""
    with psycopg.connect(url) as link:
        row = link.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row is not None
    return row[0], row[1]


def test_the_database_role_is_no_superuser_so_that_row_security_binds_it(stack: Stack, postgres_url: str) -> None:
    assert role(postgres_url) == ("sluice", False)
    assert role(stack.postgres.admin_url) == ("postgres", True)


async def test_no_server_takes_a_client_without_its_password(
    stack: Stack, postgres_url: str, rabbitmq_url: str
) -> None:
    stack.redis.start()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_url.replace(stack.postgres.state.password("sluice"), "guess"))
    with redis.Redis(port=stack.redis.state.port("redis")) as anonymous, pytest.raises(redis.AuthenticationError):
        anonymous.ping()
    guest = rabbitmq_url.replace("sluice:" + stack.rabbitmq.state.password("sluice"), "guest:guest")
    with pytest.raises(aio_pika.exceptions.ProbableAuthenticationError):
        await aio_pika.connect(guest)


def test_every_server_listens_on_loopback_alone(stack: Stack, rabbitmq_url: str) -> None:
    for server in (stack.postgres.start(), stack.redis.start(), stack.rabbitmq, stack.rabbitmq.epmd):
        assert server.process is not None
        listening = [link.laddr.ip for link in server.process.net_connections() if link.status == psutil.CONN_LISTEN]
        assert listening
        assert set(listening) <= {"127.0.0.1", "::1"}


def test_what_holds_a_password_is_readable_by_its_owner_alone(stack: Stack, rabbitmq_url: str, redis_url: str) -> None:
    for path in (stack.rabbitmq.state_path, stack.rabbitmq.data / "rabbitmq.conf", stack.redis.data / "redis.conf"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_data_passwords_and_ports_outlive_a_stop(place: Path) -> None:
    with Stack(place, durable=False) as first:
        urls = first.settings_overrides()
        client(first.redis).set("kept", "yes")
        with psycopg.connect(first.postgres.url) as link:
            link.execute("CREATE TABLE kept AS SELECT 1 AS n")
    assert alive_in(place) == []
    with Stack(place, durable=False) as second:
        assert second.settings_overrides() == urls
        assert client(second.redis).get("kept") == b"yes"
        with psycopg.connect(second.postgres.url) as link:
            assert link.execute("SELECT n FROM kept").fetchone() == (1,)


async def test_a_stack_is_an_asynchronous_context_too(place: Path) -> None:
    async with Stack(place, durable=False) as stack:
        assert len(alive_in(place)) == 2
        assert set(stack.settings_overrides()) == {"SLUICE_DATABASE_URL", "SLUICE_REDIS_URL", "SLUICE_BROKER_URL"}
    assert alive_in(place) == []


def test_a_running_stack_is_found_and_has_one_owner(place: Path) -> None:
    assert attach(place) is None
    with Stack(place, durable=False) as stack:
        assert attach(place) == stack.settings_overrides()
        with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
            Stack(place).start()
        Stack(place).stop()  # not the owner: nothing happens
        assert len(alive_in(place)) == 2
    assert attach(place) is None


def test_two_checkouts_run_side_by_side(place: Path) -> None:
    with Redis(place / "a") as one, Redis(place / "b") as other:
        client(one).set("here", "1")
        assert client(other).get("here") is None
        one.stop()
        assert client(other).ping()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_servers_stop_when_their_owner_ends(place: Path, how: signal.Signals) -> None:
    owner = spawn_owner(place)
    assert len(alive_in(place)) == 2
    owner.send_signal(how)
    owner.wait(60)
    assert wait_for(lambda: alive_in(place) == [], within_s=60)
    with Stack(place, durable=False):  # the guard, if it is still at it, is waited for
        assert len(alive_in(place)) == 2


def test_servers_left_by_a_dead_owner_and_a_dead_guard_are_stopped_at_the_next_start(place: Path) -> None:
    owner = spawn_owner(place)
    orphans = alive_in(place)
    guards = [child for child in psutil.Process(owner.pid).children() if "ops.embedded.guard" in child.cmdline()]
    assert len(guards) == 1
    guards[0].kill()
    owner.kill()
    owner.wait(60)
    assert len(alive_in(place)) == 2
    with Stack(place, durable=False):
        assert all(map(has_ended, orphans))
        assert len(alive_in(place)) == 2


def test_a_stop_that_is_cut_short_is_finished_by_the_guard(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    stack = Stack(place, durable=False).start()
    with monkeypatch.context() as patch:
        patch.setattr(stack.redis, "stop", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stack.stop()
    assert alive_in(place) == []
    stack.redis.stop()  # by now it only takes note


def test_an_unrelated_process_with_the_remembered_number_is_never_signalled(place: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            state = State(pid=stranger.pid, started=psutil.Process(stranger.pid).create_time())
            state.save(place / "run" / "redis.json")
            with Redis(place) as server:
                assert server.process is not None
                assert server.process.pid != stranger.pid
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_postgres_starts_over_a_pid_file_that_names_an_unrelated_process(place: Path) -> None:
    with Postgres(place, durable=False) as server:
        port = server.state.port("postgres")
    pid_file = server.data / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{server.data}\n1\n{port}\n\n127.0.0.1\n\n")
    with server:
        assert role(server.url) == ("sluice", False)


def test_a_postmaster_whose_state_file_is_lost_is_found_by_its_pid_file(place: Path) -> None:
    with Postgres(place, durable=False) as server:
        process = server.process
        forgetful = Postgres(place, durable=False)
        forgetful.state = State(passwords=server.state.passwords)
        with forgetful:
            assert process is not None
            assert has_ended(process)
            assert role(forgetful.url) == ("sluice", False)


def test_a_port_that_somebody_took_meanwhile_is_left_to_them(place: Path) -> None:
    with Redis(place) as server:
        before = server.state.port("redis")
    with socket.create_server(("127.0.0.1", before)), server:
        assert server.state.port("redis") != before
        assert client(server).ping()


def test_a_start_that_fails_tells_why_and_leaves_nothing_running(place: Path) -> None:
    (place / "redis" / "redis.conf").mkdir(parents=True)
    (place / "postgres").mkdir()
    (place / "postgres" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(CannotStart, match=r"(?s)postgres ended with status .*its log .*postgres\.log ends with"):
        Postgres(place, durable=False).start()
    assert alive_in(place) == []


def test_a_killed_server_comes_back_with_its_data_on_its_port(place: Path) -> None:
    with Stack(place, durable=False) as stack:
        urls = stack.settings_overrides()
        with psycopg.connect(stack.postgres.url) as link:
            link.execute("CREATE TABLE kept AS SELECT 1 AS n")
        stack.postgres.kill()
        assert not stack.postgres.running
        stack.postgres.start()
        assert stack.settings_overrides() == urls
        with psycopg.connect(stack.postgres.url) as link:
            assert link.execute("SELECT n FROM kept").fetchone() == (1,)


def test_a_paused_server_answers_nobody_until_it_is_resumed(place: Path) -> None:
    with Redis(place) as server:
        client(server).set("kept", "yes")
        server.pause()
        assert server.running
        assert not server.answers()
        server.resume()
        assert client(server).get("kept") == b"yes"
        server.pause()  # and a paused one can still be stopped
    assert alive_in(place) == []


@pytest.mark.timeout(240)
def told_to_disk(place: Path, name: bytes) -> bool:
    return any(name in log.read_bytes() for log in [*place.rglob("LATEST.LOG"), *place.rglob("*.DCL")])


async def test_rabbitmq_keeps_durable_queues_over_a_kill_and_leaves_no_port_mapper(place: Path) -> None:
    with RabbitMQ(place) as server:
        url = server.url
        async with await aio_pika.connect(url) as link:
            await (await link.channel()).declare_queue("kept", durable=True)
            # RabbitMQ answers before its table of queues is on disk: a kill in between may cost the queue.
            assert await asyncio.to_thread(wait_for, lambda: told_to_disk(place, b"kept"), within_s=20)
        server.kill()
        server.start()
        assert server.url == url
        async with await aio_pika.connect(url) as link:
            await (await link.channel()).get_queue("kept", ensure=True)
        assert len(alive_in(place)) == 2
    assert alive_in(place) == []
