"""What every change of plans is about: one scope, the customer's own or one entity's, before and
after; and what deciding one needs from outside. Pure values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.documents import ACTIVE, EXPIRED, PAUSED, SCHEDULED, RestingRow, Subscription
from gateway.lifecycle.order import arrange
from gateway.lifecycle.rollover import adopt_rollovers
from gateway.messages.plans import PlanDocument
from gateway.rows import Live, Row


class Making(NamedTuple):
    """What decisions need from outside."""

    now_ms: int
    make_id: Callable[[str], str]
    keeps_overage: bool = False
    """Whether what was used beyond a free grant stays used after its reset."""


class Scope(NamedTuple):
    """Where plans are attached, and what is there already."""

    entity_id: str
    subscriptions: Sequence[Subscription]
    """Active, scheduled and paused ones."""
    rows: Mapping[str, Sequence[Row]]
    inherited: Collection[str] = ()
    """Ids of the rows of an entity's customer, whose rollovers the entity may hold."""
    lives: Mapping[str, Live] = {}
    """Live numbers of the rows of the scope, by id."""
    documents: Mapping[str, PlanDocument] = {}
    """The plan of each subscription, by the id of the subscription."""
    base: Sequence[Subscription] = ()
    """Of an entity: the subscriptions of its customer, and where none of them has a billing cycle,
    one of another entity that has.
    """
    groups: Mapping[str, str] = {}
    """The group each subscription's plan is in now, by the id of the subscription."""
    holds: frozenset[str] = frozenset()
    """Features of whose rows open locks hold units, whoever took them."""

    def group_of(self, subscription: Subscription) -> str:
        """Return the group a subscription is in: that of its plan now, which may have moved."""
        return self.groups.get(subscription.id, subscription.group)

    def current(self, group: str) -> Subscription | None:
        """Return the active main plan of a group."""
        return next((one for one in self.mains(group) if one.status == ACTIVE), None)

    def active_mains(self) -> list[Subscription]:
        """Return the active main plans of all groups."""
        return [one for one in self.held_mains() if one.status == ACTIVE]

    def held_mains(self) -> list[Subscription]:
        """Return the active main plans of all groups, and those that are paused."""
        held = [one for one in self.subscriptions if one.status in (ACTIVE, PAUSED)]
        return [one for one in held if one.is_main]

    def pending(self, group: str) -> list[Subscription]:
        """Return the main plans of a group that have not begun."""
        return [one for one in self.mains(group) if one.status == SCHEDULED]

    def mains(self, group: str) -> list[Subscription]:
        """Return the recurring plans of a group that are no add-ons."""
        mains = (one for one in self.subscriptions if one.is_main)
        return [one for one in mains if self.group_of(one) == group]

    def paused_for(self, subscription: Subscription) -> Subscription | None:
        """Return the plan that waits until the trial of another one is over."""
        paused = (one for one in self.subscriptions if one.status == PAUSED)
        return next((one for one in paused if one.id == subscription.reverts_to), None)

    def time_of(self, now_ms: int) -> int:
        """Return the time of a decision: not before what has begun by a clock that is ahead, for
        before its beginning a plan's cycle would be one that ends with it.
        """
        active = (one for one in (*self.subscriptions, *self.base) if one.status == ACTIVE)
        return max((now_ms, *(one.started_at for one in active)))

    def held(self, subscription: Subscription) -> dict[str, list[Row]]:
        """Return the rows a subscription gives, by feature."""
        found = {
            feature: [row for row in rows if row.document.subscription_id == subscription.id]
            for feature, rows in self.rows.items()
        }
        return {feature: rows for feature, rows in found.items() if rows}


class Carry(NamedTuple):
    """What becomes of the numbers of a row that ends; of one that stays, what was used beyond its
    grant is used of ``heir``, as far as that has units for it.

    With a ``remainder`` what is left becomes the grant of that new row, which is dropped when
    nothing is, and a debt is used of ``heir``; without, all that was used of it is. One row may
    have both, in this order.
    """

    row_id: str
    heir: str = ""
    remainder: str = ""


