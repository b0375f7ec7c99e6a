"""What balances show of stored prices."""

from __future__ import annotations

import msgspec

from gateway.messages.plans import ItemPrice, Tier
from gateway.messages.prices import price_view


def test_a_price_shows_exact_numbers() -> None:
    price = ItemPrice(interval="month", billing_method="usage_based", amount="0.000001")

    shown = msgspec.json.encode(price_view(price))

    assert shown == (
        b'{"amount":0.000001,"billing_units":1,"billing_method":"usage_based","max_purchase":null}'
    )


def test_tiers_show_a_bound_without_end_as_inf() -> None:
    tiers = [Tier(to="100.5", amount="2"), Tier(to="inf", amount="1", flat_amount="3")]
    price = ItemPrice(interval="month", billing_method="prepaid", tiers=tiers, max_purchase="7")

    shown = msgspec.json.decode(msgspec.json.encode(price_view(price)))

    assert shown["tiers"] == [
        {"to": 100.5, "amount": 2},
        {"to": "inf", "amount": 1, "flat_amount": 3},
    ]
    assert "amount" not in shown
