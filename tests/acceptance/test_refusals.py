"""What is refused, over HTTP: nothing is stored that breaks a later answer, nothing is ignored that
would change one.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.acceptance.test_concurrency import send_all
from tests.acceptance.world import World
from tests.fixtures.gateways import KEY, Gateway, Json


def sent_raw(gateway: Gateway, name: str, body: str) -> tuple[int, str]:
    """Send a body as it is written; return status and code or an empty text."""
    answer = gateway.raw(name, body.encode())
    return answer.status_code, answer.json().get("code", "")


@pytest.mark.parametrize("value", ["1e400", "1e999999999", "1e-7", "1e-9999999", "1e17", "-1e17"])
def test_amounts_outside_the_range_change_nothing(world: World, value: str) -> None:
    world.attach(world.monthly(100))
    body = f'{{"customer_id":"{world.customer}","feature_id":"{world.name("messages")}","value":'
    refused = sent_raw(world.gateway, "balances.track", f"{body}{value}}}")
    assert refused == (400, "invalid_inputs")
    assert world.state() == [100, 100, 0]


@pytest.mark.parametrize(
    "controls",
    [
        {"spend_limits": "x"},
        {"usage_limits": [5]},
        {"usage_limits": [{"feature_id": "a", "limit": 1}]},
        {"spend_limits": [{"feature_id": "a", "overage_limit": -1}]},
        {"overage_allowed": [{"feature_id": "a"}, {"feature_id": "a"}]},
    ],
)
def test_billing_controls_of_another_shape_are_refused(world: World, controls: Json) -> None:
    named = {"customer_id": world.customer, "billing_controls": controls}
    refused = world.gateway.refusal("customers.update", **named)
    assert refused == (400, "invalid_inputs")
    assert world.gateway.call("customers.get", customer_id=world.customer)["billing_controls"] == {}


def test_an_entity_has_no_automatic_top_ups(world: World) -> None:
    top_up = {"feature_id": world.name("messages"), "threshold": 5, "quantity": 10}
    named = {"customer_id": world.customer, "entity_id": "e1"}
    controls = {"billing_controls": {"auto_topups": [top_up]}}
    entity = {**named, "feature_id": world.name("users")}
    refused = (400, "invalid_inputs")
    assert world.gateway.refusal("entities.create", **entity, **controls) == refused
    world.gateway.call("entities.create", **entity)
    assert world.gateway.refusal("entities.update", **named, **controls) == refused


@pytest.mark.parametrize("value", ["9" * 4301, "[" * 900 + "]" * 900, "1e400"])
def test_properties_no_client_could_read_back_are_refused(world: World, value: str) -> None:
    body = (
        f'{{"customer_id":"{world.customer}","feature_id":"{world.name("messages")}",'
        f'"properties":{{"a":{value}}}}}'
    )
    assert sent_raw(world.gateway, "balances.track", body) == (400, "invalid_inputs")
    assert world.gateway.call("events.list", customer_id=world.customer)["list"] == []


@pytest.mark.parametrize(
    "given",
    [
        {"discounts": [{"reward_id": "half"}]},
        {"invoice_mode": {"enabled": True}},
    ],
)
def test_an_attach_that_cannot_be_done_as_asked_is_refused(world: World, given: Json) -> None:
    plan_id = f"refused_{world.number}"
    world.gateway.call("plans.create", plan_id=plan_id, name="x", items=[world.monthly(5)])
    refused = world.gateway.refusal(
        "billing.attach", customer_id=world.customer, plan_id=plan_id, **given
    )
    assert refused == (400, "not_supported")
    assert world.check()["balance"] is None


def test_a_filter_that_cannot_be_applied_is_refused(world: World) -> None:
    for given in ({"sort_order": "up"}, {"created_at_range": {"end": -1}}, {"processors": ["a"]}):
        assert world.gateway.refusal("customers.list", **given) == (400, "invalid_inputs")
    found = world.gateway.call("customers.list", search=world.customer, limit=1)["list"]
    assert [one["id"] for one in found] == [world.customer]


def test_an_interval_of_thousands_of_years_is_refused(world: World) -> None:
    item = world.item(included=1, reset={"interval": "year", "interval_count": 9000})
    refused = world.gateway.refusal("plans.create", plan_id="ages", name="x", items=[item])
    assert refused == (400, "invalid_inputs")


def test_tracking_a_flag_is_recorded_and_never_falls_short(world: World) -> None:
    world.feature("sso", type="boolean")
    world.attach(world.item("sso"))
    assert world.check(feature="sso")["allowed"] is True
    answer = world.track(1, feature="sso", overage_behavior="reject")
    assert (answer["balance"], answer["deductions"]) == (None, [])


def test_lists_leave_connections_to_the_hot_path(world: World) -> None:
    world.attach(world.monthly(100, entity_feature_id=world.name("users")))
    world.entities(*(f"e{number}" for number in range(60)))
    listed = ("entities.list", {"customer_id": world.customer, "limit": 60})
    check = ("balances.check", world.body(None, "messages"))
    answers = asyncio.run(send_all(world.gateway, [listed, check] * 30))
    assert {one.status_code for one in answers} == {200}


def test_the_key_is_needed(world: World) -> None:
    assert KEY.startswith("am_sk_test_")
    answer = world.gateway.raw("features.list", b"{}", authorization="Bearer am_sk_test_wrong")
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_secret_key")


def test_the_entity_of_an_unknown_customer_is_an_unknown_entity(world: World) -> None:
    named = {"customer_id": "nobody", "entity_id": "seat_1"}
    for operation in ("entities.get", "entities.update", "entities.delete"):
        assert world.gateway.refusal(operation, **named) == (404, "entity_not_found")


def test_a_list_of_entities_of_an_unknown_customer_is_a_404(world: World) -> None:
    world.gateway.call("customers.get_or_create", customer_id=world.name("empty"))
    assert world.gateway.call("entities.list", customer_id=world.name("empty"))["list"] == []
    unknown = world.gateway.refusal("entities.list", customer_id=world.name("nobody"))
    assert unknown == (404, "customer_not_found")
