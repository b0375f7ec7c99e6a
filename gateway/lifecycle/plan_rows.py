"""From the items of a plan to the balance rows that give them (cold-path section 3.4). Pure: the
date and the identifiers are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

import msgspec

from gateway.amounts import ENTITIES_SURE, UNITS_MAX, fit_precision, format_units, to_units
from gateway.cycles import span
from gateway.documents import Subscription
from gateway.errors import InvalidRequestError
from gateway.ids import ROW_PREFIX
from gateway.lifecycle.order import rank
from gateway.lifecycle.precision import way_to
from gateway.lifecycle.rollover import roll_of
from gateway.messages.plans import ItemPrice, PlanDocument, PlanItem
from gateway.messages.prices import price_view
from gateway.ports import FeatureRecord, PlanRecord
from gateway.rows import Flag, Kind, Row, RowDocument


class Offer(NamedTuple):
    """A plan with the features its items name."""

    record: PlanRecord
    document: PlanDocument
    features: Mapping[str, FeatureRecord]
    is_custom: bool = False
    """Whether the document is not that of the record, but one customer's own."""


class RowMaker(NamedTuple):
    """Makes the rows of one subscription."""

    offer: Offer
    subscription: Subscription
    entity_id: str
    make_id: Callable[[str], str]
    keeps_overage: bool = False
    """Whether what was used beyond a free grant stays used after its reset."""

    def row(self, item: PlanItem, position: int, quantity: Decimal | None = None) -> Row:
        """Return the row of an item; ``quantity`` is of a prepaid one."""
        feature = self.offer.features[item.feature_id]
        row_id = self.make_id(ROW_PREFIX)
        if feature.type == "boolean":
            document = RowDocument(
                plan_id=self.offer.record.id, subscription_id=self.subscription.id
            )
            return Row(id=row_id, kind=Kind.FLAG, rank=f"2{position:03d}", document=document)

        price = item.price
        unit, every = (
            ("", 0) if item.unlimited else span(item.reset_interval, item.reset_interval_count)
        )
        where = f"plan {self.offer.record.id}, feature {feature.id}"
        included = to_units(Decimal(item.included), feature.precision, field=where)
        prepaid = to_units(packs(item, quantity), feature.precision, field=where)
        overage = item.paid_by_use is not None
        cap = Decimal(price.max_purchase) if price is not None and price.max_purchase else None
        purchase = to_units(cap, feature.precision, field=where) if cap else None
        return Row(
            id=row_id,
            kind=Kind.PER_ENTITY if item.entity_feature_id and not self.entity_id else Kind.SHARED,
            grant=0 if item.unlimited else included + prepaid,
            flags=self._flags(item, feature, unit),
            unit=unit,
            every=every,
            anchor_ms=self.subscription.anchor_ms,
            floor=purchase if overage else None,
            rank=rank(
                created_ms=self.subscription.started_at,
                position=position,
                unlimited=item.unlimited,
                unit=unit,
                every=every,
                add_on=self.offer.document.add_on,
                overage=overage,
            ),
            entity_feature=item.entity_feature_id or "",
            roll=""
            if item.unlimited
            else roll_of(item.rollover, included + prepaid, feature.precision, field=where),
            document=RowDocument(
                plan_id=self.offer.record.id,
                subscription_id=self.subscription.id,
                included=0 if item.unlimited else included,
                prepaid=prepaid,
                interval=None
                if item.unlimited or item.reset_interval == "never"
                else item.reset_interval,
                interval_count=item.reset_interval_count,
                price=None if price is None else msgspec.json.encode(price_view(price)).decode(),
                max_purchase=purchase,
                apart=self.subscription.add_on or self.subscription.one_off,
            ),
        )

    def _flags(self, item: PlanItem, feature: FeatureRecord, unit: str) -> str:
        price = item.price
        allocated = not feature.consumable
        return (
            (Flag.UNLIMITED if item.unlimited else "")
            + (Flag.OVERAGE if item.paid_by_use else "")
            + (Flag.ALLOCATED if allocated else "")
            + (Flag.FREE_OVERAGE if allocated and price is None else "")
            + (Flag.KEEPS_OVERAGE if self.keeps_overage and price is None and unit else "")
        )


def is_one_off_purchase(item: PlanItem) -> bool:
    """Whether units of the item are bought once and kept."""
    return item.prepaid is not None and item.prepaid.interval == "one_off"


def in_packs(price: ItemPrice, units: Decimal) -> Decimal:
    """Return units rounded up to whole packs."""
    pack = Decimal(price.billing_units)
    return (units / pack).to_integral_value(ROUND_CEILING) * pack


def packs(item: PlanItem, quantity: Decimal | None) -> Decimal:
    """Return the units bought on top: the quantity counts the included part and is rounded up to
    whole packs.
    """
    if item.prepaid is None or quantity is None:
        return Decimal(0)
    return in_packs(item.prepaid, max(Decimal(0), quantity - Decimal(item.included)))


def top_up(item: PlanItem, quantity: Decimal) -> Decimal:
    """Return the units a quantity of a plan that is held buys: of what is bought once all of it, in
    whole packs, beside what was bought before.
    """
    if item.price is None or not is_one_off_purchase(item):
        return packs(item, quantity)
    return in_packs(item.price, quantity)


def check_quantities(
    document: PlanDocument,
    quantities: Mapping[str, Decimal],
    bought: Callable[[PlanItem, Decimal], Decimal] = packs,
) -> None:
    """Refuse quantities of what is not prepaid in the plan, or that its price does not sell at
    once; ``bought`` says what a quantity buys.

    Raises ``InvalidRequestError``.
    """
    for feature, quantity in quantities.items():
        item = document.prepaid_items.get(feature)
        if item is None or item.price is None:
            raise InvalidRequestError(
                f"feature_quantities: the plan has no prepaid item of feature {feature}"
            )
        most = item.price.max_purchase
        if most is not None and bought(item, quantity) > Decimal(most):
            raise InvalidRequestError(
                f"feature_quantities: at most {most} units of {feature} can be bought at once, "
                f"beyond the {item.included} included ones"
            )


def check_range(feature: str, rows: Iterable[Row], features: Mapping[str, FeatureRecord]) -> None:
    """Refuse a row whose slots would leave the exact range with as many entities as there must be
    room for; with as many as there are, the scripts refuse it.
    """
    for row in rows:
        copies = ENTITIES_SURE if row.kind is Kind.PER_ENTITY else 1
        if row.grant * copies > UNITS_MAX:
            precision = features[feature].precision
            total = format_units(row.grant * copies, precision)
            fitting = fit_precision(Decimal(total), precision)
            way = "grant less" if fitting is None else way_to(features[feature], fitting)
            raise InvalidRequestError(
                f"feature {feature}: a grant of {total} is outside the range of precision "
                f"{precision}; {way}"
            )


def sold_each_cycle(document: PlanDocument | None, feature_id: str) -> PlanItem | None:
    """Return the item by which a plan sold units of a feature for each of its cycles."""
    sold = (
        item
        for item in (document.items if document is not None else ())
        if item.feature_id == feature_id
        and item.prepaid is not None
        and item.prepaid.interval != "one_off"
    )
    return next(sold, None)
