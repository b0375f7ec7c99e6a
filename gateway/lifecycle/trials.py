"""Free trials (cold-path section 3.8). Pure.

A trial begins with its plan, at once, and its end is where cycles are counted from. Nothing is
charged here, so a plan with a price becomes a paid one when its trial ends, unless the trial needed
no card: then there would be nothing to charge, and the plan ends, as one without a price does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.cycles import next_boundary, span
from gateway.documents import ACTIVE
from gateway.errors import InvalidRequestError, NotSupportedError
from gateway.lifecycle.prices import is_paid

if TYPE_CHECKING:
    from gateway.documents import Subscription
    from gateway.messages.plans import PlanDocument


def is_trialing(one: Subscription, at_ms: int) -> bool:
    """Whether a subscription is in its trial."""
    return one.status == ACTIVE and (one.trial_ends_at or 0) > at_ms


def on_trial(one: Subscription, document: PlanDocument, at_ms: int) -> Subscription:
    """Return a subscription as it begins at a time: with the trial of its plan, if that has one."""
    trial = document.free_trial
    if trial is None:
        return one
    cycle = span(trial.duration_type, trial.duration_length)
    return msgspec.structs.replace(
        one,
        trial_ends_at=next_boundary(at_ms, *cycle, at_ms),
        ends_with_trial=not (is_paid(document) and trial.card_required),
    )


def joined(one: Subscription, base: Subscription, at_ms: int) -> Subscription:
    """Return a subscription that shares the cycles of another one, its trial included."""
    if not is_trialing(base, at_ms):
        return one
    ends_with_trial = base.ends_with_trial
    return msgspec.structs.replace(
        one, trial_ends_at=base.trial_ends_at, ends_with_trial=ends_with_trial
    )


def trial_over(one: Subscription, at_ms: int) -> Subscription:
    """Return a subscription whose trial ends now; that it had one stays known."""
    if not is_trialing(one, at_ms):
        return one
    return msgspec.structs.replace(one, trial_ends_at=at_ms, ends_with_trial=False)


def without_trial(document: PlanDocument) -> PlanDocument:
    """Return a plan without its trial."""
    return msgspec.structs.replace(document, free_trial=None)


def check_end(document: PlanDocument, current: Subscription | None) -> None:
    """Refuse a trial after which the plan before would come back."""
    if document.free_trial is None or document.free_trial.on_end != "revert":
        return
    if current is None or not current.cycle_unit:
        raise InvalidRequestError("free_trial.on_end: there is no paid plan to revert to")
    raise NotSupportedError("free_trial.on_end: revert is not supported")
