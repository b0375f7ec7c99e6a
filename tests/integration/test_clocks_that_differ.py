"""Two gateways whose clocks differ: what one of them begins, ends or counts, the other one goes on
with, though its own time for that has not come.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.app import Runtime
from gateway.cycles import DAY_MS, HOUR_MS
from tests.fixtures.app import Api, gateway_beside
from tests.fixtures.shop import CUSTOMER, balance, done

AHEAD_MS = 90_000
MONTH_MS = 28 * DAY_MS
"""The shortest."""

PRICE = {"amount": 20, "interval": "month"}
PAID: dict[str, Any] = {
    plan_id: {
        "group": "paid",
        "price": PRICE | {"amount": amount},
        "items": [
            {"feature_id": "messages", "included": amount * 10, "reset": {"interval": "month"}}
        ],
    }
    for plan_id, amount in (("plus", 20), ("top", 40))
}


class Ahead:
    """The time of the machine, and as much more."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + AHEAD_MS


@pytest.fixture
async def ahead(shop: Api, live_runtime: Runtime) -> AsyncIterator[Api]:
    """A gateway whose clock is ahead of that of the shop, which sells paid plans too."""
    for plan_id, fields in PAID.items():
        await done(shop, "plans.create", plan_id=plan_id, name=plan_id, **fields)
    async with gateway_beside(live_runtime, Ahead()) as api:
        yield api


async def subscription(api: Api) -> Any:  # noqa: ANN401 - JSON
    (held,) = (await done(api, "customers.get", customer_id=CUSTOMER))["subscriptions"]
    return held


async def test_a_plan_that_begins_later_for_one_is_in_its_first_cycle_for_both(
    shop: Api, ahead: Api
) -> None:
    await done(ahead, "billing.attach", customer_id=CUSTOMER, plan_id="plus")
    seen, shown = await subscription(shop), await subscription(ahead)
    assert seen == shown
    assert seen["current_period_end"] >= seen["started_at"] + MONTH_MS


async def test_it_is_canceled_as_of_the_end_of_that_cycle(shop: Api, ahead: Api) -> None:
    await done(ahead, "billing.attach", customer_id=CUSTOMER, plan_id="plus")
    cancel = {"plan_id": "plus", "cancel_action": "cancel_end_of_cycle"}
    await done(shop, "billing.update", customer_id=CUSTOMER, **cancel)
    held = await subscription(ahead)
    assert held["expires_at"] == held["current_period_end"]


async def test_another_plan_in_its_place_does_not_reset_with_its_beginning(
    shop: Api, ahead: Api
) -> None:
    await done(ahead, "billing.attach", customer_id=CUSTOMER, plan_id="plus")
    use = {"customer_id": CUSTOMER, "feature_id": "messages", "value": 150}
    await done(ahead, "balances.track", **use)
    carried = {"enabled": True}
    await done(
        shop, "billing.attach", customer_id=CUSTOMER, plan_id="top", carry_over_usages=carried
    )
    assert await balance(shop) == await balance(ahead)
    assert (await balance(ahead))["usage"] == 150


async def test_a_balance_resets_once(shop: Api, ahead: Api, live_runtime: Runtime) -> None:
    async def advance(by_ms: int) -> None:
        await done(ahead, "clock.advance", by=f"{by_ms}ms")
        await live_runtime.catalog.refresh()

    now_ms = (await done(shop, "clock.get"))["now"]
    grant = {"included_grant": 10, "reset": {"interval": "hour"}, "next_reset_at": now_ms + HOUR_MS}
    one = {"customer_id": CUSTOMER, "feature_id": "messages"}
    await done(shop, "balances.create", **one, **grant)
    await done(shop, "balances.track", **one, value=7)
    await advance(HOUR_MS - AHEAD_MS // 2)
    assert [(await balance(api))["usage"] for api in (shop, ahead)] == [7, 0]
    for api, used in ((ahead, 1), (shop, 2), (ahead, 3)):
        await done(api, "balances.track", **one, value=1)
        assert (await balance(api))["usage"] == used
    await advance(AHEAD_MS)
    assert [(await balance(api))["usage"] for api in (shop, ahead)] == [3, 3]
