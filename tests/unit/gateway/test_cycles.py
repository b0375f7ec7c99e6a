"""Cycles: spans of intervals, and the ends of what never ends."""

from __future__ import annotations

import pytest

from gateway.cycles import DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS, last_boundary, next_boundary, span


@pytest.mark.parametrize(
    ("interval", "count", "expected"),
    [
        ("minute", 5, ("f", 5 * MINUTE_MS)),
        ("hour", 1, ("f", HOUR_MS)),
        ("day", 2, ("f", 2 * DAY_MS)),
        ("week", 1, ("f", WEEK_MS)),
        ("month", 1, ("m", 1)),
        ("quarter", 2, ("m", 6)),
        ("semi_annual", 1, ("m", 6)),
        ("year", 1, ("m", 12)),
        ("one_off", 1, ("", 0)),
        ("never", 1, ("", 0)),
    ],
)
def test_intervals_have_a_unit_and_a_length(
    interval: str, count: int, expected: tuple[str, int]
) -> None:
    assert span(interval, count) == expected


def test_what_never_resets_has_no_boundary() -> None:
    assert next_boundary(0, "", 0, 1_700_000_000_000) == 0
    assert last_boundary(0, "", 0, 1_700_000_000_000) == 0


@pytest.mark.parametrize(("unit", "every"), [("f", HOUR_MS), ("m", 1)])
def test_a_boundary_belongs_to_the_cycle_it_begins(unit: str, every: int) -> None:
    anchor_ms = 1_700_000_000_000
    assert last_boundary(anchor_ms, unit, every, anchor_ms) == anchor_ms
    assert next_boundary(anchor_ms, unit, every, anchor_ms - 1) == anchor_ms
    assert next_boundary(anchor_ms, unit, every, anchor_ms) > anchor_ms
