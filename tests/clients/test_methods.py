"""Every method of the published clients of 2.x, with the strict validation they bring."""

from __future__ import annotations

import pytest

from tests.clients.shop import MONTHLY, new_id
from tests.fixtures.gateways import Gateway
from tests.fixtures.sdks import Client, Process, RefusedError

MESSAGES = {"feature_id": "sdk_messages"}
NOTHING = ("entities", "invoices", "trials_used", "referrals")
OLDEST = ("js-1.0",)
"""Clients from before locks; what other methods a client lacks its own list says."""

NO_DEDUCTIONS = ("js-1.0", "js-1.2")
"""Clients whose events do not say which balances gave."""


def test_the_javascript_clients_validate_strictly(node: Process) -> None:
    version = node.ask(client="versions", method="of", args=["zod"])

    assert tuple(map(int, version.split("."))) >= (4, 4)


@pytest.mark.calls("check")
def test_check_says_what_is_left(sdk: Client, customer: str) -> None:
    answer = sdk.call("check", customer_id=customer, **MESSAGES, required_balance=100)
    denied = sdk.call("check", customer_id=customer, **MESSAGES, required_balance=101)
    flag = sdk.call("check", customer_id=customer, feature_id="sdk_sso")

    assert (answer["allowed"], answer["customer_id"]) == (True, customer)
    assert (answer["balance"]["granted"], answer["balance"]["remaining"]) == (100, 100)
    assert answer["balance"]["breakdown"][0]["plan_id"] == "sdk_pro"
    assert (denied["allowed"], denied["balance"]["remaining"]) == (False, 100)
    assert (flag["allowed"], flag["flag"]["feature_id"]) == (True, "sdk_sso")


def test_check_spends_and_previews(sdk: Client, customer: str) -> None:
    spent = sdk.call(
        "check", customer_id=customer, **MESSAGES, required_balance=40, send_event=True
    )
    denied = sdk.call(
        "check", customer_id=customer, **MESSAGES, required_balance=61, with_preview=True
    )

    assert (spent["allowed"], spent["balance"]["remaining"]) == (True, 60)
    assert denied["preview"]["scenario"] == "usage_limit"
    suggested = {one["id"]: one["scenario"] for one in denied["preview"]["products"]}
    assert suggested["sdk_plus"] == "new"


@pytest.mark.calls("track")
def test_track_records_use(sdk: Client, customer: str) -> None:
    ten = sdk.call("track", customer_id=customer, **MESSAGES, value=10, properties={"a": "b"})
    named = sdk.call("track", customer_id=customer, event_name="sdk_sent")
    back = sdk.call("track", customer_id=customer, **MESSAGES, value=-1)

    assert (ten["value"], ten["balance"]["remaining"], ten["balance"]["usage"]) == (10, 90, 10)
    assert (named["event_name"], named["balance"]["remaining"]) == ("sdk_sent", 89)
    assert back["balance"]["remaining"] == 90


def test_track_names_the_credits_nobody_has(sdk: Client, shop: Gateway) -> None:
    customer_id, feature_id = new_id("customer"), new_id("words")
    kind = {"name": feature_id, "type": "metered", "consumable": True}
    shop.call("features.create", feature_id=feature_id, **kind)
    shop.call(
        "features.create",
        feature_id=new_id("credits"),
        name="Credits",
        type="credit_system",
        credit_schema=[{"metered_feature_id": feature_id, "credit_cost": 2}],
    )
    sdk.call("customers.get_or_create", customer_id=customer_id)
    used = {"customer_id": customer_id, "feature_id": feature_id}

    nothing = sdk.call("track", **used, value=3)
    shop.call("balances.create", **used, included_grant=10)
    some = sdk.call("track", **used, value=3)

    assert (nothing["value"], nothing["balance"]) == (3, None)
    assert some["balance"]["remaining"] == 7
    assert some["balances"][feature_id]["remaining"] == 7


def test_track_may_be_left_to_run(sdk: Client, customer: str) -> None:
    if sdk.name in OLDEST:
        return  # it drops the field
    sdk.call("track", customer_id=customer, **MESSAGES, value=10, **{"async": True})

    answer = sdk.call("check", customer_id=customer, **MESSAGES)
    assert answer["balance"]["remaining"] == 90


