"""Which subscription an update is about (cold-path section 3.9). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.documents import ACTIVE

if TYPE_CHECKING:
    from gateway.documents import Subscription
    from gateway.lifecycle.scope import Scope


def find_target(
    scope: Scope, subscription_id: str | None, plan_id: str | None
) -> Subscription | None:
    """Return the subscription that is named by its id or its plan; without either the main paid
    one, a main one, an add-on, or what was bought once, the newest of them. An active one is meant
    before one that has not begun.
    """
    fitting = [
        one
        for one in scope.subscriptions
        if subscription_id in (None, one.id) and plan_id in (None, one.plan_id)
    ]
    if subscription_id is None and plan_id is None:
        fitting = [one for one in fitting if one.status == ACTIVE]
    return min(fitting, key=_place, default=None)


def _place(one: Subscription) -> tuple[bool, bool, bool, bool, int]:
    paid = one.cycle_unit != ""
    return one.status != ACTIVE, one.one_off, one.add_on, not paid, -one.started_at
