"""What the environment says, read once at the door and checked there: ``Settings.from_env(os.environ)``.

Nothing else reads the environment; everything below is handed values.  Every error is one line that names the variable
and says what to write instead, and none repeats a secret.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

from ops.gateway_settings import GatewaySettings, read_gateway
from ops.variables import BadSetting, Reader, Secret, Url
from workers.http import token_variable
from workers.items import Budget, Provider, Rate
from workers.providers import load_providers

Engine = Literal["asyncio", "loop", "stock"]
LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]

__all__ = ["BadSetting", "GatewaySettings", "ProviderSettings", "Secret", "Settings", "Url", "WorkerSettings"]

DATABASE = ("postgresql", "postgres")
REDIS = ("redis", "rediss", "unix")
BROKER = ("redis", "rediss", "amqp", "amqps")


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What is set for one provider; None everywhere means its own defaults, and no key means it is disabled."""

    key: Secret | None = None
    url: str | None = None
    budget: Budget | None = None
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How one worker works; times in seconds.

    ``drain_s`` is what a worker that is told to stop gives to messages in its hands, ``lease_s`` how long a claim is
    valid without a sign of life, ``lost_after_s`` when a worker that gives none is taken for dead.
    """

    engine: Engine = "asyncio"
    threads: int = 64
    processes: int = 1
    drain_s: float = 30.0
    lease_s: float = 60.0
    lost_after_s: float = 30.0
    max_attempts: int = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set.  The three URLs are None where the embedded servers are to be used."""

    database_url: Url | None = None
    redis_url: Url | None = None
    broker_url: Url | None = None
    var: Path = Path("var")
    providers: Mapping[str, ProviderSettings] = field(default_factory=dict)
    worker: WorkerSettings = WorkerSettings()
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    log_level: LogLevel = "info"
    log_format: LogFormat = "json"
    cloudwatch_group: str | None = None
    smoke_password: Secret | None = None  # of the user that `sluice smoke` logs in as
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None  # where a process answers /healthz and /readyz; None: nowhere
    unknown: tuple[str, ...] = ()  # names that begin with SLUICE_ and set nothing

    @property
    def external(self) -> bool:
        """Whether all three servers are given, so that none has to be started."""
        return None not in (self.database_url, self.redis_url, self.broker_url)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read and check every variable; an empty one counts as not set.  Raises BadSetting."""
        read = Reader(environ)
        settings = cls(
            database_url=read.url("SLUICE_DATABASE_URL", DATABASE),
            redis_url=read.url("SLUICE_REDIS_URL", REDIS),
            broker_url=read.url("SLUICE_BROKER_URL", BROKER),
            var=Path(read.text("SLUICE_VAR") or "var").expanduser().absolute(),
            providers=MappingProxyType({name: _provider(read, given) for name, given in load_providers().items()}),
            worker=_worker(read),
            gateway=read_gateway(read),
            log_level=cast(LogLevel, read.choice("SLUICE_LOG_LEVEL", get_args(LogLevel), "info")),
            log_format=cast(LogFormat, read.choice("SLUICE_LOG_FORMAT", get_args(LogFormat), "json")),
            metrics_host=read.text("SLUICE_METRICS_HOST") or "127.0.0.1",
            metrics_port=read.port("SLUICE_METRICS_PORT"),
            cloudwatch_group=read.text("SLUICE_CLOUDWATCH_GROUP"),
            smoke_password=read.secret("SLUICE_SMOKE_PASSWORD"),
        )
        _check_urls(settings)
        read.refuse_misspelt()
        return replace(settings, unknown=read.unknown())

    def with_threads(self, threads: int) -> Settings:
        """The same with so many messages in hand per worker process."""
        return replace(self, worker=replace(self.worker, threads=threads))

    def secrets(self) -> tuple[str, ...]:
        """Every text that must never be shown, for those who cut it out of what is."""
        urls = (self.database_url, self.redis_url, self.broker_url)
        passwords = (urlsplit(url.reveal()).password for url in urls if url)
        keys = (given.key.reveal() for given in self.providers.values() if given.key)
        signing = (self.gateway.signing_key.reveal(),) if self.gateway.signing_key else ()
        smoke = (self.smoke_password.reveal(),) if self.smoke_password else ()
        return (*filter(None, passwords), *keys, *signing, *smoke)

    def with_servers(self, urls: Mapping[str, str]) -> Settings:
        """The same with other servers: what ``ops.embedded`` hands over, under the names of the variables."""
        return replace(
            self,
            database_url=Url(urls["SLUICE_DATABASE_URL"]),
            redis_url=Url(urls["SLUICE_REDIS_URL"]),
            broker_url=Url(urls["SLUICE_BROKER_URL"]),
        )


def environment_with(overrides: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child process: ours, with these variables set."""
    return {**os.environ, **overrides}


def _check_urls(settings: Settings) -> None:
    given = {
        "SLUICE_DATABASE_URL": settings.database_url,
        "SLUICE_REDIS_URL": settings.redis_url,
        "SLUICE_BROKER_URL": settings.broker_url,
    }
    missing = [name for name, url in given.items() if url is None]
    if missing and len(missing) < len(given):
        raise BadSetting(f"set {' and '.join(missing)} as well, or none of the three to use the embedded servers")


def _provider(read: Reader, provider: Provider) -> ProviderSettings:
    # A provider is one file: its variables follow from its name.
    prefix, budget = f"SLUICE_{provider.name.upper()}", provider.limits.budget
    return ProviderSettings(
        key=read.secret(token_variable(provider.name)),
        url=read.http(f"{prefix}_URL"),
        budget=read.budget(f"{prefix}_BUDGET", budget.unit if budget else "calls"),
        rate=read.rate(f"{prefix}_RATE"),
    )


def _worker(read: Reader) -> WorkerSettings:
    usual = WorkerSettings()
    worker = WorkerSettings(
        engine=cast(Engine, read.choice("SLUICE_ENGINE", get_args(Engine), usual.engine)),
        threads=read.whole("SLUICE_WORKER_THREADS", usual.threads, low=1, high=1024),
        processes=read.whole("SLUICE_WORKER_PROCESSES", cores(), low=1, high=256),
        drain_s=read.seconds("SLUICE_DRAIN_S", usual.drain_s),
        lease_s=read.seconds("SLUICE_LEASE_S", usual.lease_s),
        lost_after_s=read.seconds("SLUICE_LOST_AFTER_S", usual.lost_after_s),
        max_attempts=read.whole("SLUICE_MAX_ATTEMPTS", usual.max_attempts, low=1, high=100),
    )
    if worker.lost_after_s > worker.lease_s:
        raise BadSetting(
            f"SLUICE_LOST_AFTER_S ({worker.lost_after_s:g}) must not be longer than SLUICE_LEASE_S ({worker.lease_s:g})"
        )
    return worker


def cores() -> int:
    """What this process may use, which in a container is less than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
