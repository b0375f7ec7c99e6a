"""Every method of npm autumn-js 0.1 and PyPI autumn-py; what needs money is refused."""

from __future__ import annotations

import pytest

from tests.clients.shop import LADDER, new_id
from tests.fixtures.gateways import Gateway
from tests.fixtures.sdks import Client, Json, OldClient, RefusedError

MESSAGES = {"feature_id": "sdk_messages"}
NOTES = {"feature_id": "sdk_notes"}

_PRO = {"customer_id": "x", "product_id": "sdk_pro"}

JAVASCRIPT_REFUSED: dict[str, list[Json]] = {
    "checkout": [_PRO],
    "setupPayment": [{"customer_id": "x"}],
    "customers.billingPortal": ["x"],
    "entities.transfer": ["x", {"to_entity_id": "e", "product_id": "sdk_pro"}],
    "referrals.createCode": [{"customer_id": "x", "program_id": "p"}],
    "referrals.redeemCode": [{"customer_id": "x", "code": "c"}],
    "v2.billing.setupPayment": [{"customer_id": "x"}],
}
"""What needs money or comes later, and arguments a client takes."""

PYTHON_REFUSED: dict[str, Json] = {
    "checkout": _PRO,
    "customers.get_billing_portal": {"customer_id": "x"},
    "customers.pricing_table": {"customer_id": "x"},
    "entities.transfer": {
        "customer_id": "x",
        "from_entity_id": "d",
        "to_entity_id": "e",
        "product_id": "sdk_pro",
    },
    "products.get_referral_code": {"customer_id": "x", "program_id": "p"},
    "products.redeem_referral_code": {"code": "c", "customer_id": "x", "reward_id": "r"},
}


@pytest.mark.calls(
    "customers.create",
    "customers.get",
    "attach",
    "track",
    "check",
    "entities.create",
    "entities.get",
    "entities.delete",
)
def test_javascript_lives_a_team_s_life(js: OldClient) -> None:
    team = new_id("team")
    js.call("customers.create", {"id": team, "name": "Team", "expand": ["entities"]})
    attached = js.call("attach", {"customer_id": team, "product_id": "sdk_team"})
    made = js.call(
        "entities.create",
        team,
        [{"id": name, "name": name, "feature_id": "sdk_seats"} for name in ("a", "b")],
    )
    js.call("track", {"customer_id": team, "entity_id": "a", **NOTES, "value": 10})
    seat = js.call("entities.get", team, "a", {"expand": ["invoices"]})
    total = js.call("check", {"customer_id": team, **NOTES})
    gone = js.call("entities.delete", team, "b")
    lists = ["entities", "invoices", "trials_used", "referrals"]
    customer = js.call("customers.get", team, {"expand": lists})

    assert attached["product_ids"] == ["sdk_team"]
    assert [each["id"] for each in made["list"]] == ["a", "b"]
    assert (seat["features"]["sdk_notes"]["balance"], seat["invoices"]) == (40, [])
    assert (total["allowed"], total["balance"]) == (True, 90)
    assert gone == {"success": True}
    assert [each["id"] for each in customer["entities"]] == ["a"]
    assert [customer[name] for name in lists[1:]] == [[], [], []]
    assert customer["features"]["sdk_notes"]["balance"] == 40
    assert customer["products"][0]["status"] == "active"


def test_javascript_creates_who_is_checked_and_tracked(js: OldClient) -> None:
    customer, seat = new_id("customer"), {"feature_id": "sdk_seats", "name": "Seat"}
    js.call(
        "check",
        {"customer_id": customer, "entity_id": "seat", **NOTES, "entity_data": seat}
        | {"customer_data": {"name": "Ada"}},
    )

    assert js.call("customers.get", customer)["name"] == "Ada"
    assert js.call("entities.get", customer, "seat")["name"] == "Seat"


@pytest.mark.calls(
    "customers.update", "customers.update_balances", "usage", "customers.list", "customers.delete"
)
def test_javascript_changes_customers(js: OldClient) -> None:
    customer = new_id("customer")
    js.call("customers.create", {"id": customer})
    changed = js.call("customers.update", customer, {"name": "Ada", "email": "a@example.com"})
    js.call("attach", {"customer_id": customer, "product_id": "sdk_pro"})
    js.call("customers.updateBalances", customer, {**MESSAGES, "balance": 7})
    seven = js.call("check", {"customer_id": customer, **MESSAGES})
    js.call("usage", {"customer_id": customer, **MESSAGES, "value": 20})
    eighty = js.call("check", {"customer_id": customer, **MESSAGES})
    product = js.call("check", {"customer_id": customer, "product_id": "sdk_pro"})
    listed = js.call("customers.list", {"limit": 1, "offset": 0})
    gone = js.call("customers.delete", customer)

    assert (changed["name"], changed["email"]) == ("Ada", "a@example.com")
    assert (seven["balance"], eighty["balance"], product["allowed"]) == (7, 80, True)
    assert (len(listed["list"]), listed["limit"], gone["success"]) == (1, 1, True)


