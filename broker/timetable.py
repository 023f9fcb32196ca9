"""When a stream is due, and the job that pulls it.  Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from broker.jobs import NewJob
from broker.messages import fetch_queue
from broker.streams import Stream


class BadScheduleError(ValueError):
    """This is no cron line: five fields, minute hour day month weekday."""


def next_run(stream: Stream, now: datetime) -> datetime:
    """Say when the stream is due after ``now``; runs that were missed are not made up for one by one."""
    if stream.cron:
        return cron_after(stream.cron, now)
    interval = timedelta(seconds=stream.interval_s or 300)
    last = stream.next_run_at or now
    return last + interval * ((now - last) // interval + 1) if last <= now else last


def cron_after(line: str, now: datetime) -> datetime:
    """Give the first time after ``now`` that a cron line names; raise BadScheduleError for what is none."""
    try:
        return next(CronSim(line, now))
    except (CronSimError, StopIteration) as error:
        raise BadScheduleError(f"{line!r}: {error or BadScheduleError.__doc__}") from None


def pull_job(stream: Stream, *, kind: str = "fetch") -> NewJob:
    """Make the job that pulls a stream: from its watermark, less the overlap, if it ever came to an end."""
    args: dict[str, object] = {
        "provider": stream.provider,
        "dataset": stream.dataset,
        "params": dict(stream.params),
    }
    if stream.watermark is not None and kind == "fetch":
        args["since"] = (stream.watermark - timedelta(seconds=stream.overlap_s)).isoformat()
    return NewJob(kind, fetch_queue(stream.provider), args, priority=stream.priority, stream_id=stream.id)
