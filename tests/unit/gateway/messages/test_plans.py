"""Stored plan documents, and requests for them."""

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
