"""Times as NewsCatcher takes them: ISO, slashed, ``7d``, ``24h``, ``now``, ``2 days ago``; all UTC.  Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_SHORT = re.compile(r"\A(\d+)\s*([hdwm])\Z")
_AGO = re.compile(r"\A(\d+)\s+(minute|hour|day|week|month)s?\s+ago\Z")
_UNITS = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "m": timedelta(days=30),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
}


def moment(text: str, now: datetime) -> datetime:
    """Read one time; ValueError when it is none."""
    plain = text.strip().lower()
    if plain == "now":
        return now
    if found := _SHORT.match(plain) or _AGO.match(plain):
        return now - int(found[1]) * _UNITS[found[2]]
    read = datetime.fromisoformat(plain.upper().replace("/", "-"))
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
