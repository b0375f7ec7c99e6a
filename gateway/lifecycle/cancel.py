"""What canceling a plan changes in one scope, and what taking that back does (cold-path section
3.9). Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.documents import SCHEDULED
from gateway.errors import InvalidRequestError
from gateway.lifecycle.attach import NO_TERMS, begin, end_of_cycle, new_subscription
from gateway.lifecycle.scope import Change, Scope, after, join, leave, revived, swap

if TYPE_CHECKING:
    from gateway.documents import Subscription
    from gateway.lifecycle.attach import Making
    from gateway.lifecycle.plan_rows import Offer

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
            msg = (
                f"cancel_action: plan {target.plan_id} has not begun, there is nothing to take back"
            )
            raise InvalidRequestError(msg)
        return _drop(scope, target, making.now_ms)
    if action == _UNCANCEL:
        return _uncancel(scope, target, making.now_ms)
    successor = default if default is not None and _needs(scope, target, default) else None
    if action == _IMMEDIATELY:
        return _end(scope, target, successor, making)
    return _end_later(scope, target, successor, making)


def expire(scope: Scope, target: Subscription, default: Offer | None, making: Making) -> Change:
    """Return what changes when a plan comes to its end and none was scheduled in its place."""
    successor = default if default is not None and _needs(scope, target, default) else None
    return _end(scope, target, successor, making)


def is_main(subscription: Subscription) -> bool:
    """Whether the subscription is one of those of which a group has one."""
    return not subscription.add_on and not subscription.one_off


def _needs(scope: Scope, target: Subscription, default: Offer) -> bool:
    """Whether the default plan comes back when the target ends: not where it is held already, or
    another plan that has moved to the group is.
    """
    if not is_main(target) or scope.entity_id or default.record.id == target.plan_id:
        return False
    group = scope.group_of(target)
    others = (one for one in scope.active_mains() if one.id != target.id)
    return not any(
        default.record.id == one.plan_id or scope.group_of(one) == group for one in others
    )


def _pending(scope: Scope, target: Subscription) -> list[Subscription]:
    """Return the main plans that wait to take the place of the target."""
    return scope.pending(scope.group_of(target)) if is_main(target) else []


def _drop(scope: Scope, target: Subscription, now_ms: int) -> Change:
    """Return the scope without a plan that has not begun; the one it would replace goes on."""
    change = leave(scope, [target], now_ms)
    current = scope.current(scope.group_of(target)) if is_main(target) else None
    if current is not None and current.canceled_at is not None:
        change = swap(change, revived(current))
    return change


def _uncancel(scope: Scope, target: Subscription, now_ms: int) -> Change:
    if target.canceled_at is None and target.expires_at is None:
        return Change(list(scope.subscriptions), [])
    pending = _pending(scope, target)
    return swap(leave(scope, pending, now_ms), revived(target))


def _end(scope: Scope, target: Subscription, successor: Offer | None, making: Making) -> Change:
    gone = []
    if is_main(target):
        add_ons = [one for one in scope.subscriptions if one.status == SCHEDULED and one.add_on]
        gone = [*_pending(scope, target), *add_ons]
    dropped = leave(scope, gone, making.now_ms)
    scope = after(scope, dropped)
    if successor is None:
        return join(dropped, leave(scope, [target], making.now_ms))
    subscription = new_subscription(successor, NO_TERMS, making)
    change = begin(scope, successor, subscription, target, at_ms=making.now_ms, making=making)
    return join(dropped, change)


def _end_later(
    scope: Scope, target: Subscription, successor: Offer | None, making: Making
) -> Change:
    now_ms = making.now_ms
    ends_ms = end_of_cycle(target, now_ms)
    if not ends_ms:
        msg = (
            f"cancel_action: plan {target.plan_id} has no billing cycle to wait for the end of; "
            f"use {_IMMEDIATELY}"
        )
        raise InvalidRequestError(msg)
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