@pytest.mark.calls(
    "products.create", "products.get", "products.list", "features.list", "features.get"
)
def test_javascript_reads_the_catalog(js: OldClient) -> None:
    product_id = new_id("product")
    made = js.call(
        "products.create",
        {
            "id": product_id,
            "name": "Pro",
            "items": [
                {"price": 20, "interval": "month"},
                {"feature_id": "sdk_messages", "included_usage": 10, "interval": "month"},
            ],
        },
    )
    read = js.call("products.get", product_id)
    listed = js.call("products.list")
    features = js.call("features.list")
    feature = js.call("features.get", "sdk_seats")

    assert made == read
    assert product_id in [each["id"] for each in listed["list"]]
    assert (read["items"][0]["price"], read["items"][1]["included_usage"]) == (20, 10)
    assert "sdk_seats" in [each["id"] for each in features["list"]]
    assert feature["type"] == "continuous_use"


@pytest.mark.calls("query", "events.aggregate", "events.list")
def test_javascript_reads_events(js: OldClient) -> None:
    customer = new_id("customer")
    js.call("attach", {"customer_id": customer, "product_id": "sdk_pro"})
    js.call("track", {"customer_id": customer, **MESSAGES, "value": 5})
    query = {"customer_id": customer, **MESSAGES}
    series = js.call("query", {**query, "range": "24h"})
    summed = js.call("events.aggregate", {**query, "range": "24h"})
    listed = js.call("events.list", {**query, "limit": 10, "offset": 0})

    assert sum(each["sdk_messages"] for each in series["list"]) == 5
    assert summed == series
    assert (listed["total"], listed["list"][0]["value"]) == (1, 5)


@pytest.mark.calls(
    "balances.create", "v2.balances.update", "v2.balances.finalize", "v2.billing.attach"
)
def test_javascript_gives_balances_and_ends_locks_in_their_newer_form(js: OldClient) -> None:
    customer, lock = new_id("customer"), new_id("lock")
    js.call("customers.create", {"id": customer})
    named = {"customer_id": customer, **MESSAGES}
    js.call("balances.create", {**named, "granted_balance": 30, "reset": {"interval": "month"}})
    js.call("v2.balances.update", {**named, "remaining": 20})
    js.call("check", {**named, "required_balance": 5, "lock": {"lock_id": lock, "enabled": True}})
    ended = js.call("v2.balances.finalize", {"lock_id": lock, "action": "confirm"})
    attached = js.call("v2.billing.attach", {"customer_id": customer, "plan_id": "sdk_team"})

    assert (ended["success"], attached["payment_url"]) == (True, None)
    assert js.call("check", named)["balance"] == 15


@pytest.mark.parametrize(("method", "arguments"), JAVASCRIPT_REFUSED.items())
def test_javascript_is_told_what_needs_money(
    js: OldClient, method: str, arguments: list[Json]
) -> None:
    assert js.refused(method, *arguments) == (400, "not_supported")


@pytest.mark.calls("cancel", "products.delete", "v2.billing.update")
def test_javascript_cancels_and_deletes_products(js: OldClient) -> None:
    customer, product = new_id("customer"), new_id("product")
    price = {"price": 20, "interval": "month"}
    js.call("products.create", {"id": product, "name": "Paid", "group": product, "items": [price]})
    named = {"customer_id": customer, "product_id": product}
    js.call("attach", named)
    canceled = js.call("cancel", named)
    (ending,) = js.call("customers.get", customer)["products"]
    js.call(
        "v2.billing.update",
        {"customer_id": customer, "plan_id": product, "cancel_action": "uncancel"},
    )
    (going_on,) = js.call("customers.get", customer)["products"]
    js.call("cancel", {**named, "cancel_immediately": True})

    assert canceled == {"success": True, **named}
    assert (ending["status"], going_on["canceled_at"]) == ("active", None)
    assert ending["canceled_at"] is not None
    assert js.call("customers.get", customer)["products"] == []
    assert js.refused("cancel", named)[0] == 404
    assert js.refused("products.delete", product) == (400, "invalid_request")
    fresh = new_id("product")
    js.call("products.create", {"id": fresh, "name": "Fresh"})
    assert js.call("products.delete", fresh) == {"success": True}
    assert js.refused("products.get", fresh) == (404, "product_not_found")


