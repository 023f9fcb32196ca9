"""``sluice pnl book`` as it is typed: what it prints, and how it refuses, in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ops.cli import sluice

HEADER = "trade_id,user,account,ts,kind,base,qty,quote,price,quote_rate,fee_qty,fee_coin,fee_value,to_account,tag"
ROWS = (
    "t1,ann,desk,2025-03-01T10:00:00Z,buy,BTC,2,USDT,100,1,,,,,",
    "t2,ann,desk,2025-03-02T10:00:00Z,buy,BTC,1,USDT,130,1,,,,,",
    "t3,ann,desk,2025-03-03T10:00:00Z,sell,BTC,1,USDT,150,1,,,,,trend",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small file of trades."""
    return written(tmp_path / "trades.csv", *ROWS)


def written(path: Path, *rows: str) -> Path:
    """Write rows under the header."""
    path.write_text("\n".join((HEADER, *rows)) + "\n")
    return path


def run(*words: object) -> Any:
    """What the command prints, as JSON."""
    done = CliRunner().invoke(sluice, ["pnl", "book", *map(str, words), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refused(*words: object) -> str:
    """The one line with which the command ends."""
    done = CliRunner().invoke(sluice, ["pnl", "book", *map(str, words)], catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (2, "")
    told = done.stderr.removeprefix("sluice: ").removesuffix("\n")
    assert "\n" not in told
    return told


def test_a_bad_row_ends_it_in_one_line_with_file_row_and_reason(file: Path) -> None:
    bad = written(file.with_name("bad.csv"), *ROWS, "t4,ann,desk,2025-03-04T10:00:00Z,buy,BTC,-1,USDT,5,1,,,,,")
    command = [str(Path(sys.executable).with_name("sluice")), "pnl", "book", str(bad), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"sluice: {bad}: row 4: qty -1 must be above 0\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "lacks trade_id"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (HEADER.encode() + b'\n"t1,ann', "is not CSV"),
    ],
)
def test_what_is_no_file_of_trades_is_refused_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    assert reason in refused(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.csv") == f"{tmp_path / 'none.csv'}: No such file or directory"


def test_an_id_with_another_body_is_refused_with_both(file: Path) -> None:
    again = written(file.with_name("again.csv"), ROWS[0], ROWS[0].replace(",2,", ",3,"))
    assert refused(again).endswith("row 2: trade t1 is known as qty '2', and now told as qty '3'")


def test_windows_and_times_can_be_typed(file: Path) -> None:
    told = run(file, "--windows", "2025-03-01/2025-03-03,2025-03-03..2025-03-04", "--as-of", "2025-03-01T12:00")
    assert [[one["realised"] for one in window["realised"]] for window in told["windows"]] == [[], ["50"]]
    assert told["as_of"][0]["pools"][0]["open_cost"] == "200"


def test_windows_times_and_marks_can_stand_in_a_file(file: Path) -> None:
    asked = file.with_name("asked.json")
    window = {"from": "2025-03-03T00:00:00Z", "to": "2025-03-04T00:00:00Z"}
    asked.write_text(
        json.dumps({"marks": {"BTC": 140}, "windows": [window], "as_of": [{"ts": "2025-03-01T10:00:00Z"}]})
    )
    told = run(file, "--marks", asked, "--windows", "--as-of", "--after-arrival", "--method", "LIFO")
    assert told["users"]["ann"]["unrealised"] == "80"
    assert told["windows"][0]["realised"][0]["realised"] == "20"
    assert told["as_of"][0]["pools"][0]["open_qty"] == "2"
    assert [one["seq"] for one in told["after_arrival"]] == [1, 2, 3]


def test_without_marks_what_is_held_is_worth_null(file: Path) -> None:
    (pool,) = run(file)["pools"]
    assert (pool["market_value"], pool["unrealised"]) == (None, None)


@pytest.mark.parametrize(
    ("told", "words", "reason"),
    [
        ('{"marks": [1]}', (), "marks are an object"),
        ('{"marks": {"BTC": "much"}}', (), "the mark of BTC is not a number"),
        ('{"windows": [{"from": "2025-01-01"}]}', ("--windows",), "windows are a list of objects with from and to"),
        ('{"as_of": 4}', ("--as-of",), "as_of are a list"),
        ('{"as_of": [{"ts": "soon"}]}', ("--as-of",), "'soon' is no time"),
        ("[]", (), "a JSON object is needed"),
        ("{", (), "not JSON"),
    ],
)
def test_a_file_of_marks_that_is_none_is_refused_in_one_line(
    file: Path, told: str, words: tuple[str, ...], reason: str
) -> None:
    marks = file.with_name("marks.json")
    marks.write_text(told)
    assert reason in refused(file, "--marks", marks, *words)


def test_windows_from_nowhere_and_backward_ones_are_refused(file: Path) -> None:
    assert "needs a value, or --marks" in refused(file, "--windows")
    assert "ends before it begins" in refused(file, "--windows", "2025-03-02/2025-03-01")


def test_it_needs_no_library_of_a_server_and_so_begins_at_once() -> None:
    code = "import sys, ops.cli.pnl; print([n for n in ('sqlalchemy', 'psycopg', 'redis', 'pika') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_groups_other_commands_are_there_when_they_are_asked_for() -> None:
    told = CliRunner().invoke(sluice, ["pnl", "--help"])
    assert {"book", "explain"} <= {line.split()[0] for line in told.output.splitlines() if line.strip()}


def test_a_person_gets_a_table(file: Path) -> None:
    done = CliRunner().invoke(sluice, ["pnl", "book", str(file)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "FIFO, 1 disposals" in done.stdout
    assert "realised" in done.stdout
