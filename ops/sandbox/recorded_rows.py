"""Nansen's recorded answers: which one fits a request, and the keys that its rows must get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from ops.sandbox import keys
from ops.sandbox.answers import Ask
from ops.sandbox.clock import stamp
from ops.sandbox.nansen import PageOfRows
from ops.sandbox.nansen_rules import moment
from ops.sandbox.recorded_files import exact, listed, valued

EXCERPTS = {
    "smart-money/netflow": ("netflow_*.json", ["all"]),
    "smart-money/dex-trades": ("dex_trades_*.json", ["solana"]),
    "smart-money/holdings": ("holdings_*.json", ["all"]),
}
EARLIER = timedelta(hours=2, seconds=2)
"""Clients ask a bucket or two more in front, since an answer's first one says nothing: ``from`` may be this early."""
HISTORICAL = "smart-money/historical-holdings"
SCREENER = "token-screener"
FLOWS = "tgm/flows"
UNTOLD_LABEL = "smart_money"
"""The answers of ``flows_*`` came without their requests; exchanges would fill four more fields."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded list: its rows for serving and for keys, when it was recorded, and what was asked."""

    endpoint: str
    rows: Sequence[Row]
    values: Sequence[Row]
    at: datetime
    payload: Mapping[str, Any]
    warnings: list[str] | None = None

    def natural_keys(self) -> list[str]:
        """Give the natural keys of its rows; the first bucket of a window is none."""
        match self.endpoint:
            case "smart-money/dex-trades":
                return [keys.trade_key(row) for row in self.values]
            case "smart-money/historical-holdings":
                return [keys.historical_key(row, ()) for row in self.values]
            case "tgm/flows":
                return [self._flow_key(row) for row in self.values[1:]]
        return [keys.snapshot_key(self.endpoint, row, self.at) for row in self.values]

    def _flow_key(self, row: Row) -> str:
        asked = self.payload
        return keys.flow_key(asked["chain"], asked["token_address"], asked["label"], stamp(moment(row["date"])))

    def fits_window(self, body: Mapping[str, Any]) -> bool:
        """Say whether a request for flows is the recorded one, or the same asked a little earlier."""
        own = self.payload
        if (body["chain"], body.get("label") or UNTOLD_LABEL) != (own["chain"], own["label"]):
            return False
        if keys.address(body["token_address"]) != keys.address(own["token_address"]):
            return False
        early = moment(own["date"]["from"]) - moment(body["date"]["from"])
        late = moment(body["date"]["to"]) - moment(own["date"]["to"])
        return timedelta(seconds=-1) <= early <= EARLIER and abs(late) <= timedelta(seconds=1)


class RecordedRows:
    """All recordings of Nansen in a folder."""

    def __init__(self, folder: Path) -> None:
        triples = folder / "triples"
        self._excerpts = _excerpts(folder)
        self._daily = _triples(HISTORICAL, triples / "smart-money__historical-holdings")
        self._screens = sorted(_triples(SCREENER, triples / "token-screener"), key=lambda recording: recording.at)
        self._flows = [*_triples(FLOWS, triples / "tgm__flows"), *_bare_flows(folder)]
        self._account: Row = exact(listed(triples / "account", "*.response.json")[0])
        self._polls = 0
        self.at = max(recording.at for recording in self._all())

    def _all(self) -> list[Recording]:
        return [*self._excerpts.values(), *self._daily, *self._screens, *self._flows]

    def keys(self) -> set[str]:
        """Give the natural keys of all recordings."""
        return {key for recording in self._all() for key in recording.natural_keys()}

    def account(self, _now: datetime) -> Row:
        """Give the recorded plan."""
        return dict(self._account)

    def page(self, endpoint: str, body: Mapping[str, Any], page: int, per_page: int, _ask: Ask) -> PageOfRows:
        """Give a page of the recording that fits, or an empty one; screens follow one another, poll by poll."""
        if endpoint == HISTORICAL:
            return self._daily_page(page, per_page)
        if endpoint == SCREENER:
            turn = self._polls if page == 1 else max(0, self._polls - 1)
            found = _page(self._screens[turn % len(self._screens)], page, per_page)
            found.when_sent = partial(self._polled, turn + 1) if page == 1 else None
            return found
        if endpoint == FLOWS:
            fitting = [recording for recording in self._flows if recording.fits_window(body)]
            return _page(fitting[0], page, per_page) if fitting else PageOfRows([], last=True, at=self.at)
        return _page(self._excerpts[endpoint], page, per_page)

    def _polled(self, turn: int) -> None:
        """The next poll gets the next recording, once this one arrived whole."""
        self._polls = turn

    def _daily_page(self, page: int, per_page: int) -> PageOfRows:
        rows = [row for recording in self._daily for row in recording.rows]
        at = self._daily[min(page, len(self._daily)) - 1].at
        return PageOfRows(rows[(page - 1) * per_page : page * per_page], last=page * per_page >= len(rows), at=at)

    def streams(self) -> list[dict[str, Any]]:
        """Give what was recorded as streams; the screens need as many polls as there are."""
        found = [
            _stream(endpoint.rpartition("/")[2], endpoint, {"chains": EXCERPTS[endpoint][1]})
            for endpoint in self._excerpts
        ]
        found.append(_stream("daily-holdings", HISTORICAL, self._daily[0].payload))
        found.append(_stream("screener", SCREENER, self._screens[0].payload, len(self._screens)))
        return found + [
            _stream(f"flows-{place}", FLOWS, recording.payload) for place, recording in enumerate(self._flows)
        ]


