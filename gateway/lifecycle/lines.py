"""What the prices of a plan come to, for a whole cycle or the rest of one, and for use (cold-path
sections 2.8 and 3.10). Pure and exact until the last rounding, to cents. Nothing is charged:
previews show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import NamedTuple

from gateway.cycles import last_boundary, next_boundary, span
from gateway.lifecycle.catalog import WIDE
from gateway.lifecycle.plan_rows import packs
from gateway.messages.plans import ItemPrice, PlanDocument, PlanItem


class Charge(NamedTuple):
    """A price that is due at the beginning of each of its cycles; use is not among them."""

    feature_id: str | None
    quantity: Decimal
    amount: Fraction
    unit: str
    """How the cycle is counted, empty for what is paid once; as ``gateway.cycles``."""
    every: int


class Part(NamedTuple):
    """How much of a cycle is meant: all of it, or what is left of it."""

    share: Fraction
    start_ms: int
    end_ms: int


def charges(document: PlanDocument, quantities: Mapping[str, str]) -> Iterator[Charge]:
    """Yield the charges of a plan; quantities of what is prepaid count the included units."""
    price = document.price
    if price is not None and Fraction(price.amount):
        cycle = span(price.interval, price.interval_count)
        yield Charge(None, Decimal(1), Fraction(price.amount), *cycle)
    for item in document.items:
        if item.price is None or not item.price.prepaid:
            continue
        total = Decimal(quantities.get(item.feature_id, item.included))
        amount = prepaid_amount(item, item.price, total)
        if amount:
            cycle = span(item.price.interval, item.price.interval_count)
            yield Charge(item.feature_id, packs(item, total), amount, *cycle)


def prepaid_amount(item: PlanItem, price: ItemPrice, total: Decimal) -> Fraction:
    """Return what a quantity costs, the included units counted: packs at one rate, each band at its
    own (graduated), or everything at the rate of the band it ends in (volume). The last band holds
    what is beyond it too, whatever its bound says.
    """
    return _banded(item, price, Fraction(packs(item, total)))


def use_of(item: PlanItem, price: ItemPrice, over: Decimal) -> tuple[Decimal, Fraction]:
    """Return the units beyond the included ones that are paid for by use, in whole packs, and what
    they cost.
    """
    pack = Decimal(price.billing_units)
    units = (over / pack).to_integral_value(ROUND_CEILING) * pack
    return units, _banded(item, price, Fraction(units))


def _banded(item: PlanItem, price: ItemPrice, bought: Fraction) -> Fraction:
    included, pack = Fraction(item.included), Fraction(price.billing_units)
    if not bought:
        return Fraction(0)
    if price.amount is not None:
        return bought / pack * Fraction(price.amount)
    units = included + bought
    last = price.tiers[-1]
    if price.tier_behavior == "volume":
        tier = next((one for one in price.tiers[:-1] if units <= Fraction(one.to)), last)
        return units / pack * Fraction(tier.amount) + Fraction(tier.flat_amount or 0)
    amount, below = Fraction(0), included
    for tier in price.tiers:
        top = units if tier is last else min(units, Fraction(tier.to))
        amount += max(Fraction(0), top - below) / pack * Fraction(tier.amount)
        below = max(below, top)
    return amount


def rest_of(charge: Charge, anchor_ms: int, now_ms: int) -> Part | None:
    """Return what is left of the cycle of a charge; None for one without cycles."""
    if not charge.unit:
        return None
    start_ms = last_boundary(anchor_ms, charge.unit, charge.every, now_ms)
    end_ms = next_boundary(anchor_ms, charge.unit, charge.every, now_ms)
    return Part(Fraction(end_ms - now_ms, end_ms - start_ms), now_ms, end_ms)


def cents(amount: Fraction) -> Decimal:
    """Return an amount of money rounded half up to cents, exact however large it is."""
    whole = (abs(amount) * 200 + 1) // 2
    return Decimal(whole if amount >= 0 else -whole).scaleb(-2, WIDE)
