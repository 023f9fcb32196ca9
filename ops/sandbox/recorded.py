"""Recorded answers served again: a folder of real pages, chained as the provider chains them, each with its own time.

The layout of the folder (other files in it are not looked at)::

    cryptopanic/v1_2025-03/page_*.json             pages of /api/v1/posts/, each of them a page 1
    newscatcher/v2_2021-08/articles_*.csv          rows of v2 answers; ``used_params`` tells which page each came from
    nansen/smart_money_2026-09/*_excerpt_*.json    one page each, in a wrapper {at, body, ...}
    nansen/triples/<endpoint>/<name>.request.json, .response-metadata.json, .response.json
    nansen/flows_2026-08-16/flows-<chain>-<token>.json

Numbers are served in the digits in which they were recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.sandbox.answers import HTML_404, Answer, Api, Ask, Invented, html
from ops.sandbox.cryptopanic import CryptoPanicDoor, answered, link, page_number, plan_of
from ops.sandbox.meter import Meter
from ops.sandbox.nansen import Nansen
from ops.sandbox.newscatcher import NewsCatcher, version_of
from ops.sandbox.recorded_articles import RecordedArticles
from ops.sandbox.recorded_files import exact, listed, valued
from ops.sandbox.recorded_rows import RecordedRows

PAGES = "cryptopanic/v1_2025-03"


class RecordedPosts(CryptoPanicDoor):
    """The recorded pages of CryptoPanic as pages 1, 2, 3, ... of one list, in the order of their recording."""

    def __init__(self, folder: Path) -> None:
        files = sorted(listed(folder / PAGES, "page_*.json"), key=_newest)
        self._pages = [exact(path)["results"] for path in files]
        self.rows = [row for path in files for row in valued(path)["results"]]
        # No headers were recorded: a page is as old as its newest post, so that votes that moved have their own time.
        self._times = [datetime.fromisoformat(_newest(path)) for path in files]
        self.at = max(self._times)

    def route(self, ask: Ask) -> Answer | None:
        """Only v1 was recorded."""
        return None if plan_of(ask) == "v1" and ask.method == "GET" else html(404, HTML_404)

    def answer(self, ask: Ask) -> Answer:
        """Give a recorded page with its links rebuilt; behind the last one there is nothing."""
        page, last = page_number(ask.query.get("page", "1")), len(self._pages)
        payload = {
            "count": 200,
            "next": link(ask, page + 1 if page < last else None),
            "previous": link(ask, page - 1 if page > 1 else None),
            "results": list(self._pages[page - 1]) if page <= last else [],
        }
        answer = answered(ask, payload, page)
        answer.at = self._times[page - 1] if page <= last else self.at
        return answer


class RecordedNewsCatcher(NewsCatcher):
    """NewsCatcher of which only v2 was recorded."""

    def route(self, ask: Ask) -> Answer | None:
        """Answer for v2 only."""
        return super().route(ask) if version_of(ask) == "v2" else html(404, HTML_404)


class Recordings:
    """A folder of recordings as a world of its own: nothing grows in it, and its time stands still."""

    def __init__(self, folder: Path, meters: Mapping[str, Meter]) -> None:
        self._posts = RecordedPosts(folder)
        self._articles = RecordedArticles(folder / "newscatcher/v2_2021-08")
        self._rows = RecordedRows(folder / "nansen")
        self._apis: dict[str, Api] = {
            "cryptopanic": self._posts,
            "newscatcher": RecordedNewsCatcher(self._articles),
            "nansen": Nansen(self._rows, meters["nansen"], self._rows.account),
        }

    @classmethod
    def opened(cls, folder: Path, meters: Mapping[str, Meter]) -> Recordings:
        """Read a folder; FileNotFoundError names what it lacks."""
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is not a folder of recordings")
        return cls(folder, meters)

    @property
    def moment(self) -> datetime:
        """Give the newest time of any recording, in whole seconds."""
        return max(self._posts.at, self._articles.at, self._rows.at).astimezone(UTC).replace(microsecond=0)

    def apis(self) -> Mapping[str, Api]:
        """Give the three APIs over the recordings."""
        return self._apis

    def invented(self) -> Invented:
        """Give by provider the keys in the recordings; none of their rows is known to be malformed."""
        found = {
            "cryptopanic": {f"posts:{row['id']}" for row in self._posts.rows},
            "newscatcher": {f"articles:{number}" for number in self._articles.ids()},
            "nansen": self._rows.keys(),
        }
        return {name: {"keys": sorted(keys), "rejects": []} for name, keys in found.items()}

    def streams(self) -> list[dict[str, Any]]:
        """Say what was recorded; ``polls`` is how often a stream must be pulled to get all its recordings."""
        posts = {"name": "posts", "provider": "cryptopanic", "dataset": "posts", "params": {"plan": "v1"}}
        return [posts | {"mode": "backfill", "polls": 1}, *self._articles.streams(), *self._rows.streams()]

    def stories(self) -> list[list[str]]:
        """Nobody labelled the recordings."""
        return []

    def grow(self, _count: int, _now: datetime) -> list[str]:
        """Recordings do not grow."""
        return []

    def remove(self, _count: int) -> list[str]:
        """Recordings stay as they are."""
        return []


def _newest(path: Path) -> str:
    rows: Sequence[Mapping[str, Any]] = valued(path)["results"]
    return max(_published(rows))


def _published(rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    return (row["published_at"] for row in rows)
