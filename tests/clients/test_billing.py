"""Plans attached, changed and taken away by the published clients of 2.x, and plans themselves."""

from __future__ import annotations

import pytest

from tests.clients.shop import LADDER, MONTHLY, new_id
from tests.fixtures.gateways import Gateway
from tests.fixtures.sdks import Client, Json, RefusedError

MESSAGES = {"feature_id": "sdk_messages"}
BASIC, PLUS = LADDER
OLDEST = ("js-1.0", "js-1.2", "py-1.0")


@pytest.fixture
def payer(shop: Gateway, sdk: Client) -> str:
    """A customer on the lower step of the ladder."""
    customer_id = new_id("payer")
    sdk.call("customers.get_or_create", customer_id=customer_id)
    sdk.call("billing.attach", customer_id=customer_id, plan_id=BASIC)
    return customer_id


def held(sdk: Client, customer_id: str) -> dict[str, Json]:
    """Return the subscriptions of a customer by plan."""
    customer = sdk.call("customers.get_or_create", customer_id=customer_id)
    return {one["plan_id"]: one for one in customer["subscriptions"]}


@pytest.mark.calls("billing.attach", "billing.preview_attach")
def test_a_step_up_is_previewed_and_done_at_once(sdk: Client, payer: str) -> None:
    sdk.call("track", customer_id=payer, **MESSAGES, value=4)
    preview = sdk.call("billing.preview_attach", customer_id=payer, plan_id=PLUS)
    before = held(sdk, payer)
    attached = sdk.call("billing.attach", customer_id=payer, plan_id=PLUS)

    assert [one["plan_id"] for one in preview["incoming"]] == [PLUS]
    assert [one["plan_id"] for one in preview["outgoing"]] == [BASIC]
    assert (preview["currency"], len(preview["line_items"])) == ("usd", 2)
    assert 19 <= preview["total"] <= 20
    assert preview["next_cycle"]["total"] == 30
    assert list(before) == [BASIC]
    assert (attached["customer_id"], attached["payment_url"]) == (payer, None)
    assert list(held(sdk, payer)) == [PLUS]
    answer = sdk.call("check", customer_id=payer, **MESSAGES)
    assert answer["balance"]["granted"] == 50


def test_a_step_down_waits_for_the_end_of_the_cycle(sdk: Client, payer: str) -> None:
    sdk.call("billing.attach", customer_id=payer, plan_id=PLUS)
    preview = sdk.call("billing.preview_attach", customer_id=payer, plan_id=BASIC)
    sdk.call("billing.attach", customer_id=payer, plan_id=BASIC)
    plans = held(sdk, payer)

    assert preview["total"] == 0
    assert preview["incoming"][0]["effective_at"] == plans[BASIC]["started_at"]
    assert plans[PLUS]["expires_at"] == plans[BASIC]["started_at"]
    assert {plan: one["status"] for plan, one in plans.items()} == {
        PLUS: "active",
        BASIC: "scheduled",
    }


@pytest.mark.calls("billing.multi_attach", "billing.preview_multi_attach")
def test_several_plans_are_previewed_and_attached_in_one_step(sdk: Client, payer: str) -> None:
    plans = [{"plan_id": PLUS}, {"plan_id": "sdk_pro"}]
    preview = sdk.call("billing.preview_multi_attach", customer_id=payer, plans=plans)
    before = held(sdk, payer)
    attached = sdk.call("billing.multi_attach", customer_id=payer, plans=plans)

    assert [one["plan_id"] for one in preview["incoming"]] == [PLUS, "sdk_pro"]
    assert [one["plan_id"] for one in preview["outgoing"]] == [BASIC]
    assert list(before) == [BASIC]
    assert (attached["customer_id"], attached["payment_url"]) == (payer, None)
    assert {plan: one["status"] for plan, one in held(sdk, payer).items()} == {
        PLUS: "active",
        "sdk_pro": "active",
    }


def test_several_plans_begin_with_a_trial_or_later(sdk: Client, payer: str, shop: Gateway) -> None:
    trial = {"duration_length": 7, "duration_type": "day", "card_required": False}
    tried = new_id("tried")
    plan = {"plan_id": tried, "name": tried, "group": tried, "free_trial": trial}
    shop.call("plans.create", **plan, price={"amount": 20, **MONTHLY})
    sdk.call("billing.multi_attach", customer_id=payer, plans=[{"plan_id": tried}])
    began = {plan: one["status"] for plan, one in held(sdk, payer).items()}
    if sdk.name not in OLDEST:  # they have no such field
        day_after = shop.call("clock.get")["now"] + 86_400_000
        waiting = new_id("payer")
        sdk.call("customers.get_or_create", customer_id=waiting)
        later = {"plans": [{"plan_id": PLUS}], "starts_at": day_after}
        sdk.call("billing.preview_multi_attach", customer_id=waiting, **later)
        sdk.call("billing.multi_attach", customer_id=waiting, **later)
        assert held(sdk, waiting)[PLUS]["status"] == "scheduled"

    assert began == {BASIC: "active", tried: "active"}


