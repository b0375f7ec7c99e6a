"""Another quantity of what is prepaid, on a plan that is held (cold-path section 3.9). Pure.

More counts at once. Less does too, unless the item's ``on_decrease`` says that nothing is paid
back: then it counts from the next cycle on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from gateway.cycles import next_boundary, span
from gateway.documents import Subscription
from gateway.errors import InvalidRequestError
from gateway.lifecycle.carrying import heir_of
from gateway.lifecycle.catalog import plain
from gateway.lifecycle.plan_rows import (
    Offer,
    RowMaker,
    check_quantities,
    check_range,
    is_one_off_purchase,
    packs,
    top_up,
)
from gateway.lifecycle.scope import Carry, Change, Making, Scope, in_order, swap
from gateway.messages.plans import PlanDocument, PlanItem
from gateway.rows import Kind, Row

_KEPT_TO_THE_END = ("none", "no_prorations")


def buy(
    scope: Scope,
    target: Subscription,
    offer: Offer,
    quantities: Mapping[str, Decimal],
    making: Making,
    *,
    anew: bool = False,
) -> Change:
    """Return what other quantities change, now and at the end of the cycle; all of it now where a
    new cycle begins ``anew``.

    Raises ``InvalidRequestError`` for what the plan does not sell, and for a one-off plan.
    """
    if target.one_off:
        raise InvalidRequestError(
            f"feature_quantities: plan {target.plan_id} was bought once and cannot change"
        )
    check_quantities(offer.document, quantities, top_up)
    items = offer.document.prepaid_items
    later = {
        feature: plain(quantity)
        for feature, quantity in quantities.items()
        if not anew and _waits(items[feature], quantity, target)
    }
    now = {feature: one for feature, one in quantities.items() if feature not in later}
    change = requantify(scope, target, offer, now, making)
    held = next(one for one in change.subscriptions if one.id == target.id)
    pending = {feature: text for feature, text in held.pending.items() if feature not in quantities}
    pending |= later
    changed = msgspec.structs.replace(held, pending=pending)
    changed.pending_at = counts_from(changed, offer.document, making.now_ms)
    return change if changed == held else swap(change, changed)


def requantify(
    scope: Scope,
    target: Subscription,
    offer: Offer,
    quantities: Mapping[str, Decimal],
    making: Making,
) -> Change:
    """Return what changes once quantities count; what is used stays used."""
    maker = RowMaker(offer, target, scope.entity_id, making.make_id, making.keeps_overage)
    held = scope.held(target)
    rows: dict[str, list[Row]] = {}
    dues: dict[str, int] = {}
    carries: list[Carry] = []
    bought = dict(target.quantities)
    for position, item in enumerate(offer.document.items):
        quantity = quantities.get(item.feature_id)
        if item.prepaid is None or quantity is None:
            continue
        feature = item.feature_id
        total = _total(item, quantity, Decimal(bought.get(feature, item.included)))
        made = maker.row(item, position, total)
        priced = [row for row in held.get(feature, ()) if row.document.price is not None]
        old = heir_of(made, priced)
        bought[feature] = plain(total)
        if old is None or (old.grant == made.grant and old.document.planned is None):
            continue
        if old.kind is Kind.PER_ENTITY:
            dues[made.id] = scope.lives[old.id].due_ms
            carries.append(Carry(old.id, made.id))
            new = msgspec.structs.replace(made, anchor_ms=old.anchor_ms)
        else:
            new = msgspec.structs.replace(
                old, grant=made.grant, roll=made.roll, document=made.document
            )
        check_range(feature, [new], offer.features)
        before = rows.get(feature, scope.rows[feature])
        rows[feature] = [new if row.id == old.id else row for row in before]
    changed = msgspec.structs.replace(
        target,
        quantities=bought,
        pending={
            feature: text for feature, text in target.pending.items() if feature not in quantities
        },
    )
    changed.pending_at = counts_from(changed, offer.document, making.now_ms)
    change = Change(
        list(scope.subscriptions), [], in_order(scope, rows, dues), dues, tuple(carries)
    )
    return change if changed == target else swap(change, changed)


def counts_from(one: Subscription, document: PlanDocument, now_ms: int) -> int | None:
    """Return when the first of the quantities that wait counts, each from the end of the cycle it
    is paid for; None where none waits.
    """
    ends = (next_boundary(*cycle, now_ms) for _, cycle in _cycles(one, document))
    return min(ends, default=None)


def due_quantities(one: Subscription, document: PlanDocument, at_ms: int) -> Mapping[str, Decimal]:
    """Return the quantities that count from a time on: those of a cycle that ends then."""
    due = {
        feature
        for feature, cycle in _cycles(one, document)
        if next_boundary(*cycle, at_ms - 1) == at_ms
    }
    # Of a plan that was edited meanwhile no cycle may end then; nothing is to wait for ever.
    return {
        feature: Decimal(text) for feature, text in one.pending.items() if feature in due or not due
    }


def _cycles(
    one: Subscription, document: PlanDocument
) -> Iterator[tuple[str, tuple[int, str, int]]]:
    """Yield each feature whose quantity waits, with the cycle it is paid for."""
    for item in document.items:
        price = item.prepaid
        if item.feature_id in one.pending and price is not None:
            unit, every = span(price.interval, price.interval_count)
            if unit:
                yield item.feature_id, (one.anchor_ms, unit, every)


def _total(item: PlanItem, quantity: Decimal, before: Decimal) -> Decimal:
    """Return the units held with a quantity, in whole packs; what is bought once is added to what
    was bought before.
    """
    held = before if is_one_off_purchase(item) else Decimal(item.included)
    return held + top_up(item, quantity)


def _waits(item: PlanItem, quantity: Decimal, target: Subscription) -> bool:
    """Whether a smaller quantity counts only once the cycle has ended."""
    if item.on_decrease not in _KEPT_TO_THE_END or not target.cycle_unit:
        return False
    if is_one_off_purchase(item):  # it is bought on top: nothing gets less
        return False
    total = Decimal(item.included) + packs(item, quantity)
    return total < Decimal(target.quantities.get(item.feature_id, item.included))
