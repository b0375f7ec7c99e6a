"""The published clients with every ``x-api-version`` one of them sends, and with dates."""

from __future__ import annotations

import pytest

from tests.clients.shop import LADDER, new_id
from tests.fixtures.gateways import Gateway
from tests.fixtures.sdks import Client, RefusedError

MESSAGES = {"feature_id": "sdk_messages"}

VERSIONS = (
    "2.1",
    "2.1.0",
    "2.2.0",
    "2.3.0",
    "2.4.0",
    "2.5.0",
    "2026-03-17",
    "2026-03-18",
    "2026-05-13",
    "2026-11-20",
)

COMPLETE = ("2.1", "2.1.0", "2.2.0", "2026-03-17", "2026-03-18")
"""Versions whose answers leave no key out."""

STRICT = ("js-1.0", "js-1.2")
"""Clients that take any key that is left out for an error."""


@pytest.mark.parametrize("version", VERSIONS)
def test_answers_fit_at_every_version(sdk: Client, shop: Gateway, version: str) -> None:
    if sdk.name in STRICT and version not in COMPLETE:
        return
    call = sdk.at(version).call
    customer = {"customer_id": new_id("versioned")}
    seat = {**customer, "entity_id": "seat"}
    expand = ["balances.feature", "subscriptions.plan", "entities", "invoices"]

    call("customers.get_or_create", **customer)
    preview = call("billing.preview_attach", **customer, plan_id=LADDER[0])
    call("billing.attach", **customer, plan_id=LADDER[0])
    call("billing.attach", **customer, plan_id="sdk_pro")
    made = call("entities.create", **seat, feature_id="sdk_seats")
    tracked = call("track", **seat, **MESSAGES, value=4)
    checked = call("check", **customer, **MESSAGES)
    flag = call("check", **customer, feature_id="sdk_sso")
    change = call(
        "billing.preview_update", **customer, plan_id=LADDER[0], cancel_action="cancel_immediately"
    )
    call("balances.create", **customer, **MESSAGES, included_grant=5)
    call("balances.update", **customer, **MESSAGES, add_to_balance=5)
    plan = call("plans.get", plan_id="sdk_pro")
    summed = call("events.aggregate", **customer, **MESSAGES, range="24h")
    limits = [{**MESSAGES, "enabled": True, "overage_limit": 20}]
    call("entities.update", **seat, billing_controls={"spend_limits": limits})
    read = call("entities.get", **seat)
    changed = call("customers.update", **customer, name="Ada")
    shown = call("customers.get_or_create", **customer, expand=expand)

    assert (made["id"], preview["total"]) == ("seat", 10)
    assert (tracked["balance"]["remaining"], checked["balance"]["remaining"]) == (106, 106)
    assert (flag["allowed"], change["intent"]) == (True, "cancel_immediately")
    assert (plan["id"], summed["total"]["sdk_messages"]["sum"]) == ("sdk_pro", 4)
    assert read["balances"]["sdk_messages"]["remaining"] == 116
    assert (changed["name"], shown["balances"]["sdk_messages"]["feature"]["id"]) == (
        "Ada",
        "sdk_messages",
    )


@pytest.mark.parametrize("version", ["latest", "2.x", "2026-13-01"])
def test_garbage_is_refused(sdk: Client, shop: Gateway, version: str) -> None:
    with pytest.raises(RefusedError) as refused:
        sdk.at(version).call("check", customer_id="anybody", **MESSAGES)

    assert refused.value.refusal == (400, "invalid_api_version")
