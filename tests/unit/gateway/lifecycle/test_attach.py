"""Attaching, canceling and falling due, decided without anything around them."""

from __future__ import annotations

from decimal import Decimal
from itertools import count

import pytest

from gateway.documents import Subscription
from gateway.errors import InvalidRequestError, PlanAttachedError
from gateway.lifecycle.attach import attach
from gateway.lifecycle.cancel import cancel
from gateway.lifecycle.due import fall_due, first_due
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.plan_rules import new_plan
from gateway.lifecycle.scope import Change, Making, Scope, after
from gateway.lifecycle.target import find_target
from gateway.lifecycle.terms import NO_TERMS, Terms
from tests.unit.gateway.lifecycle.records import SEATS, feature, plan_request, view

DAY_MS = 86_400_000
MAY_MS = 1_714_521_600_000
"""1 May 2024."""
JUNE_MS = MAY_MS + 31 * DAY_MS
MESSAGES = feature()
CATALOG = view(MESSAGES, SEATS)

_numbers = count(1)


def making(now_ms: int = MAY_MS) -> Making:
    return Making(now_ms, lambda prefix: f"{prefix}_{next(_numbers)}")


def offer(plan_id: str, amount: float = 0, included: float = 100, **fields: object) -> Offer:
    items = [{"feature_id": "messages", "included": included, "reset": {"interval": "month"}}]
    price = {"price": {"amount": amount, "interval": "month"}} if amount else {}
    request = plan_request(*items, plan_id=plan_id, **(price | fields))
    made = new_plan("sandbox", request, CATALOG, 1)
    return Offer(made.record, made.document, {"messages": MESSAGES, "seats": SEATS})


FREE, PRO, PREMIUM = offer("free"), offer("pro", 20, 500), offer("premium", 50, 1000)
FREE_TOO = offer("free_too", 0, 200)
OFFERS = {"free": FREE, "free_too": FREE_TOO, "pro": PRO, "premium": PREMIUM}


def taken(scope: Scope, taken: Offer, terms: Terms = NO_TERMS, now_ms: int = MAY_MS) -> Scope:
    return known(scope, attach(scope, taken, terms, making(now_ms)))


def known(scope: Scope, change: Change) -> Scope:
    """Return the scope after a change, with the plans of what it holds."""
    left = after(scope, change)
    documents = {one.id: OFFERS[one.plan_id].document for one in left.subscriptions}
    return left._replace(documents=documents)


def held(scope: Scope) -> list[tuple[str, str]]:
    return [(one.plan_id, one.status) for one in scope.subscriptions]


def named(scope: Scope, plan_id: str) -> Subscription:
    return next(one for one in scope.subscriptions if one.plan_id == plan_id)


EMPTY = Scope("", [], {})


def test_a_step_down_waits_for_the_end_of_the_cycle() -> None:
    scope = taken(taken(EMPTY, PRO), FREE, now_ms=MAY_MS + DAY_MS)
    assert held(scope) == [("pro", "active"), ("free", "scheduled")]
    assert named(scope, "pro").expires_at == named(scope, "free").started_at == JUNE_MS
    assert [row.grant for row in scope.rows["messages"]] == [500 * 10**6]


def test_what_is_due_begins_as_of_its_time_however_late() -> None:
    scope = taken(taken(EMPTY, PRO), FREE)
    first = first_due(scope.subscriptions)
    assert first is not None
    assert (first.plan_id, first.due_at) == ("free", JUNE_MS)
    change = fall_due(scope, first, FREE, None, making(JUNE_MS))
    assert [(one.plan_id, one.status) for one in change.subscriptions] == [("free", "active")]
    assert change.subscriptions[0].started_at == JUNE_MS
    (row,) = change.rows["messages"]
    assert (row.anchor_ms, change.dues[row.id]) == (JUNE_MS, JUNE_MS + 30 * DAY_MS)
    assert {one.plan_id: one.ended_at for one in change.touched} == {"free": None, "pro": JUNE_MS}


def test_a_step_down_between_paid_plans_stays_in_phase() -> None:
    scope = taken(taken(EMPTY, PREMIUM), PRO, now_ms=MAY_MS + DAY_MS)
    change = fall_due(scope, named(scope, "pro"), PRO, None, making(JUNE_MS))
    assert change.subscriptions[0].anchor_ms == MAY_MS


def test_the_current_plan_is_refused_before_anything_is_dropped() -> None:
    scope = taken(taken(EMPTY, PRO), FREE)
    with pytest.raises(PlanAttachedError):
        attach(scope, PRO, NO_TERMS, making())


