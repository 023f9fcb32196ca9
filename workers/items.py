"""What a provider takes and gives, pure: the pull, the request, the page and what is parsed from it.

A provider module in ``workers/providers/`` holds one object named ``PROVIDER`` that fits the ``Provider`` protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from broker.limits import Budget, Limits, Rate
from ledger.model import Item

__all__ = [  # with the names of broker.limits, so that a provider file needs this module only
    "COUNT_MAX",
    "NO_USAGE",
    "Api",
    "Budget",
    "Dataset",
    "InHeader",
    "InQuery",
    "Limits",
    "Malformed",
    "Misconfigured",
    "Mode",
    "NotThere",
    "Page",
    "Parsed",
    "Provider",
    "ProviderError",
    "Pull",
    "QuotaUsedUp",
    "Rate",
    "Refused",
    "Rejected",
    "Request",
    "RetryLater",
    "Usage",
]

Mode = Literal["incremental", "backfill"]

COUNT_MAX = 2**31 - 1
"""No price and no account is larger: such a figure is a fault of its header, and the rows would not hold it."""


@dataclass(frozen=True, slots=True)
class InHeader:
    """The token travels in this request header."""

    name: str


@dataclass(frozen=True, slots=True)
class InQuery:
    """The token travels in this query parameter, and so may come back inside links of the answer."""

    name: str


@dataclass(frozen=True, slots=True)
class Api:
    """One base address of a provider and where its token goes; ``http.py`` adds the token, no Request ever holds it."""

    base: str
    token: InHeader | InQuery


@dataclass(frozen=True, slots=True)
class Dataset:
    """One kind of list of a provider.

    ``params`` is a JSON Schema of what a job may ask; ``expected`` names the body fields whose presence is counted as
    completeness; ``interval_s`` its usual cadence; ``overlap`` how far behind the watermark an incremental pull reads;
    ``snapshot`` says that rows are keyed by the time of the poll, ``windowed`` that the request itself leaves out what
    is older than ``since``: both are read to their end, whatever is known.
    """

    params: Mapping[str, Any]
    expected: tuple[str, ...] = ()
    interval_s: int = 300
    overlap: timedelta = timedelta(hours=1)
    snapshot: bool = False
    windowed: bool = False


@dataclass(frozen=True, slots=True)
class Pull:
    """What one job asks of a provider; but for ``asked_at`` the same for all its pages: page numbers stay meaningful.

    ``since`` is the watermark less the overlap (None: from the beginning), ``until`` the fixed end of the window: the
    time at which the job first ran.  ``polled_at`` is the provider's own time at the first page (its ``Date`` header);
    None until that page is there.  ``asked_at`` is our time at this very call, for spans that the provider reckons back
    from it ("the last hour"); None where a page is read.
    """

    dataset: str
    params: Mapping[str, Any]
    mode: Mode
    until: datetime
    since: datetime | None = None
    polled_at: datetime | None = None
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP call, without its token: safe to log, to keep and to send."""

    method: Literal["GET", "POST"]
    api: str  # which of the provider's ``apis``
    path: str  # appended to its base, with a leading slash
    query: tuple[tuple[str, str], ...] = ()
    json: Mapping[str, Any] | None = None
    cost: int = 1  # in the unit of the budget


@dataclass(frozen=True, slots=True)
class Page:
    """One answer as it was kept: body redacted, otherwise as it came; ``cursor`` is what it was asked with."""

    body: bytes
    pull: Pull
    cursor: str | None
    fetched_at: datetime
    polled_at: datetime


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that could not become an item: its position in the page and the reason, never its content."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a page says.

    ``next`` asks for the page after it (None: the list ends here); ``pages_total`` where the provider tells;
    ``skipped`` rows that are no data by the provider's own rule (Nansen's first bucket); ``oldest`` the world's time of
    the oldest row, for the stop rule of incremental pulls; ``usage`` what the body itself says about limits (Nansen's
    ``account``).  A page without any row but with ``next`` says "go on" (NewsCatcher's window that was too wide).
    """

    items: tuple[Item, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    next: str | None = None
    pages_total: int | None = None
    skipped: int = 0
    warnings: tuple[str, ...] = ()
    usage: Usage | None = None

    @property
    def oldest(self) -> datetime | None:
        """The smallest ``happened_at`` of the page."""
        return min((item.happened_at for item in self.items), default=None)

    @property
    def newest(self) -> datetime | None:
        """The largest ``happened_at`` of the page."""
        return max((item.happened_at for item in self.items), default=None)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer says about limits, in its headers or its body; None where it is silent.

    Raises ValueError for a ``cost`` or ``remaining`` that is negative or beyond COUNT_MAX.
    """

    cost: int | None = None  # in the budget's unit, as charged
    remaining: int | None = None  # credits or calls left in the period
    retry_after_s: float | None = None
    rate_remaining: int | None = None  # calls left in the most constrained rate window
    rate_reset_s: float | None = None  # seconds until that window turns
    plan: str | None = None  # the account's plan, by the provider's name for it

    def __post_init__(self) -> None:
        for told in (self.cost, self.remaining):
            if told is not None and not 0 <= told <= COUNT_MAX:
                raise ValueError(f"{told} is not a number of calls or credits")


class ProviderError(Exception):
    """What went wrong, named for the remedy.

    ├── RetryLater      429, 5xx, timeouts: the same request may work; ``after`` says when
    ├── QuotaUsedUp     nothing works until the period turns (``until``, or the budget's own period)
    ├── Misconfigured   401, 403: only a person can help; the provider is disabled, the others go on
    ├── Refused         400, 422: this request will never work; the job fails
    │   └── NotThere    404: nothing at this place; on a later page it is the end of the list
    └── Malformed       the page is not what it promised to be: keep it, count it, ask again

    ``status`` and ``usage`` are those of the refusing answer, where there was an answer.
    """

    status: int | None = None
    usage: Usage | None = None


@dataclass(slots=True, eq=False)
class RetryLater(ProviderError):
    """The same request may work later; ``rate_limited`` tells a 429 from a fault."""

    reason: str
    after: timedelta | None = None
    rate_limited: bool = False

    def __str__(self) -> str:
        return self.reason


@dataclass(slots=True, eq=False)
class QuotaUsedUp(ProviderError):
    """The period's calls or credits are spent."""

    reason: str
    until: datetime | None = None

    def __str__(self) -> str:
        return self.reason


class Misconfigured(ProviderError):
    """Key or plan does not allow this: only a person can help."""


class Refused(ProviderError):
    """The provider will never accept this request."""


class NotThere(Refused):
    """Nothing is at this place: a removed plan or path, or a page past the end of the list."""


class Malformed(ProviderError):
    """The answer is not what it promised to be."""


class Provider(Protocol):
    """One file in ``workers/providers/``: names, places and pure functions.  It never does I/O."""

    name: str
    apis: Mapping[str, Api]
    limits: Limits
    datasets: Mapping[str, Dataset]

    def request(self, pull: Pull, cursor: str | None) -> Request:
        """Say how to ask for the page at ``cursor`` (None: the first)."""
        ...

    def parse(self, page: Page) -> Parsed:
        """Turn a kept page into items; raise Malformed when it is no page at all, reject single bad rows."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Name the remedy for an answer that is not a 200; never repeat a token that the body echoes."""
        ...

    def usage(self, headers: Mapping[str, str]) -> Usage:
        """Read what the headers of any answer say about limits."""
        ...


NO_USAGE = Usage()
