"""Which plan items are allowed, and what is stored of them."""

from __future__ import annotations

import pytest

from gateway.errors import (
    FeatureNotFoundError,
    GatewayError,
    InvalidInputsError,
    InvalidItemError,
)
from gateway.lifecycle.plan_items import plan_item
from gateway.messages.plans import ItemPrice, PlanItem, Rollover, Tier
from tests.unit.gateway.lifecycle.records import SEATS, SSO, feature, plan_request, view

CATALOG = view(feature(), SEATS, SSO)
MONTH = {"interval": "month"}
Json = dict[str, object]


def make(feature_id: str = "messages", **fields: object) -> PlanItem:
    request = plan_request({"feature_id": feature_id, **fields})
    assert request.items is not None
    return plan_item(request.items[0], CATALOG, "items.0")


def price(**fields: object) -> Json:
    return {"amount": 1, "interval": "month", "billing_method": "usage_based", **fields}


def prepaid(**fields: object) -> Json:
    return price(**{"billing_method": "prepaid", **fields})


def tiers(*lines: Json, **fields: object) -> Json:
    return prepaid(**{"amount": None, "tiers": list(lines), **fields})


def test_a_plain_item_is_stored_with_its_reset() -> None:
    assert make(included=10.150, reset={"interval": "month", "interval_count": 3}) == PlanItem(
        feature_id="messages", included="10.15", reset_interval="month", reset_interval_count=3
    )


def test_a_per_entity_item_names_its_feature() -> None:
    assert make(included=50, entity_feature_id="seats").entity_feature_id == "seats"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, ("one_off", 1)),
        ({"reset": MONTH}, ("month", 1)),
        ({"price": price(interval="year", interval_count=2)}, ("year", 2)),
        ({"price": prepaid(interval="year"), "reset": MONTH}, ("month", 1)),
        ({"feature_id": "seats", "reset": MONTH}, ("never", 1)),
        ({"feature_id": "seats", "price": price()}, ("never", 1)),
        ({"feature_id": "sso"}, ("never", 1)),
    ],
)
def test_the_reset_is_resolved(item: Json, expected: tuple[str, int]) -> None:
    stored = make(**{"feature_id": "messages", **item})  # type: ignore[arg-type]  # of a table

    assert (stored.reset_interval, stored.reset_interval_count) == expected


def test_a_price_is_stored_exactly() -> None:
    stored = make(price=price(amount=0.0000010, billing_units=100, max_purchase=400)).price

    assert stored == ItemPrice(
        interval="month",
        billing_method="usage_based",
        amount="0.000001",
        billing_units="100",
        max_purchase="400",
    )


def test_no_cap_is_none() -> None:
    for most in (None, 0):
        stored = make(price=price(max_purchase=most)).price
        assert stored is not None
        assert stored.max_purchase is None


def test_tiers_are_stored_in_order() -> None:
    lines: tuple[Json, ...] = (
        {"to": 100, "amount": 2},
        {"to": "inf", "amount": 1, "flat_amount": 5},
    )
    stored = make(included=50, price=tiers(*lines, tier_behavior="volume")).price

    assert stored is not None
    assert stored.tiers == [
        Tier(to="100", amount="2"),
        Tier(to="inf", amount="1", flat_amount="5"),
    ]
    assert stored.tier_behavior == "volume"


def test_a_single_tier_reads_back_as_an_amount() -> None:
    stored = make(price=tiers({"to": "inf", "amount": 2})).price

    assert stored is not None
    assert (stored.amount, stored.tiers, stored.tier_behavior) == ("2", [], None)


def test_a_rollover_lasts_a_month_unless_it_says_otherwise() -> None:
    assert make(reset=MONTH, rollover={"max": 5}).rollover == Rollover(max="5")
    assert make(reset=MONTH, rollover={"expiry_duration_type": "forever"}).rollover == Rollover(
        expiry_duration_type="forever"
    )


def test_a_proration_is_accepted_and_not_stored() -> None:
    assert make(price=prepaid(), proration={"on_increase": "prorate_immediately"}) == make(
        price=prepaid()
    )


