"""Kinds of jobs: what fits, what does not and why, and where a job goes."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from broker.kinds import UnfitJobError, check, kinds, queue_of, schema

FETCH = {"provider": "nansen", "dataset": "account"}


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_has_a_schema_that_is_one(kind: str) -> None:
    Draft202012Validator.check_schema(dict(schema(kind)))
    assert schema(kind)["title"] == kind
    assert schema(kind)["additionalProperties"] is False


@pytest.mark.parametrize(
    "args",
    [
        FETCH,
        FETCH | {"params": {"chains": ["base"]}},
        FETCH | {"since": "2026-11-20T09:00:00Z", "pages_max": 3},
        FETCH | {"since": "2026-11-20T09:00:00.5+02:00"},
    ],
)
@pytest.mark.parametrize("kind", ["fetch", "backfill"])
def test_what_fits_passes(kind: str, args: dict[str, Any]) -> None:
    check(kind, args)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({}, "'provider' is a required property"),
        (FETCH | {"provider": "../etc"}, "provider"),
        (FETCH | {"provider": 7}, "provider"),
        (FETCH | {"pages_max": 0}, "pages_max"),
        (FETCH | {"pages_max": "3"}, "pages_max"),
        (FETCH | {"params": []}, "params"),
        (FETCH | {"token": "x"}, "token"),
        (FETCH | {"since": "yesterday"}, "since"),
        (FETCH | {"since": "2026-11-20"}, "since"),
        (FETCH | {"since": "2026-11-20T09:00:00"}, "since"),  # whose nine o'clock?
        (FETCH | {"since": "2026-13-20T09:00:00Z"}, "since"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(args: dict[str, Any], named: str) -> None:
    with pytest.raises(UnfitJobError, match=named):
        check("fetch", args)


def test_a_kind_that_does_not_exist_is_refused_by_naming_those_that_do() -> None:
    with pytest.raises(UnfitJobError, match="no kind 'fech'; there are backfill, fetch, ledger"):
        check("fech", {})


@pytest.mark.parametrize("kind", ["../messages", "", "fetch.json", "x" * 5000])
def test_a_kind_never_becomes_a_path(kind: str) -> None:
    with pytest.raises(UnfitJobError):
        check(kind, {})


def test_a_job_goes_to_the_queue_of_its_provider_and_a_probe_to_its_own() -> None:
    assert queue_of("fetch", FETCH) == "fetch.nansen"
    assert queue_of("probe", {}) == "probe"
