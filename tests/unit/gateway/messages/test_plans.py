"""Stored plan documents and what balances show of them."""

from __future__ import annotations

import msgspec
import pytest

from gateway.messages.plans import (
    ItemPrice,
    PlanCreateRequest,
    PlanDocument,
    PlanItem,
    Tier,
    decode_plan_document,
    encode_plan_document,
    price_view,
)


def test_a_document_survives_its_text() -> None:
    price = ItemPrice(
        interval="month",
        billing_method="prepaid",
        tiers=[Tier(to="100", amount="0.10", flat_amount="5"), Tier(to="inf", amount="0.05")],
        billing_units="10",
    )
    document = PlanDocument(
        name="Pro",
        items=[PlanItem(feature_id="f", included="10.15", reset_interval="month", price=price)],
        metadata={"a": [1, None]},
    )

    assert decode_plan_document(encode_plan_document(document)) == document


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


def test_a_request_keeps_numbers_as_they_were_sent() -> None:
    request = msgspec.json.decode(
        b'{"plan_id": "p", "name": "P", "items": [{"feature_id": "f", "included": 1.50}]}',
        type=PlanCreateRequest,
    )

    assert request.items is not None
    assert bytes(request.items[0].included) == b"1.50"


def test_a_price_needs_its_interval_and_method() -> None:
    with pytest.raises(msgspec.ValidationError, match="interval"):
        msgspec.json.decode(
            b'{"plan_id": "p", "name": "P", "items": [{"feature_id": "f", "price": {}}]}',
            type=PlanCreateRequest,
        )
