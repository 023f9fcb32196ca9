"""No secret gets into a line: neither by its value, wherever it stands, nor behind a name that says what it is."""

from __future__ import annotations

import copy
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from ops import log
from ops.logs.redaction import REDACTED, Redaction, named_like_a_secret
from ops.settings import Settings

KEY, PASSWORD = "k3y-of-cryptopanic", "p%40ssw0rd"
ENVIRONMENT = {
    "CRYPTOPANIC_API_KEY": KEY,
    "SLUICE_DATABASE_URL": f"postgresql://sluice:{PASSWORD}@db/sluice",
    "SLUICE_REDIS_URL": "redis://cache",
    "SLUICE_BROKER_URL": "amqp://mq",
}


class Kept:
    """A sink that keeps what it was handed."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def take(self, level: int, text: str) -> None:
        self.lines.append((level, text))

    def flush(self, within_s: float) -> None:
        """Nothing waits here."""


class ToSink(logging.Handler):
    def __init__(self, sink: Kept) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        self._sink.take(record.levelno, self.format(record))


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging is afterwards as it was before."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(log, "_tee", log.Tee())
    for handler in handlers:  # or they would be closed
        root.removeHandler(handler)
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@contextmanager
def logging_to_a_sink(written_for: str = "json") -> Iterator[Kept]:
    settings = Settings.from_env({**ENVIRONMENT, "SLUICE_LOG_FORMAT": written_for})
    log.configure(settings, sys.stderr)
    kept = Kept()
    with log.attached(settings, ToSink(kept), kept):
        yield kept


def last(kept: Kept) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(kept.lines[-1][1])
    return parsed


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("written_for", ["json", "console"])
def test_known_secrets_are_cut_out_wherever_they_stand(written_for: str, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_a_sink(written_for) as kept:
        logger = structlog.get_logger("tests")
        try:
            int(KEY)
        except ValueError as error:
            logger.exception(f"failed with {KEY}", deep=[{"why": (error, f"x{PASSWORD}x", "p@ssw0rd")}], bare=error)
            logging.getLogger("library").exception("%s of %s", KEY, PASSWORD)
        log.write_lines(json.dumps({"event": "request", "path": f"/{KEY}"}).encode() + b"\n")
        everything = capsys.readouterr().err + "".join(text for _, text in kept.lines)
        assert len(kept.lines) == 3
        assert everything.count(REDACTED) >= 12
        for secret in (KEY, PASSWORD, "p@ssw0rd"):
            assert secret not in everything


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("written_for", ["json", "console"])
def test_fields_named_like_secrets_are_cut_out_at_any_depth_and_the_callers_dict_stays(written_for: str) -> None:
    with logging_to_a_sink(written_for) as kept:
        headers = {
            "Authorization": "Bearer abc",
            "X-Api-Key": "def",
            "Accept": "json",
            "inner": [{"refresh_token": "g"}],
        }
        before = copy.deepcopy(headers)
        structlog.get_logger("tests").info("asked", headers=headers, password="hij", tokens=5)
        told = last(kept)
        assert told["headers"] == {
            "Authorization": REDACTED,
            "X-Api-Key": REDACTED,
            "Accept": "json",
            "inner": [{"refresh_token": REDACTED}],
        }
        assert (told["password"], told["tokens"]) == (REDACTED, 5)
        logging.getLogger("library").warning(headers)
        assert headers == before
        assert "abc" not in kept.lines[-1][1]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("GET /posts/?auth_token=abc&page=2", f"GET /posts/?auth_token={REDACTED}&page=2"),
        ("Authorization: Bearer abc.def", f"Authorization: {REDACTED}"),
        ("amqp://sluice:abc@mq:5672/", f"amqp://sluice:{REDACTED}@mq:5672/"),
        ('{"api_key": "abc", "n": 1}', f'{{"api_key": "{REDACTED}", "n": 1}}'),
        ("password = 'a b c' wrong", f"password = '{REDACTED}' wrong"),
        ("3 tokens: none; took 2:30", "3 tokens: none; took 2:30"),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
    ],
)
def test_secrets_behind_a_name_are_cut_out_of_texts(text: str, clean: str) -> None:
    assert Redaction(()).text(text) == clean


def test_names_are_told_from_secrets() -> None:
    assert all(map(named_like_a_secret, ("Api-Key", "auth_token", "SLUICE_SIGNING_KEY", "db_password", "Set-Cookie")))
    assert not any(map(named_like_a_secret, ("tokens", "path", "idempotency", "credential", 7)))


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("written_for", ["json", "console"])
def test_a_line_is_json_for_the_sink_whatever_people_see_and_has_its_level(written_for: str) -> None:
    with logging_to_a_sink(written_for) as kept:
        structlog.get_logger("tests").error("broken", n=1)
        log.write_lines(b'{"event":"request","level":"error"}\n{"event":"request","level":"info"}\n')
        logging.getLogger("library").warning("odd")
        assert [level for level, _ in kept.lines] == [40, 40, 20, 30]
        assert [json.loads(text)["event"] for _, text in kept.lines] == ["broken", "request", "request", "odd"]


@pytest.mark.usefixtures("as_before")
def test_what_is_detached_hears_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_a_sink() as kept:
        pass
    structlog.get_logger("tests").error("after")
    logging.getLogger("library").error("after")
    assert kept.lines == []
    assert capsys.readouterr().err.count("after") == 2
