"""What is left of a call that is refused: nothing, neither who it would have created nor a feature
that counts as used from then on.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.fixtures.app import Api
from tests.fixtures.shop import CUSTOMER, Json, done, refused, update
from tests.fixtures.shop import create as grant

NOBODY = "bob"
UNKNOWN_LIMITS = {
    "feature_id": "seats",
    "billing_controls": {"spend_limits": [{"feature_id": "unknown", "overage_limit": 1}]},
}
ABSENT = (404, f"Customer {NOBODY} not found")


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("billing.attach", {"plan_id": "monthly", "starts_at": 1}),
        ("billing.attach", {"plan_id": "monthly", "entity_id": "e1"}),
        (
            "billing.attach",
            {"plan_id": "monthly", "entity_id": "e1", "entity_data": {"feature_id": "mails"}},
        ),
        (
            "billing.attach",
            {"plan_id": "monthly", "feature_quantities": [{"feature_id": "mails", "quantity": 1}]},
        ),
        ("billing.multi_attach", {"plans": [{"plan_id": "monthly"}, {"plan_id": "team"}]}),
        ("balances.check", {"feature_id": "messages", "entity_id": "e1"}),
        ("balances.track", {"feature_id": "messages", "entity_id": "e1"}),
        (
            "balances.track",
            {"feature_id": "messages", "entity_id": "e1", "entity_data": {"feature_id": "mails"}},
        ),
        ("usage", {"feature_id": "messages", "entity_id": "e1", "value": 1}),
        (
            "balances.track",
            {"feature_id": "messages", "entity_id": "e1", "entity_data": UNKNOWN_LIMITS},
        ),
        (
            "billing.attach",
            {"plan_id": "monthly", "entity_id": "e1", "entity_data": UNKNOWN_LIMITS},
        ),
    ],
)
async def test_a_refused_call_creates_no_customer(
    shop: Api, operation: str, request_: dict[str, object]
) -> None:
    body = {"customer_id": NOBODY, "customer_data": {"name": "Bob"}, **request_}
    status, _ = await refused(shop, operation, **body)
    assert status in (400, 404)
    assert await refused(shop, "customers.get", customer_id=NOBODY) == ABSENT


async def test_an_attach_is_foreseen_for_the_customer_that_will_get_the_id(shop: Api) -> None:
    """The plan it has is refused, as it would not be for a new customer."""
    email = "bob@example.com"
    held = await done(
        shop,
        "customers.get_or_create",
        customer_id=None,
        email=email,
        auto_enable_plan_id="monthly",
    )
    body = {"customer_id": NOBODY, "customer_data": {"email": email}, "plan_id": "monthly"}
    status, _ = await refused(shop, "billing.attach", **body)
    assert status == 409
    assert await refused(shop, "customers.get", customer_id=NOBODY) == ABSENT
    await done(shop, "billing.attach", **{**body, "plan_id": "paid"})
    shown = await done(shop, "customers.get", customer_id=NOBODY)
    assert shown["created_at"] == held["created_at"]
    assert [one["plan_id"] for one in shown["subscriptions"]] == ["paid"]


async def test_a_refused_balance_leaves_its_feature_as_it_was(shop: Api) -> None:
    nobody = {"customer_id": NOBODY, "feature_id": "mails"}
    assert await refused(shop, "balances.create", **nobody, included_grant=10**12) == ABSENT
    assert await refused(shop, "balances.update", **nobody, remaining=1) == ABSENT
    assert (await refused(shop, "balances.update", feature_id="mails", remaining=1))[0] == 404
    room = {"feature_id": "rooms", "name": "Rooms", "type": "metered", "consumable": False}
    await done(shop, "features.create", **room)
    limits = {"spend_limits": [{"feature_id": "x", "overage_limit": 1}]}
    entity = {"entity_id": "e1", "feature_id": "rooms", "billing_controls": limits}
    assert (await refused(shop, "entities.create", **entity))[0] == 404
    for feature_id, consumable in (("mails", False), ("rooms", True)):
        named = {"feature_id": feature_id, "consumable": consumable}
        assert (await done(shop, "features.update", **named))["precision"] == 6


HELD = {"lock_id": "l1", "enabled": True}


@pytest.mark.parametrize(
    ("operation", "request_", "status"),
    [
        ("balances.track", {"customer_id": NOBODY}, 404),
        ("balances.track", {"customer_id": NOBODY, "dry_run": True, "customer_data": {}}, 404),
        ("balances.track", {"entity_id": "e1"}, 404),
        ("balances.track", {"overage_behavior": "reject"}, 400),
        ("balances.track", {"dry_run": True}, 200),
        ("balances.track", {"lock": HELD | {"expires_at": 1}}, 400),
        ("balances.track", {"customer_id": NOBODY, "event_name": "sent"}, 404),
        ("usage", {"value": 1}, 404),
        ("usage", {"value": "none"}, 400),
        ("balances.check", {"customer_id": NOBODY, "send_event": True}, 404),
        ("balances.check", {"send_event": True}, 200),
        ("balances.check", {"lock": HELD}, 200),
        ("balances.check", {"lock": HELD | {"overage_behavior": "cap"}}, 200),
        ("balances.check", {"lock": HELD | {"expires_at": 1}}, 400),
    ],
)
async def test_a_refused_use_leaves_its_feature_as_it_was(
    shop: Api, operation: str, request_: dict[str, object], status: int
) -> None:
    named = {} if "event_name" in request_ else {"feature_id": "mails"}
    answer = await shop.call(operation, **{"customer_id": CUSTOMER, **named, **request_})
    assert answer.status == status, answer.body
    assert not answer.body.get("allowed")
    # Nobody has any, so a grant that six places cannot hold still makes them fewer.
    await grant(shop, "mails", included_grant=10**12)
    assert (await done(shop, "features.get", feature_id="mails"))["precision"] < 6


async def test_an_entity_that_is_there_already_leaves_another_feature_as_it_was(shop: Api) -> None:
    room = {"feature_id": "rooms", "name": "Rooms", "type": "metered", "consumable": False}
    await done(shop, "features.create", **room)
    entity = {"customer_id": CUSTOMER, "entity_id": "e1"}
    await done(shop, "entities.create", **entity, feature_id="seats")
    again = await refused(shop, "entities.create", **entity, feature_id="rooms")
    assert again == (409, "Entity e1 already exists")
    await done(shop, "features.update", feature_id="rooms", consumable=True)
    assert (await refused(shop, "features.update", feature_id="seats", consumable=True))[0] == 400


async def test_a_use_that_is_recorded_fixes_the_precision_of_its_feature(shop: Api) -> None:
    await done(shop, "balances.track", customer_id=CUSTOMER, feature_id="mails", value=1)
    large = {"customer_id": CUSTOMER, "feature_id": "mails", "included_grant": 10**12}
    assert (await refused(shop, "balances.create", **large))[0] == 400


@pytest.mark.parametrize(
    ("about", "refusal"),
    [
        ({"customer_id": NOBODY, "customer_data": {}}, ABSENT),
        ({"entity_id": "e1", "entity_data": {"feature_id": "seats"}}, (404, "Entity e1 not found")),
    ],
)
async def test_a_dry_run_creates_nobody(
    shop: Api, about: dict[str, object], refusal: tuple[int, str]
) -> None:
    dry = {"customer_id": CUSTOMER, "feature_id": "messages", "dry_run": True, **about}
    assert await refused(shop, "balances.track", **dry) == refusal
    named = {name: value for name, value in about.items() if not name.endswith("_data")}
    again = {"customer_id": CUSTOMER, "feature_id": "messages", **named}
    assert await refused(shop, "balances.check", **again) == refusal


async def test_a_large_grant_of_an_unused_feature_still_lowers_its_precision(shop: Api) -> None:
    await grant(shop, included_grant=10**12)
    await update(shop, remaining=5 * 10**11)
    assert (await done(shop, "features.get", feature_id="messages"))["precision"] == 3


async def test_what_customers_lack_is_filled_by_all_who_bring_it_at_once(shop: Api) -> None:
    brought: list[Json] = [
        {"name": "Bob"},
        {"email": "bob@example.com"},
        {"send_email_receipts": True},
    ]
    await done(shop, "customers.get_or_create", customer_id=NOBODY)
    await asyncio.gather(
        *(done(shop, "customers.get_or_create", customer_id=NOBODY, **one) for one in brought)
    )
    shown = await done(shop, "customers.get", customer_id=NOBODY)
    assert {name: shown[name] for one in brought for name in one} == {
        "name": "Bob",
        "email": "bob@example.com",
        "send_email_receipts": True,
    }
