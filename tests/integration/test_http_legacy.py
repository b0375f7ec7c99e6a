"""The API of version 1.2: REST routes, old shapes, creation on the way."""

from __future__ import annotations

import pytest

from tests.fixtures.app import Api
from tests.fixtures.legacy import SUMMARIES, Json, Old, attach_team


async def test_the_story_of_the_seeds_in_its_own_words(old: Old) -> None:
    admin = {"id": "user_admin", "name": "Admin User", "feature_id": "seats"}
    before = await old.post("/customers/org_123/entities", **admin)
    attached = await old.post("/attach", customer_id="org_123", product_id="team")
    both = [{"id": name, "name": name, "feature_id": "seats"} for name in ("user_bob", "user_eve")]
    _, made = await old.send("POST", "/customers/org_123/entities", both)
    total = await old.post("/check", **SUMMARIES)
    track = await old.post("/track", **SUMMARIES, value=60)
    bob = await old.get("/customers/org_123/entities/user_bob?expand=invoices")
    left = await old.delete("/customers/org_123/entities/user_bob")
    after = await old.post("/check", **SUMMARIES)

    assert (before["features"], before["products"]) == ({}, [])
    assert attached["product_ids"] == ["team"]
    assert [each["id"] for each in made["list"]] == ["user_bob", "user_eve"]
    assert (total["allowed"], total["balance"], total["code"]) == (True, 150, "feature_found")
    assert track == {
        "id": "placeholder",
        "code": "event_received",
        "customer_id": "org_123",
        "feature_id": "meeting_summaries",
    }
    assert bob["features"]["meeting_summaries"]["balance"] == 40  # the admin's 50 went first
    assert (bob["invoices"], bob["products"][0]["id"]) == ([], "team")
    assert left == {"success": True}
    assert (after["balance"], after["usage"], after["included_usage"]) == (50, 50, 100)


async def test_a_check_has_the_keys_of_its_version(old: Old) -> None:
    await attach_team(old, "user_bob")

    entitled = await old.post("/check", **SUMMARIES, entity_id="user_bob")
    nothing = await old.post("/check", customer_id="other", feature_id="meeting_summaries")

    due = entitled.pop("next_reset_at")
    assert entitled == {
        "allowed": True,
        "code": "feature_found",
        "customer_id": "org_123",
        "entity_id": "user_bob",
        "feature_id": "meeting_summaries",
        "required_balance": 1,
        "interval": "month",
        "interval_count": 1,
        "unlimited": False,
        "balance": 50,
        "usage": 0,
        "included_usage": 50,
        "overage_allowed": False,
        "breakdown": [
            {
                "interval": "month",
                "interval_count": 1,
                "balance": 50,
                "usage": 0,
                "included_usage": 50,
                "next_reset_at": due,
                "expires_at": None,
                "overage_allowed": False,
            }
        ],
    }
    assert nothing == {
        "allowed": False,
        "code": "feature_found",
        "customer_id": "other",
        "feature_id": "meeting_summaries",
        "required_balance": 1,
    }


async def test_overage_is_a_balance_below_zero(old: Old) -> None:
    await attach_team(old, "one", "two", "three")

    seats = (await old.get("/customers/org_123"))["features"]["seats"]

    assert (seats["balance"], seats["usage"], seats["included_usage"]) == (-2, 3, 1)
    assert (seats["type"], seats["overage_allowed"]) == ("continuous_use", True)


async def test_a_check_or_a_track_creates_the_customer_and_the_entity_it_describes(
    old: Old,
) -> None:
    seat = {"entity_id": "seat", "entity_data": {"feature_id": "seats", "name": "Seat"}}

    checked = await old.post("/check", **SUMMARIES | {"customer_id": "new"}, **seat)
    tracked = await old.post("/track", **SUMMARIES | {"customer_id": "newer"}, **seat)
    unknown = await old.refused("POST", "/check", SUMMARIES | {"entity_id": "nobody"})
    made = await old.get("/customers/newer/entities/seat")

    assert (checked["allowed"], tracked["entity_id"]) == (False, "seat")
    assert unknown == (400, "invalid_inputs")
    assert (made["name"], made["feature_id"]) == ("Seat", "seats")


async def test_a_newer_version_creates_nothing(old: Old) -> None:
    answer = await old.send("POST", "/check", SUMMARIES | {"customer_id": "new"}, "2.1")

    assert (answer[0], answer[1]["code"]) == (404, "customer_not_found")


async def test_the_version_chooses_the_shape_and_not_the_path(old: Old) -> None:
    await attach_team(old, "user_bob")

    new_shape = await old.send("POST", "/check", SUMMARIES, "2.3.0")
    old_shape = await old.send("POST", "/balances.check", SUMMARIES)
    customer = await old.send("GET", "/customers/org_123", version="2.1")

    assert new_shape[1]["balance"]["remaining"] == 50
    assert old_shape[1]["balance"] == 50
    assert customer[1]["balances"]["meeting_summaries"]["granted"] == 50