def test_a_plan_is_paused_for_a_trial_and_comes_back(sdk: Client, payer: str) -> None:
    trial = {"duration_length": 7, "duration_type": "day", "card_required": False}
    terms = {"free_trial": trial | {"on_end": "revert"}}
    sdk.call("billing.attach", customer_id=payer, plan_id=PLUS, customize=terms)
    tried = list(held(sdk, payer))
    ended = {"plan_id": PLUS, "cancel_action": "cancel_immediately"}
    sdk.call("billing.update", customer_id=payer, **ended)

    back = [] if sdk.name in ("js-1.0", "js-1.2") else [BASIC]  # they send no on_end
    assert (tried, list(held(sdk, payer))) == ([PLUS], back)


@pytest.mark.calls("billing.update", "billing.preview_update")
def test_a_cancel_is_previewed_done_and_taken_back(sdk: Client, payer: str) -> None:
    named = {"customer_id": payer, "plan_id": BASIC}
    preview = sdk.call("billing.preview_update", **named, cancel_action="cancel_end_of_cycle")
    canceled = sdk.call("billing.update", **named, cancel_action="cancel_end_of_cycle")
    ending = held(sdk, payer)[BASIC]
    sdk.call("billing.update", **named, cancel_action="uncancel")
    going_on = held(sdk, payer)[BASIC]
    sdk.call("billing.update", **named, cancel_action="cancel_immediately")

    assert (preview["intent"], preview["total"]) == ("cancel_end_of_cycle", 0)
    assert [one["plan_id"] for one in preview["outgoing"]] == [BASIC]
    assert (canceled["customer_id"], canceled["payment_url"]) == (payer, None)
    assert ending["expires_at"] == ending["current_period_end"]
    assert (going_on["canceled_at"], going_on["expires_at"]) == (None, None)
    assert held(sdk, payer) == {}


def test_prepaid_quantities_are_bought_and_changed(sdk: Client, payer: str) -> None:
    named = {"customer_id": payer, "plan_id": "sdk_prepaid"}

    def quantity(count: int) -> dict[str, Json]:
        return {"feature_quantities": [{**MESSAGES, "quantity": count}]}

    sdk.call("billing.attach", **named, **quantity(300))
    bought = sdk.call("check", customer_id=payer, **MESSAGES)
    preview = sdk.call("billing.preview_update", **named, **quantity(500))
    sdk.call("billing.update", **named, **quantity(500))
    more = sdk.call("check", customer_id=payer, **MESSAGES)

    assert bought["balance"]["granted"] == 310  # ten are those of the lower step
    assert preview["intent"] == "update_quantity"
    assert preview["incoming"][0]["feature_quantities"] == [{**MESSAGES, "quantity": 500}]
    assert more["balance"]["granted"] == 510


def test_a_plan_is_attached_to_one_entity(sdk: Client, team: str) -> None:
    first = {"customer_id": team, "entity_id": f"{team}-first"}
    attached = sdk.call("billing.attach", **first, plan_id="sdk_pro")
    own = sdk.call("check", **first, **MESSAGES)
    other = sdk.call("check", customer_id=team, entity_id=f"{team}-second", **MESSAGES)

    assert attached["entity_id"] == f"{team}-first"
    assert (own["balance"]["granted"], other["allowed"]) == (100, False)


def test_a_customer_gets_items_of_its_own(sdk: Client, payer: str) -> None:
    items = [{**MESSAGES, "included": 7, "reset": MONTHLY}]
    sdk.call("billing.update", customer_id=payer, plan_id=BASIC, customize={"items": items})

    answer = sdk.call("check", customer_id=payer, **MESSAGES)
    assert answer["balance"]["granted"] == 7


@pytest.mark.calls("plans.update", "plans.delete")
def test_a_plan_gets_versions_once_it_is_held(sdk: Client, shop: Gateway) -> None:
    plan_id, customer_id = new_id("plan"), new_id("holder")

    def items(included: int) -> list[Json]:
        return [{**MESSAGES, "included": included, "reset": MONTHLY}]

    sdk.call("plans.create", plan_id=plan_id, name="Plan", group=plan_id, items=items(10))
    edited = sdk.call("plans.update", plan_id=plan_id, items=items(20))
    sdk.call("customers.get_or_create", customer_id=customer_id)
    sdk.call("billing.attach", customer_id=customer_id, plan_id=plan_id)
    second = sdk.call("plans.update", plan_id=plan_id, items=items(30))
    first = sdk.call("plans.get", plan_id=plan_id, version=1)
    sdk.call("billing.update", customer_id=customer_id, plan_id=plan_id, version=2)
    moved = sdk.call("check", customer_id=customer_id, **MESSAGES)
    archived = sdk.call("plans.update", plan_id=plan_id, archived=True)
    with pytest.raises(RefusedError) as refused:
        sdk.call("plans.delete", plan_id=plan_id)

    assert (edited["version"], edited["items"][0]["included"]) == (1, 20)
    assert (second["version"], second["items"][0]["included"]) == (2, 30)
    assert (first["version"], first["items"][0]["included"]) == (1, 20)
    assert moved["balance"]["granted"] == 30
    assert archived["archived"] is True
    assert {one["group"] for one in (edited, second, archived)} == {plan_id}
    assert refused.value.refusal == (400, "invalid_request")


def test_a_plan_nobody_had_is_deleted(sdk: Client, shop: Gateway) -> None:
    plan_id = new_id("plan")
    sdk.call("plans.create", plan_id=plan_id, name="Plan")
    gone = sdk.call("plans.delete", plan_id=plan_id)

    assert gone["success"] is True
    assert shop.refusal("plans.get", plan_id=plan_id) == (404, "product_not_found")
