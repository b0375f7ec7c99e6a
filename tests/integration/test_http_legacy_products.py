"""Products and features as version 1.2 knows them."""

from __future__ import annotations

from tests.fixtures.app import Api
from tests.fixtures.legacy import Old, attach_team


async def test_a_product_can_be_checked(old: Old) -> None:
    await attach_team(old, "user_bob")

    held = await old.post("/check", customer_id="org_123", product_id="team")
    inherited = await old.post(
        "/check", customer_id="org_123", product_id="team", entity_id="user_bob"
    )
    missing = await old.post("/check", customer_id="other", product_id="team")

    assert (held["allowed"], held["status"]) == (True, "active")
    assert inherited["allowed"] is True
    assert (missing["allowed"], "status" in missing) == (False, False)


async def test_a_product_reads_as_it_was_written(old: Old) -> None:
    made = await old.post(
        "/products",
        id="pro",
        name="Pro",
        is_add_on=True,
        items=[
            {"price": 20, "interval": "month"},
            {
                "feature_id": "meeting_summaries",
                "included_usage": 10,
                "usage_limit": 110,
                "price": 0.5,
                "billing_units": 1,
                "interval": "month",
                "usage_model": "pay_per_use",
            },
        ],
    )
    unlimited = await old.post(
        "/products",
        id="all",
        items=[{"feature_id": "meeting_summaries", "included_usage": "inf"}],
    )
    listed = await old.get("/products")
    one = await old.get("/products/pro")

    price, item = made["items"]
    assert (price["type"], price["price"], price["feature_id"]) == ("price", 20, None)
    assert (item["included_usage"], item["usage_limit"], item["price"]) == (10, 110, 0.5)
    assert (item["usage_model"], made["properties"]["is_free"]) == ("pay_per_use", False)
    assert (unlimited["name"], unlimited["items"][0]["included_usage"]) == ("all", "inf")
    assert unlimited["properties"]["is_free"] is True
    assert [each["id"] for each in listed["list"]] == ["team", "pro", "all"]
    assert one == made


async def test_features_have_the_types_of_their_version(old: Old) -> None:
    listed = await old.get("/features")
    one = await old.get("/features/seats")

    assert [each["type"] for each in listed["list"]] == ["continuous_use", "single_use"]
    assert one["type"] == "continuous_use"


async def test_credits_show_what_they_pay_for(old: Old, live_api: Api) -> None:
    await live_api.call(
        "features.create",
        feature_id="credits",
        name="Credits",
        type="credit_system",
        credit_schema=[{"metered_feature_id": "meeting_summaries", "credit_cost": 2.5}],
    )
    await old.post(
        "/products", id="credited", items=[{"feature_id": "credits", "included_usage": 100}]
    )
    await old.post("/attach", customer_id="ada", product_id="credited")

    shown = (await old.get("/customers/ada"))["features"]["credits"]
    check = await old.post(
        "/check", customer_id="ada", feature_id="meeting_summaries", required_balance=2
    )

    assert shown["credit_schema"] == [{"feature_id": "meeting_summaries", "credit_amount": 2.5}]
    assert (shown["type"], shown["interval"]) == ("single_use", "lifetime")
    assert (check["feature_id"], check["required_balance"], check["balance"]) == ("credits", 5, 100)
