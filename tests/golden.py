"""Cases of trades with known answers, and what must be equal in them.

The project's own are in ``tests/fixtures/pnl``.  A folder of others may lie beside the checkout, at
``../shared/pnl/golden``; tests over it are skipped where it does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parents[1]
OWN = TOP / "tests" / "fixtures" / "pnl"
SHARED = TOP.parent / "shared" / "pnl" / "golden"
TOTALS, MATCHES = Decimal("1e-12"), Decimal("1e-15")
EXACT = Context(prec=120)
_POOL = ("user", "account", "coin")
_QUANTITIES = {"qty", "open_qty", "missing_qty"}
_WORDS = {"user", "account", "coin", "lot", "trade_id", "leg", "side", "ts", "acquired", "from", "to", "seq"}


@dataclass(frozen=True)
class Case:
    """Rows, conventions, and the answers by method."""

    trades: Path
    expected: Path
    told: Mapping[str, Any]
    method: str

    def __str__(self) -> str:
        return f"{self.expected.name.removesuffix('.expected.json')}-{self.method}"

    @property
    def answers(self) -> Mapping[str, Any]:
        return dict(self.told["methods"][self.method])


def cases() -> list[Any]:
    """Every case by every method, as parameters of a test."""
    found = [*sorted(OWN.glob("*.expected.json")), *sorted(SHARED.glob("*.expected.json"))]
    made = [case for file in found for case in _cases(file)]
    params: list[Any] = [pytest.param(case, id=str(case)) for case in made]
    if not SHARED.is_dir():
        absent = pytest.mark.skip(reason="no folder ../shared/pnl/golden beside the checkout")
        params.append(pytest.param(None, id="golden", marks=absent))
    return params


def _cases(file: Path) -> Iterable[Case]:
    told = json.loads(file.read_text())
    trades = file.with_name(file.name.replace(".expected.json", ".trades.csv"))
    return (Case(trades, file, told, method) for method in told["methods"])


def assert_equal(told: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare everything that a case has an answer for: words and quantities exactly, money within its tolerance."""
    for name, answer in expected.items():
        assert name in told, name
        if isinstance(answer, dict):
            assert set(told[name]) == set(answer)
            for key in answer:
                _assert_row(told[name][key], answer[key], f"{name} {key}", TOTALS)
        else:
            _assert_rows(told[name], answer, name)


def _assert_rows(told: list[dict[str, Any]], expected: list[dict[str, Any]], where: str) -> None:
    assert len(told) == len(expected), where
    mine = {_identity(row): row for row in told}
    assert len(mine) == len(told), where
    for row in expected:
        identity = _identity(row)
        if "account" not in row:
            identity = next(key for key in mine if {k: v for k, v in key if k != "account"} == dict(identity))
        _assert_row(mine[identity], row, f"{where} {dict(identity)}", MATCHES if where.endswith("matches") else TOTALS)


def _assert_row(told: Mapping[str, Any], expected: Mapping[str, Any], where: str, tolerance: Decimal) -> None:
    for name, answer in expected.items():
        here = f"{where}: {name}"
        assert name in told, here
        mine = told[name]
        if isinstance(answer, list):
            if name == "matches":
                assert [row["lot"] for row in mine] == [row["lot"] for row in answer], here
            _assert_rows(mine, answer, here)
        elif name in _QUANTITIES or answer is None or name in _WORDS or isinstance(answer, int):
            assert mine == answer, here
        else:
            off = abs(EXACT.subtract(Decimal(mine), Decimal(answer)))
            assert off <= tolerance, f"{here}: {mine} is {off} from {answer}"


def _identity(row: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What names a row in its list."""
    return tuple(sorted((name, row[name]) for name in row if name in _WORDS and name not in {"ts", "acquired"})) or (
        ("ts", row.get("ts")),
    )
