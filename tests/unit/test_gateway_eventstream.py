"""Server-sent events: no value can end its line, and every stream that begins is ended."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.eventstream import event


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_case_62_nothing_in_a_value_begins_a_field_of_the_stream(note: str) -> None:
    lines = event("state", {"note": note}, ident="abc", retry_ms=5).decode().split("\n")
    assert [line.partition(":")[0] for line in lines] == ["retry", "id", "event", "data", "", ""]
    assert orjson.loads(lines[3].removeprefix("data: ")) == {"note": note}


@pytest.mark.parametrize("value", ["\r", "\n", "\r\n\r\n", "\nid: 7"])
def test_case_62_line_ends_are_written_as_json_writes_them(value: str) -> None:
    told = event("end", value, ident="abc")
    assert told.count(b"\n") == 4
    assert b"\r" not in told
