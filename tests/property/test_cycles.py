"""Boundaries as a script counts them against boundaries as ``gateway.cycles`` does.

The two share no code: one has its own calendar in Lua, the other asks dateutil.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lupa.lua51 import LuaRuntime

from gateway.cycles import FIXED_MS, MONTHS, last_boundary, next_boundary, span
from gateway.scripts.composition import source

Boundary = Callable[[int, str, int, int], float]
_SOURCES = [source(f"include/{name}") for name in ("civil_month", "month_start", "next_boundary")]
lua_next_boundary = cast(
    "Boundary", LuaRuntime().execute("\n".join((*_SOURCES, "return next_boundary")))
)

moments = st.integers(
    int(datetime(1970, 1, 1, tzinfo=UTC).timestamp()) * 1000,
    int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 1000,
)
month_ends = st.builds(
    lambda year, month, day, ms: (
        round(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000 + ms
    ),
    st.integers(1970, 2099),
    st.sampled_from((1, 3, 5, 7, 8, 10, 12)),
    st.integers(28, 31),
    st.sampled_from((0, 1, 36_000_000, 86_399_999)),
)
spans = st.builds(span, st.sampled_from((*FIXED_MS, *MONTHS)), st.integers(1, 60))


@given(moments | month_ends, spans, moments | month_ends)
@example(0, ("m", 1), 0)
def test_a_script_finds_the_boundary_dateutil_finds(
    anchor_ms: int, cycle: tuple[str, int], now_ms: int
) -> None:
    unit, every = cycle
    expected = next_boundary(anchor_ms, unit, every, now_ms)
    assert lua_next_boundary(anchor_ms, unit, every, now_ms) == expected
    assert last_boundary(anchor_ms, unit, every, now_ms) <= now_ms < expected


@given(moments | month_ends, spans, moments)
def test_now_may_be_a_boundary_itself(anchor_ms: int, cycle: tuple[str, int], now_ms: int) -> None:
    unit, every = cycle
    boundary = last_boundary(anchor_ms, unit, every, now_ms)
    following = next_boundary(anchor_ms, unit, every, boundary)
    assert lua_next_boundary(anchor_ms, unit, every, boundary) == following > boundary
    assert lua_next_boundary(anchor_ms, unit, every, boundary - 1) == boundary


@pytest.mark.parametrize(
    ("anchor", "interval", "count", "now", "end"),
    [
        ("2025-01-02", "month", 1, "2025-02-15", "2025-03-02"),
        ("2025-03-31", "month", 1, "2025-04-15", "2025-04-30"),
        ("2025-03-31T12:00", "month", 1, "2025-04-30T12:01", "2025-05-31T12:00"),
        ("2025-01-31T10:00", "month", 1, "2025-04-30T10:00", "2025-05-31T10:00"),
        ("2025-01-31T10:00", "month", 3, "2025-04-30T11:00", "2025-07-31T10:00"),
        ("2024-02-29", "year", 1, "2024-06-20", "2025-02-28"),
        ("2024-02-29", "year", 1, "2027-06-20", "2028-02-29"),
        ("2025-04-28", "month", 1, "2025-01-15", "2025-01-28"),
        # The section's table has 30 April here, against its own rule: 31 March comes first.
        ("2025-05-31", "month", 1, "2025-03-15", "2025-03-31"),
        ("2025-05-31", "month", 1, "2025-04-15", "2025-04-30"),
        ("2025-01-31", "quarter", 1, "2025-03-15", "2025-04-30"),
        ("2025-01-01T10:00", "hour", 2, "2025-01-01T11:30", "2025-01-01T12:00"),
        ("2025-01-08", "week", 1, "2025-01-12", "2025-01-15"),
        ("2025-08-04", "month", 1, "2025-01-16", "2025-02-04"),
    ],
)
def test_cycle_ends_are_those_of_the_calendar(
    anchor: str, interval: str, count: int, now: str, end: str
) -> None:
    unit, every = span(interval, count)
    asked = (_ms(anchor), unit, every, _ms(now))
    assert lua_next_boundary(*asked) == next_boundary(*asked) == _ms(end)


@pytest.mark.parametrize(
    ("now", "start"),
    [("2025-04-30T09:00", "2025-03-31T10:00"), ("2025-04-30T11:00", "2025-04-30T10:00")],
)
def test_cycle_starts_are_those_of_the_calendar(now: str, start: str) -> None:
    unit, every = span("month", 1)
    assert last_boundary(_ms("2025-01-31T10:00"), unit, every, _ms(now)) == _ms(start)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
