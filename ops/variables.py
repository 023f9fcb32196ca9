"""One environment variable at a time: its text, checked and turned into a value, or one line that says what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, TypeVar, cast
from urllib.parse import urlsplit

from workers.items import Budget, Rate

Period = Literal["day", "week", "month"]
Unit = Literal["calls", "credits"]
Value = TypeVar("Value")

HTTP = ("http", "https")
OURS = "SLUICE_"
ALIKE = 0.85  # SLUICE_PROT is SLUICE_PORT, SLUICE_DB_PASSWORD (compose's) is not SLUICE_SMOKE_PASSWORD


class BadSetting(ValueError):
    """A variable that cannot be used as it is; the message is one line for the person who set it."""


class Secret:
    """A text that is never shown: not by print, repr, format, logging or an error; ``reveal`` hands it out."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Wrap a text that is not empty."""
        assert text
        self._text = text

    def reveal(self) -> str:
        """The text itself, at the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        """At most the last four characters, and those only of a text long enough to stay unguessable."""
        return f"Secret(…{self._text[-4:]})" if len(self._text) >= 16 else "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        """Compare by content."""
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        """By content."""
        return hash(self._text)


class Url(Secret):
    """An address whose user and password are not shown."""

    __slots__ = ()

    @property
    def scheme(self) -> str:
        """The part that picks the adapter."""
        return urlsplit(self._text).scheme

    def __repr__(self) -> str:
        """Scheme, host, port and path."""
        parts = urlsplit(self._text)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    __str__ = __repr__


class Reader:
    """Reads variables by name; an empty one counts as not set.  Every method may raise BadSetting."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read from this mapping and from nowhere else."""
        self._environ = environ
        self._known: set[str] = set()

    def unknown(self) -> tuple[str, ...]:
        """Names that begin like ours, and that nobody has asked for."""
        given = {name for name in self._environ if name.startswith(OURS)}
        return tuple(sorted(given - self._known - {f"{name}_FILE" for name in self._known}))

    def refuse_misspelt(self) -> None:
        """Refuse a name that was meant to be another: a budget that nobody reads would let all be spent.

        Names that are like none are let pass: an older release meets settings of a newer one.
        """
        for name in self.unknown():
            if meant := get_close_matches(name, self._known, n=1, cutoff=ALIKE):
                raise BadSetting(f"{name} is no setting: {meant[0]} is")

    def text(self, name: str) -> str | None:
        """The text without blanks at its ends."""
        self._known.add(name)
        return self._environ.get(name, "").strip() or None

    def secret(self, name: str) -> Secret | None:
        """The variable itself, or the content of the file that ``NAME_FILE`` names (as orchestrators mount them)."""
        text = self.text(name) or self._mounted(f"{name}_FILE")
        if text is not None and not text.isprintable():
            raise BadSetting(f"{name} holds control characters: copy the key again, without line breaks")
        return None if text is None else Secret(text)

    def url(self, name: str, schemes: tuple[str, ...]) -> Url | None:
        """An address with one of these schemes; ``NAME_FILE`` works as for a secret."""
        text = self.text(name) or self._mounted(f"{name}_FILE")
        return None if text is None else Url(_address(name, text, schemes))

    def http(self, name: str) -> str | None:
        """A web address without a slash at its end."""
        text = self.text(name)
        return None if text is None else _address(name, text, HTTP).rstrip("/")

    def whole(self, name: str, usual: int, *, low: int, high: int) -> int:
        """A whole number between two bounds, both allowed."""
        text = self.text(name)
        if text is None:
            return usual
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise BadSetting(f"{name} must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    def port(self, name: str) -> int | None:
        """A port, or None: do not listen."""
        return None if self.text(name) is None else self.whole(name, 0, low=1, high=65535)

    def seconds(self, name: str, usual: float) -> float:
        """``30`` or ``0.5`` or ``30s``; above 0."""
        text = self.text(name)
        if text is None:
            return usual
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?s?", text) or float(text.rstrip("s")) == 0:
            raise BadSetting(f"{name} must be a number of seconds above 0, such as {usual:g}, not {text!r}")
        return float(text.rstrip("s"))

    def choice(self, name: str, choices: tuple[str, ...], usual: str) -> str:
        """One of a few words, in any case."""
        text = (self.text(name) or usual).lower()
        if text not in choices:
            raise BadSetting(f"{name} must be one of {', '.join(choices)}, not {text!r}")
        return text

    def budget(self, name: str, unit: Unit) -> Budget | None:
        """``3000/month``, ``500/day``, in the provider's own unit."""

        def make(found: re.Match[str]) -> Budget | None:
            amount = int(found[1])
            return Budget(amount=amount, period=cast(Period, found[2]), unit=unit) if amount else None

        return self._parsed(name, r"([0-9]{1,12})/(day|week|month)", make, "3000/month")

    def rate(self, name: str) -> Rate | None:
        """``2/1s``: two calls in any second."""
        return self._parsed(name, r"([0-9]{1,6})/([0-9]{1,6}(?:\.[0-9]+)?)s", _rate, "2/1s")

    def _parsed(
        self, name: str, pattern: str, make: Callable[[re.Match[str]], Value | None], example: str
    ) -> Value | None:
        text = self.text(name)
        if text is None:
            return None
        found = re.fullmatch(pattern, text)
        value = make(found) if found else None
        if value is None:
            raise BadSetting(f"{name} must look like {example}, with numbers above 0, not {text!r}")
        return value

    def _mounted(self, name: str) -> str | None:
        path = self.text(name)
        if path is None:
            return None
        try:
            return Path(path).read_text().strip() or None
        except (OSError, UnicodeDecodeError) as error:
            raise BadSetting(f"{name} names {path}, which cannot be read: {type(error).__name__}") from None


def _address(name: str, text: str, schemes: tuple[str, ...]) -> str:
    """Check an address without ever repeating it: it may hold a password."""
    example = f"{schemes[0]}://…"
    try:
        parts = urlsplit(text)
        place = parts.hostname or (parts.scheme == "unix" and parts.path)
        parts.port  # noqa: B018  (reading it is what checks it)
    except ValueError:
        raise BadSetting(f"{name} is not an address: write it as {example}, with % codes in the password") from None
    if parts.scheme not in schemes:
        raise BadSetting(f"{name} must begin with one of {', '.join(f'{scheme}://' for scheme in schemes)}")
    if not place:
        raise BadSetting(f"{name} names no host: write it as {example}")
    return text


def _rate(found: re.Match[str]) -> Rate | None:
    calls, per_s = int(found[1]), float(found[2])
    return Rate(calls=calls, per_s=per_s) if calls and per_s else None