@pytest.mark.calls("batch_track")
def test_a_batch_is_tracked(sdk: Client, customer: str) -> None:
    if "batch_track" not in sdk.methods:
        return
    tracks = [{"customer_id": customer, **MESSAGES, "value": 2} for _ in range(3)]
    if sdk.is_python:
        answer = sdk.call("batch_track", request=tracks)
    else:
        answer = sdk.call("batch_track", tracks)

    assert answer["success"] is True
    assert sdk.call("check", customer_id=customer, **MESSAGES)["balance"]["remaining"] == 94


@pytest.mark.calls("balances.finalize")
def test_a_lock_is_held_and_ended(sdk: Client, customer: str) -> None:
    if sdk.name in OLDEST:
        lock_id = new_id("lock")
        with pytest.raises(RefusedError) as unknown:
            sdk.call("balances.finalize", lock_id=lock_id, action="confirm")
        assert unknown.value.refusal == (400, "invalid_request")
        return
    lock_id = new_id("lock")
    held = sdk.call(
        "check",
        customer_id=customer,
        **MESSAGES,
        required_balance=20,
        lock={"lock_id": lock_id, "enabled": True},
    )
    ended = sdk.call("balances.finalize", lock_id=lock_id, action="confirm", override_value=12)

    assert (held["allowed"], ended["success"]) == (True, True)
    assert sdk.call("check", customer_id=customer, **MESSAGES)["balance"]["remaining"] == 88


@pytest.mark.calls("entities.get", "entities.update", "entities.delete")
def test_entities_live_under_their_customer(sdk: Client, team: str) -> None:
    first = {"customer_id": team, "entity_id": f"{team}-first"}
    sdk.call("track", **first, feature_id="sdk_notes", value=10)
    seen = sdk.call("entities.get", **first)
    by_id = sdk.call("entities.get", entity_id=f"{team}-second")
    limits = [{"feature_id": "sdk_notes", "enabled": True, "overage_limit": 20}]
    limited = sdk.call("entities.update", **first, billing_controls={"spend_limits": limits})
    total = sdk.call("check", customer_id=team, feature_id="sdk_notes")
    gone = sdk.call("entities.delete", **first)
    left = sdk.call("check", customer_id=team, feature_id="sdk_notes")

    assert (seen["name"], seen["balances"]["sdk_notes"]["remaining"]) == ("first", 40)
    assert seen["subscriptions"][0]["plan_id"] == "sdk_team"
    assert by_id["balances"]["sdk_notes"]["remaining"] == 50
    assert limited["billing_controls"]["spend_limits"][0]["overage_limit"] == 20
    assert (total["balance"]["remaining"], gone["success"]) == (90, True)
    assert left["balance"]["remaining"] == 50


@pytest.mark.calls("entities.create", "entities.list")
def test_entities_are_listed(sdk: Client, team: str) -> None:
    if "entities.list" not in sdk.methods:
        return
    page = sdk.call("entities.list", customer_id=team, limit=1)
    rest = sdk.call("entities.list", customer_id=team, start_cursor=page["next_cursor"])

    ids = [each["id"] for each in page["list"] + rest["list"]]
    assert ids == [f"{team}-second", f"{team}-first"]
    assert rest["next_cursor"] is None


@pytest.mark.calls("customers.get_or_create", "customers.update", "customers.delete")
def test_customers_are_changed_and_deleted(sdk: Client, customer: str) -> None:
    changed = sdk.call(
        "customers.update", customer_id=customer, email="ada@example.com", metadata={"plan": "x"}
    )
    same = sdk.call(
        "customers.get_or_create",
        customer_id=customer,
        expand=["balances.feature", "subscriptions.plan", *NOTHING],
    )
    gone = sdk.call("customers.delete", customer_id=customer)

    assert (changed["name"], changed["email"]) == ("Ada", "ada@example.com")
    assert same["metadata"] == {"plan": "x"}
    assert same["subscriptions"][0]["plan"]["items"][0]["included"] == 100
    assert same["balances"]["sdk_messages"]["feature"]["consumable"] is True
    assert {name: same[name] for name in NOTHING} == {name: [] for name in NOTHING}
    assert same["flags"]["sdk_sso"]["plan_id"] == "sdk_pro"
    assert gone["success"] is True


@pytest.mark.calls("customers.get_or_create")
def test_a_customer_without_an_id_gets_one(sdk: Client, shop: Gateway) -> None:
    customer_id = new_id("late")
    email = f"{customer_id}@example.com"
    first = sdk.call("customers.get_or_create", customer_id=None, email=email, name="Ada")
    listed = sdk.call("customers.list", search=email)
    claimed = sdk.call("customers.get_or_create", customer_id=customer_id, email=email)

    assert (first["id"], first["name"], first["email"]) == (None, "Ada", email)
    assert [each["id"] for each in listed["list"]] == [None]
    assert (claimed["id"], claimed["name"]) == (customer_id, "Ada")


