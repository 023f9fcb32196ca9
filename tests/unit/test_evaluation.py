"""``sluice eval``: the pipeline's own functions on labelled files, scored as the field scores them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ops.cli import sluice
from ops.evaluation import agreement, best_threshold

SHARED = Path(__file__).parents[3] / "shared"
HOUR_MS = 3_600_000
NEWS = [
    ("SEC approves first spot Solana ETF", "etf", 0),
    ("Landmark Solana ETF wins SEC approval", "etf", 1),
    ("Bridge exploit drains $40 million from Wormhole", "hack", 0),
    ("Wormhole loses 40 million dollars in bridge hack", "hack", 1),
    ("Chile plans a lithium tax", "tax", 2),
]


def table(path: Path, fields: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    """Write a labelled file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([fields, *rows])
    return path


def evaluated(*words: str | Path) -> dict[str, float]:
    """Run the command and read its last line."""
    told = CliRunner().invoke(sluice, ["eval", *map(str, words)], catch_exceptions=False)
    assert told.exit_code == 0
    found: dict[str, float] = json.loads(told.output.splitlines()[-1])
    return found


def shared(name: str) -> Path:
    """Find a labelled file of the shared folder, which the project itself must not need."""
    if not (path := SHARED / name).exists():
        pytest.skip(f"{name} is not here: it is nobody's to ship")
    return path


def test_addresses_are_counted_joined_and_wrongly_joined(tmp_path: Path) -> None:
    rows = [("https://a.b/c?utm_source=x", "http://www.a.b/c/", 1), ("https://a.b/1", "https://a.b/2", 1)]
    rows += [("https://a.b/x?id=1", "https://a.b/x?id=2", 0), ("https://a.b/x/amp", "https://a.b/x", 0)]
    found = evaluated("urls", table(tmp_path / "u.csv", ["a", "b", "same"], rows))
    assert list(found) == ["joined", "wrongly_joined", "rate"]
    assert (found["joined"], found["wrongly_joined"]) == (1, 1)


def test_the_threshold_comes_from_the_training_file_alone(tmp_path: Path) -> None:
    same = [(NEWS[n][0], NEWS[n + 1][0], 4.6) for n in (0, 2)]
    other = [(NEWS[n][0], NEWS[4][0], 0.2) for n in range(4)]
    train = table(tmp_path / "train.csv", ["a", "b", "score"], same + other)
    answers = [
        evaluated("pairs", "--train", train, "--test", table(tmp_path / name, ["a", "b", "score"], rows))
        for name, rows in (("one.csv", same), ("all.csv", same + other))
    ]
    assert list(answers[0]) == ["precision", "recall", "f1", "threshold"]
    assert answers[0]["threshold"] == answers[1]["threshold"]
    assert answers[1]["f1"] == 1.0


def test_stories_are_told_in_time_order_and_labels_change_nothing(tmp_path: Path) -> None:
    fields = ["ID", "TITLE", "URL", "STORY", "TIMESTAMP"]
    rows = [(n, title, f"https://a.b/{n}", story, at * HOUR_MS // 4) for n, (title, story, at) in enumerate(NEWS)]
    found = evaluated("stories", table(tmp_path / "s.csv", fields, rows))
    shuffled = evaluated(
        "stories", table(tmp_path / "r.csv", fields, [(*row[:3], "one", row[4]) for row in rows[::-1]])
    )
    names = ["pairwise_precision", "pairwise_recall", "pairwise_f1", "bcubed_f1", "stories", "rate"]
    assert list(found) == list(shuffled) == names
    assert (found["stories"], found["pairwise_f1"], found["bcubed_f1"]) == (3, 1.0, 1.0)
    assert shuffled["stories"] == 3


def test_a_file_without_its_columns_is_told_in_one_line(tmp_path: Path) -> None:
    path = table(tmp_path / "bad.csv", ["a"], [("x",)])
    told = CliRunner().invoke(sluice, ["eval", "urls", str(path)])
    assert told.exit_code == 1
    assert told.output.endswith("bad.csv: has no column b, same\n")


def test_agreement_of_groups() -> None:
    pairwise, cubed = agreement([1, 1, 1, 2], ["a", "a", "b", "b"])
    assert pairwise == {"precision": 0.3333, "recall": 0.5, "f1": 0.4}
    assert cubed == {"precision": 0.6667, "recall": 0.75, "f1": 0.7059}


def test_the_threshold_is_the_middle_of_those_that_are_as_good() -> None:
    assert best_threshold([0.9, 0.8, 0.2, 0.1], [True, True, False, False]) == pytest.approx(0.8)


def test_addresses_hold_on_the_shared_pairs() -> None:
    found = evaluated("urls", shared("dedup/url_pairs.csv"))
    assert found["joined"] >= 28
    assert found["wrongly_joined"] == 0


def test_pairs_hold_on_the_shared_headlines() -> None:
    train, dev = shared("dedup/sts_headlines_train.csv"), shared("dedup/sts_headlines_dev.csv")
    assert evaluated("pairs", "--train", train, "--test", dev)["f1"] >= 0.68


@pytest.mark.parametrize(
    "name", ["dedup/uci_titles_dev.csv", "providers/corpus/uci_news_aggregator_stories_shared.csv"]
)
def test_stories_hold_on_the_shared_titles(name: str) -> None:
    found = evaluated("stories", shared(name))
    assert found["pairwise_f1"] >= 0.78
    assert found["bcubed_f1"] >= 0.80


def test_addresses_that_differ_by_trackers_join() -> None:
    from urllib.parse import parse_qsl, urlencode, urlsplit

    from workers.addresses import canonical

    told = json.loads(shared("providers/corpus/cryptopanic_click_redirects_2026.json").read_text())
    for url in told.values():
        parts = urlsplit(url)
        kept = urlencode([pair for pair in parse_qsl(parts.query) if not pair[0].startswith("utm_")])
        assert canonical(url) == canonical(parts._replace(query=kept).geturl())