class Change(NamedTuple):
    """What the scope holds afterwards; only features that change are in ``rows``."""

    subscriptions: list[Subscription]
    """Active, scheduled and paused ones, all of them."""
    touched: list[Subscription]
    """Those that are new, are another, or have ended."""
    rows: Mapping[str, list[Row]] = {}
    dues: Mapping[str, int] = {}
    """Row id -> first reset, for rows that are new; 0 for never."""
    carries: tuple[Carry, ...] = ()
    moves: Mapping[str, int] = {}
    """Row id -> next reset, for rows that stay and get another one."""
    returning: Mapping[str, RestingRow] = {}
    """Of the new rows those that come back, with their numbers, by id."""


def ended(subscription: Subscription, now_ms: int) -> Subscription:
    """Return a subscription that ends now."""
    canceled_at = subscription.canceled_at or now_ms
    return msgspec.structs.replace(
        subscription,
        status=EXPIRED,
        ended_at=now_ms,
        canceled_at=canceled_at,
        pending={},
        pending_at=None,
        resting=[],
    )


def revived(subscription: Subscription) -> Subscription:
    """Return a subscription whose end is taken back."""
    return msgspec.structs.replace(subscription, canceled_at=None, expires_at=None)


def leave(scope: Scope, leavers: Sequence[Subscription], now_ms: int) -> Change:
    """Return the scope without some subscriptions, their rows, and what rolled over of those. A
    plan that waits for one of them to end does not come back.
    """
    leavers = [*leavers, *filter(None, map(scope.paused_for, leavers))]
    gone = {one.id for one in leavers}
    return Change(
        [one for one in scope.subscriptions if one.id not in gone],
        [ended(one, now_ms) for one in leavers],
        in_order(scope, rows_without(scope, leavers), {}),
    )


def rows_without(scope: Scope, leavers: Sequence[Subscription]) -> dict[str, list[Row]]:
    """Return the rows of every feature that loses some, without those of some subscriptions; what
    rolled over of them is still there for ``in_order`` to hand on.
    """
    gone = {one.id for one in leavers}
    return {
        feature: [row for row in held if row.document.subscription_id not in gone]
        for feature, held in scope.rows.items()
        if any(row.document.subscription_id in gone for row in held)
    }


def swap(change: Change, *changed: Subscription) -> Change:
    """Return a change with other versions of subscriptions that stay."""
    others = {one.id: one for one in changed}
    touched = [one for one in change.touched if one.id not in others]
    return change._replace(
        subscriptions=[others.get(one.id, one) for one in change.subscriptions],
        touched=[*touched, *changed],
    )


def after(scope: Scope, change: Change) -> Scope:
    """Return the scope as a change leaves it."""
    return scope._replace(subscriptions=change.subscriptions, rows={**scope.rows, **change.rows})


def join(first: Change, second: Change) -> Change:
    """Return two changes, the second of which was decided on what the first one leaves, as one."""
    later = {one.id for one in second.touched}
    return Change(
        second.subscriptions,
        [one for one in first.touched if one.id not in later] + second.touched,
        {**first.rows, **second.rows},
        {**first.dues, **second.dues},
        (*first.carries, *second.carries),
        {**first.moves, **second.moves},
        {**first.returning, **second.returning},
    )


def in_order(
    scope: Scope, rows: Mapping[str, Sequence[Row]], dues: Mapping[str, int]
) -> dict[str, list[Row]]:
    """Return rows in spending order, with rollovers handed to rows that are new."""
    ordered = {}
    for feature, held in rows.items():
        added = [row for row in held if row.id in dues]
        ordered[feature] = arrange(adopt_rollovers(held, added, scope.inherited))
    return ordered
