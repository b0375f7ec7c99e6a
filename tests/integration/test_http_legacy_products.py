"""Products and features as version 1.2 knows them."""

from __future__ import annotations

import pytest

from tests.fixtures.app import Api
from tests.fixtures.legacy import SUMMARIES, Json, Old, attach_team


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


async def test_a_denied_check_suggests_products(old: Old) -> None:
    await old.post("/customers", id="org_123")

    denied = await old.post("/check", **SUMMARIES, with_preview=True)
    plain = await old.post("/check", **SUMMARIES)
    product = await old.get("/products/team")

    assert denied["preview"] == {
        "scenario": "usage_limit",
        "title": "Upgrade to Team",
        "message": "You have reached the usage limit for meeting_summaries. "
        "Please upgrade to Team to continue using this feature.",
        "feature_id": "meeting_summaries",
        "feature_name": "meeting_summaries",
        "products": [{**product, "scenario": "new"}],
        "upgrade_product_id": "team",
    }
    assert "preview" not in plain


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


async def test_tiers_begin_where_what_is_included_ends(old: Old, live_api: Api) -> None:
    tiers = [{"to": 100, "amount": 1}, {"to": 500.5, "amount": 0.5}, {"to": "inf", "amount": 0.1}]
    item = {"feature_id": "meeting_summaries", "included_usage": 50, "interval": "month"}
    made = await old.post("/products", id="tiered", name="Tiered", items=[{**item, "tiers": tiers}])
    await old.post("/attach", customer_id="org_123", product_id="tiered")
    checked = await live_api.call("balances.check", **SUMMARIES)

    for wrong, code in (
        ({"tiers": [{"to": "x", "amount": 1}]}, "invalid_inputs"),
        ({"included_usage": "inf", "tiers": tiers}, "invalid_product_item"),
    ):
        body = {"id": "wrong", "name": "Wrong", "items": [item | wrong]}
        assert await old.refused("POST", "/products", body) == (400, code)
    assert made["items"][0]["tiers"] == tiers
    (source,) = checked.body["balance"]["breakdown"]
    assert [one["to"] for one in source["price"]["tiers"]] == [150, 550.5, "inf"]


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


async def test_a_product_is_changed_in_place_until_it_is_held(old: Old) -> None:
    item = {"feature_id": "meeting_summaries", "included_usage": 10, "interval": "month"}
    price = {"price": 20, "interval": "month"}
    await old.post("/products", id="pro", name="Pro", group="pro", items=[price, item])
    renamed = await old.post("/products/pro", name="Pro plus")
    dearer = await old.post("/products/pro", items=[{**price, "price": 30}, item])
    await old.post("/attach", customer_id="ada", product_id="pro")
    free = await old.post("/products/pro", items=[item], free_trial={"length": 7})
    first = await old.get("/products/pro?version=1")

    assert (renamed["name"], renamed["items"][0]["price"]) == ("Pro plus", 20)
    assert (dearer["version"], dearer["items"][0]["price"]) == (1, 30)
    assert (free["version"], free["properties"]["is_free"]) == (2, True)
    assert free["free_trial"]["length"] == 7
    assert first == {**dearer, "is_default": first["is_default"]}
    assert (await old.post("/products/pro", free_trial=None))["free_trial"] is None


async def test_a_product_gets_another_id_until_a_customer_has_it(old: Old) -> None:
    await old.post("/products", id="draft", name="Draft")
    assert (await old.post("/products/draft", id="final"))["id"] == "final"
    await old.post("/attach", customer_id="ada", product_id="final")

    assert await old.refused("GET", "/products/draft") == (404, "product_not_found")
    assert await old.refused("POST", "/products/final", {"id": "other"}) == (400, "invalid_request")
    assert await old.refused("DELETE", "/products/final") == (400, "invalid_request")


async def test_a_product_that_cannot_be_is_refused_and_changes_nothing(old: Old) -> None:
    before = await old.get("/products/team")
    for items, named in (
        ([{"interval": "month"}], "items.0: needs a feature_id or a price"),
        ([{"price": 1}, {"price": 2}], "items.1"),
        ([{"feature_id": "nothing"}], "nothing"),
        ([{"feature_id": "seats", "price": 1, "usage_model": "x"}], "items.0.usage_model"),
    ):
        _, answer = await old.send("POST", "/products/team", {"items": items})
        assert named in answer["message"]
    assert await old.refused("POST", "/products/none", {"name": "x"}) == (404, "product_not_found")
    assert await old.get("/products/team") == before


