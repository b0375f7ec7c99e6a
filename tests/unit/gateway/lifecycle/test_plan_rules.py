"""Which plans are allowed, what is stored of them, and which precisions they ask for."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import (
    GatewayError,
    InvalidInputsError,
    InvalidItemError,
    InvalidPriceError,
    InvalidRequestError,
    NotSupportedError,
    PlanExistsError,
)
from gateway.lifecycle.catalog import CatalogView, StoredPlan
from gateway.lifecycle.plan_rules import NewPlan, new_plan, plan_view
from gateway.messages.plans import PlanDocument, PlanItem, decode_plan_document
from tests.unit.gateway.lifecycle.records import SEATS, SSO, feature, plan, plan_request, view

CATALOG = view(feature(), SEATS, SSO)
MONTHLY = {"amount": 20, "interval": "month"}
ONCE = {"amount": 20, "interval": "one_off"}
TRIAL = {"duration_length": 7, "duration_type": "day", "card_required": False}
Json = dict[str, object]


def make(*items: Json, catalog: CatalogView = CATALOG, **fields: object) -> NewPlan:
    return new_plan("sandbox", plan_request(*items, **fields), catalog, 7)


def grant(included: object, feature_id: str = "messages", **fields: object) -> Json:
    return {"feature_id": feature_id, "included": included, **fields}


def priced(interval: str, method: str = "prepaid", amount: object = 1, **fields: object) -> Json:
    price = {"amount": amount, "interval": interval, "billing_method": method}
    return {"feature_id": "messages", "price": price, **fields}


def default(plan_id: str, **fields: object) -> StoredPlan:
    made = make(catalog=view(feature()), auto_enable=True, **fields)
    return plan(plan_id, made.document)


def test_a_plan_is_stored_with_its_document() -> None:
    made = make(grant(5), group="main", metadata={"a": 1}, price=MONTHLY, free_trial=TRIAL)

    assert (made.record.id, made.record.version, made.record.created_at) == ("pro", 1, 7)
    assert made.record.group == "main"
    assert decode_plan_document(made.record.document) == made.document
    assert made.document.items == [
        PlanItem(feature_id="messages", included="5", reset_interval="one_off")
    ]
    assert made.precisions == {}


def test_a_plan_is_shown_with_every_key_clients_require() -> None:
    made = make(grant(5, reset={"interval": "month"}), priced("year", amount=0.1))

    shown = msgspec.json.decode(msgspec.json.encode(plan_view(StoredPlan(*made[:2]))))

    assert set(shown) == {
        "id",
        "name",
        "description",
        "group",
        "version",
        "add_on",
        "auto_enable",
        "price",
        "items",
        "created_at",
        "env",
        "archived",
        "base_variant_id",
        "config",
        "billing_controls",
        "metadata",
    }
    assert shown["items"] == [
        {
            "feature_id": "messages",
            "included": 5,
            "unlimited": False,
            "pooled": False,
            "reset": {"interval": "month"},
            "price": None,
        },
        {
            "feature_id": "messages",
            "included": 0,
            "unlimited": False,
            "pooled": False,
            "reset": {"interval": "year"},
            "price": {
                "amount": 0.1,
                "billing_units": 1,
                "billing_method": "prepaid",
                "max_purchase": None,
                "interval": "year",
            },
        },
    ]


def test_an_item_shows_no_reset_where_there_is_none() -> None:
    made = make(grant(3, "seats"), {"feature_id": "sso"}, grant(5))

    items = plan_view(StoredPlan(*made[:2])).items

    assert [item.reset and item.reset.interval for item in items] == [None, None, "one_off"]


def test_a_plan_may_give_a_feature_in_parts_that_differ() -> None:
    made = make(
        grant(5, reset={"interval": "month"}),
        grant(5, reset={"interval": "year"}),
        grant(5, reset={"interval": "month"}, entity_feature_id="seats"),
        priced("month"),
    )

    assert len(made.document.items) == 4


@pytest.mark.parametrize(
    ("items", "fields", "error", "message"),
    [
        ([grant(5), grant(6)], {}, InvalidItemError, "items.1: feature messages is already"),
        (
            [{"feature_id": "sso"}, {"feature_id": "sso"}],
            {},
            InvalidItemError,
            "items.1: feature sso is already",
        ),
        ([priced("week")], {"price": MONTHLY}, InvalidPriceError, "items: a plan cannot mix"),
        ([], {"price": {**MONTHLY, "amount": 1.005}}, InvalidPriceError, "price.amount: has at"),
        ([], {"price": {**MONTHLY, "amount": -1}}, InvalidInputsError, "price.amount: must not"),
        ([], {"price": {**MONTHLY, "amount": None}}, InvalidInputsError, "price.amount: is req"),
        ([], {"price": {**MONTHLY, "interval": "day"}}, InvalidInputsError, "price.interval: must"),
        ([], {"price": ONCE, "free_trial": TRIAL}, InvalidRequestError, "free_trial: a one-off"),
        (
            [],
            {"price": MONTHLY, "free_trial": {"duration_length": 0}},
            InvalidInputsError,
            "free_trial.duration_length: must be 1 to",
        ),
        (
            [],
            {"free_trial": {"duration_length": 1, "duration_type": "week"}},
            InvalidInputsError,
            "free_trial.duration_type: must be one of day, month, year",
        ),
        (
            [],
            {"free_trial": {"duration_length": 1, "on_end": "stop"}},
            InvalidInputsError,
            "free_trial.on_end: must be one of bill, revert",
        ),
        ([], {"auto_enable": True, "price": MONTHLY}, InvalidRequestError, "auto_enable: only"),
        (
            [],
            {"auto_enable": True, "price": MONTHLY, "free_trial": {**TRIAL, "card_required": True}},
            InvalidRequestError,
            "auto_enable: only a free plan",
        ),
        (
            [],
            {"auto_enable": True, "price": {**ONCE, "amount": 0}},
            InvalidRequestError,
            "auto_enable: a one-off plan",
        ),
        ([], {"licenses": [{"license_plan_id": "x"}]}, NotSupportedError, "licenses:"),
        (
            [],
            {"config": {"anchor_to_month_start": True}},
            NotSupportedError,
            "config.anchor_to_month_start:",
        ),
        (
            [{**grant(1), "pooled": True, "rollover": {"max": 1}}],
            {},
            NotSupportedError,
            "items.0.rollover:",
        ),
        (
            [{**grant(1), "pooled": True, "price": {**MONTHLY, "billing_method": "prepaid"}}],
            {},
            NotSupportedError,
            "items.0.price:",
        ),
        (
            [{**grant(1), "pooled": True, "feature_id": "seats"}],
            {},
            NotSupportedError,
            "items.0.pooled:",
        ),
        (
            [{**grant(1), "pooled": True, "entity_feature_id": "seats"}],
            {},
            InvalidItemError,
            "items.0.pooled:",
        ),
        ([{"feature_id": "sso", "pooled": True}], {}, NotSupportedError, "items.0.pooled:"),
    ],
)
def test_a_plan_that_breaks_a_rule_is_refused_with_its_field(
    items: list[Json], fields: Json, error: type[GatewayError], message: str
) -> None:
    with pytest.raises(error) as caught:
        make(*items, **fields)  # type: ignore[arg-type]  # of a table

    assert caught.value.message.startswith(message)


def test_one_off_prices_mix_with_any() -> None:
    assert make(priced("one_off"), price={"amount": 5, "interval": "week"}).record.id == "pro"


def test_an_id_is_taken_once() -> None:
    with pytest.raises(PlanExistsError):
        make(catalog=view(plans=(plan("pro", PlanDocument(name="P")),)))


def test_a_group_has_one_free_default_and_one_trial() -> None:
    free, trial = default("free"), default("trial", price=MONTHLY, free_trial=TRIAL)

    make(catalog=view(plans=(free,)), auto_enable=True, price=MONTHLY, free_trial=TRIAL)
    make(catalog=view(plans=(trial,)), auto_enable=True)
    make(catalog=view(plans=(free,)), auto_enable=True, group="other")
    make(catalog=view(plans=(free,)), auto_enable=True, add_on=True)
    with pytest.raises(InvalidRequestError, match="plan free is already"):
        make(catalog=view(plans=(free, trial)), auto_enable=True)


def test_a_grant_lowers_the_precision_it_needs() -> None:
    assert make(grant(10**10)).precisions == {"messages": 5}
    assert make(grant(10**6, entity_feature_id="seats")).precisions == {"messages": 3}
    assert make(grant(10**13)).precisions == {"messages": 2}
    assert make(grant(5 * 10**9), priced("month", included=5 * 10**9)).precisions == {"messages": 5}


def test_what_may_be_bought_needs_room_too() -> None:
    item = priced("month", "usage_based", included=1)
    item["price"]["max_purchase"] = 10**10  # type: ignore[index]  # a price is a dict

    assert make(item).precisions == {"messages": 5}


def test_a_credit_system_has_room_for_nine_million() -> None:
    system = feature("credits", type="credit_system", precision=9)
    catalog = view(system, SEATS)

    assert make(grant(9 * 10**6, "credits"), catalog=catalog).precisions == {}
    made = make(grant(100, "credits", entity_feature_id="seats"), catalog=catalog)
    assert made.precisions == {"credits": 7}


def test_a_feature_in_use_has_room_for_a_thousand_entities() -> None:
    catalog = view(feature("credits", type="credit_system", precision=9, in_use=True), SEATS)
    each = {"entity_feature_id": "seats"}
    assert make(grant(9_000, "credits", **each), catalog=catalog).precisions == {}
    # The feature it asks for is one that would hold the plan.
    told = "credits is in use with precision 9; .* another feature with precision 5"
    with pytest.raises(InvalidInputsError, match=told):
        make(grant(9_100, "credits", **each), catalog=catalog)
    other = view(feature("credits", type="credit_system", precision=5), SEATS)
    assert make(grant(9_100, "credits", **each), catalog=other).precisions == {}


@pytest.mark.parametrize(
    ("catalog", "item", "message"),
    [
        (view(feature(in_use=True)), grant(10**10), "messages is in use with precision 6"),
        (view(feature(precision_chosen=True)), grant(10**10), "lower it with features.update"),
        (
            view(feature(), SEATS),
            grant(10**13, entity_feature_id="seats"),
            "more than any precision holds",
        ),
        (
            view(feature(), SEATS),
            grant(1_000_000.0005, entity_feature_id="seats"),
            "needs precision 3 of feature messages, but a grant of it has 4 decimal places",
        ),
        (
            view(
                feature(),
                plans=(
                    plan(
                        "p",
                        PlanDocument(
                            name="P", items=[PlanItem(feature_id="messages", included="0.000001")]
                        ),
                    ),
                ),
            ),
            grant(10**10),
            "a grant of it has 6 decimal places",
        ),
    ],
)
def test_a_precision_that_must_not_be_lowered_says_what_to_do(
    catalog: CatalogView, item: Json, message: str
) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        make(item, catalog=catalog)

    assert caught.value.message.startswith("items.0.included: ")
    assert message in caught.value.message
