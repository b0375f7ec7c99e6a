"""Two gateways on one Redis and one SQL: what one of them changes of the catalog, and what the
other one makes of it a moment later.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fixtures.app import Api
from tests.fixtures.shop import CUSTOMER, balance, done, numbers, track

ATTACH = {"customer_id": CUSTOMER, "plan_id": "monthly"}
MORE = [{"feature_id": "messages", "included": 500, "reset": {"interval": "month"}}]


@pytest.fixture
async def beside(shop: Api, api_beside: Api) -> Api:
    """The second gateway, which has seen the catalog of the shop."""
    await done(api_beside, "plans.get", plan_id="monthly")
    return api_beside


async def test_a_plan_that_was_changed_elsewhere_is_given_as_it_is_now(
    shop: Api, beside: Api
) -> None:
    await done(shop, "plans.update", plan_id="monthly", items=MORE)
    await done(beside, "billing.attach", **ATTACH)
    assert (await balance(shop))["granted"] == 500
    view = await done(shop, "customers.get", customer_id=CUSTOMER, expand=["subscriptions.plan"])
    (held,) = view["subscriptions"]
    assert [item["included"] for item in held["plan"]["items"]] == [500]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (("plans.delete", {}), (404, "product_not_found")),
        (("plans.update", {"archived": True}), (400, "invalid_request")),
    ],
)
async def test_a_plan_that_was_taken_away_elsewhere_is_not_given(
    shop: Api, beside: Api, change: tuple[str, Any], refusal: tuple[int, str]
) -> None:
    operation, fields = change
    await done(shop, operation, plan_id="monthly", **fields)
    assert (await beside.call("billing.attach", **ATTACH)).error == refusal


async def test_a_version_that_was_changed_elsewhere_is_what_a_customer_moves_to(
    shop: Api, beside: Api
) -> None:
    await done(shop, "billing.attach", **ATTACH)
    await done(shop, "plans.update", plan_id="monthly", items=[])
    await done(beside, "plans.get", plan_id="monthly", version=2)
    await done(shop, "plans.update", plan_id="monthly", items=MORE, disable_version=True)
    await done(beside, "billing.update", **ATTACH, version=2)
    assert (await balance(shop))["granted"] == 500


async def test_a_customer_that_names_its_first_plan_gets_what_that_gives_now(
    shop: Api, beside: Api
) -> None:
    await done(shop, "plans.update", plan_id="monthly", items=MORE)
    named = {"customer_id": "eve", "auto_enable_plan_id": "monthly"}
    await done(beside, "customers.get_or_create", **named)
    assert (await balance(shop, customer_id="eve"))["granted"] == 500


@pytest.mark.parametrize(
    ("consumable", "operation", "fields", "status"),
    [
        (True, "balances.create", {"included_grant": 5, "reset": {"interval": "month"}}, 400),
        (True, "balances.create", {"included_grant": 5}, 200),
        (False, "entities.create", {"entity_id": "bob"}, 400),
    ],
)
async def test_a_feature_of_another_kind_by_now_is_not_used_as_the_old_one(
    shop: Api, beside: Api, *, consumable: bool, operation: str, fields: dict[str, Any], status: int
) -> None:
    kind = {"feature_id": "desks", "name": "Desks", "type": "metered"}
    await done(shop, "features.create", **kind, consumable=consumable)
    await done(beside, "features.get", feature_id="desks")
    await done(shop, "features.update", feature_id="desks", consumable=not consumable)
    call = {"customer_id": CUSTOMER, "feature_id": "desks", **fields}
    first = await beside.call(operation, **call)
    assert first.error == (503, "service_unavailable")
    assert first.body["message"] == "feature desks is being changed; try again"
    assert (await beside.call(operation, **call)).status == status


@pytest.mark.parametrize("ends", ["canceled", "over"])
async def test_a_paused_plan_comes_back_once_whoever_is_asked(
    shop: Api, beside: Api, ends: str
) -> None:
    for plan_id, amount in (("plus", 20), ("top", 40)):
        price = {"amount": amount, "interval": "month"}
        fields = {"plan_id": plan_id, "name": plan_id, "group": "paid", "items": MORE}
        await done(shop, "plans.create", **fields, price=price)
    await done(shop, "billing.attach", customer_id=CUSTOMER, plan_id="plus")
    await track(shop, 30)
    trial = {"duration_length": 1, "duration_type": "day", "on_end": "revert"}
    named = {"customer_id": CUSTOMER, "plan_id": "top"}
    await done(beside, "billing.attach", **named, free_trial=trial)
    assert await numbers(shop) == (500, 500, 0)
    gateways = (shop, beside) * 4
    if ends == "canceled":
        cancel = named | {"cancel_action": "cancel_immediately"}
        calls = [one.call("billing.update", **cancel) for one in gateways]
        statuses = sorted(answer.status for answer in await asyncio.gather(*calls))
        assert statuses == [200, *[404] * 7]
    else:
        await done(shop, "clock.advance", by="25h")
    uses = [track(one, 1) for one in gateways]
    await asyncio.gather(*uses)
    for one in (shop, beside):
        assert await numbers(one) == (500, 462, 38)
        view = await done(one, "customers.get", customer_id=CUSTOMER)
        assert [held["plan_id"] for held in view["subscriptions"]] == ["plus"]
