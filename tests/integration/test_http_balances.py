"""Balances set, changed and ended by hand over HTTP, on real parts."""

from __future__ import annotations

import asyncio

import pytest

from tests.fixtures.app import Api
from tests.fixtures.shop import (
    CUSTOMER,
    attach,
    balance,
    create,
    delete,
    done,
    numbers,
    refused,
    seat,
    track,
    update,
)

DAY_MS = 86_400_000


async def test_what_is_left_is_set_and_the_grant_stays(shop: Api) -> None:
    await create(shop, included_grant=100)
    await update(shop, remaining=80)
    assert await numbers(shop) == (100, 80, 20)
    await update(shop, remaining=120)
    assert await numbers(shop) == (100, 120, -20)
    await track(shop, 30)
    await update(shop, remaining=50)
    assert await numbers(shop) == (100, 50, 50)
    await update(shop, current_balance=60)
    await update(shop, add_to_balance=15.5)
    assert await numbers(shop) == (100, 75.5, 24.5)


async def test_balances_are_told_apart_by_their_interval(shop: Api) -> None:
    await attach(shop, "monthly")
    await create(shop, included_grant=200)
    await update(shop, interval="month", remaining=50)
    await update(shop, interval="one_off", remaining=100)
    shown = (await balance(shop))["breakdown"]
    assert [(one["remaining"], one["usage"]) for one in shown] == [(50, 50), (100, 100)]


async def test_slots_of_entities_are_set_together_and_one_by_one(shop: Api) -> None:
    await seat(shop, "e1", "e2", "e3")
    await attach(shop, "team")

    async def left() -> list[float]:
        return [(await balance(shop, entity_id=name))["remaining"] for name in ("e1", "e2", "e3")]

    await update(shop, remaining=240)
    assert await left() == [40, 100, 100]
    await update(shop, remaining=150)
    assert await left() == [0, 50, 100]
    await update(shop, remaining=280)
    assert (await balance(shop))["remaining"] == sum(await left()) == 280
    await update(shop, entity_id="e1", remaining=-50)
    assert await numbers(shop, entity_id="e1") == (100, 0, 150)


async def test_what_is_used_is_set(shop: Api) -> None:
    await create(shop, included_grant=100)
    for usage, left in ((30, 70), (27.35, 72.65), (0, 100), (130, 0), (-20, 120)):
        await update(shop, usage=usage)
        assert await numbers(shop) == (100, left, usage)
    answer = await done(
        shop, "usage", customer_id=CUSTOMER, feature_id="messages", value=42, entity_id=None
    )
    assert answer == {"success": True}
    assert await numbers(shop) == (100, 58, 42)


async def test_set_usage_creates_the_customer_with_its_default_plan(shop: Api) -> None:
    free = [{"feature_id": "mails", "included": 10, "reset": {"interval": "month"}}]
    await done(shop, "plans.create", plan_id="free", name="F", auto_enable=True, items=free)
    await done(shop, "usage", customer_id="new", feature_id="mails", value=4)
    assert await numbers(shop, customer_id="new", feature_id="mails") == (10, 6, 4)
    status, _ = await refused(shop, "usage", customer_id="new", feature_id="messages", value=4)
    assert status == 404


@pytest.mark.parametrize(
    "seat_of", [{}, {"entity_id": "e1", "entity_data": {"feature_id": "seats"}}]
)
async def test_nobody_is_created_for_usage_of_what_they_would_not_hold(
    shop: Api, seat_of: dict[str, object]
) -> None:
    usage = {"feature_id": "messages", "value": 4, **seat_of}
    assert (await refused(shop, "usage", customer_id="new", **usage))[0] == 404
    assert (await refused(shop, "customers.get", customer_id="new"))[0] == 404


async def test_usage_is_set_of_an_entity_that_is_created_for_it(shop: Api) -> None:
    await attach(shop, "team")
    created = {"entity_id": "e1", "entity_data": {"feature_id": "seats"}}
    usage = {"customer_id": CUSTOMER, "feature_id": "messages", "value": 4}
    await done(shop, "usage", **usage, **created)
    assert await numbers(shop, entity_id="e1") == (100, 96, 4)


async def test_a_grant_is_changed_with_what_is_left(shop: Api) -> None:
    await create(shop, included_grant=100)
    await track(shop, 30)
    await update(shop, remaining=50, included_grant=100)
    assert await numbers(shop) == (100, 50, 50)
    await update(shop, remaining=80, included_grant=150)
    assert await numbers(shop) == (150, 80, 70)
    await update(shop, remaining=100, included_grant=100)
    assert await numbers(shop) == (100, 100, 0)


async def test_reset_and_expiry_are_changed(shop: Api) -> None:
    await attach(shop, "monthly")
    await track(shop, 30)
    next_ms = (await done(shop, "clock.get"))["now"] + 5 * DAY_MS
    await update(shop, next_reset_at=next_ms, expires_at=next_ms + 2 * DAY_MS)
    shown = await balance(shop)
    assert (shown["next_reset_at"], shown["usage"]) == (next_ms, 30)
    await shop.call("clock.advance", by="6d")
    assert await numbers(shop) == (100, 100, 0)
    await shop.call("clock.advance", by="2d")
    assert await balance(shop) is None