def test_a_group_of_its_own_is_left_alone() -> None:
    other = offer("other", 5, group="other")
    OFFERS["other"] = other
    assert held(taken(taken(EMPTY, PRO), other)) == [("pro", "active"), ("other", "active")]


def test_the_group_is_that_of_the_plan_now() -> None:
    scope = taken(EMPTY, PRO)
    moved = scope._replace(groups={named(scope, "pro").id: "other"})
    assert held(taken(moved, PREMIUM)) == [("pro", "active"), ("premium", "active")]
    in_other = offer("both", 50, group="other")
    OFFERS["both"] = in_other
    assert held(taken(moved, in_other)) == [("both", "active")]


def test_a_plan_that_has_moved_to_another_group_is_still_attached() -> None:
    moved = offer("pro", 20, 500, group="other")
    with pytest.raises(PlanAttachedError):
        taken(taken(EMPTY, PRO), moved)


def test_what_a_paid_plan_costs_after_a_free_one_is_not_skipped() -> None:
    skipping = Terms(skips_charge=True)
    with pytest.raises(InvalidRequestError, match="proration_behavior"):
        taken(taken(EMPTY, FREE), PRO, skipping)
    assert held(taken(taken(EMPTY, FREE), FREE_TOO, skipping)) == [("free_too", "active")]
    assert held(taken(taken(EMPTY, PRO), PREMIUM, skipping)) == [("premium", "active")]
    assert held(taken(EMPTY, PRO, skipping)) == [("pro", "active")]


def test_an_add_on_joins_the_cycle_of_its_base() -> None:
    addon = offer("addon", 10, add_on=True)
    OFFERS["addon"] = addon
    scope = taken(taken(EMPTY, PRO), addon, now_ms=MAY_MS + 10 * DAY_MS)
    assert named(scope, "addon").anchor_ms == MAY_MS


@pytest.mark.parametrize(
    ("plan", "terms"),
    [
        (PRO, Terms(starts_ms=MAY_MS)),
        (FREE, Terms(starts_ms=JUNE_MS)),
        (PRO, Terms(starts_ms=JUNE_MS, schedule="end_of_cycle")),
        (PRO, Terms(ends_ms=MAY_MS)),
        (FREE, Terms(ends_ms=JUNE_MS)),
        (FREE, Terms(anchor_ms=MAY_MS)),
        (PRO, Terms(quantities={"messages": Decimal(5)})),
    ],
)
def test_terms_that_do_not_fit_are_refused(plan: Offer, terms: Terms) -> None:
    with pytest.raises(InvalidRequestError):
        attach(EMPTY, plan, terms, making())


def test_a_cancel_now_brings_the_default_back_in_the_same_change() -> None:
    scope = taken(EMPTY, PRO)
    change = cancel(scope, named(scope, "pro"), "cancel_immediately", FREE, making())
    assert [(one.plan_id, one.status) for one in change.touched] == [
        ("free", "active"),
        ("pro", "expired"),
    ]
    assert [row.grant for row in change.rows["messages"]] == [100 * 10**6]


def test_a_cancel_of_the_default_leaves_nothing() -> None:
    scope = taken(EMPTY, FREE)
    change = cancel(scope, named(scope, "free"), "cancel_immediately", FREE, making())
    assert change.subscriptions == []


@pytest.mark.parametrize("action", ["cancel_immediately", "cancel_end_of_cycle"])
@pytest.mark.parametrize("other", [FREE, PREMIUM])
def test_no_default_comes_back_where_another_plan_has_moved_to(other: Offer, action: str) -> None:
    scope = taken(EMPTY, PRO)
    apart = scope._replace(groups={named(scope, "pro").id: "other"})
    together = taken(apart, other)._replace(groups={})
    change = cancel(together, named(together, "pro"), action, FREE, making())
    left = [one.plan_id for one in change.subscriptions if one.plan_id != "pro"]
    assert left == [other.record.id]


def test_an_entity_has_no_default() -> None:
    scope = taken(Scope("e1", [], {}), PRO)
    change = cancel(scope, named(scope, "pro"), "cancel_end_of_cycle", FREE, making())
    assert [one.plan_id for one in change.subscriptions] == ["pro"]


def test_an_update_means_the_main_paid_plan_unless_it_says_otherwise() -> None:
    scope = taken(taken(EMPTY, FREE), OFFERS.setdefault("addon", offer("addon", 10, add_on=True)))
    other = offer("other", 5, group="other")
    OFFERS["other"] = other
    scope = taken(scope, other, now_ms=MAY_MS + 1)
    for asked, found in ((None, "other"), ("free", "free"), ("addon", "addon"), ("no", None)):
        target = find_target(scope, None, asked)
        assert (target.plan_id if target else None) == found
