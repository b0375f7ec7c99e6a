"""What prices say of a plan: free or paid, how long its cycle is, up or down."""

from __future__ import annotations

import pytest

from gateway.lifecycle.prices import billing_cycle, is_one_off, is_paid, is_upgrade
from gateway.messages.plans import BasePrice, ItemPrice, PlanDocument, PlanItem, Tier

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS


def priced(amount: str, interval: str = "month", *items: PlanItem) -> PlanDocument:
    price = BasePrice(amount=amount, interval=interval) if amount else None
    return PlanDocument(name="Plan", price=price, items=list(items))


def sold(method: str, amount: str = "1", **fields: object) -> PlanItem:
    price = ItemPrice(interval="month", billing_method=method, amount=amount)
    return PlanItem(feature_id="messages", price=price, **fields)  # type: ignore[arg-type]  # of a test


FREE = priced("")
USE = priced("", "month", sold("usage_based", "5", reset_interval="month"))
SEATS = priced("", "month", sold("usage_based", "5"))


@pytest.mark.parametrize(
    ("document", "cycle"),
    [
        (FREE, ("", 0)),
        (priced("0"), ("", 0)),
        (priced("20"), ("m", 1)),
        (priced("20", "week"), ("f", WEEK_MS)),
        (priced("20", "one_off"), ("", 0)),
        (priced("200", "year", sold("prepaid")), ("m", 12)),
        (priced("5", "one_off", sold("prepaid")), ("m", 1)),
    ],
)
def test_the_longest_price_is_the_cycle(document: PlanDocument, cycle: tuple[str, int]) -> None:
    assert billing_cycle(document) == cycle


def test_a_plan_is_free_when_every_amount_is_zero() -> None:
    tiers = [Tier(to="10", amount="0"), Tier(to="inf", amount="0", flat_amount="0")]
    price = ItemPrice(interval="month", billing_method="prepaid", tiers=tiers)
    assert not is_paid(priced("0", "month", PlanItem(feature_id="f", price=price)))
    tiers[1].flat_amount = "1"
    assert is_paid(priced("", "month", PlanItem(feature_id="f", price=price)))


def test_a_plan_without_prices_is_not_bought_once() -> None:
    assert not is_one_off(FREE)
    assert is_one_off(priced("10", "one_off"))
    assert not is_one_off(priced("10", "one_off", sold("prepaid")))


@pytest.mark.parametrize(
    ("old", "new", "up"),
    [
        (FREE, FREE, True),
        (FREE, priced("5"), True),
        (priced("5"), FREE, False),
        (priced("20"), priced("50"), True),
        (priced("50"), priced("20"), False),
        (priced("20"), priced("20"), True),
        (priced("20"), priced("200", "year"), True),
        (priced("200", "year"), priced("20"), True),
        (priced("240", "year"), priced("19"), False),
        (priced("20"), priced("5", "week"), True),
        (priced("21"), priced("5", "week"), False),
        (USE, priced("", "month", sold("usage_based", "1", reset_interval="month")), True),
        (priced("20"), USE, False),
        (SEATS, priced("4"), False),
        (priced("20"), priced("15", "month", sold("prepaid", "5")), True),
    ],
)
def test_a_step_up_costs_as_much_or_lasts_longer(
    old: PlanDocument,
    new: PlanDocument,
    up: bool,
) -> None:
    assert is_upgrade(old, new) is up