def _stream(name: str, endpoint: str, payload: Mapping[str, Any], polls: int = 1) -> dict[str, Any]:
    params = {key: value for key, value in payload.items() if key not in {"pagination", "order_by"}}
    stream = {"name": name, "provider": "nansen", "dataset": endpoint, "params": params, "mode": "backfill"}
    return stream | {"polls": polls}


def _page(recording: Recording, page: int, per_page: int) -> PageOfRows:
    rows = list(recording.rows[(page - 1) * per_page : page * per_page])
    last = page * per_page >= len(recording.rows)
    return PageOfRows(rows, last=last, warnings=recording.warnings, at=recording.at)


def _excerpts(folder: Path) -> dict[str, Recording]:
    """Read the wrapped pages; a wrapper without its time has that of the one that tells it."""
    files = {name: listed(folder / "smart_money_2026-09", pattern)[0] for name, (pattern, _) in EXCERPTS.items()}
    times = [read["at"] for read in map(valued, files.values()) if "at" in read]
    if not times:
        raise FileNotFoundError(f"no wrapper in {folder} tells its time")
    recorded = {}
    for name, path in files.items():
        milliseconds = valued(path).get("at", times[0])
        at = datetime.fromtimestamp(milliseconds / 1000, UTC).replace(microsecond=0)
        recorded[name] = Recording(name, exact(path)["body"]["data"], valued(path)["body"]["data"], at, {})
    return recorded


def _triples(endpoint: str, folder: Path) -> list[Recording]:
    found = []
    for path in listed(folder, "*.request.json"):
        stem = path.name.removesuffix(".request.json")
        metadata = valued(folder / f"{stem}.response-metadata.json")
        answer = folder / f"{stem}.response.json"
        at = datetime.fromisoformat(metadata["response_retrieved_at"]).replace(microsecond=0)
        served = exact(answer)
        found.append(
            Recording(
                endpoint, served["data"], valued(answer)["data"], at, valued(path)["payload"], served.get("warnings")
            )
        )
    return found


def _bare_flows(folder: Path) -> list[Recording]:
    """Read the answers that came without a request: chain and token are in the name, the window in the rows."""
    found = []
    for path in listed(folder / "flows_2026-08-16", "flows-*.json"):
        _, chain, token = path.stem.split("-", 2)
        served, values = exact(path), valued(path)["data"]
        end = moment(values[-1]["bucket_end"])
        window = {"from": values[0]["date"], "to": stamp(end - timedelta(seconds=1))}
        payload = {"chain": chain, "token_address": token, "label": UNTOLD_LABEL, "date": window}
        # the last bucket was not complete: it was asked before its end
        at = end - timedelta(minutes=30)
        found.append(Recording(FLOWS, served["data"], values, at, payload, served.get("warnings")))
    return found