@pytest.mark.calls("v2.billing.preview_attach", "v2.billing.preview_update")
def test_javascript_previews_in_its_newer_form(js: OldClient) -> None:
    customer = {"customer_id": new_id("customer")}
    js.call("customers.create", {"id": customer["customer_id"]})
    named = {**customer, "plan_id": LADDER[0]}
    coming = js.call("v2.billing.previewAttach", named)
    js.call("v2.billing.attach", named)
    going = js.call("v2.billing.previewUpdate", {**named, "cancel_action": "cancel_immediately"})

    assert (coming["total"], coming["incoming"][0]["plan_id"]) == (10, LADDER[0])
    assert going["intent"] == "cancel_immediately"


@pytest.mark.calls("v2.billing.multi_attach", "v2.billing.preview_multi_attach")
def test_javascript_attaches_several_plans_in_its_newer_form(js: OldClient) -> None:
    customer = {"customer_id": new_id("customer")}
    js.call("customers.create", {"id": customer["customer_id"]})
    named = {**customer, "plans": [{"plan_id": LADDER[0]}, {"plan_id": "sdk_pro"}]}
    coming = js.call("v2.billing.previewMultiAttach", named)
    done = js.call("v2.billing.multiAttach", named)

    assert [one["plan_id"] for one in coming["incoming"]] == [LADDER[0], "sdk_pro"]
    assert done["customer_id"] == customer["customer_id"]


def test_no_entity_is_made_that_leads_to_another_customer(
    js: OldClient, autumn_py: Client, shop: Gateway
) -> None:
    """Both clients put it into the path as it is: deleting it would delete the other."""
    team, seat = new_id("team"), {"name": "Seat", "feature_id": "sdk_seats"}
    astray = f"../../{new_id('other')}"
    named = {"customer_id": team, "entity_id": astray, **MESSAGES, "entity_data": seat}
    js.call("customers.create", {"id": team})

    assert js.refused("entities.create", team, {"id": astray, **seat}) == (400, "invalid_inputs")
    many = [{"id": "fine", **seat}, {"id": "..", **seat}]
    assert js.refused("entities.create", team, many) == (400, "invalid_inputs")
    assert js.refused("track", named) == (400, "invalid_inputs")
    assert js.refused("check", named) == (400, "invalid_inputs")
    with pytest.raises(RefusedError) as refused:
        autumn_py.call("entities.create", customer_id=team, id=astray, **seat)
    assert (refused.value.status, refused.value.code) == (400, "invalid_inputs")
    assert shop.call("entities.list", customer_id=team)["list"] == []


def test_javascript_reads_refusals(js: OldClient) -> None:
    assert js.refused("customers.get", "nobody") == (404, "customer_not_found")
    assert js.refused("check", {"customer_id": "x"}) == (400, "invalid_inputs")


@pytest.mark.calls(
    "customers.create",
    "customers.get",
    "attach",
    "track",
    "check",
    "entities.create",
    "entities.get",
    "entities.delete",
)
def test_python_lives_a_team_s_life(autumn_py: Client, shop: Gateway) -> None:
    team = new_id("team")
    autumn_py.call("customers.create", id=team, name="Team")
    attached = autumn_py.call("attach", customer_id=team, product_id="sdk_team")
    made = autumn_py.call(
        "entities.create", customer_id=team, id="a", feature_id="sdk_seats", name="A"
    )
    track = autumn_py.call("track", customer_id=team, **NOTES, value=10, idempotency_key="once")
    again = autumn_py.call("track", customer_id=team, **NOTES, value=10, idempotency_key="once")
    check = autumn_py.call("check", customer_id=team, **NOTES, entity_id="a")
    read = autumn_py.call("entities.get", customer_id=team, entity_id="a", expand=["invoices"])
    customer = autumn_py.call("customers.get", customer_id=team, expand=["entities", "invoices"])
    autumn_py.call("entities.delete", customer_id=team, entity_id="a")

    assert attached["product_ids"] == ["sdk_team"]
    assert (made["name"], made["features"]["sdk_notes"]["balance"]) == ("A", 50)
    assert (track["code"], track["id"]) == ("event_received", again["id"])
    assert (check["allowed"], check["balance"], check["code"]) == (True, 40, "feature_found")
    assert read["features"]["sdk_notes"]["usage"] == 10
    assert customer["products"][0]["id"] == "sdk_team"


