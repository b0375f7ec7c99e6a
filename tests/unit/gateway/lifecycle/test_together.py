"""Plans attached together, decided without anything around them."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import InvalidRequestError
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.scope import Scope, after
from gateway.lifecycle.terms import NO_TERMS, Terms
from gateway.lifecycle.together import attach_together
from gateway.messages.plans import FreeTrial
from tests.unit.gateway.lifecycle.test_attach import (
    DAY_MS,
    FREE,
    MAY_MS,
    PREMIUM,
    PRO,
    held,
    making,
    offer,
    taken,
)

NOTHING = Scope("", [], {})
EXTRA, OTHER = offer("extra", 5, add_on=True), offer("other", group="other")


def together(scope: Scope, *offers: Offer, terms: Terms = NO_TERMS, now_ms: int = MAY_MS) -> Scope:
    wanted = [(one, terms) for one in offers]
    return after(scope, attach_together(scope, wanted, making(now_ms)))


def test_one_change_holds_all_plans_and_their_balances() -> None:
    change = attach_together(NOTHING, [(PRO, NO_TERMS), (EXTRA, NO_TERMS)], making())
    assert [one.plan_id for one in change.touched] == ["pro", "extra"]
    assert change.subscriptions == change.touched
    rows = change.rows["messages"]
    assert [row.document.included // 10**6 for row in rows] == [500, 100]
    assert set(change.dues) == {row.id for row in rows}


def test_what_they_replace_ends_in_the_same_change() -> None:
    scope = taken(taken(NOTHING, PRO), FREE)
    assert held(scope) == [("pro", "active"), ("free", "scheduled")]
    change = attach_together(scope, [(PREMIUM, NO_TERMS), (EXTRA, NO_TERMS)], making())
    ends = {one.plan_id: one.status for one in change.touched}
    assert ends == {"pro": "expired", "free": "expired", "premium": "active", "extra": "active"}


def test_the_same_place_is_not_taken_twice() -> None:
    for offers in ((PRO, PREMIUM), (PRO, EXTRA, PRO)):
        with pytest.raises(InvalidRequestError, match=r"^plans: .* second main plan"):
            together(NOTHING, *offers)
    assert len(held(together(NOTHING, EXTRA, PRO, OTHER, EXTRA))) == 4


def test_a_plan_that_is_held_is_refused_wherever_it_stands() -> None:
    scope = taken(NOTHING, PRO)
    for offers in ((PRO, EXTRA), (EXTRA, PRO)):
        with pytest.raises(InvalidRequestError, match=r"^plans: plan pro is already attached"):
            together(scope, *offers)


def test_cycles_are_counted_anew_for_plans_that_have_one() -> None:
    now_ms = MAY_MS + 10 * DAY_MS
    scope = together(
        taken(NOTHING, PRO), PREMIUM, OTHER, terms=Terms(anchor_ms=now_ms), now_ms=now_ms
    )
    assert {one.plan_id: one.anchor_ms for one in scope.subscriptions} == {
        "premium": now_ms,
        "other": now_ms,
    }
    with pytest.raises(InvalidRequestError, match=r"^billing_cycle_anchor: "):
        together(NOTHING, PRO, terms=Terms(anchor_ms=now_ms, starts_ms=now_ms))


def test_that_cycles_begin_now_is_not_said_of_a_plan_that_begins_otherwise() -> None:
    now = Terms(anew=True)
    trial = FreeTrial(duration_length=7, duration_type="day", card_required=False)
    document = msgspec.structs.replace(PRO.document, free_trial=trial)
    tried = PRO._replace(document=document)
    assert held(together(NOTHING, tried, EXTRA, terms=now)) == [
        ("pro", "active"),
        ("extra", "active"),
    ]
    later = now._replace(starts_ms=MAY_MS + DAY_MS)
    assert held(together(NOTHING, PRO, terms=later)) == [("pro", "scheduled")]
