"""Values as they are typed: moments, spans, names with values, ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import click
import orjson

from ops.cli.output import utc_now

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART = re.compile(r"(\d{1,9})([smhdw])")


class Span(click.ParamType[timedelta]):
    """``90s``, ``5m``, ``1h30m``, ``7d``."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        span = span_of(str(value))
        if span is None:
            self.fail(f"{value!r} is no span of time: write it as 90s, 5m, 1h30m or 7d", param, ctx)
        return span


class Moment(click.ParamType[datetime]):
    """An ISO date or time (UTC unless it says otherwise), or a span: so long ago."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        if (span := span_of(str(value))) is not None:
            return utc_now() - span
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(
                f"{value!r} is no time: write it as 2026-08-17, 2026-08-17T12:00Z, or 24h for a day ago", param, ctx
            )
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            given = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            self.fail(f"this is not JSON: {error}", param, ctx)
        if not isinstance(given, dict):
            self.fail('a JSON object is needed, such as {"chains": ["ethereum"]}', param, ctx)
        return given


class Listing(click.Group):
    """A group that lists where nothing else is said: ``sluice jobs`` and ``sluice jobs --state waiting``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


SPAN, MOMENT, JSON_OBJECT = Span(), Moment(), JsonObject()
ROW_ID = click.IntRange(1, 2**63 - 1)
"""Of an item or a story."""


def span_of(text: str) -> timedelta | None:
    """Read a span of time; None for what is none, or none above zero."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    try:
        return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts)) or None
    except OverflowError:
        return None


def pairs(given: Iterable[str]) -> dict[str, Any]:
    """Read ``name=value`` texts; a value that is JSON is taken as such, everything else is text."""
    read: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{one!r} is not of the form name=value")
        read[name] = _value(value)
    return read


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def ids(given: Sequence[str]) -> list[UUID]:
    """Read ids of jobs or pages."""
    try:
        return [UUID(one) for one in given]
    except ValueError:
        raise click.BadParameter("an id looks like 01992c1e-7b3a-7c11-9d5e-0a1b2c3d4e5f") from None


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
yes = click.option("--yes", is_flag=True, help="Do not ask.")
