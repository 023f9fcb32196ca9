"""docs/api.md says what the code says: the errors, the routes, the bounds."""

from __future__ import annotations

import re

from gateway.api import AREAS
from gateway.api.job_events import FOLLOWING_MAX
from gateway.api.job_shapes import BATCH_MAX
from gateway.paging import LIMIT, LIMIT_MAX
from gateway.problems import KINDS
from tests.documents import TOP

PAGE = (TOP / "docs" / "api.md").read_text(encoding="utf-8")
ROUTES = {route.path.removeprefix("/") for area in AREAS for route in area}


def test_the_table_of_errors_is_that_of_the_code() -> None:
    told = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert [(code, int(status), title) for code, status, title, _ in told] == [
        (code, kind.status, kind.title) for code, kind in KINDS.items()
    ]


def test_every_route_that_is_named_is_there() -> None:
    named = re.findall(r"`(?:(?:GET|POST|PUT|PATCH|DELETE) )?([a-z-]+(?:/[a-z{}-]+)*)`", PAGE)
    area = {path.split("/")[0] for path in ROUTES}
    paths = [path for path in named if "/" in path and path.split("/")[0] in area]
    assert len(paths) > 20
    assert [path for path in paths if path not in ROUTES] == []


def test_the_bounds_that_are_named_hold() -> None:
    words = " ".join(PAGE.split())
    assert f"`limit` is 1 to {LIMIT_MAX}, {LIMIT} by default" in words
    assert f"a list of up to {BATCH_MAX}" in words
    assert FOLLOWING_MAX == 5
    assert "Five streams of one user" in words
