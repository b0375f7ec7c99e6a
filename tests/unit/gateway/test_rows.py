"""Rows as text: what is written is read back, and Lua finds the same columns."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lupa.lua51 import LuaRuntime

from gateway.rows import (
    Flag,
    Kind,
    Live,
    Row,
    RowDocument,
    decode_live,
    decode_row,
    decode_rows,
    encode_live,
    encode_row,
    encode_rows,
)
from gateway.scripts.composition import source

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
numbers = st.integers(0, 2**53)
documents = st.builds(
    RowDocument,
    plan_id=st.none() | names,
    subscription_id=st.none() | names,
    included=numbers,
    interval=st.none() | names,
    price=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
rows = st.builds(
    Row,
    id=names,
    kind=st.sampled_from(Kind),
    grant=numbers,
    flags=st.sampled_from(("", "u", "o", "a", "af", "oa", "r", "ak")),
    unit=st.sampled_from(("", "f", "m")),
    every=numbers,
    anchor_ms=numbers,
    expires_ms=numbers,
    floor=st.none() | numbers,
    rank=names,
    entity_feature=names,
    roll=names,
    document=documents,
)
units = st.integers(-(2**53), 2**53)
lives = st.builds(Live, units, numbers, numbers, numbers, numbers, numbers)


@given(st.lists(rows, max_size=4))
def test_rows_are_read_back_as_they_were(made: list[Row]) -> None:
    assert decode_rows(encode_rows(made)) == made


@given(rows)
def test_a_row_is_one_line_whatever_its_document_says(row: Row) -> None:
    line = encode_row(row)
    assert "\n" not in line
    assert decode_row(line) == row


@given(st.lists(lives, max_size=4))
def test_live_numbers_are_read_back_as_they_were(made: list[Live]) -> None:
    assert decode_live(encode_live(made)) == made


@pytest.mark.parametrize(
    ("flags", "unlimited", "overage", "allocated", "rollover"),
    [
        ("", False, False, False, False),
        ("u", True, False, False, False),
        ("oa", False, True, True, False),
        ("r", False, False, False, True),
    ],
)
def test_flags_are_read_by_their_letter(
    flags: str, *, unlimited: bool, overage: bool, allocated: bool, rollover: bool
) -> None:
    row = Row(id="a", kind=Kind.SHARED, flags=flags)
    seen = (row.unlimited, row.overage, row.allocated, row.rollover)
    assert seen == (unlimited, overage, allocated, rollover)
    assert "".join(sorted(Flag)) == "afkoru"


_lua = LuaRuntime()
_parse_rows = _lua.execute(
    f"{source('include/next_boundary')}\n{source('include/parse_rows')}\nreturn parse_rows"
)


@given(st.lists(st.tuples(rows, lives), min_size=1, max_size=3))
def test_a_script_reads_the_same_columns(made: list[tuple[Row, Live]]) -> None:
    text, live = encode_rows([row for row, _ in made]), encode_live([one for _, one in made])
    found = _parse_rows(text, live, 0)
    parsed: list[Any] = [found[place] for place in range(1, len(found) + 1)]
    for (row, numbers_of_row), seen in zip(made, parsed, strict=True):
        assert seen.line == encode_row(row)
        assert (seen.id, seen.kind, seen.flags) == (row.id, row.kind, row.flags)
        assert (seen.rank, seen.entity_feature) == (row.rank, row.entity_feature)
        assert seen.roll == row.roll
        assert (seen.grant, seen.floor, seen.expires) == (row.grant, row.floor, row.expires_ms)
        assert bool(seen.unlimited) is row.unlimited
        assert (
            Live(seen.used, seen.over, seen.credit, seen.period, seen.due, seen.first)
            == numbers_of_row
        )


_format_live = _lua.execute(f"{source('include/format_live')}\nreturn format_live")


@given(st.lists(lives, min_size=1, max_size=3))
def test_a_script_writes_the_same_numbers(made: list[Live]) -> None:
    names_of = ("used", "over", "credit", "period", "due", "first")
    tables = [_lua.table_from(dict(zip(names_of, map(float, live), strict=True))) for live in made]
    written = cast("str", _format_live(_lua.table_from(tables)))
    assert written == encode_live(made)