async def test_balances_and_usage_are_set_by_hand(old: Old) -> None:
    await attach_team(old, "user_bob")

    await old.post(
        "/customers/org_123/balances",
        balances=[{"feature_id": "meeting_summaries", "balance": 7}],
    )
    seven = await old.post("/check", **SUMMARIES)
    await old.post("/usage", **SUMMARIES, value=20)
    thirty = await old.post("/check", **SUMMARIES)
    unknown = await old.refused(
        "POST",
        "/customers/org_123/balances",
        {
            "balances": [
                {"feature_id": "meeting_summaries", "balance": 1},
                {"feature_id": "x", "balance": 1},
            ]
        },
    )
    await old.post("/customers/org_123/balances", feature_id="meeting_summaries", value=49)
    one = await old.post("/check", **SUMMARIES)

    assert (seven["balance"], thirty["balance"], one["balance"]) == (7, 30, 1)
    assert unknown == (404, "feature_not_found")  # and the first one is as it was


async def test_of_several_entities_none_is_created_when_one_is_there(old: Old) -> None:
    await attach_team(old, "user_bob")

    both = [{"id": name, "name": name, "feature_id": "seats"} for name in ("user_eve", "user_bob")]
    refused = await old.refused("POST", "/customers/org_123/entities", both)
    twice = await old.refused("POST", "/customers/org_123/entities", [both[0], both[0]])
    eve = await old.refused("GET", "/customers/org_123/entities/user_eve")

    assert refused == (409, "entity_already_exists")
    assert (twice, eve) == ((400, "invalid_inputs"), (404, "entity_not_found"))


async def test_entities_of_a_list_may_bring_the_data_of_their_customer(old: Old) -> None:
    data = {"customer_data": {"name": "Acme", "email": "acme@example.com"}}
    both = [{"id": name, "feature_id": "seats", **data} for name in ("user_bob", "user_eve")]
    status, made = await old.send("POST", "/customers/org_123/entities", both)
    shown = await old.get("/customers/org_123")

    assert (status, len(made["list"])) == (200, 2)
    assert (shown["name"], shown["email"]) == ("Acme", "acme@example.com")


async def test_a_list_is_refused_before_any_of_it_is_done(old: Old) -> None:
    await attach_team(old, "user_bob")
    before = await old.post("/check", **SUMMARIES)

    mixed = [
        {"id": "user_eve", "feature_id": "seats"},
        {"id": "user_kim", "feature_id": "meeting_summaries"},
    ]
    entities = await old.refused("POST", "/customers/org_123/entities", mixed)
    eve = await old.refused("GET", "/customers/org_123/entities/user_eve")
    seven = {"feature_id": "meeting_summaries", "balance": 7}
    values = {"balances": [seven, {**seven, "entity_id": "user_eve"}]}
    balances = await old.refused("POST", "/customers/org_123/balances", values)

    assert (entities, eve) == ((400, "invalid_request"), (404, "entity_not_found"))
    assert balances == (404, "entity_not_found")
    assert await old.post("/check", **SUMMARIES) == before


async def test_customers_are_written_and_listed(old: Old) -> None:
    made = await old.post("/customers?expand=entities,invoices", id="ada", name="Ada")
    await old.post("/customers/ada", email="ada@example.com", metadata={"plan": "x"})
    read = await old.get("/customers/ada?expand=entities&expand=invoices")
    page = await old.get("/customers?limit=1")
    gone = await old.delete("/customers/ada?delete_in_stripe=true")
    unknown = await old.refused("GET", "/customers/ada")

    assert (made["name"], made["entities"], made["invoices"]) == ("Ada", [], [])
    assert (read["email"], read["metadata"]) == ("ada@example.com", {"plan": "x"})
    assert [each["id"] for each in page["list"]] == ["ada"]
    assert (page["limit"], page["offset"], page["total"]) == (1, 0, 1)
    assert (gone, unknown) == ({"success": True}, (404, "customer_not_found"))


async def test_renaming_a_customer_is_refused_and_its_own_id_is_no_other(old: Old) -> None:
    await old.post("/customers", id="ada", name="Ada")

    older = await old.send("POST", "/customers/ada", {"id": "eve", "name": "Eve"})
    renamed = {"customer_id": "ada", "new_customer_id": "eve", "name": "Eve"}
    newer = await old.send("POST", "/customers.update", renamed, "2.3")
    same = await old.post("/customers/ada", id="ada", email="ada@example.com")

    for (status, answer), field in ((older, "id"), (newer, "new_customer_id")):
        assert (status, answer["code"]) == (400, "not_supported")
        assert answer["message"].startswith(f"{field}: ")
    assert (same["id"], same["name"], same["email"]) == ("ada", "Ada", "ada@example.com")
    assert await old.refused("GET", "/customers/eve") == (404, "customer_not_found")


