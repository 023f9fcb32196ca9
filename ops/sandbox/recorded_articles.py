"""NewsCatcher's recorded v2 articles: CSV rows put back into the pages that they came from."""

from __future__ import annotations

import csv
import sys
from ast import literal_eval
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ops.sandbox.answers import Ask
from ops.sandbox.recorded_files import listed
from ops.sandbox.search import Found

NULLABLE = ("author", "excerpt", "summary", "rights", "language", "twitter_account")
PAGE = 100

Row = dict[str, Any]
Question = tuple[str, str]
"""The query and the topic of a search."""


class RecordedArticles:
    """Answers searches whose query and topic were recorded; any other finds nothing."""

    def __init__(self, folder: Path) -> None:
        # the full texts are longer than the module's own limit
        csv.field_size_limit(sys.maxsize)
        self._pages: dict[Question, dict[int, list[Row]]] = {}
        self._params: dict[Question, dict[str, Any]] = {}
        for path in listed(folder, "articles_*.csv"):
            self._read(path)
        newest = max(row["published_date"] for row in self._rows())
        self.at = datetime.fromisoformat(newest).replace(tzinfo=UTC)

    def _read(self, path: Path) -> None:
        with path.open(encoding="utf-8", newline="") as lines:
            for line in csv.DictReader(lines, delimiter=";"):
                params = literal_eval(line.pop("used_params"))
                page = params.pop("page")
                question = _question(params)
                self._params[question] = params
                self._pages.setdefault(question, {}).setdefault(page, []).append(_row(line))

    def _rows(self) -> list[Row]:
        return [row for pages in self._pages.values() for page in pages.values() for row in page]

    def ids(self) -> set[str]:
        """Give the ids of all articles."""
        return {row["_id"] for row in self._rows()}

    def streams(self) -> list[dict[str, Any]]:
        """Give the recorded searches."""
        streams = []
        for (query, topic), params in sorted(self._params.items()):
            asked = {
                "api": "v2",
                "q": params["q"],
                "lang": params["lang"],
                "to_rank": params["to_rank"],
                "page_size": PAGE,
            }
            asked |= {"topic": topic} if topic else {}
            name = f"articles-{query.replace(' and ', '-').replace(' ', '-')}"
            stream = {"name": name, "provider": "newscatcher", "dataset": "search", "params": asked}
            streams.append(stream | {"mode": "backfill", "polls": 1})
        return streams

    def subscription(self, _ask: Ask) -> dict[str, Any]:
        """v2 has no such endpoint."""
        return {}

    def search(self, _version: str, endpoint: str, params: Mapping[str, Any], _ask: Ask) -> Found:
        """Find the recorded pages of a search; times and ranks were part of the recording and are not looked at."""
        pages = self._pages.get(_question(params), {}) if endpoint == "search" else {}
        rows = [row for number in sorted(pages) for row in pages[number]]
        echo = {name: value for name, value in params.items() if name not in {"page", "page_size"}}

        def page(start: int, stop: int) -> list[Row]:
            # pages of the recorded size come as they were: two of them have 99 rows
            whole = stop - start == PAGE and start % PAGE == 0
            return list(pages.get(start // PAGE + 1, [])) if whole else rows[start:stop]

        recorded = len(pages) if int(params.get("page_size", PAGE)) == PAGE and pages else None
        return Found(len(rows), echo, page, at=self.at, pages=recorded)


def _question(params: Mapping[str, Any]) -> Question:
    topic = params.get("topic") or ""
    return str(params.get("q", "")).strip().casefold(), str(topic[0] if isinstance(topic, list) else topic).casefold()


def _row(line: Mapping[str, str]) -> Row:
    """Put the types back that CSV has lost."""
    row: Row = {name: value for name, value in line.items() if name}
    row |= {name: row[name] or None for name in NULLABLE}
    row |= {"rank": int(row["rank"]), "is_opinion": row["is_opinion"] == "True"}
    return row | {"_score": float(row["_score"]) if row["_score"] else None}
