"""The checklist of docs/security.md: each case has a test that carries its number, or a reason why it cannot apply."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.documents import TOP

ROWS = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]*) \|$", (TOP / "docs" / "security.md").read_text(), re.MULTILINE)
CASES = {int(number): tests.strip() for number, _, tests in ROWS}
PACKAGES = ("broker", "workers", "ledger", "gateway", "ops")
FORBIDDEN = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}


@cache
def cases_of(path: Path) -> frozenset[int]:
    """The numbers that a file's tests carry, in names and in docstrings."""
    text = path.read_text(encoding="utf-8")
    told = re.findall(r"\bcases? ((?:\d+(?:, | and )?)+)", text, re.IGNORECASE)
    named = re.findall(r"def test_case_(\d+)_", text)
    return frozenset(int(number) for number in [*named, *re.findall(r"\d+", " ".join(told))])


def test_there_is_a_row_for_each_of_the_75_cases() -> None:
    assert list(CASES) == list(range(1, 76))


@pytest.mark.parametrize("number", range(1, 76))
def test_a_case_has_tests_that_carry_its_number_or_a_reason(number: int) -> None:
    told = CASES[number]
    if told.startswith("does not apply: "):
        return
    files = {name: [*(TOP / "tests").rglob(f"{name}.py")] for name in re.findall(r"`(test_\w+)`", told)}
    assert files, f"case {number} has no test"
    assert [name for name, found in files.items() if not found or number not in cases_of(found[0])] == []


def test_case_69_nothing_that_comes_in_is_more_than_data() -> None:
    """Decoded by schema alone: no pickle, no YAML, nothing evaluated.  That packages are locked is tested elsewhere."""
    found = []
    for path in (path for package in PACKAGES for path in (TOP / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            names |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            if {name.partition(".")[0] for name in names} & FORBIDDEN:
                found.append(f"{path.name}:{getattr(node, 'lineno', 0)}")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                found.append(f"{path.name}:{node.lineno}")
    assert found == []