async def test_a_product_is_canceled_for_one_entity(old: Old) -> None:
    await attach_team(old, "bob", "eve")
    item = {"feature_id": "meeting_summaries", "included_usage": 5, "interval": "month"}
    await old.post("/products", id="more", name="More", group="more", items=[item])
    for name in ("bob", "eve"):
        await old.post("/attach", customer_id="org_123", entity_id=name, product_id="more")
    named = {"customer_id": "org_123", "product_id": "more"}

    await old.post("/cancel", **named, entity_id="bob", cancel_immediately=True, prorate=False)

    assert await old.refused("POST", "/cancel", named) == (404, "cus_product_not_found")
    seats = {name: await old.get(f"/customers/org_123/entities/{name}") for name in ("bob", "eve")}
    shown = {name: [one["id"] for one in seat["products"]] for name, seat in seats.items()}
    assert shown == {"bob": ["team"], "eve": ["more", "team"]}


async def test_a_product_is_shown_as_it_is_held(old: Old, live_api: Api) -> None:
    def items(included: int) -> list[dict[str, object]]:
        return [{"feature_id": "meeting_summaries", "included_usage": included}]

    async def shown(path: str) -> list[tuple[object, ...]]:
        seen = await old.get(path)
        return [
            (one["id"], one["version"], one["items"][0]["included_usage"])
            for one in seen["products"]
        ]

    await attach_team(old, "user_bob")
    await old.post("/products", id="pro", name="Pro", group="pro", items=items(10))
    await old.post("/products", id="own", name="Own", group="own", items=items(10))
    await old.post("/attach", customer_id="org_123", product_id="pro")
    await old.post("/attach", customer_id="org_123", product_id="pro", entity_id="user_bob")
    own = {"items": [{"feature_id": "meeting_summaries", "included": 7}]}
    named = {"customer_id": "org_123", "plan_id": "own"}
    assert (await live_api.call("billing.attach", **named, customize=own)).status == 200
    assert (await old.post("/products/pro", items=items(99)))["version"] == 2

    held = [("pro", 1, 10), ("own", 1, 7)]
    assert (await shown("/customers/org_123"))[1:] == held
    seat = await shown("/customers/org_123/entities/user_bob")
    assert (seat[0], seat[2:]) == (("pro", 1, 10), held)


async def test_a_cancel_names_what_is_wrong(old: Old) -> None:
    await attach_team(old)
    for body, field in (
        ({"product_id": "team"}, "customer_id"),
        ({"customer_id": "org_123"}, "product_id"),
        ({"customer_id": "org_123", "product_id": "no such"}, "product_id"),
        ({"customer_id": "org_123", "product_id": "team", "cancel_immediately": 1}, "cancel_imm"),
    ):
        status, answer = await old.send("POST", "/cancel", body)
        assert (status, answer["code"]) == (400, "invalid_inputs")
        assert field in answer["message"]


async def test_a_cancel_that_has_nothing_to_wait_for_says_so_in_the_words_of_1_2(old: Old) -> None:
    await attach_team(old)
    gift = {"feature_id": "seats", "included_usage": 1}
    await old.post("/products", id="gift", group="gifts", items=[gift])
    await old.post("/attach", customer_id="org_123", product_id="gift")
    body = {"customer_id": "org_123", "product_id": "gift"}
    status, answer = await old.send("POST", "/cancel", body)
    assert (status, answer["code"]) == (400, "invalid_request")
    assert answer["message"].startswith("cancel_immediately: ")


async def test_a_trial_can_be_left_out_or_brought_along(old: Old) -> None:
    item = {"feature_id": "meeting_summaries", "included_usage": 10}
    trial = {"length": 7, "duration": "day"}
    await old.post("/products", id="tried", items=[item], free_trial=trial)

    async def status(customer_id: str, **wish: object) -> str:
        await old.post("/attach", customer_id=customer_id, product_id="tried", **wish)
        customer = await old.get(f"/customers/{customer_id}")
        return str(customer["products"][0]["status"])

    assert await status("ada") == "trialing"
    assert await status("eve", free_trial=True) == "trialing"
    assert await status("bob", free_trial=False) == "active"
    await old.post("/products/tried", free_trial=None)
    assert await status("kim") == "active"
    assert await status("zoe", free_trial=trial) == "trialing"


