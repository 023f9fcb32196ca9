"""docker-compose.yml and the Dockerfile: what can be known of them without an engine to run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from ops.settings import Settings, WorkerSettings

TOP = Path(__file__).parents[2]
COMPOSE = cast(dict[str, Any], yaml.safe_load((TOP / "docker-compose.yml").read_text()))
SERVICES = cast(dict[str, dict[str, Any]], COMPOSE["services"])
OURS = ("migrate", "gateway", "worker", "dispatcher")
STORES = ("postgres", "redis", "rabbitmq")
OBSERVERS = ("prometheus", "grafana")
LASTING = (*STORES, "gateway", "worker", "dispatcher", "console", *OBSERVERS)
DOCKERFILE = (TOP / "ops" / "Dockerfile").read_text()
CONSOLE = (TOP / "ops" / "Dockerfile.frontend").read_text()
STOPPED_BY = {"postgres": "SIGINT", "console": "SIGQUIT"}  # fast, and after the answers under way
INTERPOLATION = re.compile(r"\$\{(?P<name>[A-Z_]+)(?P<rest>:[?-][^}]*)?\}")


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])


def filled_in(name: str) -> dict[str, str]:
    """The environment of a service as it is when every variable of .env has a value that nothing else needs."""

    def fill(found: re.Match[str]) -> str:
        rest = found["rest"] or ""
        return rest.removeprefix(":-") if rest.startswith(":-") else "0123456789abcdef"

    return {key: INTERPOLATION.sub(fill, str(value)) for key, value in SERVICES[name]["environment"].items()}


def test_the_parts_are_those_of_the_design() -> None:
    assert set(SERVICES) == {*OURS, *STORES, "console", *OBSERVERS}
    assert {name for name in SERVICES if "profiles" in SERVICES[name]} == set(OBSERVERS)
    assert all(SERVICES[name]["profiles"] == ["observe"] for name in OBSERVERS)
    commands = {name: SERVICES[name]["command"] for name in OURS}
    assert commands == {"migrate": ["migrate"], "gateway": ["serve"], "worker": ["worker"], "dispatcher": ["dispatch"]}


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_is_root_or_can_become_root(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_the_root_file_system_is_read_only_and_there_is_a_place_for_temporary_files(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert "/tmp" in {mount.split(":")[0] for mount in SERVICES[name]["tmpfs"]}


@pytest.mark.parametrize("name", LASTING)
def test_what_stays_up_has_a_health_check_and_comes_back(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_the_migration_runs_once() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["healthcheck"] == {"disable": True}


@pytest.mark.parametrize("name", ["gateway", "worker", "dispatcher"])
def test_no_process_starts_before_the_migration_is_done_and_its_stores_are_healthy(name: str) -> None:
    wanted = {store: {"condition": "service_healthy"} for store in STORES}
    assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}, **wanted}
    assert SERVICES["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_limits_and_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    assert {"cpus", "memory"} == service["deploy"]["resources"]["limits"].keys()
    assert service["init"] is True
    assert service["stop_signal"] == STOPPED_BY.get(name, "SIGTERM")
    assert service["pids_limit"] > 0
    assert seconds(service["stop_grace_period"]) >= 30


def test_a_worker_has_longer_to_stop_than_it_takes_to_drain() -> None:
    grace_s = seconds(SERVICES["worker"]["stop_grace_period"])
    drain_s = Settings.from_env(filled_in("worker")).worker.drain_s
    assert grace_s > drain_s == WorkerSettings().drain_s


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_the_env_file_and_stand_nowhere_else(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        if re.search(r"PASS|_KEY$|REDISCLI_AUTH", key):
            assert INTERPOLATION.fullmatch(str(value)), key
        if "@" in str(value):
            assert re.search(r"://[a-z]*:\$\{[A-Z_]+:\?[^}]+\}@", str(value)), key


def test_every_variable_without_a_default_is_in_the_example() -> None:
    example = (TOP / "ops" / "compose" / "example.env").read_text()
    needed = {found["name"] for found in INTERPOLATION.finditer((TOP / "docker-compose.yml").read_text())}
    optional = {
        "SLUICE_VERSION",
        "SLUICE_CONSOLE_PORT",
        "SLUICE_WORKER_PROCESSES",
        "SLUICE_WORKER_THREADS",
        "SLUICE_DRAIN_S",
    }
    optional |= {name for name in needed if name.endswith(("_BUDGET", "_RATE"))}
    assert {name for name in needed - optional if f"{name}=" not in example} == set()
    assert not re.search(r"^[A-Z_]*(PASSWORD|KEY)=.", example, re.MULTILINE)


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_every_process_are_accepted(name: str) -> None:
    settings = Settings.from_env(filled_in(name))
    assert settings.external
    assert settings.broker_url is not None
    assert settings.broker_url.scheme == "amqp"
    assert settings.log_format == "json"


def test_only_the_worker_holds_the_providers_keys_and_only_the_gateway_signs() -> None:
    holders = {name for name in SERVICES if "NANSEN_API_KEY" in SERVICES[name].get("environment", {})}
    signers = {name for name in SERVICES if "SLUICE_SIGNING_KEY" in SERVICES[name].get("environment", {})}
    assert (holders, signers) == ({"worker"}, {"gateway"})


def test_images_are_named_with_a_version() -> None:
    images = [str(service["image"]) for service in SERVICES.values()]
    images += re.findall(r"^ARG [A-Z]+_IMAGE=(\S+)", DOCKERFILE + CONSOLE, re.MULTILINE)
    assert len(images) == len(SERVICES) + 2
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE + CONSOLE, re.MULTILINE)) == {"${PYTHON_IMAGE}", "${NGINX_IMAGE}"}
    for image in images:
        assert re.fullmatch(r"[a-z/-]+:(\$\{SLUICE_VERSION:-)?v?[0-9][\w.-]*\}?", image), image


DIGEST = f"sha256:{'5' * 64}"
DOCKER = """#!/bin/sh
if [ "$1" = buildx ]; then echo {answer}; else echo "$@" >> {said}; fi
"""


def built(folder: Path, *words: str, answer: str = DIGEST, exits: int = 0, **variables: str) -> tuple[str, list[str]]:
    """Run ``ops/images.sh`` beside a docker that only writes down what it was told."""
    said, docker = folder / "said", folder / "docker"
    said.write_text("")
    docker.write_text(DOCKER.format(answer=answer, said=said))
    docker.chmod(0o700)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", **variables}
    script = [str(TOP / "ops" / "images.sh"), *words]
    done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == exits, done.stderr
    return done.stdout + done.stderr, said.read_text().splitlines()


def test_a_release_is_built_on_bases_by_digest_and_says_which(tmp_path: Path) -> None:
    told, (app, console) = built(tmp_path, "0.2.0")
    base = f"python:3.12-slim-bookworm@{DIGEST}"
    assert f"PYTHON_IMAGE={base}" in told
    assert f"--build-arg PYTHON_IMAGE={base} --label org.opencontainers.image.base.name={base}" in app
    assert app.endswith("--tag sluice:0.2.0 .")
    assert f"--build-arg NGINX_IMAGE=nginxinc/nginx-unprivileged:1.29-alpine-slim@{DIGEST}" in console
    _, said = built(tmp_path, "0.2.0", "registry.example/sluice", PYTHON_IMAGE="python@sha256:1")
    assert "PYTHON_IMAGE=python@sha256:1 " in said[0]
    assert said[1::2] == [f"push registry.example/sluice/{name}:0.2.0" for name in ("app", "console")]


def test_nothing_is_built_on_a_base_whose_digest_nobody_knows(tmp_path: Path) -> None:
    told, said = built(tmp_path, "0.2.0", answer="''", exits=1)
    assert ("tells no digest of python:" in told, said) == (True, [])


def test_the_stores_are_reached_from_inside_only_and_the_gateway_from_this_host_only() -> None:
    assert COMPOSE["networks"]["stores"] == {"internal": True}
    assert all(SERVICES[name]["networks"] == ["stores"] for name in STORES)
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"gateway", "console", *OBSERVERS}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert SERVICES["console"]["networks"] == ["outside"]


def test_what_must_last_is_on_a_volume() -> None:
    for name in STORES:
        assert any(str(mount).startswith(f"{name}:/") for mount in SERVICES[name]["volumes"])
        assert name in COMPOSE["volumes"]


def test_prometheus_reaches_every_process_that_tells_and_only_their_containers_are_open_to_it() -> None:
    scraped = yaml.safe_load((TOP / "ops" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    for config in (job["dns_sd_configs"][0] for job in scraped):
        (name,) = config["names"]
        settings = Settings.from_env(filled_in(name))
        assert (settings.metrics_host, settings.metrics_port) == ("0.0.0.0", config["port"])
        assert set(SERVICES[name]["networks"]) & set(SERVICES["prometheus"]["networks"])
        assert not any(str(config["port"]) in port for port in SERVICES[name].get("ports", []))


def test_nobody_can_log_in_to_grafana_for_there_is_no_password() -> None:
    told = SERVICES["grafana"]["environment"]
    assert (told["GF_AUTH_DISABLE_LOGIN_FORM"], told["GF_AUTH_BASIC_ENABLED"]) == ("true", "false")
    assert (told["GF_AUTH_ANONYMOUS_ORG_ROLE"], told["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"]) == (
        "Viewer",
        "true",
    )


def test_redis_keeps_a_file_and_evicts_nothing() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_the_image_is_built_from_the_lock_and_runs_as_nobody_in_particular() -> None:
    assert "pip install --require-hashes --requirement requirements.lock" in DOCKERFILE
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert DOCKERFILE.count("\nFROM ") == 2
    assert "\nHEALTHCHECK " in DOCKERFILE


@pytest.mark.parametrize(
    ("text", "user", "stop"), [(DOCKERFILE, "10001:10001", "SIGTERM"), (CONSOLE, "101:101", "SIGQUIT")]
)
def test_an_image_is_nobody_says_how_it_stops_and_how_it_is_well(text: str, user: str, stop: str) -> None:
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE)[-1] == user
    assert re.findall(r"^STOPSIGNAL (.+)$", text, re.MULTILINE) == [stop]
    assert re.search(r"^HEALTHCHECK .*\\\n +CMD \[", text, re.MULTILINE)
    assert not re.search(r"^(CMD|ENTRYPOINT) [^\[]", text, re.MULTILINE)
    assert not re.search(r"(PASSWORD|SECRET|TOKEN|API_KEY|SIGNING_KEY)", text)


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.frontend"])
def test_hadolint_finds_nothing(name: str) -> None:
    found = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), TOP / "ops" / name], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_what_an_image_writes_to_is_a_volume_so_that_fargate_keeps_its_owner() -> None:
    assert 'VOLUME ["/tmp", "/var/lib/sluice"]' in DOCKERFILE
    assert 'VOLUME ["/tmp"]' in CONSOLE


def test_the_mounted_files_are_there() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            if str(mount).startswith("./"):
                assert (TOP / str(mount).split(":")[0]).is_file()
                assert str(mount).endswith(":ro")


def test_the_build_is_sent_nothing_but_what_it_needs() -> None:
    lines = (TOP / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert not any(rule.startswith("!") and (".env" in rule or "var" in rule) for rule in rules)
    assert {f"!{name}" for name in ("broker", "workers", "ledger", "gateway", "ops", "requirements.lock")} <= set(rules)
