"""What happens to the plans of one scope by itself when its time has come: a scheduled plan begins,
a plan or its trial ends, a smaller quantity counts. Pure; ``at_ms`` is when it was to happen, which
may be long past.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.documents import ACTIVE, PAUSED, SCHEDULED, Subscription
from gateway.lifecycle.attach import begin
from gateway.lifecycle.cancel import expire
from gateway.lifecycle.plan_rows import Offer
from gateway.lifecycle.quantities import due_quantities, requantify
from gateway.lifecycle.scope import Change, Making, Scope, after, leave


def first_due(subscriptions: Iterable[Subscription]) -> Subscription | None:
    """Return the subscription to which something happens next; at one moment those that begin come
    first, for they take the place of those that end.
    """
    waiting = [one for one in subscriptions if one.due_at is not None]
    return min(waiting, key=_place, default=None)


def fall_due(
    scope: Scope, one: Subscription, offer: Offer, default: Offer | None, making: Making
) -> Change:
    """Return what changes when the time of a subscription has come; ``offer`` is its plan,
    ``default`` the free plan of its group that enables itself. ``making.now_ms`` is that time.
    """
    at_ms = making.now_ms
    if one.status == SCHEDULED:
        replaced = scope.current(scope.group_of(one)) if one.is_main else None
        left = scope._replace(
            subscriptions=[other for other in scope.subscriptions if other.id != one.id]
        )
        return begin(left, offer, one, replaced, at_ms=at_ms, making=making)
    if one.status == PAUSED:
        return leave(scope, [one], at_ms)
    if one.ends_at == at_ms:
        return expire(scope, one, default, making)
    quantities = due_quantities(one, offer.document, at_ms)
    return requantify(scope, one, offer, quantities, making)


def foreseen(scope: Scope, one: Subscription, offer: Offer, making: Making) -> Subscription:
    """Return a scheduled subscription as it will begin if nothing changes until then; what resets
    by then is not used.
    """
    at_ms = one.started_at
    lives = {
        row_id: live._replace(used=0) if 0 < live.due_ms <= at_ms else live
        for row_id, live in scope.lives.items()
    }
    over = [other for other in scope.subscriptions if other.ends_at and other.ends_at < at_ms]
    left = after(scope, leave(scope, over, at_ms))._replace(lives=lives)
    change = fall_due(left, one, offer, None, making._replace(now_ms=at_ms))
    return next(each for each in change.subscriptions if each.id == one.id)


def _place(one: Subscription) -> tuple[int, bool, str]:
    return one.due_at or 0, one.status == ACTIVE, one.id
