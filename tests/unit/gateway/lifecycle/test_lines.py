"""What prices come to: whole packs, bands, and the rest of a cycle."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from gateway.lifecycle.lines import amount_of, cents, charges, rest_of
from gateway.lifecycle.plan_rows import packs
from gateway.messages.plans import BasePrice, ItemPrice, PlanDocument, PlanItem, Tier

DAY_MS = 86_400_000
JANUARY_MS = 1_704_067_200_000
"""1 January 2024."""


def pack(included: str = "0", **price: object) -> PlanItem:
    sold = ItemPrice(interval="month", billing_method="prepaid", **price)  # type: ignore[arg-type]  # of a test
    return PlanItem(feature_id="messages", included=included, price=sold)


def cost(item: PlanItem, total: int) -> Fraction:
    assert item.price is not None
    return amount_of(item, item.price, packs(item, Decimal(total)))


def test_packs_are_whole() -> None:
    item = pack("500", amount="10", billing_units="1000")
    assert [cost(item, total) for total in (0, 500, 501, 1500, 3000)] == [0, 0, 10, 10, 30]


def test_each_band_has_its_own_rate() -> None:
    bands = [
        Tier(to="1000", amount="0.01"),
        Tier(to="10000", amount="0.008"),
        Tier(to="inf", amount="0.005"),
    ]
    assert cost(pack(tiers=bands, tier_behavior="graduated"), 15_000) == 107


def test_a_volume_pays_one_rate_for_all_of_it() -> None:
    bands = [Tier(to="500", amount="10"), Tier(to="inf", amount="7", flat_amount="5")]
    item = pack("100", tiers=bands, tier_behavior="volume", billing_units="100")
    assert [cost(item, total) for total in (100, 500, 900)] == [0, 50, 68]


@pytest.mark.parametrize(("behavior", "price"), [("graduated", 1_300), ("volume", 1_400)])
def test_the_last_band_has_no_end(behavior: str, price: int) -> None:
    bands = [Tier(to="100", amount="1"), Tier(to="500", amount="2")]
    assert cost(pack(tiers=bands, tier_behavior=behavior), 700) == price


def test_the_rest_of_a_cycle_is_what_counts() -> None:
    document = PlanDocument(name="Pro", price=BasePrice(amount="31", interval="month"))
    (charge,) = charges(document, {})
    part = rest_of(charge, JANUARY_MS, JANUARY_MS + 10 * DAY_MS)
    assert part is not None
    assert charge.amount * part.share == 21
    assert part.end_ms == JANUARY_MS + 31 * DAY_MS


def test_what_is_bought_once_has_no_cycle() -> None:
    document = PlanDocument(name="Once", price=BasePrice(amount="10", interval="one_off"))
    (charge,) = charges(document, {})
    assert rest_of(charge, 0, 1) is None


@pytest.mark.parametrize(
    ("exact", "shown"),
    [
        ("1/3", "0.33"),
        ("1/8", "0.13"),
        ("-1/8", "-0.13"),
        ("90000000000000000000000000000001/3", "30000000000000000000000000000000.33"),
    ],
)
def test_cents_are_rounded_half_up(exact: str, shown: str) -> None:
    assert cents(Fraction(exact)) == Decimal(shown)
