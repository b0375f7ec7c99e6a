"""Which subscriptions a call is about (cold-path sections 3.1 and 3.9). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.documents import ACTIVE, PAUSED, Subscription
from gateway.errors import InvalidRequestError
from gateway.lifecycle.scope import Scope


def find_target(
    scope: Scope, subscription_id: str | None, plan_id: str | None
) -> Subscription | None:
    """Return the subscription that is named by its id or its plan; without either the main paid
    one, a main one, an add-on, or what was bought once, the newest of them. An active one is meant
    before one that has not begun.

    Raises ``InvalidRequestError`` for one that is paused.
    """
    fitting = [
        one
        for one in scope.subscriptions
        if subscription_id in (None, one.id) and plan_id in (None, one.plan_id)
    ]
    if subscription_id is None and plan_id is None:
        fitting = [one for one in fitting if one.status == ACTIVE]
    found = min(fitting, key=_place, default=None)
    if found is not None and found.status == PAUSED:
        raise InvalidRequestError(
            f"plan {found.plan_id} is paused until a trial ends; cancel that to have it back"
        )
    return found


def to_remove(scope: Scope, plan_ids: Sequence[str]) -> list[Subscription]:
    """Return the active subscriptions of some plans, paid ones first, as the plans are listed, and
    after them what waits to take their place.

    Raises ``InvalidRequestError`` for a plan that is not held, and for one whose end brings another
    back.
    """
    found = [one for one in scope.subscriptions if one.status == ACTIVE and one.plan_id in plan_ids]
    for one in found:
        if scope.paused_for(one) is not None:
            raise InvalidRequestError(
                f"remove_plan_ids: plan {one.plan_id} is on a trial after which another plan comes "
                "back; cancel it before"
            )
    held = {one.plan_id for one in found}
    for plan_id in plan_ids:
        if plan_id not in held:
            raise InvalidRequestError(f"remove_plan_ids: plan {plan_id} is not held")
    found.sort(key=lambda one: (one.cycle_unit == "", plan_ids.index(one.plan_id)))
    groups = {scope.group_of(one) for one in found if one.is_main}
    return [*found, *(one for group in groups for one in scope.pending(group))]


def _place(one: Subscription) -> tuple[bool, bool, bool, bool, int]:
    paid = one.cycle_unit != ""
    return one.status != ACTIVE, one.one_off, one.add_on, not paid, -one.started_at
