"""From the texts of a description to a balance."""

from __future__ import annotations

from gateway.engine.views import balance_of
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


def test_a_feature_without_any_row_has_no_balance() -> None:
    assert balance_of(EMPTY, 0, entity_level=False, now_ms=1) is None
    assert not EMPTY.granted