@pytest.mark.calls("keys.mint", "keys.refresh", "keys.revoke")
def test_tokens_of_a_customer_are_minted_and_revoked(sdk: Client, customer: str) -> None:
    if "keys.mint" not in sdk.methods:
        return
    pair = sdk.call("keys.mint", customer_id=customer)
    endless = sdk.call("keys.mint", customer_id=customer, indefinite=True)
    if sdk.is_python:
        bearer = {"Authorization": f"Bearer {pair['refresh_token']}"}
        assert sdk.call("keys.refresh", request={}, http_headers=bearer)["expires_at"]
    with pytest.raises(RefusedError) as refused:  # the key of this client is no token
        sdk.call("keys.refresh", request={})

    assert {pair["access_token"][:7], pair["refresh_token"][:7]} == {"am_jwt_"}
    assert pair["expires_at"] < pair["refresh_expires_at"]
    assert (endless["expires_at"], endless.get("refresh_token")) == (None, None)
    assert refused.value.refusal == (403, "insufficient_scopes")
    assert sdk.call("keys.revoke", customer_id=customer)["revoked"] is True


@pytest.mark.calls("customers.get", "customers.list")
def test_a_customer_is_read_and_listed(sdk: Client, customer: str) -> None:
    if "customers.get" in sdk.methods:
        read = sdk.call("customers.get", customer_id=customer)
        assert read["subscriptions"][0]["plan_id"] == "sdk_pro"
    listed = sdk.call("customers.list", search=customer)

    assert [each["id"] for each in listed["list"]] == [customer]


@pytest.mark.calls(
    "features.create", "features.update", "features.get", "features.list", "features.delete"
)
def test_features_are_defined(sdk: Client, shop: Gateway) -> None:
    if sdk.name.startswith("py-1.2"):
        for method in ("create", "update", "get", "list", "delete"):
            with pytest.raises(RefusedError, match="NameError"):  # its own fault, on every server
                sdk.call(f"features.{method}")
        return
    feature_id = new_id("feature")
    made = sdk.call(
        "features.create",
        feature_id=feature_id,
        name="Calls",
        type="metered",
        consumable=True,
        event_names=[f"{feature_id}-called"],
        display={"singular": "call", "plural": "calls"},
    )
    changed = sdk.call("features.update", feature_id=feature_id, name="API calls")
    read = sdk.call("features.get", feature_id=feature_id)
    listed = sdk.call("features.list")
    gone = sdk.call("features.delete", feature_id=feature_id)

    assert (made["id"], made["type"], made["archived"]) == (feature_id, "metered", False)
    assert (changed["name"], read["name"]) == ("API calls", "API calls")
    assert feature_id in [each["id"] for each in listed["list"]]
    assert gone["success"] is True


@pytest.mark.calls("plans.create", "plans.get", "plans.list")
def test_plans_are_defined(sdk: Client, shop: Gateway) -> None:
    plan_id = new_id("plan")
    price = {
        "amount": 0.5,
        "interval": "month",
        "billing_units": 10,
        "billing_method": "usage_based",
    }
    made = sdk.call(
        "plans.create",
        plan_id=plan_id,
        name="Pro",
        price={"amount": 20, "interval": "month"},
        items=[
            {"feature_id": "sdk_messages", "included": 100, "reset": MONTHLY, "price": price},
            {"feature_id": "sdk_sso"},
        ],
    )
    read = sdk.call("plans.get", plan_id=plan_id)
    listed = sdk.call("plans.list")
    if not sdk.is_python:  # their lists take no customer
        sdk.call("customers.get_or_create", customer_id=plan_id)
        offered = sdk.call("plans.list", customer_id=plan_id)["list"]
        found = {each["id"]: each["customer_eligibility"]["attach_action"] for each in offered}
        assert found[plan_id] == "activate"

    assert (made["id"], made["price"]["amount"], made["version"]) == (plan_id, 20, 1)
    assert (read["items"][0]["included"], read["items"][0]["price"]["amount"]) == (100, 0.5)
    assert plan_id in [each["id"] for each in listed["list"]]


