"""Reading recorded files: once for serving, with every number in its own digits, once for what it means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson


def listed(folder: Path, pattern: str) -> Sequence[Path]:
    """Give the files in the order of their names; FileNotFoundError when there are none."""
    if not (found := sorted(folder.glob(pattern))):
        raise FileNotFoundError(f"no {pattern} in {folder}")
    return found


def exact(path: Path) -> Any:
    """Read JSON so that orjson writes each number as it stands in the file."""
    return json.loads(path.read_text(encoding="utf-8"), parse_float=orjson.Fragment)


def valued(path: Path) -> Any:
    """Read JSON with Decimals."""
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