@pytest.mark.parametrize(
    ("request_", "status", "named"),
    [
        ({}, 400, "input"),
        ({"remaining": 1, "usage": 1}, 400, "remaining"),
        ({"usage": 1, "add_to_balance": 1}, 400, "add_to_balance"),
        ({"remaining": "5"}, 400, "remaining"),
        ({"remaining": 1e17}, 400, "remaining"),
        ({"expires_at": 1}, 400, "expires_at"),
        ({"expires_at": 9 * 10**12}, 400, "expires_at"),
        ({"next_reset_at": 9 * 10**12, "balance_id": "life"}, 400, "next_reset_at"),
        ({"usage": 1, "balance_id": "other"}, 404, "no balance of feature messages fits"),
        ({"usage": 1, "interval": "year"}, 404, "no balance of feature messages fits"),
        ({"usage": 1, "feature_id": "mails"}, 404, "no balance of feature mails fits"),
        ({"usage": 1, "customer_id": "nobody"}, 404, "Customer nobody not found"),
    ],
)
async def test_an_update_that_breaks_a_rule_is_refused(
    shop: Api, request_: dict[str, object], status: int, named: str
) -> None:
    await attach(shop, "paid")
    await create(shop, included_grant=10, balance_id="life")
    before = await done(shop, "balances.list", customer_id=CUSTOMER)
    body = {"feature_id": "messages", **request_}
    answer = await refused(shop, "balances.update", **body)
    assert answer[0] == status
    assert answer[1].startswith(named)
    assert await done(shop, "balances.list", customer_id=CUSTOMER) == before


async def test_an_update_of_what_an_entity_may_not_spend_is_refused(shop: Api) -> None:
    """Nothing would move: that is not answered as done (design section 11)."""
    config = {"disable_pooled_balance": True}
    await done(shop, "customers.update", customer_id=CUSTOMER, config=config)
    await seat(shop, "e1")
    await create(shop, included_grant=100, balance_id="ours")
    named = {"feature_id": "messages", "entity_id": "e1"}
    assert (await refused(shop, "balances.update", **named, remaining=5))[0] == 404
    assert (await refused(shop, "usage", **named, value=5))[0] == 404
    await create(shop, included_grant=10, balance_id="own", entity_id="e1")
    named["balance_id"] = "ours"
    assert (await refused(shop, "balances.update", **named, remaining=5))[0] == 404
    await update(shop, entity_id="e1", remaining=5)
    assert await numbers(shop, entity_id="e1") == (10, 5, 5)
    await delete(shop, **named | {"balance_id": "own"}, recalculate_balances=True)
    assert await numbers(shop, entity_id="e1") == (0, 0, 5)


async def test_what_is_one_for_each_entity_has_nothing_to_set_without_one(shop: Api) -> None:
    await attach(shop, "team")
    assert (await refused(shop, "balances.update", feature_id="messages", remaining=5))[0] == 404
    assert (await refused(shop, "usage", feature_id="messages", value=5))[0] == 404
    await create(shop, included_grant=10, balance_id="own")
    await track(shop, 6)
    await delete(shop, feature_id="messages", balance_id="own", recalculate_balances=True)
    assert await numbers(shop) == (0, 0, 6)
    reset_at = (await balance(shop))["next_reset_at"] + DAY_MS
    await update(shop, interval="month", next_reset_at=reset_at)
    assert (await balance(shop))["next_reset_at"] == reset_at
    await seat(shop, "e1")
    await update(shop, interval="month", remaining=5)
    assert await numbers(shop, entity_id="e1") == (100, 5, 101)


async def test_use_and_set_usage_at_once_add_up(shop: Api) -> None:
    await create(shop, included_grant=100)
    await asyncio.gather(update(shop, usage=50), *(track(shop, 1) for _ in range(3)))
    granted, left, used = await numbers(shop)
    assert left in {47, 48, 49, 50}
    assert left + used == granted == 100


async def test_a_balance_is_deleted(shop: Api) -> None:
    await create(shop, included_grant=100, balance_id="a")
    await create(shop, included_grant=200, balance_id="b")
    await delete(shop, feature_id="messages", balance_id="a")
    assert await numbers(shop) == (200, 200, 0)
    await delete(shop, balance_id="b")
    assert await balance(shop) is None


@pytest.mark.parametrize("used", [40, 130])
async def test_what_was_used_of_a_deleted_balance_is_taken_from_another(
    shop: Api, used: float
) -> None:
    await create(shop, included_grant=100, balance_id="a")
    await create(shop, included_grant=200, balance_id="b")
    await update(shop, balance_id="a", usage=used)
    await delete(shop, feature_id="messages", balance_id="a", recalculate_balances=True)
    assert await numbers(shop) == (200, 200 - used, used)


async def test_the_last_balance_stays_to_carry_what_was_used(shop: Api) -> None:
    await create(shop, included_grant=100, balance_id="a", reset={"interval": "day"})
    await track(shop, 40)
    await delete(shop, feature_id="messages", recalculate_balances=True)
    assert await numbers(shop) == (0, 0, 40)
    await shop.call("clock.advance", by="2d")
    shown = await balance(shop)
    assert (shown["usage"], shown["next_reset_at"]) == (40, None)
    await create(shop, included_grant=10)
    assert await numbers(shop) == (10, 10, 40)


async def test_a_delete_that_breaks_a_rule_is_refused(shop: Api) -> None:
    await seat(shop, "e1")
    await attach(shop, "paid")
    answers = [
        await refused(shop, "balances.delete", **request)
        for request in (
            {"feature_id": "messages"},
            {"feature_id": "mails"},
            {"feature_id": "messages", "balance_id": "none"},
            {"balance_id": "none"},
            {"feature_id": "messages", "entity_id": "e1"},
            {"balance_id": "none", "recalculate_balances": True},
            {},
        )
    ]
    assert [status for status, _ in answers] == [409, 404, 404, 404, 404, 400, 400]
    assert answers[5][1].startswith("feature_id: is required")
    assert await numbers(shop) == (100, 100, 0)
