"""What attaching a plan changes in one scope, the customer's own or one entity's. Pure: the date
and the identifiers are handed in, a ``Change`` comes out.

Plans switch at once and without payment: a main plan takes the place of the main plan of the same
group in the same scope (cold-path section 3.3); add-ons and one-off plans never replace anything.
Balances follow section 3.4: usage of continuous-use features moves on to the new plan, consumable
usage does not; the reset dates stay in phase when both plans are paid or both are free, and start
now otherwise.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.amounts import ENTITIES_MAX, UNITS_MAX, format_units, to_units
from gateway.cycles import next_boundary, span
from gateway.documents import Subscription
from gateway.errors import InvalidRequestError, PlanAttachedError
from gateway.ids import ROW_PREFIX
from gateway.lifecycle.order import arrange, rank
from gateway.lifecycle.rollover import adopt_rollovers, roll_of
from gateway.messages.plans import price_view
from gateway.rows import Flag, Kind, Row, RowDocument

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from gateway.messages.plans import PlanDocument, PlanItem
    from gateway.ports import FeatureRecord, PlanRecord

_LENGTHS = {"f": 1, "m": 30 * 86_400_000}


class Offer(NamedTuple):
    """A plan with the features its items name."""

    record: PlanRecord
    document: PlanDocument
    features: Mapping[str, FeatureRecord]


class Scope(NamedTuple):
    """Where a plan is attached: what is there already, and how many entities each per-entity row
    counts.
    """

    entity_id: str
    subscriptions: Sequence[Subscription]
    rows: Mapping[str, Sequence[Row]]
    inherited: Collection[str] = ()
    """Ids of the rows of an entity's customer, whose rollovers the entity may hold."""


class Change(NamedTuple):
    """What the scope holds afterwards; only features that change are in ``rows``."""

    subscriptions: list[Subscription]
    """Active ones, all of them."""
    touched: list[Subscription]
    """Those that are new or have ended."""
    rows: dict[str, list[Row]]
    dues: dict[str, int]
    """Row id -> first reset, for rows that are new; 0 for never."""


def is_paid(document: PlanDocument) -> bool:
    """Whether any price of the plan is above zero."""
    amounts = [document.price.amount] if document.price else []
    for item in document.items:
        if item.price is not None:
            amounts += [item.price.amount or "0"]
            amounts += [
                text or "0" for tier in item.price.tiers for text in (tier.amount, tier.flat_amount)
            ]
    return any(Decimal(amount) > 0 for amount in amounts)


def is_one_off(document: PlanDocument) -> bool:
    """Whether the plan is bought once: it has prices and none of them recurs."""
    intervals = [document.price.interval] if document.price else []
    intervals += [item.price.interval for item in document.items if item.price]
    return bool(intervals) and all(interval == "one_off" for interval in intervals)


def billing_cycle(document: PlanDocument) -> tuple[str, int]:
    """Return (unit, every) of the longest recurring price; empty for a free or one-off plan."""
    prices: list[tuple[str, int]] = []
    if document.price:
        prices.append(span(document.price.interval, document.price.interval_count))
    prices += [
        span(item.price.interval, item.price.interval_count)
        for item in document.items
        if item.price
    ]
    recurring = [price for price in prices if price[0]]
    return max(recurring, key=lambda price: _LENGTHS[price[0]] * price[1], default=("", 0))


def attach(
    scope: Scope,
    offer: Offer,
    *,
    quantities: Mapping[str, Decimal],
    now_ms: int,
    make_id: Callable[[str], str],
    keeps_overage: bool = False,
) -> Change:
    """Decide what attaching a plan changes.

    Raises ``PlanAttachedError`` when the plan is the current one, ``InvalidRequestError`` when the
    quantities name a feature that is not prepaid or a grant would leave the exact range. With
    ``keeps_overage`` what was used beyond a free grant stays used after its reset.
    """
    document = offer.document
    one_off = is_one_off(document)
    replaced = None if document.add_on or one_off else _current(scope.subscriptions, document.group)
    if replaced is not None and replaced.plan_id == offer.record.id:
        msg = f"plan {offer.record.id} is already attached"
        raise PlanAttachedError(msg)
    _check_quantities(document, quantities)

    unit, every = billing_cycle(document)
    paid = is_paid(document)
    in_phase = replaced is not None and (replaced.cycle_unit != "") == (paid and unit != "")
    anchor_ms = replaced.anchor_ms if replaced is not None and in_phase else now_ms
    subscription = Subscription(
        id=make_id("cus_prod"),
        plan_id=offer.record.id,
        version=offer.record.version,
        group=document.group,
        auto_enable=document.auto_enable,
        add_on=document.add_on,
        one_off=one_off,
        started_at=now_ms,
        anchor_ms=anchor_ms,
        cycle_unit=unit if paid else "",
        cycle_every=every if paid else 0,
        billing_controls=document.billing_controls,
    )
    touched = [subscription]
    active = [*scope.subscriptions, subscription]
    if replaced is not None:
        touched.append(
            msgspec.structs.replace(replaced, status="expired", ended_at=now_ms, canceled_at=now_ms)
        )
        active.remove(replaced)

    rows: dict[str, list[Row]] = {
        feature: list(held)
        for feature, held in scope.rows.items()
        if replaced is not None and any(row.document.subscription_id == replaced.id for row in held)
    }
    for feature, held in rows.items():
        rows[feature] = [
            row for row in held if replaced and row.document.subscription_id != replaced.id
        ]
    dues: dict[str, int] = {}
    for position, item in enumerate(document.items):
        row = _row(
            item,
            offer,
            subscription=subscription,
            scope=scope,
            position=position,
            quantities=quantities,
            make_id=make_id,
            keeps_overage=keeps_overage,
        )
        dues[row.id] = next_boundary(anchor_ms, row.unit, row.every, now_ms)
        held = rows.setdefault(item.feature_id, list(scope.rows.get(item.feature_id, ())))
        held.append(row)
    for feature, held in rows.items():
        added = [row for row in held if row.id in dues]
        rows[feature] = arrange(adopt_rollovers(held, added, scope.inherited))
        _check_range(feature, added, offer.features)
    return Change(active, touched, rows, dues)