async def test_a_product_that_is_paused_is_not_listed_and_a_cancel_brings_it_back(
    old: Old, live_api: Api
) -> None:
    await attach_team(old)
    trial = {"duration_length": 7, "duration_type": "day", "on_end": "revert"}
    price = {"amount": 90, "interval": "month"}
    plan = {"plan_id": "big", "name": "Big", "price": price, "free_trial": trial}
    assert (await live_api.call("plans.create", **plan)).status == 200

    async def listed() -> list[tuple[str, str]]:
        products = (await old.get("/customers/org_123"))["products"]
        return [(one["id"], one["status"]) for one in products]

    await old.post("/attach", customer_id="org_123", product_id="big")
    assert await listed() == [("big", "trialing")]
    held = await old.post("/check", customer_id="org_123", product_id="team")
    assert held["allowed"] is False
    await old.post("/cancel", customer_id="org_123", product_id="big", cancel_immediately=True)
    assert await listed() == [("team", "active")]


@pytest.mark.parametrize(
    ("path", "named"),
    [("/products", {"id": "x"}), ("/attach", {"customer_id": "ada", "product_id": "team"})],
)
async def test_a_trial_of_one_fingerprint_is_refused(old: Old, path: str, named: Json) -> None:
    trial = {"length": 7, "duration": "day", "unique_fingerprint": True}
    assert await old.refused("POST", path, {**named, "free_trial": trial}) == (400, "not_supported")


async def test_a_smaller_quantity_waits_where_the_item_says_so(old: Old, live_api: Api) -> None:
    item: Json = {"feature_id": "meeting_summaries", "usage_model": "prepaid", "price": 1}
    item["interval"] = "month"
    for name, decrease, left in (("now", "prorate", 5), ("later", "none", 9)):
        item["config"] = {"on_increase": "bill_immediately", "on_decrease": decrease}
        await old.post("/products", id=name, items=[item])
        options = [{"feature_id": "meeting_summaries", "quantity": 9}]
        await old.post("/attach", customer_id=name, product_id=name, options=options)
        fewer = [{"feature_id": "meeting_summaries", "quantity": 5}]
        named = {"customer_id": name, "plan_id": name, "feature_quantities": fewer}
        assert (await live_api.call("billing.update", **named)).status == 200
        seen = await old.get(f"/customers/{name}")
        assert seen["features"]["meeting_summaries"]["balance"] == left
    item["config"] = {"on_decrease": "never"}
    _, answer = await old.send("POST", "/products", {"id": "x", "items": [item]})
    assert answer["message"].startswith("items.0.config.on_decrease: must be one of")


async def test_use_that_goes_on_with_the_next_product_is_refused_by_name(old: Old) -> None:
    item = {"feature_id": "meeting_summaries", "included_usage": 5, "interval": "month"}
    body = {"id": "x", "items": [item | {"reset_usage_when_enabled": False}]}
    status, answer = await old.send("POST", "/products", body)
    assert (status, answer["code"]) == (400, "not_supported")
    assert answer["message"].startswith("items.0.reset_usage_when_enabled: ")
    seats = {"feature_id": "seats", "included_usage": 5, "reset_usage_when_enabled": False}
    shown = await old.post(
        "/products", id="x", items=[item | {"reset_usage_when_enabled": True}, seats]
    )
    assert [one["interval"] for one in shown["items"]] == ["month", None]


async def test_several_products_are_attached_in_one_step(old: Old) -> None:
    def item(**more: object) -> dict[str, object]:
        return {"feature_id": "meeting_summaries", **more}

    sold = item(included_usage=0, price=1, billing_units=1, usage_model="prepaid")
    await old.post("/products", id="packs", is_add_on=True, items=[sold | {"interval": "month"}])
    for name in ("pro", "max"):
        await old.post("/products", id=name, items=[item(included_usage=10, interval="month")])
    ada = {"customer_id": "ada"}

    for second, code in (("max", "invalid_request"), ("none", "product_not_found")):
        _, refusal = await old.refused("POST", "/attach", {**ada, "product_ids": ["pro", second]})
        assert refusal == code
        assert await old.refused("GET", "/customers/ada") == (404, "customer_not_found")

    bought = [{"feature_id": "meeting_summaries", "quantity": 5}]
    await old.post("/attach", **ada, product_ids=["pro", "packs"], options=bought)
    seen = await old.get("/customers/ada")
    assert sorted(one["id"] for one in seen["products"]) == ["packs", "pro"]
    assert seen["features"]["meeting_summaries"]["balance"] == 15
    status, answer = await old.send("POST", "/attach", {**ada, "product_ids": ["packs", "pro"]})
    assert (status, answer["message"][:13]) == (400, "product_ids: ")
