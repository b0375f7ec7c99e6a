"""Where the cycles of a plan that is held are counted from, decided without anything around it."""

from __future__ import annotations

import msgspec
import pytest

from gateway.documents import Subscription
from gateway.errors import InvalidRequestError
from gateway.lifecycle.carrying import Carrying
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.reanchor import Anchor, Wish, begins_anew, reanchor
from gateway.lifecycle.scope import Change, Scope
from tests.unit.gateway.lifecycle.test_attach import (
    DAY_MS,
    EMPTY,
    FREE,
    JUNE_MS,
    MAY_MS,
    PRO,
    named,
    taken,
)

NOW_MS = MAY_MS + 10 * DAY_MS
HELD = taken(EMPTY, PRO)
NOW, LATER = Anchor(), Anchor(NOW_MS + 3 * DAY_MS)


def moved(scope: Scope, wish: Wish, plan: Offer = PRO) -> Change:
    nothing = Change(list(scope.subscriptions), [])
    target = named(scope, plan.record.id)
    return reanchor(scope, nothing, target, plan.document, wish, now_ms=NOW_MS)


def in_trial(scope: Scope) -> Scope:
    (one,) = scope.subscriptions
    return scope._replace(
        subscriptions=[msgspec.structs.replace(one, trial_ends_at=NOW_MS + DAY_MS)]
    )


@pytest.mark.parametrize(
    ("wish", "anchor_ms", "due_ms"),
    [
        (Wish(NOW, is_alone=True), NOW_MS, NOW_MS),
        (Wish(NOW), NOW_MS, NOW_MS + 31 * DAY_MS),
        (Wish(NOW, Carrying(), is_alone=True), NOW_MS, NOW_MS + 31 * DAY_MS),
        (Wish(NOW, Carrying(["words"])), NOW_MS, NOW_MS),
        (Wish(LATER, is_alone=True), LATER.at_ms, LATER.at_ms),
        (Wish(LATER, Carrying(())), LATER.at_ms, NOW_MS),
    ],
)
def test_balances_that_reset_go_along(wish: Wish, anchor_ms: int, due_ms: int) -> None:
    change = moved(HELD, wish)
    (row,) = change.rows["messages"]
    assert (row.anchor_ms, change.moves, change.dues) == (anchor_ms, {row.id: due_ms}, {})
    (one,) = change.touched
    assert (one.anchor_ms, change.subscriptions) == (anchor_ms, [one])


def test_a_row_that_is_new_begins_in_the_new_cycle() -> None:
    (row,) = HELD.rows["messages"]
    begun = Change(list(HELD.subscriptions), [], dict(HELD.rows), {row.id: JUNE_MS})  # type: ignore[arg-type]  # rows of a scope
    target = named(HELD, "pro")
    change = reanchor(HELD, begun, target, PRO.document, Wish(NOW), now_ms=NOW_MS)
    assert (change.dues, change.moves) == ({row.id: NOW_MS + 31 * DAY_MS}, {})


def test_rows_of_others_and_those_that_never_reset_stay() -> None:
    (row,) = HELD.rows["messages"]
    lasts = msgspec.structs.replace(row, id="lasts", unit="", every=0)
    document = msgspec.structs.replace(row.document, subscription_id="other")
    other = msgspec.structs.replace(row, id="other", document=document)
    scope = HELD._replace(rows={"messages": [row, lasts, other], "words": [other]})
    change = moved(scope, Wish(NOW))
    assert (change.rows["messages"][1:], list(change.moves)) == ([lasts, other], [row.id])
    assert "words" not in change.rows


@pytest.mark.parametrize(("scope", "plan"), [(taken(EMPTY, FREE), FREE), (in_trial(HELD), PRO)])
def test_where_no_cycle_can_begin_now_is_only_a_wish_beside_others(
    scope: Scope, plan: Offer
) -> None:
    assert moved(scope, Wish(NOW), plan).touched == []
    for wish in (Wish(NOW, is_alone=True), Wish(LATER), Wish(LATER, is_alone=True)):
        with pytest.raises(InvalidRequestError, match=r"^billing_cycle_anchor: "):
            moved(scope, wish, plan)


def test_a_cycle_begins_anew_only_now_and_where_there_is_one() -> None:
    (pro,) = HELD.subscriptions
    (tried,) = in_trial(HELD).subscriptions
    expected: list[tuple[Subscription, Anchor | None, bool]] = [
        (pro, NOW, True),
        (pro, LATER, False),
        (pro, None, False),
        (tried, NOW, False),
    ]
    for one, anchor, begins in expected:
        assert begins_anew(one, anchor, NOW_MS) is begins
