"""The kinds of jobs there are, their JSON Schemas (``broker/schemas/``), and the queue each is worked on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from broker.jsonb import misfit
from broker.messages import LEDGER, PROBE, fetch_queue
from broker.reparse import REPARSE

GIVEN = {"ledger.trades": "trades", "ledger.prices": "prices"}
"""Kinds that bring their rows with them, and the dataset that these become."""


class UnfitJobError(ValueError):
    """This is no job that anybody here could do; the text says what does not fit."""


@cache
def schema(kind: str) -> Mapping[str, Any]:
    """Read the JSON Schema of a kind's args; raise UnfitJobError for a kind that does not exist."""
    known = kinds()
    if kind not in known:
        askable = ", ".join(one for one in known if one != REPARSE)
        raise UnfitJobError(f"there is no kind {kind[:80]!r}; there are {askable}")
    loaded: Mapping[str, Any] = orjson.loads((files("broker") / "schemas" / f"{kind}.json").read_bytes())
    return loaded


@cache
def kinds() -> tuple[str, ...]:
    """Name the kinds, by the files that describe them."""
    names = (entry.name for entry in (files("broker") / "schemas").iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in names if name.endswith(".json")))


def check(kind: str, args: Mapping[str, Any]) -> None:
    """Raise UnfitJobError, with the place and the reason, unless the args fit their kind, which people may ask for."""
    if kind == REPARSE:  # made from pages that are there (``broker/reparse.py``)
        raise UnfitJobError("reparse: nobody asks for this kind; use `sluice streams reparse`")
    fault = best_match(Draft202012Validator(schema(kind), format_checker=_FORMATS).iter_errors(dict(args)))
    if fault is not None:
        place = "/".join(map(str, fault.absolute_path))
        raise UnfitJobError(f"{kind}: {place + ': ' if place else ''}{fault.message[:300]}")
    if (why := misfit(dict(args))) is not None:
        raise UnfitJobError(f"{kind}: {why}")


def queue_of(kind: str, args: Mapping[str, Any]) -> str:
    """Say where the hints of a new job of this kind go; the args have been checked."""
    if kind in GIVEN:
        return LEDGER
    return PROBE if kind == "probe" else fetch_queue(args["provider"])


_FORMATS = FormatChecker(formats=())  # the library's own checks a date only where a further package is installed


@_FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    """A moment in time, not a date on some wall: with its zone."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None
