"""Every method of npm autumn-js 0.1 and PyPI autumn-py; what needs money is refused."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.clients.shop import new_id
from tests.fixtures.gateways import Gateway
from tests.fixtures.sdks import Client, Json, Process, RefusedError

MESSAGES = {"feature_id": "sdk_messages"}
NOTES = {"feature_id": "sdk_notes"}


class Old(NamedTuple):
    """npm autumn-js 0.1: it never throws, so an answer has ``data`` or ``error``."""

    process: Process

    def call(self, method: str, *arguments: Json) -> Json:
        answer = self.process.ask(client="0.1", method=method, args=list(arguments))
        assert answer["error"] is None, answer
        return answer["data"]

    def refused(self, method: str, *arguments: Json) -> tuple[int, str]:
        answer = self.process.ask(client="0.1", method=method, args=list(arguments))
        assert answer["data"] is None, answer
        return answer["statusCode"], answer["error"]["code"]


@pytest.fixture
def js(node: Process, shop: Gateway) -> Old:
    return Old(node)


def test_javascript_lives_a_team_s_life(js: Old) -> None:
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
    customer = js.call("customers.get", team, {"expand": ["entities", "invoices"]})

    assert attached["product_ids"] == ["sdk_team"]
    assert [each["id"] for each in made["list"]] == ["a", "b"]
    assert (seat["features"]["sdk_notes"]["balance"], seat["invoices"]) == (40, [])
    assert (total["allowed"], total["balance"]) == (True, 90)
    assert gone == {"success": True}
    assert [each["id"] for each in customer["entities"]] == ["a"]
    assert customer["features"]["sdk_notes"]["balance"] == 40
    assert customer["products"][0]["status"] == "active"


def test_javascript_creates_who_is_checked_and_tracked(js: Old) -> None:
    customer, seat = new_id("customer"), {"feature_id": "sdk_seats", "name": "Seat"}
    js.call(
        "check",
        {"customer_id": customer, "entity_id": "seat", **NOTES, "entity_data": seat}
        | {"customer_data": {"name": "Ada"}},
    )

    assert js.call("customers.get", customer)["name"] == "Ada"
    assert js.call("entities.get", customer, "seat")["name"] == "Seat"


def test_javascript_changes_customers(js: Old) -> None:
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


def test_javascript_reads_the_catalog(js: Old) -> None:
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


def test_javascript_reads_events(js: Old) -> None:
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


def test_javascript_gives_balances_and_ends_locks_in_their_newer_form(js: Old) -> None:
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


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("checkout", [{"customer_id": "x", "product_id": "sdk_pro"}]),
        ("setupPayment", [{"customer_id": "x"}]),
        ("customers.billingPortal", ["x"]),
        ("entities.transfer", ["x", {"to_entity_id": "e", "product_id": "sdk_pro"}]),
        ("referrals.createCode", [{"customer_id": "x", "program_id": "p"}]),
        ("referrals.redeemCode", [{"customer_id": "x", "code": "c"}]),
    ],
)
def test_javascript_is_told_what_needs_money(js: Old, method: str, arguments: list[Json]) -> None:
    assert js.refused(method, *arguments) == (400, "not_supported")


def test_javascript_reads_refusals(js: Old) -> None:
    assert js.refused("customers.get", "nobody") == (404, "customer_not_found")
    assert js.refused("check", {"customer_id": "x"}) == (400, "invalid_inputs")


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


def test_python_reads_and_writes_products(autumn_py: Client, shop: Gateway) -> None:
    product_id = new_id("product")
    item = {"feature_id": "sdk_messages", "included_usage": 10, "interval": "month"}
    made = autumn_py.call("products.create", id=product_id, name="Pro", items=[item])
    read = autumn_py.call("products.get", id=product_id)
    listed = autumn_py.call("products.list", customer_id="anybody")

    assert made == read
    assert read["items"][0]["included_usage"] == 10
    assert product_id in [each["id"] for each in listed["list"]]


def test_python_reads_refusals(autumn_py: Client, shop: Gateway) -> None:
    with pytest.raises(RefusedError) as unknown:
        autumn_py.call("customers.get", customer_id="nobody")
    with pytest.raises(RefusedError) as checkout:
        autumn_py.call("checkout", customer_id="nobody", product_id="sdk_pro")

    assert (unknown.value.status, unknown.value.code) == (404, "customer_not_found")
    assert (checkout.value.status, checkout.value.code) == (400, "not_supported")