@pytest.mark.calls("balances.create", "balances.update", "balances.delete")
def test_balances_are_given_and_changed(sdk: Client, shop: Gateway) -> None:
    customer_id = new_id("customer")
    sdk.call("customers.get_or_create", customer_id=customer_id)
    named = {"customer_id": customer_id, **MESSAGES}
    given = sdk.call("balances.create", **named, included_grant=30, reset=MONTHLY)
    changed = sdk.call("balances.update", **named, remaining=12)
    seen = sdk.call("check", **named)
    gone = sdk.call("balances.delete", **named)
    after = sdk.call("check", **named)

    assert (given["success"], changed["success"], gone["success"]) == (True, True, True)
    assert (seen["balance"]["granted"], seen["balance"]["remaining"]) == (30, 12)
    assert (after["allowed"], after["balance"]) == (False, None)


@pytest.mark.calls("balances.list")
def test_balances_are_listed_one_by_one(sdk: Client, customer: str, shop: Gateway) -> None:
    if "balances.list" not in sdk.methods:
        return
    shop.call("balances.create", customer_id=customer, **MESSAGES, included_grant=5)
    first = sdk.call("balances.list", customer_id=customer, limit=1)
    rest = sdk.call("balances.list", customer_id=customer, start_cursor=first["next_cursor"])

    listed = first["list"] + rest["list"]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    remaining = [(one["plan_id"], one["remaining"]) for one in listed]
    assert ("sdk_pro", 100) in remaining
    assert (None, 5) in remaining


@pytest.mark.calls("events.list", "events.aggregate")
def test_events_are_listed_and_summed(sdk: Client, customer: str) -> None:
    for value in (3, 4):
        sdk.call("track", customer_id=customer, **MESSAGES, value=value)
    listed = sdk.call("events.list", customer_id=customer)
    summed = sdk.call("events.aggregate", customer_id=customer, **MESSAGES, range="24h")

    assert [each["value"] for each in listed["list"]] == [4, 3]
    if sdk.name not in NO_DEDUCTIONS:
        assert listed["list"][0]["deductions"][0]["value"] == 4
    assert summed["total"]["sdk_messages"] == {"count": 2, "sum": 7}


@pytest.mark.parametrize(
    ("method", "fields", "refusal"),
    [
        ("check", {"customer_id": "nobody", **MESSAGES}, (404, "customer_not_found")),
        ("track", {"customer_id": "nobody", "event_name": "none"}, (404, "invalid_request")),
        ("entities.get", {"entity_id": "nobody"}, (404, "entity_not_found")),
        ("plans.get", {"plan_id": "none"}, (404, "product_not_found")),
        (
            "billing.attach",
            {"customer_id": "nobody", "plan_id": "sdk_pro"},
            (404, "customer_not_found"),
        ),
        (
            "billing.attach",
            {"customer_id": "x", "plan_id": "sdk_pro", "discounts": [{"promotion_code": "half"}]},
            (400, "not_supported"),
        ),
        (
            "billing.update",
            {"customer_id": "nobody", "plan_id": "sdk_pro", "cancel_action": "uncancel"},
            (404, "customer_not_found"),
        ),
        (
            "balances.update",
            {"customer_id": "nobody", **MESSAGES, "remaining": 1},
            (404, "customer_not_found"),
        ),
        (
            "entities.create",
            {"customer_id": "nobody", "entity_id": "e", **MESSAGES},
            (400, "invalid_request"),
        ),
        ("plans.create", {"plan_id": "sdk_pro", "name": "Pro"}, (400, "product_already_exists")),
    ],
)
def test_a_refusal_can_be_read(
    sdk: Client, shop: Gateway, method: str, fields: dict[str, object], refusal: tuple[int, str]
) -> None:
    with pytest.raises(RefusedError) as refused:
        sdk.call(method, **fields)

    assert (refused.value.name, refused.value.refusal) == ("AutumnDefaultError", refusal)


def test_two_hundred_tracks_at_once_are_all_answered(node: Process, shop: Gateway) -> None:
    customer_id = new_id("busy")
    shop.call("customers.get_or_create", customer_id=customer_id)
    shop.call("balances.create", customer_id=customer_id, **MESSAGES, included_grant=1000)
    track = {"customerId": customer_id, "featureId": "sdk_messages", "value": 2}

    answers = node.ask(client="1.3", method="track", args=[track], times=200)

    remaining = {answer["balance"]["remaining"] for answer in answers}
    assert remaining == set(range(600, 1000, 2))  # each saw a balance of its own
    left = shop.call("balances.check", customer_id=customer_id, **MESSAGES)["balance"]
    assert (left["remaining"], left["usage"]) == (600, 400)
