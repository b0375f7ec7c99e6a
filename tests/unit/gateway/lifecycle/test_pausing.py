"""A plan that waits for the end of a trial, decided without anything around it."""

from __future__ import annotations

from itertools import count

import msgspec

from gateway.documents import Subscription
from gateway.lifecycle.attach import attach
from gateway.lifecycle.cancel import expire
from gateway.lifecycle.due import fall_due, first_due
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.plan_rules import new_plan
from gateway.lifecycle.scope import Change, Making, Scope, after
from gateway.lifecycle.terms import NO_TERMS
from gateway.rows import Kind, Row, decode_row
from tests.unit.gateway.lifecycle.records import SEATS, feature, plan_request, view

DAY_MS = 86_400_000
MAY_MS = 1_714_521_600_000
MESSAGES = feature()
MONTH = {"interval": "month"}

_numbers = count(1)


def making(now_ms: int = MAY_MS) -> Making:
    return Making(now_ms, lambda prefix: f"{prefix}_{next(_numbers)}")


def offer(plan_id: str, amount: float, **fields: object) -> Offer:
    rollover = {"max": 900, "expiry_duration_length": 2}
    messages = {"feature_id": "messages", "included": amount, "reset": MONTH, "rollover": rollover}
    seats = {"feature_id": "seats", "included": 3}
    price = MONTH | {"amount": amount}
    request = plan_request(messages, seats, plan_id=plan_id, price=price, **fields)
    made = new_plan("sandbox", request, view(MESSAGES, SEATS), 1)
    return Offer(made.record, made.document, {"messages": MESSAGES, "seats": SEATS})


TRIAL = {"duration_length": 7, "duration_type": "day", "on_end": "revert"}
PRO, PREMIUM = offer("pro", 20), offer("premium", 50, free_trial=TRIAL)
GROWTH = offer("growth", 90)
DOCUMENTS = {one.record.id: one.document for one in (PRO, PREMIUM, GROWTH)}


def taken(scope: Scope, wanted: Offer) -> Scope:
    left = after(scope, attach(scope, wanted, NO_TERMS, making()))
    documents = {one.id: DOCUMENTS[one.plan_id] for one in left.subscriptions}
    return left._replace(documents=documents)


def rolled_of(parent: Row, expires_ms: int) -> Row:
    rank = f"!{expires_ms}"
    name = f"{parent.id}~{expires_ms}"
    columns = {"flags": "r", "roll": parent.id, "rank": rank, "expires_ms": expires_ms}
    return Row(id=name, kind=Kind.SHARED, grant=5, **columns)  # type: ignore[arg-type]  # of a test


def held(change: Change) -> dict[str, str]:
    return {one.plan_id: one.status for one in change.subscriptions}


def one_of(scope: Scope, plan_id: str) -> Subscription:
    return next(one for one in scope.subscriptions if one.plan_id == plan_id)


def filled(scope: Scope) -> Scope:
    """Return a scope with the numbers that the script writes."""
    paused = one_of(scope, "pro")
    rests = [
        msgspec.structs.replace(one, due_ms=7, period=3, used={0: 11}) for one in paused.resting
    ]
    others = [one for one in scope.subscriptions if one is not paused]
    return scope._replace(
        subscriptions=[*others, msgspec.structs.replace(paused, resting=rests)],
    )


def on_pro() -> Scope:
    """Return what a customer on the cheaper plan holds, with two rollovers of it."""
    scope = taken(Scope("", [], {}), PRO)
    (row,) = scope.rows["messages"]
    rolled = [rolled_of(row, MAY_MS + days * DAY_MS) for days in (3, 30)]
    return scope._replace(rows={**scope.rows, "messages": [*rolled, row]})


def test_the_rows_of_the_plan_before_rest_in_it_with_what_rolled_over() -> None:
    before = on_pro()
    after_it = taken(before, PREMIUM)
    paused, tried = one_of(after_it, "pro"), one_of(after_it, "premium")
    assert (paused.status, paused.ended_at, paused.canceled_at) == ("paused", None, None)
    assert tried.reverts_to == paused.id
    resting = [decode_row(one.line) for one in paused.resting]
    assert sorted(resting, key=lambda row: row.id) == sorted(
        (row for rows in before.rows.values() for row in rows), key=lambda row: row.id
    )
    left = {row.document.subscription_id for rows in after_it.rows.values() for row in rows}
    assert left == {tried.id}


def test_the_end_of_the_trial_brings_them_back_but_for_what_expired() -> None:
    before = on_pro()
    scope = filled(taken(before, PREMIUM))
    tried = first_due(scope.subscriptions)
    assert tried is not None
    assert (tried.plan_id, tried.due_at) == ("premium", MAY_MS + 7 * DAY_MS)
    change = fall_due(scope, tried, PREMIUM, None, making(MAY_MS + 7 * DAY_MS))
    assert held(change) == {"pro": "active"}
    assert {one.plan_id: one.status for one in change.touched} == {
        "pro": "active",
        "premium": "expired",
    }
    _, later, row = before.rows["messages"]
    assert change.rows["messages"] == [later, row]
    assert change.rows["seats"] == before.rows["seats"]
    assert (change.dues[row.id], change.returning[row.id].used) == (7, {0: 11})
    (seat,) = before.rows["seats"]
    assert change.returning[seat.id].used == {}  # the trial went on counting
    assert one_of(after(scope, change), "pro") == one_of(before, "pro")


def test_what_takes_the_place_of_the_trial_ends_what_waits() -> None:
    change = attach(taken(on_pro(), PREMIUM), GROWTH, NO_TERMS, making())
    assert held(change) == {"growth": "active"}
    ended = {one.plan_id: (one.status, one.resting) for one in change.touched if one.ended_at}
    assert ended == {"pro": ("expired", []), "premium": ("expired", [])}


def test_without_the_plan_before_the_free_one_follows() -> None:
    scope = taken(on_pro(), PREMIUM)
    paused = msgspec.structs.replace(one_of(scope, "pro"), expires_at=MAY_MS + DAY_MS)
    scope = scope._replace(subscriptions=[one_of(scope, "premium"), paused])
    over = fall_due(scope, paused, PRO, GROWTH, making(MAY_MS + DAY_MS))
    assert held(over) == {"premium": "active"}
    alone = after(scope, over)
    change = expire(alone, one_of(alone, "premium"), GROWTH, making(MAY_MS + 7 * DAY_MS))
    assert held(change) == {"growth": "active"}
