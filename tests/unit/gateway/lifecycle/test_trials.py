"""How long a trial is, and what becomes of its plan."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.documents import Subscription
from gateway.errors import InvalidRequestError
from gateway.lifecycle.trials import is_trialing, joined, on_trial, trial_over
from gateway.messages.plans import BasePrice, FreeTrial, PlanDocument

PRICE = BasePrice(amount="20", interval="month")


def at(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


def one(**fields: object) -> Subscription:
    return Subscription(id="s", plan_id="pro", version=1, **fields)  # type: ignore[arg-type]


def plan(length: int = 1, unit: str = "month", **fields: object) -> PlanDocument:
    trial = FreeTrial(duration_length=length, duration_type=unit, **fields)  # type: ignore[arg-type]
    return PlanDocument(name="Pro", price=PRICE, free_trial=trial)


@pytest.mark.parametrize(
    ("length", "unit", "begins", "ends"),
    [
        (7, "day", "2026-02-25", "2026-03-04"),
        (1, "month", "2026-01-31", "2026-02-28"),
        (2, "month", "2026-12-31", "2027-02-28"),
        (1, "year", "2024-02-29", "2025-02-28"),
    ],
)
def test_a_trial_lasts_calendar_units(length: int, unit: str, begins: str, ends: str) -> None:
    tried = on_trial(one(), plan(length, unit), at(begins))
    assert tried.trial_ends_at == at(ends)
    assert is_trialing(tried, at(ends) - 1)
    assert not is_trialing(tried, at(ends))


@pytest.mark.parametrize(
    ("price", "card_required", "is_over"),
    [(PRICE, True, False), (PRICE, False, True), (None, True, True), (None, False, True)],
)
def test_a_plan_ends_with_its_trial_where_nothing_can_be_charged(
    price: BasePrice | None, card_required: bool, is_over: bool
) -> None:
    document = plan(card_required=card_required)
    document.price = price
    tried = on_trial(one(), document, at("2026-01-01"))
    assert tried.due_at == (tried.trial_ends_at if is_over else None)
    assert trial_over(tried, at("2026-01-02")).due_at is None


def test_a_plan_without_a_trial_begins_as_it_is() -> None:
    document = PlanDocument(name="Pro", price=PRICE)
    assert on_trial(one(), document, 1) == one()
    assert trial_over(one(), 1) == one()


def test_what_is_left_of_a_trial_is_shared_and_one_that_is_over_not() -> None:
    base = one(trial_ends_at=9, ends_with_trial=True)
    shared = joined(one(), base, 8)
    assert (shared.trial_ends_at, shared.ends_with_trial) == (9, True)
    assert joined(one(), base, 9) == one()


def test_only_a_paid_plan_comes_back_and_none_that_would_revert_itself() -> None:
    reverting = plan(on_end="revert")
    for before in (None, one(), one(cycle_unit="m", cycle_every=1, reverts_to="s1")):
        with pytest.raises(InvalidRequestError):
            on_trial(one(), reverting, 1, before)
    tried = on_trial(one(), reverting, 1, one(cycle_unit="m", cycle_every=1))
    assert (tried.reverts_to, tried.due_at) == ("s", tried.trial_ends_at)
    assert on_trial(one(), plan(), 1).reverts_to == ""


def test_what_joins_a_trial_that_reverts_outlives_it() -> None:
    base = one(trial_ends_at=9, ends_with_trial=True, reverts_to="s1")
    shared = joined(one(), base, 8)
    assert (shared.trial_ends_at, shared.ends_with_trial) == (9, False)


def test_a_plan_that_is_paused_can_only_end() -> None:
    paused = one(status="paused", pending={"words": "1"}, pending_at=5)
    assert paused.due_at is None
    assert one(status="paused", expires_at=7, pending_at=5).due_at == 7
