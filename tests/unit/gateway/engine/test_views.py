"""From the texts of a description to a balance."""

from __future__ import annotations

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
