"""What the prices of a plan come to, for a whole cycle or the rest of one, and for use (cold-path
sections 2.8 and 3.10). Pure and exact until the last rounding, to cents. Nothing is charged:
previews show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from gateway.cycles import last_boundary, next_boundary, span
from gateway.lifecycle.catalog import WIDE
from gateway.lifecycle.plan_rows import in_packs, packs
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
    fixed = document.price
    if fixed is not None and Fraction(fixed.amount):
        cycle = span(fixed.interval, fixed.interval_count)
        yield Charge(None, Decimal(1), Fraction(fixed.amount), *cycle)
    for item in document.items:
        price = item.prepaid
        if price is None:
            continue
        bought = packs(item, Decimal(quantities.get(item.feature_id, item.included)))
        amount = amount_of(item, price, bought)
        if amount:
            cycle = span(price.interval, price.interval_count)
            yield Charge(item.feature_id, bought, amount, *cycle)


def use_of(item: PlanItem, price: ItemPrice, over: Decimal) -> tuple[Decimal, Fraction]:
    """Return the units beyond the included ones that are paid for by use, in whole packs, and what
    they cost.
    """
    units = in_packs(price, over)
    return units, amount_of(item, price, units)


def amount_of(item: PlanItem, price: ItemPrice, units: Decimal) -> Fraction:
    """Return what units beyond the included ones cost: packs at one rate, each band at its own
    (graduated), or everything at the rate of the band it ends in (volume). The last band holds
    what is beyond it too, whatever its bound says.
    """
    included, bought, pack = Fraction(item.included), Fraction(units), Fraction(price.billing_units)
    if not bought:
        return Fraction(0)
    if price.amount is not None:
        return bought / pack * Fraction(price.amount)
    total = included + bought
    last = price.tiers[-1]
    if price.tier_behavior == "volume":
        tier = next((one for one in price.tiers[:-1] if total <= Fraction(one.to)), last)
        return total / pack * Fraction(tier.amount) + Fraction(tier.flat_amount or 0)
    amount, below = Fraction(0), included
    for tier in price.tiers:
        top = total if tier is last else min(total, Fraction(tier.to))
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
