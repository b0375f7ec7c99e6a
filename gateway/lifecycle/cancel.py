"""What canceling a plan changes in one scope, and what taking that back does (cold-path section
3.9). Pure.
"""

from __future__ import annotations

import msgspec

from gateway.documents import SCHEDULED, Subscription
from gateway.errors import InvalidRequestError
from gateway.lifecycle.attach import begin, new_subscription
from gateway.lifecycle.pausing import resume
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.scope import Change, Making, Scope, after, join, leave, revived, swap
from gateway.lifecycle.terms import NO_TERMS
from gateway.lifecycle.trials import end_of_cycle

_IMMEDIATELY = "cancel_immediately"
_UNCANCEL = "uncancel"


def cancel(
    scope: Scope, target: Subscription, action: str, default: Offer | None, making: Making
) -> Change:
    """Return what a cancel action changes. ``default`` is the free plan of the target's group that
    enables itself.

    Raises ``InvalidRequestError`` for an action that makes no sense for the plan.
    """
    if target.status == SCHEDULED:
        if action == _UNCANCEL:
            raise InvalidRequestError(
                f"cancel_action: plan {target.plan_id} has not begun, there is nothing to take back"
            )
        return _drop(scope, target, making.now_ms)
    if action == _UNCANCEL:
        return _uncancel(scope, target, making.now_ms)
    if action == _IMMEDIATELY:
        dropped = leave(scope, _with_it(scope, target), making.now_ms)
        return join(dropped, expire(after(scope, dropped), target, default, making))
    return _end_later(scope, target, _successor(scope, target, default), making)


def expire(scope: Scope, target: Subscription, default: Offer | None, making: Making) -> Change:
    """Return what changes when a plan comes to its end and none takes its place then. What begins
    later does so all the same.
    """
    paused = scope.paused_for(target)
    if paused is not None:
        return resume(scope, target, paused, making)
    successor = _successor(scope, target, default)
    if successor is None:
        return leave(scope, [target], making.now_ms)
    subscription = new_subscription(successor, NO_TERMS, making)
    return begin(scope, successor, subscription, target, at_ms=making.now_ms, making=making)


def _successor(scope: Scope, target: Subscription, default: Offer | None) -> Offer | None:
    """Return the default plan where it comes back when the target ends: not where it is held
    already, or another plan that has moved to the group is, or one that is paused comes back.
    """
    if default is None or not target.is_main or scope.entity_id:
        return None
    if scope.paused_for(target) is not None:
        return None
    if default.record.id == target.plan_id:
        return None
    group = scope.group_of(target)
    others = (one for one in scope.active_mains() if one.id != target.id)
    is_held = any(
        default.record.id == one.plan_id or scope.group_of(one) == group for one in others
    )
    return None if is_held else default


def _pending(scope: Scope, target: Subscription) -> list[Subscription]:
    """Return the main plans that wait to take the place of the target."""
    return scope.pending(scope.group_of(target)) if target.is_main else []


def _drop(scope: Scope, target: Subscription, now_ms: int) -> Change:
    """Return the scope without a plan that has not begun; the one it would replace goes on."""
    change = leave(scope, [target], now_ms)
    current = scope.current(scope.group_of(target)) if target.is_main else None
    if current is not None and current.canceled_at is not None:
        change = swap(change, revived(current))
    return change


def _uncancel(scope: Scope, target: Subscription, now_ms: int) -> Change:
    if target.canceled_at is None and target.expires_at is None:
        return Change(list(scope.subscriptions), [])
    pending = _pending(scope, target)
    return swap(leave(scope, pending, now_ms), revived(target))


def _with_it(scope: Scope, target: Subscription) -> list[Subscription]:
    """Return what goes with a main plan that is canceled at once: all that has not begun."""
    if not target.is_main:
        return []
    add_ons = [one for one in scope.subscriptions if one.status == SCHEDULED and one.add_on]
    return [*_pending(scope, target), *add_ons]


def _end_later(
    scope: Scope, target: Subscription, successor: Offer | None, making: Making
) -> Change:
    now_ms = making.now_ms
    ends_ms = end_of_cycle(target, now_ms)
    if not ends_ms:
        raise InvalidRequestError(
            f"cancel_action: plan {target.plan_id} has no billing cycle to wait for the end of; "
            f"use {_IMMEDIATELY}"
        )
    dropped = leave(scope, _pending(scope, target), now_ms)
    scope = after(scope, dropped)
    leaver = msgspec.structs.replace(
        target, canceled_at=target.canceled_at or now_ms, expires_at=ends_ms
    )
    change = join(dropped, swap(Change(list(scope.subscriptions), []), leaver))
    if successor is None:
        return change
    waiting = msgspec.structs.replace(
        new_subscription(successor, NO_TERMS, making),
        status=SCHEDULED,
        started_at=ends_ms,
        anchor_ms=ends_ms,
    )
    return change._replace(
        subscriptions=[*change.subscriptions, waiting], touched=[*change.touched, waiting]
    )
