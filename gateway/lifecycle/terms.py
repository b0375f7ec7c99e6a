"""How a plan is attached, and which terms do not fit it (cold-path sections 3.1 and 3.14). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from gateway.documents import Subscription
from gateway.errors import InvalidRequestError
from gateway.lifecycle.carrying import Carrying
from gateway.lifecycle.plan_rows import is_one_off_purchase
from gateway.lifecycle.prices import billing_cycle, is_one_off
from gateway.lifecycle.trials import is_trialing
from gateway.messages.billing import SCHEDULES
from gateway.messages.plans import PlanDocument

IMMEDIATE, END_OF_CYCLE = SCHEDULES


class Terms(NamedTuple):
    """How a plan is attached."""

    quantities: Mapping[str, Decimal] = {}
    """Units of prepaid features, the included ones counted."""
    schedule: str = ""
    """One of ``SCHEDULES``; empty leaves it to the rules."""
    starts_ms: int | None = None
    ends_ms: int | None = None
    subscription_id: str = ""
    anchor_ms: int | None = None
    """Where cycles are counted from, if not from where the rules say."""
    anew: bool = False
    """Whether they are counted from the beginning of the plan instead, where they may be. PyPI
    ``autumn-sdk`` 1.0.2 says so with every call, so nothing that begins otherwise is refused for
    it: a plan that begins later, is in its trial or has no cycle.
    """
    usages: Carrying | None = None
    balances: Carrying | None = None
    skips_charge: bool = False
    """Whether the rest of the cycle is not to be paid for."""
    removes: Sequence[str] = ()
    """Plans that end when this one begins."""


NO_TERMS = Terms()


def check_dates(document: PlanDocument, terms: Terms, now_ms: int) -> None:
    """Refuse dates that make no sense for the plan (cold-path section 3.14)."""
    recurring_paid = billing_cycle(document)[0] != ""
    if terms.starts_ms is not None:
        if terms.starts_ms <= now_ms:
            raise InvalidRequestError("starts_at: must be in the future")
        if not recurring_paid:
            raise InvalidRequestError("starts_at: a free or one-off plan begins at once")
        if terms.schedule == END_OF_CYCLE:
            raise InvalidRequestError("starts_at: excludes plan_schedule end_of_cycle")
    if terms.ends_ms is not None:
        if terms.ends_ms <= max(now_ms, terms.starts_ms or 0):
            raise InvalidRequestError("ends_at: must be in the future and after the plan begins")
        if not recurring_paid and not is_one_off(document):
            raise InvalidRequestError("ends_at: a free plan has no end")
    if terms.anchor_ms is not None and not recurring_paid:
        raise InvalidRequestError("billing_cycle_anchor: the plan has no billing cycle")


def check_trial(document: PlanDocument, terms: Terms) -> None:
    """Refuse another beginning than that of the trial (cold-path section 3.14)."""
    for field, value in (("starts_at", terms.starts_ms), ("billing_cycle_anchor", terms.anchor_ms)):
        if value is not None and document.free_trial is not None:
            raise InvalidRequestError(
                f"{field}: the free trial begins at once; customize.free_trial null leaves it out"
            )


def check_charge(document: PlanDocument, current: Subscription, now_ms: int) -> None:
    """Refuse that the first price after a free plan, or a trial, is skipped (cold-path section
    3.14).
    """
    was_free = not current.cycle_unit or is_trialing(current, now_ms)
    if was_free and billing_cycle(document)[0] and document.free_trial is None:
        raise InvalidRequestError(
            "proration_behavior: none would skip what a paid plan costs after a free one"
        )


def check_scheduled(document: PlanDocument, terms: Terms) -> None:
    """Refuse what only a change at once can do."""
    for field, value in (
        ("carry_over_usages", terms.usages),
        ("carry_over_balances", terms.balances),
        ("billing_cycle_anchor", terms.anchor_ms),
        ("remove_plan_ids", terms.removes or None),
    ):
        if value is not None:
            raise InvalidRequestError(f"{field}: the plan begins later, when its cycle does")
    for item in document.items:
        if is_one_off_purchase(item) and terms.quantities.get(item.feature_id):
            raise InvalidRequestError(
                f"feature_quantities: {item.feature_id} is bought once, but the plan begins later"
            )
