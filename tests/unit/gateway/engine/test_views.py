"""From the texts of a description to a balance."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.cycles import DAY_MS
from gateway.engine.views import NEVER_MS, balance_of
from gateway.scripts import Description

EMPTY = Description("messages", "", "", "", "", "", "", "")
ROLLED = "0 30 10 0 0 1 0 0"


def test_rollovers_of_entities_show_when_the_customer_has_nothing_else() -> None:
    described = EMPTY._replace(rolled=ROLLED)
    shown = balance_of(described, 0, entity_level=False, now_ms=1)
    assert shown is not None
    assert [bytes(one) for one in (shown.granted, shown.remaining, shown.usage)] == [
        b"30",
        b"20",
        b"10",
    ]
    assert described.granted


def day(month: int, of_month: int) -> int:
    return int(datetime(2025, month, of_month, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize("now_ms", [0, day(3, 1)])
@pytest.mark.parametrize(
    ("reset", "months", "ends_ms"),
    [("m\t1", 1, day(3, 31)), ("m\t1", 2, day(4, 30)), (f"f\t{28 * DAY_MS}", 1, day(3, 28))],
)
def test_what_rolled_over_of_entities_ends_when_that_of_each_does(
    now_ms: int, reset: str, months: int, ends_ms: int
) -> None:
    """Whenever it is looked at: a reply may be shown again later."""
    line = f"a\tp\t30\t\t{reset}\t{day(1, 31)}\t0\t\t1\tseats\t:{months}\t{{}}"
    due_ms = day(3, 31) if reset[0] == "m" else day(2, 28) + 28 * DAY_MS
    described = EMPTY._replace(
        rows=line, live=f"0 0 0 1 {due_ms} 0", counts="1", slots="-", rolled=ROLLED
    )
    shown = balance_of(described, 0, entity_level=False, now_ms=now_ms)
    assert shown is not None
    assert shown.rollovers
    assert [one.expires_at for one in shown.rollovers] == [ends_ms]


def test_a_feature_without_any_row_has_no_balance() -> None:
    assert balance_of(EMPTY, 0, entity_level=False, now_ms=1) is None
    assert not EMPTY.granted


def test_a_rollover_that_never_expires_ends_in_9999() -> None:
    line = "a~1\tc\t30\tr\t\t0\t0\t0\t\t!1\t\ta\t{}"
    described = EMPTY._replace(rows=line, live="10 0 0 1 0 0", counts="0", slots="-")
    shown = balance_of(described, 0, entity_level=False, now_ms=1)
    assert shown is not None
    assert shown.rollovers
    assert [one.expires_at for one in shown.rollovers] == [NEVER_MS]
