"""What rolled over on a switch of plans, over HTTP and on real parts."""

from __future__ import annotations

from typing import Any

from gateway.app import Runtime
from tests.fixtures.app import Api
from tests.fixtures.shop import attach, balance, done, lose_redis, numbers, seat

ITEM: dict[str, Any] = {
    "feature_id": "messages",
    "included": 500,
    "reset": {"interval": "month"},
    "entity_feature_id": "seats",
}


async def _plan(api: Api, plan_id: str, most: int) -> None:
    item = {**ITEM, "rollover": {"max": most, "duration": "forever"}}
    await done(api, "plans.create", plan_id=plan_id, name=plan_id, items=[item])


async def test_what_slots_had_left_goes_on_within_the_new_maximum(
    shop: Api, live_runtime: Runtime
) -> None:
    await _plan(shop, "large", 1_000)
    await _plan(shop, "small", 600)
    await seat(shop, "e1", "e2")
    await attach(shop, "large")
    for _ in range(2):
        await shop.call("clock.advance", by="32d")
        assert await numbers(shop, entity_id="e1")
    assert await numbers(shop, entity_id="e1") == (1_500, 1_500, 0)
    await attach(shop, "small")
    left = (await balance(shop, entity_id="e1"))["rollovers"]
    assert [one["balance"] for one in left] == [100, 500]
    assert await numbers(shop) == (2_200, 2_200, 0)
    await lose_redis(live_runtime)
    assert await numbers(shop) == (2_200, 2_200, 0)
    await shop.call("clock.advance", by="32d")
    assert await numbers(shop, entity_id="e2") == (1_100, 1_100, 0)


async def test_what_never_ends_stays_a_dozen_balances_in_sql_as_in_redis(
    shop: Api, live_runtime: Runtime
) -> None:
    await _plan(shop, "large", 100_000)
    await seat(shop, "e1")
    await attach(shop, "large")
    for _ in range(14):
        await shop.call("clock.advance", by="32d")
        assert await numbers(shop, entity_id="e1")
    for _ in range(2):
        assert await numbers(shop) == await numbers(shop, entity_id="e1") == (7_500, 7_500, 0)
        held = (await balance(shop, entity_id="e1"))["rollovers"]
        assert [one["balance"] for one in held] == [1_500, *[500] * 11]
        await lose_redis(live_runtime)


async def test_a_plan_of_an_entity_leaves_what_its_slot_rolled_over_alone(shop: Api) -> None:
    await _plan(shop, "large", 1_000)
    item = {key: value for key, value in ITEM.items() if key != "entity_feature_id"}
    for plan_id, items in (("own", [item]), ("none", [])):
        await done(shop, "plans.create", plan_id=plan_id, name=plan_id, items=items)
    await seat(shop, "e1")
    await attach(shop, "large")
    await shop.call("clock.advance", by="32d")
    assert await numbers(shop, entity_id="e1") == (1_000, 1_000, 0)
    named = {"customer_id": "ada", "entity_id": "e1"}
    for plan_id, units in (("own", 1_500), ("none", 1_000)):
        await done(shop, "billing.attach", plan_id=plan_id, **named)
        assert await numbers(shop, entity_id="e1") == (units, units, 0)


async def test_what_rolled_over_names_the_plan_it_came_from(
    shop: Api, live_runtime: Runtime
) -> None:
    await _plan(shop, "large", 1_000)
    await seat(shop, "e1")
    await attach(shop, "large")
    await shop.call("clock.advance", by="32d")
    named = {"customer_id": "ada", "feature_id": "messages", "entity_id": "e1"}
    tracked = await done(shop, "balances.track", **named, value=600)
    told = [(one["value"], one["plan_id"]) for one in tracked["deductions"]]
    assert told == [(500, "large"), (100, "large")]
    await live_runtime.engine.subjects.caught_up()
    page = await done(shop, "events.list", customer_id="ada", feature_id="messages")
    (event,) = page["list"]
    kept = [(one["value"], one["plan_id"]) for one in event["deductions"]]
    assert sorted(kept) == sorted(told)
    await lose_redis(live_runtime)
    again = await done(shop, "balances.track", **named, value=-600, overage_behavior="overflow")
    assert {one["plan_id"] for one in again["deductions"]} == {"large"}
