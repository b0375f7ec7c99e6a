"""What attaching a plan changes in one scope. Pure: the date and the identifiers are handed in, a
``Change`` comes out.

Nothing is paid. A main plan takes the place of the main plan of the same group in the same scope
(cold-path section 3.3): a step up at once, a step down when the cycle ends; until then it is a
subscription that is scheduled. Add-ons and one-off plans begin at once and replace nothing.
Balances follow section 3.4: the reset dates stay in phase when both plans are paid or both are
free, and start now otherwise. ``gateway.lifecycle.carrying`` says what of the old plan moves on.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from gateway.cycles import next_boundary
from gateway.documents import ACTIVE, SCHEDULED, Subscription
from gateway.errors import InvalidRequestError, PlanAttachedError
from gateway.lifecycle.carrying import carry, pay_debts
from gateway.lifecycle.catalog import plain
from gateway.lifecycle.pausing import pause
from gateway.lifecycle.plan_rows import (
    Offer,
    RowMaker,
    check_quantities,
    check_range,
    packs,
    sold_each_cycle,
)
from gateway.lifecycle.pools import is_pooled, pooled_grants
from gateway.lifecycle.prices import billing_cycle, is_one_off, is_upgrade
from gateway.lifecycle.scope import (
    Change,
    Making,
    Scope,
    after,
    in_order,
    join,
    leave,
    revived,
    rows_without,
    swap,
)
from gateway.lifecycle.target import to_remove
from gateway.lifecycle.terms import (
    END_OF_CYCLE,
    IMMEDIATE,
    NO_TERMS,
    Terms,
    check_charge,
    check_dates,
    check_scheduled,
    check_trial,
)
from gateway.lifecycle.trials import end_of_cycle, is_trialing, joined, on_trial
from gateway.lifecycle.used_up import make_room
from gateway.messages.plans import PlanItem


def attach(scope: Scope, offer: Offer, terms: Terms, making: Making) -> Change:
    """Decide what attaching a plan changes.

    Raises ``PlanAttachedError`` when the plan is the current one, and ``InvalidRequestError`` when
    the terms do not fit the plan or a grant would leave the exact range.
    """
    now_ms, document = making.now_ms, offer.document
    check_quantities(document, terms.quantities)
    check_dates(document, terms, now_ms)
    check_trial(document, terms)
    current, ends_ms, dropped = None, None, Change(list(scope.subscriptions), [])
    if not document.add_on and not is_one_off(document):
        # By its id: the group of the plan may be another by now than when it was attached.
        if any(one.plan_id == offer.record.id for one in scope.held_mains()):
            raise PlanAttachedError(f"plan {offer.record.id} is already attached")
        current = scope.current(document.group)
        pending = scope.pending(document.group)
        ends_ms = _own_end(current, pending)
        dropped = leave(scope, pending, now_ms)
        scope = after(scope, dropped)
    elif is_one_off(document):
        dropped = make_room(scope, offer, terms.ends_ms, make_id=making.make_id, now_ms=now_ms)
        scope = after(scope, dropped)
    subscription = new_subscription(offer, terms, making)
    removed = to_remove(scope, terms.removes)
    starts_ms = _starts(scope, offer, current, terms, now_ms)
    if starts_ms is None:
        replaced = current or next(iter(removed), None)
        if terms.skips_charge and replaced is not None:
            check_charge(document, replaced, now_ms)
        before = None if current in removed else current
        tried = on_trial(subscription, document, now_ms, before)
        others = leave(scope, [one for one in removed if one is not replaced], now_ms)
        scope = after(scope, others)
        if tried.reverts_to and current is not None and ends_ms is None:
            replaced = revived(current)
        change = begin(scope, offer, tried, replaced, terms=terms, making=making, at_ms=now_ms)
        return join(join(dropped, others), change)
    check_scheduled(document, terms)
    # What cannot begin then is refused now.
    replaced = current if ends_ms is None or ends_ms >= starts_ms else None
    begun = begin(scope, offer, subscription, replaced, at_ms=starts_ms, making=making)
    anchor_ms = begun.touched[0].anchor_ms
    waiting = msgspec.structs.replace(
        subscription, status=SCHEDULED, started_at=starts_ms, anchor_ms=anchor_ms
    )
    change = Change([*scope.subscriptions, waiting], [waiting])
    if current is not None:
        leaver = msgspec.structs.replace(
            current,
            canceled_at=current.canceled_at or now_ms,
            expires_at=min(starts_ms, ends_ms or starts_ms),
        )
        change = swap(change, leaver)
    return join(dropped, change)


def begin(
    scope: Scope,
    offer: Offer,
    subscription: Subscription,
    replaced: Subscription | None,
    *,
    at_ms: int,
    terms: Terms = NO_TERMS,
    making: Making,
) -> Change:
    """Return what changes when a subscription begins in place of another one, or beside all."""
    document = offer.document
    subscription = _in_phase(scope, subscription, replaced, terms, at_ms)
    anchor_ms = subscription.anchor_ms
    leavers = [replaced] if replaced else []
    left = leave(scope, leavers, at_ms)
    quantities = {
        item.feature_id: quantity
        for item in document.items
        if (quantity := _quantity(scope, offer, item, replaced, subscription)) is not None
    }
    subscription.quantities = {
        feature: plain(Decimal(item.included) + packs(item, quantities[feature]))
        for feature, item in document.prepaid_items.items()
    }
    maker = RowMaker(offer, subscription, scope.entity_id, making.make_id, making.keeps_overage)
    rows = rows_without(scope, leavers)
    dues: dict[str, int] = {}
    subscription.pooled = pooled_grants(maker, document)
    for position, item in enumerate(document.items):
        if is_pooled(item, scope.entity_id):
            continue
        row = maker.row(item, position, quantities.get(item.feature_id))
        dues[row.id] = next_boundary(anchor_ms, row.unit, row.every, at_ms)
        held = rows.get(item.feature_id, scope.rows.get(item.feature_id, ()))
        rows[item.feature_id] = [*held, row]
    change = Change([*left.subscriptions, subscription], [subscription, *left.touched], rows, dues)
    if replaced is not None:
        change = carry(
            scope,
            change,
            replaced,
            subscription,
            usages=terms.usages,
            balances=terms.balances,
            at_ms=at_ms,
            make_id=making.make_id,
        )
        if subscription.reverts_to:
            change = pause(scope, change, replaced)
    if making.keeps_overage and document.add_on and subscription.one_off:
        change = pay_debts(scope, change)
    ordered = in_order(scope, change.rows, change.dues)
    for feature, held in ordered.items():
        check_range(feature, (row for row in held if row.id in change.dues), offer.features)
    return change._replace(rows=ordered)


def new_subscription(offer: Offer, terms: Terms, making: Making) -> Subscription:
    document = offer.document
    unit, every = billing_cycle(document)
    return Subscription(
        id=terms.subscription_id or making.make_id("cus_prod"),
        plan_id=offer.record.id,
        version=offer.record.version,
        group=document.group,
        auto_enable=document.auto_enable,
        add_on=document.add_on,
        one_off=is_one_off(document),
        started_at=making.now_ms,
        expires_at=terms.ends_ms,
        anchor_ms=making.now_ms,
        cycle_unit=unit,
        cycle_every=every,
        billing_controls=document.billing_controls,
        custom=msgspec.to_builtins(document) if offer.is_custom else None,
        quantities={feature: plain(one) for feature, one in terms.quantities.items()},
    )


def _starts(
    scope: Scope, offer: Offer, current: Subscription | None, terms: Terms, now_ms: int
) -> int | None:
    """Return when the plan begins; None for now."""
    if terms.starts_ms is not None:
        return terms.starts_ms
    if current is None or terms.schedule == IMMEDIATE:
        return None
    held = scope.documents.get(current.id)
    waits = terms.schedule == END_OF_CYCLE
    if not waits:
        waits = not is_upgrade(held, offer.document) if held else current.cycle_unit != ""
    if not waits:
        return None
    ends_ms = end_of_cycle(current, now_ms)
    if not ends_ms:
        raise InvalidRequestError(
            f"plan_schedule: plan {current.plan_id} has no billing cycle whose end could be awaited"
        )
    return ends_ms


def _own_end(current: Subscription | None, pending: Sequence[Subscription]) -> int | None:
    """Return when the current plan was to end, whatever comes after it. An end that is only the
    beginning of another plan goes with that one; the free plan that enables itself follows an end.
    """
    if current is None or any(not one.auto_enable for one in pending):
        return None
    return current.ends_at


def _in_phase(
    scope: Scope,
    one: Subscription,
    replaced: Subscription | None,
    terms: Terms,
    at_ms: int,
) -> Subscription:
    """Return a subscription as it begins, with where its cycles are counted from."""
    paid = one.cycle_unit != ""
    follows = replaced is not None and (replaced.cycle_unit != "") == paid
    joins = paid and not follows and (one.add_on or scope.entity_id != "")
    base = _base_of(scope) if joins else None
    anchor_ms = at_ms
    if one.trial_ends_at is not None:
        anchor_ms = one.trial_ends_at
    elif terms.anchor_ms is not None:
        anchor_ms = terms.anchor_ms
    elif terms.anew and paid and not (base and is_trialing(base, at_ms)):
        anchor_ms = at_ms
    elif replaced is not None and follows:
        anchor_ms = at_ms if is_trialing(replaced, at_ms) else replaced.anchor_ms
    elif base is not None:
        one, anchor_ms = joined(one, base, at_ms), base.anchor_ms
    elif joins and scope.entity_id and one.status == SCHEDULED:
        # The plans of other entities were looked at when it was attached.
        anchor_ms = one.anchor_ms
    return msgspec.structs.replace(one, status=ACTIVE, started_at=at_ms, anchor_ms=anchor_ms)


def _base_of(scope: Scope) -> Subscription | None:
    """Return the paid main plan: an add-on, or the plan of an entity, joins its cycles."""
    mains = (one for one in (*scope.subscriptions, *scope.base) if one.is_main)
    return next((one for one in mains if one.status == ACTIVE and one.cycle_unit), None)


def _quantity(
    scope: Scope,
    offer: Offer,
    item: PlanItem,
    replaced: Subscription | None,
    subscription: Subscription,
) -> Decimal | None:
    """Return how many units of a prepaid item are held, the included ones counted; None for an item
    that is not prepaid. What is not said is taken over from the plan before (section 3.4), of
    whose smaller quantity the time may have come too.
    """
    price = item.prepaid
    if price is None:
        return None
    said = subscription.quantities.get(item.feature_id)
    if said is not None:
        return Decimal(said)
    if replaced is None or price.interval == "one_off":
        return Decimal(0)
    rows = scope.held(replaced).get(item.feature_id, ())
    precision = offer.features[item.feature_id].precision
    before = sold_each_cycle(scope.documents.get(replaced.id), item.feature_id)
    if before is None:
        units = sum(max(0, scope.lives[row.id].used) for row in rows if row.id in scope.lives)
    elif (
        item.feature_id in replaced.pending
        and (replaced.pending_at or 0) <= subscription.started_at
    ):
        quantity = Decimal(replaced.pending[item.feature_id])
        return Decimal(before.included) + packs(before, quantity)
    else:
        units = sum(
            row.planned + row.document.prepaid
            for row in rows
            if row.document.price is not None
            and not row.overage
            and (row.document.interval != "one_off" or before.reset_interval == "one_off")
        )
    return Decimal(units).scaleb(-precision)
