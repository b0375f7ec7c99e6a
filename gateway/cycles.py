"""Calendar arithmetic of billing and reset cycles: boundaries counted from an anchor, in UTC, so
that clamped month ends do not drift (cold-path section 6.1).

Scripts do the same in ``lua/include/next_boundary.lua``; the two are tested against each other.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS

MONDAY_MS = 4 * DAY_MS
"""The first Monday of Unix time, 5 January 1970: where weeks of the calendar are counted from."""

FIXED_MS = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": DAY_MS, "week": WEEK_MS}
MONTHS = {"month": 1, "quarter": 3, "semi_annual": 6, "year": 12}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def span(interval: str, count: int) -> tuple[str, int]:
    """Return (unit, every) as ``gateway.rows`` stores them; ``("", 0)`` for an interval that never
    ends.
    """
    if interval in FIXED_MS:
        return "f", FIXED_MS[interval] * count
    if interval in MONTHS:
        return "m", MONTHS[interval] * count
    return "", 0


def next_boundary(anchor_ms: int, unit: str, every: int, now_ms: int) -> int:
    """Return the first boundary strictly after now; 0 where there is none."""
    if unit == "":
        return 0
    return _boundary(anchor_ms, unit, every, _step(anchor_ms, unit, every, now_ms) + 1)


def last_boundary(anchor_ms: int, unit: str, every: int, now_ms: int) -> int:
    """Return the last boundary at or before now; 0 where there is none."""
    if unit == "":
        return 0
    return _boundary(anchor_ms, unit, every, _step(anchor_ms, unit, every, now_ms))


def _step(anchor_ms: int, unit: str, every: int, now_ms: int) -> int:
    if unit == "f":
        return (now_ms - anchor_ms) // every
    anchor, now = _moment(anchor_ms), _moment(now_ms)
    months = (now.year - anchor.year) * 12 + now.month - anchor.month
    step = months // every
    return step if _boundary(anchor_ms, unit, every, step) <= now_ms else step - 1


def _boundary(anchor_ms: int, unit: str, every: int, step: int) -> int:
    if unit == "f":
        return anchor_ms + every * step
    moved = _moment(anchor_ms) + relativedelta(months=every * step)
    return (moved - _EPOCH) // timedelta(milliseconds=1)


def _moment(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)
