"""What the prices of a plan say about it: whether it is free, how long its cycle is, and whether to
change to another plan is a step up (cold-path section 3.3). Pure; nothing is charged here.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from gateway.cycles import DAY_MS, span
from gateway.messages.plans import PlanDocument, PlanItem

_LENGTHS = {"f": 1, "m": 30 * DAY_MS}

_MONTHS = {
    "week": Fraction(1, 4),
    "month": Fraction(1),
    "quarter": Fraction(3),
    "semi_annual": Fraction(6),
    "year": Fraction(12),
}


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
    if not is_paid(document):
        return "", 0
    prices: list[tuple[str, int]] = []
    if document.price:
        prices.append(span(document.price.interval, document.price.interval_count))
    prices += [
        span(item.price.interval, item.price.interval_count)
        for item in document.items
        if item.price
    ]
    recurring = [price for price in prices if price[0]]
    return max(recurring, key=_length, default=("", 0))


def is_upgrade(old: PlanDocument, new: PlanDocument) -> bool:
    """Whether the change from one main plan to another happens at once; a step down waits for the
    end of the cycle.
    """
    if not is_paid(old) or not is_paid(new):
        return is_paid(new) or not is_paid(old)
    if is_one_off(old) or is_one_off(new):
        return True
    if not _fixed(old) and not _fixed(new):
        return True
    if _length(billing_cycle(new)) > _length(billing_cycle(old)):
        return True
    return sum(_fixed(new)) >= sum(_fixed(old))


def _length(cycle: tuple[str, int]) -> int:
    unit, every = cycle
    return _LENGTHS.get(unit, 0) * every


def _fixed(document: PlanDocument) -> list[Fraction]:
    """Return what each price costs a month that does not depend on use that comes back."""
    amounts = []
    if document.price:
        price = document.price
        amounts.append(_monthly(price.amount, price.interval, price.interval_count))
    for item in document.items:
        if item.price is not None and (item.price.prepaid or _is_allocated(item)):
            amount = item.price.amount
            if amount is None:
                amount = item.price.tiers[0].amount
            amounts.append(_monthly(amount, item.price.interval, item.price.interval_count))
    return amounts


def _monthly(amount: str, interval: str, count: int) -> Fraction:
    return Fraction(amount) / (_MONTHS.get(interval, Fraction(1)) * count)


def _is_allocated(item: PlanItem) -> bool:
    return item.reset_interval == "never"
