"""``sluice quality``: how good each stream is, in figures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from broker.measured import WINDOW, StreamQuality
from broker.measured import quality as measured
from ops.cli.opening import ask
from ops.cli.options import SPAN, as_json
from ops.cli.output import figure, percent, plain, show_lines, show_table, span, told, utc_now
from ops.cli.streams import missing


@click.command()
@click.option("--stream", help="Only this one.")
@click.option("--window", type=SPAN, default=WINDOW, help="How far to look back, such as 24h (the default) or 7d.")
@as_json
def quality(stream: str | None, window: timedelta, as_json: bool) -> None:
    """Measure streams: 0.3 completeness + 0.4 timeliness + 0.3 accuracy; alert below 0.7, high below 0.5.

    A figure without data is unknown, in JSON null.  --json prints JSON lines; spans are in seconds.

    \b
    Example: sluice quality --stream btc-posts --window 7d
    """
    found = ask(lambda conn: measured(conn, now=utc_now(), window=window, stream=stream))
    if stream is not None and not found:
        raise missing(stream)
    if as_json:
        show_lines(_row(one) for one in found)
        return
    show_table(
        (
            "stream",
            "level",
            "score",
            "complete",
            "timely",
            "accurate",
            "runs",
            "age",
            "new",
            "usual",
            "known",
            "rejected",
        ),
        (
            (
                one.stream,
                one.figures.level,
                figure(one.figures.score),
                figure(one.figures.completeness),
                figure(one.figures.timeliness),
                figure(one.figures.accuracy),
                f"{one.timeliness.on_time} of {one.timeliness.due}" if one.enabled else "paused",
                span(one.timeliness.age),
                one.volume.new,
                "unknown" if one.volume.usual is None else f"{one.volume.usual:g}",
                percent(one.duplicate_rate),
                plain(", ".join(f"{count} {reason}" for reason, count in one.rejects.items()), 80),
            )
            for one in found
        ),
        title=f"Streams over the last {span(window)}",
        none="No streams. Make one: sluice streams add --help",
    )


def _row(one: StreamQuality) -> dict[str, Any]:
    figures = {"score": one.figures.score, "level": one.figures.level, "duplicate_rate": one.duplicate_rate}
    return told(one, **figures, volume_ratio=one.volume.ratio)


COMMANDS = (quality,)
