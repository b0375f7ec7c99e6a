"""How many subscriptions and balances of one feature may be side by side."""

from __future__ import annotations

import pytest

from gateway.documents import Subscription
from gateway.errors import InvalidRequestError
from gateway.lifecycle.attach import attach
from gateway.lifecycle.room import ROWS_MAX, SUBSCRIPTIONS_MAX, check_room
from gateway.lifecycle.scope import Change, Scope
from gateway.lifecycle.terms import Terms
from gateway.rows import Kind, Row
from tests.unit.gateway.lifecycle.test_attach import (
    EMPTY,
    JUNE_MS,
    MAY_MS,
    PREMIUM,
    PRO,
    making,
    offer,
    taken,
)

PACK = offer("pack", 5, 10, add_on=True)
FULL = [Row(id=f"r{at}", kind=Kind.SHARED) for at in range(ROWS_MAX)]


def test_a_plan_that_would_be_one_balance_too_many_is_refused() -> None:
    almost = EMPTY._replace(rows={"messages": FULL[1:]})
    check_room(almost, attach(almost, PACK, Terms(), making()), [PACK])
    full = EMPTY._replace(rows={"messages": FULL})
    with pytest.raises(InvalidRequestError, match=r"^feature messages: at most 200 balances"):
        check_room(full, attach(full, PACK, Terms(), making()), [PACK])


def test_a_plan_that_gives_nothing_is_not_held_without_end() -> None:
    perk = offer("perk", 5, add_on=True, items=[])
    held = [
        Subscription(id=f"s{at}", plan_id="perk", version=1, add_on=True)
        for at in range(SUBSCRIPTIONS_MAX)
    ]
    almost = EMPTY._replace(subscriptions=held[1:])
    check_room(almost, attach(almost, perk, Terms(), making()), [perk])
    full = EMPTY._replace(subscriptions=held)
    with pytest.raises(InvalidRequestError, match=r"^plan_id: at most 500 plans"):
        check_room(full, attach(full, perk, Terms(), making()), [perk])


def test_what_takes_the_place_of_another_needs_no_room() -> None:
    scope = taken(EMPTY, PRO)
    full = scope._replace(rows={"messages": [*scope.rows["messages"], *FULL]})
    check_room(full, attach(full, PREMIUM, Terms(), making()), [PREMIUM])


def test_add_ons_that_wait_for_their_time_count() -> None:
    full: Scope = EMPTY._replace(rows={"messages": FULL[1:]})
    later = attach(full, PACK, Terms(starts_ms=JUNE_MS), making(MAY_MS))
    check_room(full, later, [PACK])
    waiting = full._replace(
        subscriptions=later.subscriptions,
        documents={one.id: PACK.document for one in later.subscriptions},
    )
    with pytest.raises(InvalidRequestError, match="side by side"):
        check_room(waiting, attach(waiting, PACK, Terms(starts_ms=JUNE_MS), making()), [PACK])


def test_what_rolled_over_does_not_count() -> None:
    rolled = [Row(id=f"o{at}", kind=Kind.SHARED, flags="r", roll="r0") for at in range(9)]
    held = EMPTY._replace(rows={"messages": [*rolled, *FULL[1:]]})
    check_room(held, attach(held, PACK, Terms(), making()), [PACK])


def test_nothing_that_ends_is_refused() -> None:
    over = EMPTY._replace(rows={"messages": [*FULL, *FULL]})
    check_room(over, Change([], [], {"messages": FULL + FULL[1:]}))
