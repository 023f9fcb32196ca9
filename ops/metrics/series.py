"""Every series that a process of Sluice tells: one table, from which the meters are made.

Names have their unit last, counters end in ``_total``, and every label has few values: queues, actors, providers,
routes, outcomes; streams are few because people name them.  ``docs/operations.md`` shows this table to people, and a
test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Process = Literal["gateway", "worker", "dispatcher", "parent"]
Together = Literal["livesum", "livemin", "max"]

REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LIMIT_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
WORK_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
WAIT_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0)

ALL: tuple[Process, ...] = ("gateway", "worker", "dispatcher")


@dataclass(frozen=True, slots=True)
class Series:
    """One series: ``told_by`` these processes; ``together`` is what a gauge of several processes of one parent means.

    ``read``: not moved by events but read from the stores, and left out while it cannot be read.
    """

    name: str
    kind: Kind
    help: str
    told_by: tuple[Process, ...]
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    together: Together = "livesum"
    read: bool = False


def _read(name: str, help_: str, *labels: str) -> Series:
    return Series(name, "gauge", help_, ("dispatcher",), labels, read=True)


_EVERYWHERE = (
    Series("sluice_build_info", "gauge", "1; the labels say which build runs.", ALL, ("version",), together="max"),
    Series(
        "sluice_log_dropped_total",
        "counter",
        "Log records that were dropped on their way, by reason; the console had them first.",
        ALL,
        ("reason",),
    ),
    Series("sluice_publishes_total", "counter", "Sends of hints to the broker: taken, refused.", ALL, ("outcome",)),
    Series(
        "sluice_publish_seconds", "histogram", "How long the broker took to have all hints of a send.", ALL, (), WORK_S
    ),
)

_PARENT = (
    Series("sluice_child_processes", "gauge", "Child processes that run.", ("parent",), read=True),
    Series("sluice_child_exits_total", "counter", "Child processes that ended without being asked to.", ("parent",)),
)

_GATEWAY = (
    Series("sluice_http_requests_total", "counter", "Answers by route and status.", ("gateway",), ("route", "status")),
    Series(
        "sluice_http_request_seconds",
        "histogram",
        "How long answers took, by route; streams of events are left out, they last as long as somebody listens.",
        ("gateway",),
        ("route",),
        REQUEST_S,
    ),
    Series("sluice_ratelimit_decisions_total", "counter", "What the rate limit decided.", ("gateway",), ("decision",)),
    Series(
        "sluice_ratelimit_seconds", "histogram", "How long the rate limit took to decide.", ("gateway",), (), LIMIT_S
    ),
    Series(
        "sluice_ratelimit_failures_total",
        "counter",
        "Times that Redis did not decide: late, lost, broken.",
        ("gateway",),
        ("failure",),
    ),
    Series("sluice_ratelimit_degraded", "gauge", "Processes whose limits are not exact now.", ("gateway",)),
    Series("sluice_ratelimit_pending_calls", "gauge", "Calls that Redis has not been told of yet.", ("gateway",)),
    Series("sluice_ratelimit_replayed_total", "counter", "Calls that Redis was told of later.", ("gateway",)),
    Series("sluice_ratelimit_forgotten_total", "counter", "Calls that Redis will never hear of.", ("gateway",)),
    Series(
        "sluice_logins_total", "counter", "Logins by outcome: done, refused, throttled.", ("gateway",), ("outcome",)
    ),
    Series("sluice_refresh_token_reuses_total", "counter", "Refresh tokens that came a second time.", ("gateway",)),
    Series("sluice_audit_failures_total", "counter", "Records that could not be written.", ("gateway",)),
    Series(
        "sluice_revocations_read_timestamp_seconds",
        "gauge",
        "When revocations were last read.",
        ("gateway",),
        together="livemin",
    ),
)

_WORKER = (
    Series(
        "sluice_messages_total",
        "counter",
        "Messages worked on, by actor and outcome: done, failed, dead, skipped.",
        ("worker",),
        ("actor", "outcome"),
    ),
    Series("sluice_message_seconds", "histogram", "How long a message was worked on.", ("worker",), ("actor",), WORK_S),
    Series(
        "sluice_message_wait_seconds",
        "histogram",
        "From the sending of a message to the start of work on it.",
        ("worker",),
        ("actor",),
        WAIT_S,
    ),
    Series("sluice_messages_in_hand", "gauge", "Messages that are being worked on.", ("worker",)),
    Series(
        "sluice_provider_calls_total",
        "counter",
        "Calls of providers by outcome: landed, or the name of what went wrong.",
        ("worker",),
        ("provider", "outcome"),
    ),
    Series(
        "sluice_provider_call_seconds",
        "histogram",
        "How long providers took to answer.",
        ("worker",),
        ("provider",),
        WORK_S,
    ),
    Series(
        "sluice_provider_cost_total",
        "counter",
        "What calls cost, in the unit of the provider's budget (calls or credits).",
        ("worker",),
        ("provider",),
    ),
    Series(
        "sluice_jobs_put_off_total",
        "counter",
        "Jobs that have to wait, by provider and why: a limit, its standing, a retry.",
        ("worker",),
        ("provider", "why"),
    ),
    Series(
        "sluice_pages_total",
        "counter",
        "Pages that came this far: landed, spare, read, posted, malformed, dead.",
        ("worker",),
        ("state",),
    ),
    Series(
        "sluice_items_total",
        "counter",
        "Rows of pages by provider and what became of them: new, duplicate, amended, rejected, skipped.",
        ("worker",),
        ("provider", "outcome"),
    ),
    Series(
        "sluice_post_seconds",
        "histogram",
        "From a provider's answer to its rows in the ledger.",
        ("worker",),
        (),
        WAIT_S,
    ),
)

_DISPATCHER = (
    _read("sluice_dispatcher_leads", "1 while this dispatcher leads, else 0."),
    _read("sluice_watch_up", "1 when this could be read just now, else 0: broker, rows, streams, limits.", "of"),
    _read("sluice_queue_ready", "Messages that wait for a worker.", "queue"),
    _read("sluice_queue_unacked", "Messages in workers' hands (Redis alone tells).", "queue"),
    _read("sluice_queue_delayed", "Messages held back for later (Redis alone tells; ours never are).", "queue"),
    _read("sluice_queue_dead", "Messages that the broker itself gave up on.", "queue"),
    _read("sluice_queue_consumers", "Consumers of a queue; on Redis, workers that asked lately.", "queue"),
    _read("sluice_queue_oldest_seconds", "How long the oldest work of a queue has been due.", "queue"),
    _read("sluice_queue_paused_seconds", "How long an operator has kept a queue paused; 0 for an open one.", "queue"),
    _read("sluice_dead_letters", "Failed jobs that wait for a person (counted up to 10,000)."),
    _read("sluice_jobs_undispatched", "Jobs that are due and that no message was sent for."),
    _read("sluice_jobs_undispatched_oldest_seconds", "How long the oldest of them has been due."),
    _read("sluice_jobs", "Live jobs by state: queued, running, waiting.", "state"),
    _read("sluice_stream_age_seconds", "Since the last complete pull of an enabled stream.", "stream"),
    _read("sluice_stream_interval_seconds", "How often a stream is pulled, where it is by interval.", "stream"),
    _read("sluice_provider_usable", "1, or 0 while a provider is disabled, paused or used up.", "provider"),
    _read("sluice_provider_account_left", "Calls or credits left of the account, as the provider said.", "provider"),
    _read("sluice_provider_budget_left", "What may still be spent in this period.", "provider"),
    _read("sluice_provider_breaker_state", "Circuit: 0 closed, 1 half open, 2 open.", "provider"),
)

SERIES: dict[str, Series] = {one.name: one for one in (*_EVERYWHERE, *_PARENT, *_GATEWAY, *_WORKER, *_DISPATCHER)}


def told_by(process: Process) -> list[Series]:
    """Give the series of one process."""
    return [one for one in SERIES.values() if process in one.told_by]