def _current(subscriptions: Sequence[Subscription], group: str) -> Subscription | None:
    for subscription in subscriptions:
        if not subscription.add_on and not subscription.one_off and subscription.group == group:
            return subscription
    return None


def _check_quantities(document: PlanDocument, quantities: Mapping[str, Decimal]) -> None:
    prepaid = {item.feature_id for item in document.items if item.price and item.price.prepaid}
    for feature, quantity in quantities.items():
        if feature not in prepaid:
            msg = f"feature_quantities: the plan has no prepaid item of feature {feature}"
            raise InvalidRequestError(msg)
        if quantity < 0:
            msg = f"feature_quantities: the quantity of {feature} must not be negative"
            raise InvalidRequestError(msg)


def _row(
    item: PlanItem,
    offer: Offer,
    *,
    subscription: Subscription,
    scope: Scope,
    position: int,
    quantities: Mapping[str, Decimal],
    make_id: Callable[[str], str],
    keeps_overage: bool,
) -> Row:
    feature = offer.features[item.feature_id]
    row_id = make_id(ROW_PREFIX)
    if feature.type == "boolean":
        document = RowDocument(plan_id=offer.record.id, subscription_id=subscription.id)
        return Row(id=row_id, kind=Kind.FLAG, rank=f"2{position:03d}", document=document)

    price = item.price
    allocated = not feature.consumable
    unit, every = (
        ("", 0) if item.unlimited else span(item.reset_interval, item.reset_interval_count)
    )
    where = f"plan {offer.record.id}, feature {feature.id}"
    included = to_units(Decimal(item.included), feature.precision, field=where)
    prepaid = to_units(
        _packs(item, quantities.get(item.feature_id)), feature.precision, field=where
    )
    overage = price is not None and not price.prepaid
    cap = (
        Decimal(price.max_purchase)
        if price is not None and price.max_purchase is not None
        else None
    )
    purchase = to_units(cap, feature.precision, field=where) if cap else None
    flags = (
        (Flag.UNLIMITED if item.unlimited else "")
        + (Flag.OVERAGE if overage else "")
        + (Flag.ALLOCATED if allocated else "")
        + (Flag.FREE_OVERAGE if allocated and price is None else "")
        + (Flag.KEEPS_OVERAGE if keeps_overage and price is None and unit else "")
    )
    return Row(
        id=row_id,
        kind=Kind.PER_ENTITY if item.entity_feature_id and not scope.entity_id else Kind.SHARED,
        grant=0 if item.unlimited else included + prepaid,
        flags=flags,
        unit=unit,
        every=every,
        anchor_ms=subscription.anchor_ms,
        floor=purchase if overage else None,
        rank=rank(
            unlimited=item.unlimited,
            unit=unit,
            every=every,
            expires_ms=0,
            add_on=offer.document.add_on,
            overage=overage,
            created_ms=subscription.started_at,
            position=position,
        ),
        entity_feature=item.entity_feature_id or "",
        roll=""
        if item.unlimited
        else roll_of(item.rollover, included + prepaid, feature.precision, field=where),
        document=RowDocument(
            plan_id=offer.record.id,
            subscription_id=subscription.id,
            included=0 if item.unlimited else included,
            prepaid=prepaid,
            interval=None
            if item.unlimited or item.reset_interval == "never"
            else item.reset_interval,
            interval_count=item.reset_interval_count,
            price=None if price is None else msgspec.json.encode(price_view(price)).decode(),
            max_purchase=purchase,
        ),
    )


def _packs(item: PlanItem, quantity: Decimal | None) -> Decimal:
    """Return the units bought on top: the quantity counts the included part and is rounded up to
    whole packs.
    """
    if item.price is None or not item.price.prepaid or quantity is None:
        return Decimal(0)
    pack = Decimal(item.price.billing_units)
    wanted = max(Decimal(0), quantity - Decimal(item.included))
    return (wanted / pack).to_integral_value(ROUND_CEILING) * pack


def _check_range(feature: str, rows: Sequence[Row], features: Mapping[str, FeatureRecord]) -> None:
    """Refuse a row whose slots would leave the exact range with as many entities as may be."""
    for row in rows:
        copies = ENTITIES_MAX if row.kind is Kind.PER_ENTITY else 1
        if row.grant * copies > UNITS_MAX:
            precision = features[feature].precision
            msg = (
                f"feature {feature}: a grant of {format_units(row.grant * copies, precision)} is "
                f"outside the range of precision {precision}; "
                "a feature with a lower precision holds larger amounts"
            )
            raise InvalidRequestError(msg)