async def test_usage_is_summed_in_the_bins_themselves(old: Old) -> None:
    await attach_team(old, "user_bob")
    await old.post("/track", **SUMMARIES, value=3, properties={"region": "eu"})

    plain = await old.post("/query", **SUMMARIES, range="24h")
    grouped = await old.post(
        "/events/aggregate", **SUMMARIES, range="24h", group_by="properties.region"
    )
    listed = await old.post("/events/list", **SUMMARIES, limit=5)

    assert sum(each["meeting_summaries"] for each in plain["list"]) == 3
    # An hour may have ended since.
    assert {"eu": 3} in [each["meeting_summaries"] for each in grouped["list"][-2:]]
    assert (listed["total"], listed["list"][0]["value"]) == (1, 3)


@pytest.mark.parametrize(
    ("sent", "properties", "used", "kept"),
    [
        ({}, {"value": 7.25, "region": "eu"}, 7.25, {"region": "eu"}),
        ({"value": 2}, {"value": 7}, 2, {"value": 7}),
        ({}, {"value": "7"}, 1, {"value": "7"}),
    ],
)
async def test_the_value_of_a_track_may_stand_in_its_properties(
    old: Old, sent: Json, properties: Json, used: float, kept: Json
) -> None:
    await attach_team(old, "user_bob")

    await old.post("/track", **SUMMARIES, **sent, properties=properties)
    listed = await old.post("/events/list", **SUMMARIES)

    assert [(one["value"], one["properties"]) for one in listed["list"]] == [(used, kept)]
    assert (await old.post("/check", **SUMMARIES))["usage"] == used


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/checkout"),
        ("POST", "/setup_payment"),
        ("POST", "/customers/ada/billing_portal"),
        ("POST", "/customers/ada/transfer"),
        ("POST", "/referrals/code"),
        ("GET", "/components/pricing_table"),
    ],
)
async def test_what_needs_money_says_so(old: Old, method: str, path: str) -> None:
    body = {"customer_id": "ada"} if method == "POST" else None

    assert await old.refused(method, path, body) == (400, "not_supported")


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/check", {"customer_id": "ada"}, "feature_id or product_id"),
        ("/customers/ada/entities", {"name": "x"}, "id: is required"),
        ("/customers/ada/entities", [], "entities: must have at least 1 elements"),
        ("/customers/ada/entities", "text", "must be an object"),
        ("/attach", {"customer_id": "ada"}, "exactly one of product_id"),
        ("/attach", {"customer_id": "ada", "product_id": "team", "invoice": True}, "invoice: "),
        ("/customers/a%20b/entities", {"id": "x", "feature_id": "seats"}, "customer_id: "),
        ("/customers?expand=" + "a," * 200, {"id": "ada"}, "expand: must have at most"),
    ],
)
async def test_what_is_wrong_is_named(old: Old, path: str, body: object, message: str) -> None:
    status, answer = await old.send("POST", path, body)

    assert (status, answer["code"]) == (
        400,
        "invalid_inputs" if "invoice" not in message else "not_supported",
    )
    assert message in answer["message"]


async def test_a_query_that_is_no_number_is_named(old: Old) -> None:
    status, answer = await old.send("GET", "/customers?limit=many")

    assert (status, answer["message"]) == (400, "limit: must be a number (received string)")


async def test_an_entity_may_have_a_slash_in_its_id(old: Old) -> None:
    await attach_team(old, "a/b")

    assert (await old.get("/customers/org_123/entities/a%2Fb"))["id"] == "a/b"


async def test_a_path_knows_its_methods(old: Old, live_api: Api) -> None:
    named = {"x-request-id": "mine"}
    wrong = await live_api.client.request("PUT", "/v1/customers/ada", headers=named)
    page = await live_api.client.request("POST", "/health")
    unknown = await live_api.client.request("GET", "/v1/nothing/here")

    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, POST, DELETE")
    assert (page.status_code, page.headers["allow"]) == (405, "GET")
    assert (wrong.headers["x-request-id"], page.headers["x-request-id"][:4]) == ("mine", "req_")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "route_not_found")


async def test_a_key_in_the_body_of_a_track_counts_once(old: Old) -> None:
    await attach_team(old, "user_bob")

    for _ in range(2):
        await old.post("/track", **SUMMARIES, value=10, idempotency_key="once")

    assert (await old.post("/check", **SUMMARIES))["balance"] == 40
