"""What becomes of a customer's pooled rows when an entity holds other plans."""

from __future__ import annotations

from itertools import count

import msgspec

from gateway.documents import EXPIRED, SCHEDULED, PooledGrant, Subscription
from gateway.lifecycle.attach import attach
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.plan_rules import new_plan
from gateway.lifecycle.pools import PooledRows, pooled_features, pooled_rows
from gateway.lifecycle.scope import Making, Scope
from gateway.lifecycle.terms import NO_TERMS
from gateway.rows import Kind, Row
from tests.unit.gateway.lifecycle.records import SEATS, feature, plan_request, view

MAY_MS = 1_714_521_600_000
JUNE_MS = MAY_MS + 31 * 86_400_000
MESSAGES = feature()
OWN = Row(id="own", kind=Kind.SHARED, grant=7, rank="110000000000")

_numbers = count(1)


def make_id(prefix: str) -> str:
    return f"{prefix}_{next(_numbers)}"


def gives(units: int, status: str = "active", **fields: object) -> Subscription:
    grant = PooledGrant(feature_id="messages", units=units, **{"interval": "month"} | fields)  # type: ignore[arg-type]  # of a test
    return Subscription(
        id=make_id("sub"), plan_id="p", version=1, status=status, anchor_ms=MAY_MS, pooled=[grant]
    )


def change(rows: list[Row], before: list[Subscription], after: list[Subscription]) -> PooledRows:
    return pooled_rows({"messages": rows}, before, after, now_ms=MAY_MS, make_id=make_id)


def changed(rows: list[Row], before: list[Subscription], after: list[Subscription]) -> list[Row]:
    return change(rows, before, after).rows["messages"]


def test_the_first_who_gives_begins_a_row_with_cycles_of_its_own() -> None:
    rows, dues = change([OWN], [], [gives(500)])
    pool, own = rows["messages"]
    assert own is OWN
    assert (pool.grant, pool.document.givers, pool.document.included) == (500, 1, 500)
    assert (pool.document.plan_id, pool.document.subscription_id) == (None, None)
    assert (pool.unit, pool.every, pool.anchor_ms) == ("m", 1, MAY_MS)
    assert dues == {pool.id: JUNE_MS}


def test_who_is_paused_gives_nothing_and_the_row_stays_for_it() -> None:
    giver = gives(500)
    paused = msgspec.structs.replace(giver, status="paused")
    begun = changed([OWN], [], [giver])[0]
    (row, _) = changed([begun, OWN], [giver], [paused])
    assert (row.id, row.grant, row.document.givers) == (begun.id, 0, 1)
    assert changed([row, OWN], [paused], [giver]) == [begun, OWN]
    assert changed([row, OWN], [paused], []) == [OWN]


def test_others_give_to_the_same_row_and_the_last_one_ends_it() -> None:
    first, second = gives(500), gives(300)
    rows = changed([OWN], [], [first])
    begun = rows[0]
    rows = changed(rows, [], [second])
    assert [(row.id, row.grant) for row in rows] == [(begun.id, 800), ("own", 7)]
    rows = changed(rows, [first], [])
    assert [(row.id, row.grant) for row in rows] == [(begun.id, 300), ("own", 7)]
    assert changed(rows, [second], []) == [OWN]


def test_a_switch_moves_the_row_by_the_difference() -> None:
    first = gives(500)
    rows = changed([], [], [first])
    (row,) = changed(rows, [first], [gives(200)])
    assert (row.id, row.grant, row.document.givers) == (rows[0].id, 200, 1)
    assert change(rows, [first], [gives(500)]).rows == {}


def test_another_reset_or_no_limit_is_another_row() -> None:
    rows = changed([], [], [gives(500)])
    rows = changed(rows, [], [gives(10, interval="hour"), gives(0, flags="u", interval=None)])
    assert [(row.flags, row.every, row.grant) for row in rows] == [
        ("u", 0, 0),
        ("", 3_600_000, 10),
        ("", 1, 500),
    ]


def test_only_plans_that_are_active_give() -> None:
    for status in (SCHEDULED, EXPIRED):
        assert change([OWN], [gives(5, status)], [gives(9, status)]) == PooledRows()
        assert pooled_features([gives(5, status)]) == set()
    assert pooled_features([gives(5)], []) == {"messages"}


def test_what_has_ended_already_is_not_taken_twice() -> None:
    assert change([OWN], [gives(5)], []) == PooledRows()


def test_a_pooled_item_is_no_row_of_the_entity_and_one_of_a_customer() -> None:
    items = [
        {"feature_id": "messages", "included": 5, "pooled": True, "reset": {"interval": "month"}},
        {"feature_id": "messages", "included": 3, "reset": {"interval": "month"}},
    ]
    made = new_plan("sandbox", plan_request(*items), view(MESSAGES, SEATS), 1)
    offer = Offer(made.record, made.document, {"messages": MESSAGES, "seats": SEATS})
    making = Making(MAY_MS, make_id)
    own = attach(Scope("zoe", [], {}), offer, NO_TERMS, making)
    assert [row.grant for row in own.rows["messages"]] == [3 * 10**6]
    assert own.subscriptions[0].pooled == [
        PooledGrant(feature_id="messages", units=5 * 10**6, interval="month")
    ]
    customers = attach(Scope("", [], {}), offer, NO_TERMS, making)
    assert [row.grant for row in customers.rows["messages"]] == [5 * 10**6, 3 * 10**6]
    assert customers.subscriptions[0].pooled == []