def test_an_amount_is_rounded_to_what_the_feature_keeps() -> None:
    assert make(included=0.30000000000000004).included == "0.3"


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        ({"feature_id": "nothing"}, FeatureNotFoundError, "Feature nothing not found"),
        ({"included": -1}, InvalidInputsError, "items.0.included: must not be negative"),
        ({"included": "5"}, InvalidInputsError, "items.0.included: must be a number"),
        ({"included": 10**13 + 1}, InvalidInputsError, "items.0.included: must be at most"),
        ({"included": 1e-9}, InvalidInputsError, "items.0.included: rounds to zero"),
        ({"unlimited": True, "included": 5}, InvalidItemError, "items.0.unlimited: excludes"),
        ({"unlimited": True, "price": price()}, InvalidItemError, "items.0.unlimited: excludes"),
        ({"entity_feature_id": "no"}, FeatureNotFoundError, "Feature no not found"),
        ({"entity_feature_id": "sso"}, InvalidItemError, "items.0.entity_feature_id: sso must"),
        (
            {"entity_feature_id": "messages"},
            InvalidItemError,
            "items.0.entity_feature_id: messages must be a metered, non-consumable",
        ),
        (
            {"feature_id": "seats", "entity_feature_id": "seats"},
            InvalidItemError,
            "items.0.entity_feature_id: an entity cannot be granted units of its own feature",
        ),
        ({"feature_id": "sso", "included": 1}, InvalidItemError, "items.0.included: a boolean"),
        ({"feature_id": "sso", "unlimited": True}, InvalidItemError, "items.0.unlimited: a bool"),
        ({"feature_id": "sso", "price": price()}, InvalidItemError, "items.0.price: a boolean"),
        ({"feature_id": "sso", "reset": MONTH}, InvalidItemError, "items.0.reset: a boolean"),
        ({"reset": {"interval": "decade"}}, InvalidInputsError, "items.0.reset.interval: must be"),
        (
            {"reset": {"interval": "month", "interval_count": 0}},
            InvalidInputsError,
            "items.0.reset.interval_count: must be 1 to",
        ),
        ({"price": price(amount=None)}, InvalidInputsError, "items.0.price: needs exactly one"),
        (
            {"price": prepaid(tiers=[{"to": "inf", "amount": 1}])},
            InvalidInputsError,
            "items.0.price: needs exactly one",
        ),
        ({"price": tiers()}, InvalidInputsError, "items.0.price: needs exactly one"),
        ({"price": price(interval="day")}, InvalidInputsError, "items.0.price.interval: must be"),
        (
            {"price": price(interval="one_off")},
            InvalidItemError,
            "items.0.price.interval: a usage_based price cannot be one_off",
        ),
        (
            {"price": price(billing_method="free")},
            InvalidInputsError,
            "items.0.price.billing_method: must be one of prepaid, usage_based",
        ),
        (
            {"price": price(billing_units=0)},
            InvalidInputsError,
            "items.0.price.billing_units: must be greater than 0",
        ),
        ({"price": price(amount=-1)}, InvalidInputsError, "items.0.price.amount: must not be"),
        (
            {"included": 100, "price": tiers({"to": 100, "amount": 1})},
            InvalidItemError,
            "items.0.price.tiers.0.to: must be greater than included (100)",
        ),
        (
            {"price": tiers({"to": 9, "amount": 1}, {"to": 9, "amount": 1})},
            InvalidItemError,
            "items.0.price.tiers.1.to: must be greater than the tier before (9)",
        ),
        (
            {"price": tiers({"to": "inf", "amount": 1}, {"to": 9, "amount": 1})},
            InvalidItemError,
            "items.0.price.tiers.1.to: follows a tier without end",
        ),
        (
            {"price": tiers({"to": "all", "amount": 1})},
            InvalidInputsError,
            "items.0.price.tiers.0.to: must be a number (received string)",
        ),
        (
            {"price": tiers({"to": 5}, {"to": "inf", "amount": 1})},
            InvalidInputsError,
            "items.0.price.tiers.0.amount: is required",
        ),
        (
            {"price": tiers({"to": 5, "amount": 1, "flat_amount": 1}, {"to": "inf", "amount": 1})},
            InvalidItemError,
            "items.0.price.tiers.0.flat_amount: needs volume",
        ),
        (
            {"price": tiers({"to": "inf", "flat_amount": 1}, tier_behavior="volume")},
            InvalidItemError,
            "items.0.price.tiers.0.flat_amount: needs volume and more than one tier",
        ),
        (
            {
                "price": tiers(
                    {"to": 5, "amount": 1},
                    {"to": "inf", "amount": 1},
                    billing_method="usage_based",
                    tier_behavior="volume",
                )
            },
            InvalidItemError,
            "items.0.price.tier_behavior: volume needs a prepaid price",
        ),
        (
            {"price": price(), "reset": {"interval": "day"}},
            InvalidItemError,
            "items.0.reset: may differ from the price's interval only for a prepaid price",
        ),
        (
            {"price": price(), "proration": {"on_increase": "prorate_immediately"}},
            InvalidItemError,
            "items.0.proration: needs a prepaid price",
        ),
        (
            {"price": prepaid(), "proration": {"on_increase": "bill_immediately"}},
            InvalidItemError,
            "items.0.proration.on_increase: bill_immediately",
        ),
        (
            {"price": prepaid(), "proration": {"on_decrease": "never"}},
            InvalidInputsError,
            "items.0.proration.on_decrease: must be one of",
        ),
        (
            {"reset": MONTH, "rollover": {"max": 5, "max_percentage": 5}},
            InvalidInputsError,
            "items.0.rollover: max and max_percentage exclude each other",
        ),
        (
            {"reset": MONTH, "rollover": {"max": 0}},
            InvalidInputsError,
            "items.0.rollover.max: must be greater than 0",
        ),
        (
            {"reset": MONTH, "rollover": {"max_percentage": 101}},
            InvalidInputsError,
            "items.0.rollover.max_percentage: must be at most 100",
        ),
        (
            {"reset": MONTH, "rollover": {"max": 1, "expiry_duration_length": -1}},
            InvalidInputsError,
            "items.0.rollover.expiry_duration_length: must be 0 to",
        ),
        ({"rollover": {"max": 5}}, InvalidItemError, "items.0.rollover: only a consumable"),
        (
            {"feature_id": "seats", "price": price(), "rollover": {"max": 5}},
            InvalidItemError,
            "items.0.rollover: only a consumable",
        ),
    ],
)
def test_an_item_that_breaks_a_rule_is_refused_with_its_field(
    item: Json, error: type[GatewayError], message: str
) -> None:
    with pytest.raises(error) as caught:
        make(**{"feature_id": "messages", **item})  # type: ignore[arg-type]  # of a table

    assert caught.value.message.startswith(message)
    assert type(caught.value) is error
