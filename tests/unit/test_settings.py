"""Settings: what the environment may say, what it may not, and that keys never show."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from ops.settings import BadSetting, Secret, Settings, Url
from workers.items import Budget, Rate

THREE = {
    "SLUICE_DATABASE_URL": "postgresql://me:pg-pass@db:5432/sluice",
    "SLUICE_REDIS_URL": "rediss://:redis-pass@cache:6379/0",
    "SLUICE_BROKER_URL": "amqps://me:mq-pass@queue:5671/%2F",
}
KEY = "0123456789abcdefWXYZ"


def test_an_empty_environment_means_embedded_servers_and_no_provider() -> None:
    settings = Settings.from_env({})
    assert not settings.external
    assert settings.var == Path.cwd() / "var"
    assert [name for name, provider in settings.providers.items() if provider.key] == []
    assert (settings.worker.threads, settings.worker.max_attempts) == (64, 8)
    assert (settings.worker.drain_s, settings.worker.lease_s, settings.worker.lost_after_s) == (30, 60, 30)
    assert settings.worker.processes >= 1


def test_three_urls_mean_external_servers() -> None:
    settings = Settings.from_env(THREE)
    assert settings.external
    assert settings.broker_url is not None
    assert settings.broker_url.reveal() == THREE["SLUICE_BROKER_URL"]
    assert settings.broker_url.scheme == "amqps"


@pytest.mark.parametrize("absent", THREE)
def test_two_urls_of_three_are_refused_by_the_name_of_the_third(absent: str) -> None:
    with pytest.raises(BadSetting, match=f"^set {absent} as well"):
        Settings.from_env({name: url for name, url in THREE.items() if name != absent})


@pytest.mark.parametrize("name", ["CRYPTOPANIC_API_KEY", "NEWSCATCHER_API_KEY", "NANSEN_API_KEY"])
def test_a_key_never_shows_more_than_its_last_four_characters(name: str) -> None:
    settings = Settings.from_env({name: KEY} | THREE)
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert KEY[:-4] not in shown
        assert "-pass" not in shown
        assert "WXYZ" in shown
    (key,) = (provider.key for provider in settings.providers.values() if provider.key)
    assert key.reveal() == KEY


def test_a_short_key_shows_nothing() -> None:
    assert repr(Secret("hunter2")) == "Secret(…)"


def test_a_url_shows_where_and_not_who() -> None:
    assert repr(Url("redis://me:p%40ss@cache:6379/1?x=secret")) == "redis://cache:6379/1"


def test_a_secret_may_come_from_a_mounted_file(tmp_path: Path) -> None:
    mounted = tmp_path / "key"
    mounted.write_text(f"{KEY}\n")
    key = Settings.from_env({"NANSEN_API_KEY_FILE": str(mounted)}).providers["nansen"].key
    assert key == Secret(KEY)


def test_a_url_may_come_from_a_mounted_file(tmp_path: Path) -> None:
    mounted = tmp_path / "url"
    mounted.write_text(f"{THREE['SLUICE_REDIS_URL']}\n")
    environ = {**THREE, "SLUICE_REDIS_URL": "", "SLUICE_REDIS_URL_FILE": str(mounted)}
    assert Settings.from_env(environ) == Settings.from_env(THREE)


def test_what_is_set_for_a_provider_reaches_that_provider_alone() -> None:
    settings = Settings.from_env(
        {
            "SLUICE_CRYPTOPANIC_URL": "http://127.0.0.1:9000/cryptopanic/",
            "SLUICE_CRYPTOPANIC_BUDGET": "3000/month",
            "SLUICE_CRYPTOPANIC_RATE": "2/1s",
            "SLUICE_NANSEN_BUDGET": "10000/month",
        }
    )
    cryptopanic, nansen = settings.providers["cryptopanic"], settings.providers["nansen"]
    assert cryptopanic.url == "http://127.0.0.1:9000/cryptopanic"
    assert cryptopanic.budget == Budget(3000, "month", "calls")
    assert cryptopanic.rate == Rate(2, 1.0)
    assert nansen.budget == Budget(10_000, "month", "credits")
    assert (nansen.url, nansen.rate) == (None, None)
    assert settings.providers["newscatcher"].budget is None


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("SLUICE_CRYPTOPANIC_BUDGET", "3000", "3000/month"),
        ("SLUICE_CRYPTOPANIC_BUDGET", "0/month", "above 0"),
        ("SLUICE_CRYPTOPANIC_BUDGET", "3000/year", "3000/month"),
        ("SLUICE_NANSEN_RATE", "2/s", "2/1s"),
        ("SLUICE_NANSEN_RATE", "0/1s", "above 0"),
        ("SLUICE_NANSEN_URL", "nansen.example", "https://"),
        ("SLUICE_WORKER_THREADS", "0", "from 1 to 1024"),
        ("SLUICE_WORKER_THREADS", "many", "from 1 to 1024"),
        ("SLUICE_WORKER_PROCESSES", "-1", "whole number"),
        ("SLUICE_DRAIN_S", "0", "above 0"),
        ("SLUICE_DRAIN_S", "nan", "number of seconds"),
        ("SLUICE_LOST_AFTER_S", "90", "SLUICE_LEASE_S"),
        ("SLUICE_MAX_ATTEMPTS", "1e3", "whole number"),
        ("SLUICE_PORT", "70000", "65535"),
        ("SLUICE_LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("SLUICE_LOG_FORMAT", "xml", "json, console"),
        ("SLUICE_DATABASE_URL", "mysql://me:pass@db/x", "postgresql://"),
        ("SLUICE_DATABASE_URL", "postgresql://", "no host"),
        ("SLUICE_BROKER_URL", "http://queue", "amqp://"),
        ("SLUICE_REDIS_URL", "redis://:pass@cache:port/0", "not an address"),
        ("NANSEN_API_KEY_FILE", "/nowhere/at/all", "cannot be read"),
        ("NANSEN_API_KEY", "two\nlines", "line breaks"),
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_it_and_the_remedy(name: str, value: str, hint: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.from_env({name: value})
    message = str(caught.value)
    assert name in message
    assert hint in message
    assert "\n" not in message


def test_a_refused_address_is_not_repeated_because_it_may_hold_a_password() -> None:
    for bad in ("mysql://me:hunter2@db/x", "postgresql://me:hunter2@db:x/y", "postgresql://me:hun[ter2@db/x"):
        with pytest.raises(BadSetting) as caught:
            Settings.from_env({"SLUICE_DATABASE_URL": bad})
        assert "ter2" not in "".join(traceback.format_exception_only(caught.value))
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_urls_of_embedded_servers_take_the_place_of_none() -> None:
    assert Settings.from_env({}).with_servers(THREE) == Settings.from_env(THREE)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SLUICE_PROT", "SLUICE_PORT"),
        ("SLUICE_CRYPTOPANIC_BUGET", "SLUICE_CRYPTOPANIC_BUDGET"),
        ("SLUICE_CRYPTOPANC_RATE", "SLUICE_CRYPTOPANIC_RATE"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(BadSetting, match=f"^{name} is no setting: {meant} is$"):
        Settings.from_env({name: "1"})


def test_a_name_that_is_like_none_is_let_pass_and_kept_to_be_told() -> None:
    others = {"SLUICE_DB_PASSWORD": "x", "SLUICE_VERSION": "1", "SLUICE_GRAFANA_PORT": "1", "SLUICE_FOO_BUDGET": "1"}
    settings = Settings.from_env({**THREE, "SLUICE_DATABASE_URL_FILE": "unread", "SLUICE_PORT": "1", **others})
    assert set(settings.unknown) == others.keys()