@pytest.mark.calls(
    "customers.update",
    "features.set_balances",
    "features.set_usage",
    "customers.list",
    "query",
    "customers.delete",
)
def test_python_changes_customers_and_balances(autumn_py: Client, shop: Gateway) -> None:
    customer = new_id("customer")
    autumn_py.call("track", customer_id=customer, **MESSAGES)  # which creates it
    autumn_py.call("attach", customer_id=customer, product_id="sdk_pro")
    changed = autumn_py.call("customers.update", customer_id=customer, name="Ada")
    balances = [{**MESSAGES, "balance": 7}]
    autumn_py.call("features.set_balances", customer_id=customer, balances=balances)
    seven = autumn_py.call("check", customer_id=customer, **MESSAGES)
    autumn_py.call("features.set_usage", customer_id=customer, **MESSAGES, value=20)
    eighty = autumn_py.call("check", customer_id=customer, **MESSAGES)
    listed = autumn_py.call("customers.list", limit=1)
    query = autumn_py.call("query", customer_id=customer, **MESSAGES, range="7d")
    autumn_py.call("customers.delete", customer_id=customer)

    assert (changed["name"], seven["balance"], eighty["balance"]) == ("Ada", 7, 80)
    assert (len(listed["list"]), listed["limit"]) == (1, 1)
    assert sum(each["sdk_messages"] for each in query["list"]) == 1


@pytest.mark.calls("products.create", "products.get", "products.list")
def test_python_reads_and_writes_products(autumn_py: Client, shop: Gateway) -> None:
    product_id = new_id("product")
    item = {"feature_id": "sdk_messages", "included_usage": 10, "interval": "month"}
    made = autumn_py.call("products.create", id=product_id, name="Pro", items=[item])
    read = autumn_py.call("products.get", id=product_id)
    listed = autumn_py.call("products.list", customer_id="anybody")

    assert made == read
    assert read["items"][0]["included_usage"] == 10
    assert product_id in [each["id"] for each in listed["list"]]


@pytest.mark.calls("cancel", "products.update", "products.delete")
def test_python_changes_cancels_and_deletes_products(autumn_py: Client, shop: Gateway) -> None:
    customer, product = new_id("customer"), new_id("product")

    def items(included: int) -> list[Json]:
        return [{**MESSAGES, "included_usage": included, "interval": "month"}]

    named = {"customer_id": customer, "product_id": product}
    autumn_py.call("products.create", id=product, name="Pro", items=items(10))
    autumn_py.call("customers.create", id=customer)
    autumn_py.call("products.update", id=product, name="Pro 2", items=items(20))
    edited = autumn_py.call("products.get", id=product)
    autumn_py.call("attach", **named)
    autumn_py.call("products.update", id=product, name="Pro 3", items=items(30))
    second = autumn_py.call("products.get", id=product)
    kept = autumn_py.call("check", customer_id=customer, **MESSAGES)
    canceled = autumn_py.call("cancel", **named, cancel_immediately=True)
    gone = autumn_py.call("customers.get", customer_id=customer)
    with pytest.raises(RefusedError) as refused:
        autumn_py.call("products.delete", id=product)
    fresh = new_id("product")
    autumn_py.call("products.create", id=fresh, name="Fresh")
    autumn_py.call("products.delete", id=fresh)

    assert (edited["version"], edited["name"], second["version"]) == (1, "Pro 2", 2)
    assert (edited["items"][0]["included_usage"], kept["balance"]) == (20, 20)
    assert second["items"][0]["included_usage"] == 30
    assert canceled == {"success": True, **named}
    assert gone["products"] == []
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")
    assert shop.refusal("plans.get", plan_id=fresh) == (404, "product_not_found")


@pytest.mark.parametrize(("method", "fields"), PYTHON_REFUSED.items())
def test_python_is_told_what_needs_money(
    autumn_py: Client, shop: Gateway, method: str, fields: Json
) -> None:
    with pytest.raises(RefusedError) as refused:
        autumn_py.call(method, **fields)

    assert (refused.value.status, refused.value.code) == (400, "not_supported")


def test_python_reads_refusals(autumn_py: Client, shop: Gateway) -> None:
    with pytest.raises(RefusedError) as unknown:
        autumn_py.call("customers.get", customer_id="nobody")
    with pytest.raises(RefusedError) as checkout:
        autumn_py.call("checkout", customer_id="nobody", product_id="sdk_pro")

    assert (unknown.value.status, unknown.value.code) == (404, "customer_not_found")
    assert (checkout.value.status, checkout.value.code) == (400, "not_supported")
