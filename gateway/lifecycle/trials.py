"""Free trials (cold-path section 3.8). Pure.

A trial begins with its plan, at once, and its end is where cycles are counted from. Nothing is
charged here, so a plan with a price becomes a paid one when its trial ends, unless the trial needed
no card: then there would be nothing to charge, and the plan ends, as one without a price does. So
does one that reverts: the paid plan whose place it takes waits for that (``lifecycle.pausing``).
"""

from __future__ import annotations

import msgspec

from gateway.cycles import next_boundary, span
from gateway.documents import ACTIVE, PAUSED, Subscription
from gateway.errors import InvalidRequestError
from gateway.lifecycle.prices import is_paid
from gateway.messages.plans import PlanDocument


def is_trialing(one: Subscription, at_ms: int) -> bool:
    """Whether a subscription is in its trial."""
    return one.status in (ACTIVE, PAUSED) and (one.trial_ends_at or 0) > at_ms


def end_of_cycle(one: Subscription, now_ms: int) -> int:
    """Return when the cycle or the trial of a subscription ends, or the subscription itself before
    that; 0 for one without cycles.
    """
    ends_ms = next_boundary(one.anchor_ms, one.cycle_unit, one.cycle_every, now_ms)
    if one.cycle_unit and is_trialing(one, now_ms):
        ends_ms = one.trial_ends_at or ends_ms
    return min(ends_ms, one.ends_at or ends_ms)


def on_trial(
    one: Subscription, document: PlanDocument, at_ms: int, current: Subscription | None = None
) -> Subscription:
    """Return a subscription as it begins at a time in place of the current one: with the trial of
    its plan, if that has one. Raises ``InvalidRequestError`` for a trial with nothing to revert to.
    """
    trial = document.free_trial
    if trial is None:
        return one
    reverts_to = _reverts_to(current) if trial.on_end == "revert" else ""
    cycle = span(trial.duration_type, trial.duration_length)
    return msgspec.structs.replace(
        one,
        trial_ends_at=next_boundary(at_ms, *cycle, at_ms),
        ends_with_trial=reverts_to != "" or not (is_paid(document) and trial.card_required),
        reverts_to=reverts_to,
    )


def _reverts_to(current: Subscription | None) -> str:
    if current is None or not current.cycle_unit or current.reverts_to:
        raise InvalidRequestError("free_trial.on_end: there is no paid plan to revert to")
    return current.id


def joined(one: Subscription, base: Subscription, at_ms: int) -> Subscription:
    """Return a subscription that shares the cycles of another one, its trial included. It outlives
    one that reverts, since a paid plan comes back then.
    """
    if not is_trialing(base, at_ms):
        return one
    ends_with_trial = base.ends_with_trial and not base.reverts_to
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
