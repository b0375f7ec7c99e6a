"""Billing controls as the published clients of 2.x can say and read them."""

from __future__ import annotations

import pytest

from tests.clients.shop import new_id
from tests.fixtures.gateways import Gateway
from tests.fixtures.sdks import Client, Json, RefusedError

MESSAGES = {"feature_id": "sdk_messages"}
OLDEST = ("js-1.0", "js-1.2")
"""Clients from before usage limits."""

NO_BASIS = (*OLDEST, "py-1.0")
"""Clients whose alerts have no basis."""


def limited(**properties: Json) -> Json:
    limit = {**MESSAGES, "enabled": True, "limit": 5, "interval": "day", "anchor": "utc"}
    return {"usage_limits": [{**limit, "filter": {"properties": properties}}]}


def test_a_filter_of_several_values_can_be_read(sdk: Client, shop: Gateway) -> None:
    customer = {"customer_id": new_id("filtered")}
    controls = limited(tier=["a", 2])
    shop.call("customers.get_or_create", **customer, billing_controls=controls)
    shop.call("plans.create", plan_id=customer["customer_id"], name="P", billing_controls=controls)

    shown = sdk.call("customers.get_or_create", **customer)
    plan = sdk.call("plans.get", plan_id=customer["customer_id"])
    listed = sdk.call("customers.list", search=customer["customer_id"])

    if sdk.name not in OLDEST:
        for one in (shown, plan, *listed["list"]):
            (limit,) = one["billing_controls"]["usage_limits"]
            assert limit["filter"]["properties"] == {"tier": '["a","2"]'}


def test_a_filter_that_was_read_may_be_sent_again(sdk: Client, shop: Gateway) -> None:
    if sdk.name in OLDEST:
        return
    customer = {"customer_id": new_id("filtered")}
    shop.call("customers.get_or_create", **customer)
    shop.call("balances.create", **customer, **MESSAGES, included_grant=100)
    sdk.call("customers.update", **customer, billing_controls=limited(tier='["a","2"]'))

    taken = []
    for tier in ("a", 2, "b"):
        answer = shop.call(
            "balances.track", **customer, **MESSAGES, value=3, properties={"tier": tier}
        )
        taken.append(sum(one["value"] for one in answer["deductions"]))

    assert taken == [3, 2, 3]


@pytest.mark.parametrize(
    "entry",
    [{"basis": "included"}, {"basis": "usage_limit", "filter": {"properties": {"tier": 1}}}],
)
def test_an_alert_of_another_basis_is_refused_by_name(
    sdk: Client, shop: Gateway, entry: Json
) -> None:
    if sdk.name in NO_BASIS:
        return
    customer_id = new_id("alerted")
    alert = {**MESSAGES, "threshold": 80, "threshold_type": "usage_percentage"}
    sdk.call(
        "customers.get_or_create",
        customer_id=customer_id,
        billing_controls={"usage_alerts": [{**alert, "basis": "balance"}]},
    )

    with pytest.raises(RefusedError) as refused:
        sdk.call(
            "customers.update",
            customer_id=customer_id,
            billing_controls={"usage_alerts": [{**alert, **entry}]},
        )

    assert refused.value.refusal == (400, "not_supported")
    assert "billing_controls.usage_alerts.0." in refused.value.body
