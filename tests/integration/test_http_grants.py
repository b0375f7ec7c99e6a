"""Grants over HTTP, on real parts: what the scenarios of the specification say."""

from __future__ import annotations

import asyncio

import pytest

from gateway.app import Runtime
from tests.fixtures.app import Api
from tests.fixtures.shop import (
    CUSTOMER,
    allowed,
    attach,
    balance,
    create,
    delete,
    done,
    lose_redis,
    numbers,
    refused,
    seat,
    track,
    update,
)

DAY_MS = 86_400_000


async def test_a_grant_can_be_spent_without_a_plan(shop: Api) -> None:
    await create(shop, included_grant=500)
    assert [await allowed(shop, amount) for amount in (1, 400, 999)] == [True, True, False]
    shown = await balance(shop)
    assert (shown["remaining"], shown["breakdown"][0]["plan_id"]) == (500, None)
    assert shown["breakdown"][0]["included_grant"] == 500
    assert shown["next_reset_at"] is None


async def test_a_grant_adds_to_a_plan(shop: Api) -> None:
    await attach(shop, "monthly")
    await create(shop, included_grant=500)
    assert [await allowed(shop, amount) for amount in (550, 700)] == [True, False]
    shown = await balance(shop)
    assert shown["remaining"] == 600
    assert [one["plan_id"] for one in shown["breakdown"]] == ["monthly", None]


async def test_a_grant_of_an_entity_is_its_own(shop: Api) -> None:
    await seat(shop, "e1", "e2")
    await create(shop, included_grant=100, entity_id="e1")
    await create(shop, included_grant=500, entity_id="e2")
    assert not await allowed(shop, 200, entity_id="e1")
    assert await allowed(shop, 400, entity_id="e2")
    assert await numbers(shop, entity_id="e1") == (100, 100, 0)
    assert await numbers(shop) == (600, 600, 0)


async def test_a_named_reset_is_kept_and_later_ones_follow_it(shop: Api) -> None:
    now_ms = (await done(shop, "clock.get"))["now"]
    first_ms = now_ms + 10 * DAY_MS
    reset = {"interval": "month"}
    await create(shop, included_grant=50, reset=reset, next_reset_at=first_ms)
    assert (await balance(shop))["next_reset_at"] == first_ms
    await track(shop, 20)
    await shop.call("clock.advance", by="10d")
    await shop.call("clock.advance", by="1h")
    shown = await balance(shop)
    assert (shown["remaining"], shown["usage"]) == (50, 0)
    assert 28 * DAY_MS <= shown["next_reset_at"] - first_ms <= 31 * DAY_MS


async def test_a_grant_that_expires_comes_once(shop: Api) -> None:
    now_ms = (await done(shop, "clock.get"))["now"]
    ends = now_ms + 90 * DAY_MS
    await create(shop, included_grant=50, reset={"interval": "month"}, expires_at=ends)
    shown = await balance(shop)
    assert shown["breakdown"][0]["reset"] == {"interval": "month", "resets_at": None}
    assert shown["next_reset_at"] is None
    await track(shop, 20)
    await shop.call("clock.advance", by="31d")
    assert await numbers(shop) == (50, 30, 20)


async def test_what_a_grant_has_left_rolls_over(shop: Api) -> None:
    rollover = {"max": 30, "duration": "forever"}
    await create(shop, included_grant=50, reset={"interval": "month"}, rollover=rollover)
    await track(shop, 10)
    await shop.call("clock.advance", by="31d")
    assert await numbers(shop) == (80, 80, 0)
    await attach(shop, "rolling")
    await shop.call("clock.advance", by="31d")
    assert await numbers(shop) == (50 + 30 + 100 + 50, 230, 0)


async def test_rollovers_end_with_their_balance(shop: Api) -> None:
    rollover = {"expiry_duration_type": "forever"}
    await create(
        shop, included_grant=50, reset={"interval": "month"}, rollover=rollover, balance_id="a"
    )
    await create(shop, included_grant=7)
    await shop.call("clock.advance", by="31d")
    assert await numbers(shop) == (107, 107, 0)
    await delete(shop, feature_id="messages", balance_id="a")
    assert await numbers(shop) == (7, 7, 0)


async def test_a_grant_that_has_expired_is_gone_and_its_id_free(shop: Api) -> None:
    expires_at = (await done(shop, "clock.get"))["now"] + DAY_MS
    await create(shop, included_grant=50, expires_at=expires_at, balance_id="gift")
    assert (await balance(shop))["breakdown"][0]["expires_at"] == expires_at
    await shop.call("clock.advance", by="2d")
    assert await balance(shop) is None
    await track(shop, 1)
    await create(shop, included_grant=20, balance_id="gift")
    assert await numbers(shop) == (20, 20, 0)


@pytest.mark.parametrize("owner", [{}, {"entity_id": "e1"}, {"feature_id": "mails"}])
async def test_the_id_of_a_grant_is_free_from_its_expiry_on(
    shop: Api, owner: dict[str, str]
) -> None:
    await seat(shop, "e1")
    expires_at = (await done(shop, "clock.get"))["now"] + DAY_MS
    await create(shop, included_grant=5)
    await create(shop, included_grant=50, expires_at=expires_at, balance_id="gift", **owner)
    await shop.call("clock.advance", by="2d")  # and nobody has used anything since
    await create(shop, included_grant=20, balance_id="gift")
    assert await numbers(shop) == (25, 25, 0)
    await track(shop, 22)
    assert await numbers(shop) == (25, 3, 22)
    status, _ = await refused(
        shop, "balances.create", feature_id="messages", included_grant=1, balance_id="gift"
    )
    assert status == 409


async def test_a_balance_id_is_given_once_a_customer(shop: Api) -> None:
    await create(shop, included_grant=100, balance_id="my-balance")
    for feature_id in ("messages", "mails"):
        status, message = await refused(
            shop,
            "balances.create",
            feature_id=feature_id,
            included_grant=1,
            balance_id="my-balance",
        )
        assert (status, message.split(":")[0]) == (409, "balance_id")
    await create(shop, included_grant=200, balance_id="other")
    shown = await balance(shop)
    assert {one["id"] for one in shown["breakdown"]} == {"my-balance", "other"}
    assert shown["remaining"] == 300
    await done(shop, "customers.get_or_create", customer_id="bob")
    await create(shop, customer_id="bob", included_grant=100, balance_id="my-balance")


async def test_of_six_at_once_with_one_id_one_is_given(shop: Api) -> None:
    body = {"customer_id": CUSTOMER, "feature_id": "messages", "included_grant": 5}
    answers = await asyncio.gather(
        *(shop.call("balances.create", **body, balance_id="once") for _ in range(6))
    )
    assert sorted(answer.status for answer in answers) == [200, *[409] * 5]
    assert len((await balance(shop))["breakdown"]) == 1


async def test_a_lost_customer_comes_back_with_its_ids_taken(
    shop: Api, live_runtime: Runtime
) -> None:
    await create(shop, included_grant=100, balance_id="gift")
    await track(shop, 30)
    await lose_redis(live_runtime)
    assert await numbers(shop) == (100, 70, 30)
    status, _ = await refused(
        shop, "balances.create", feature_id="messages", included_grant=1, balance_id="gift"
    )
    assert status == 409
    await update(shop, balance_id="gift", included_grant=150, expires_at=10**13 - 1)
    await lose_redis(live_runtime)
    assert await numbers(shop) == (150, 120, 30)
    assert (await balance(shop))["breakdown"][0]["expires_at"] == 10**13 - 1


async def test_a_boolean_feature_is_granted_once(shop: Api) -> None:
    await create(shop, "sso")
    answer = await done(shop, "balances.check", customer_id=CUSTOMER, feature_id="sso")
    assert (answer["allowed"], answer["flag"]["plan_id"]) == (True, None)
    status, _ = await refused(shop, "balances.create", feature_id="sso")
    assert status == 409
    status, message = await refused(shop, "balances.update", feature_id="sso", remaining=1)
    assert (status, message) == (400, "remaining: a boolean feature has none")
    await delete(shop, feature_id="sso")
    answer = await done(shop, "balances.check", customer_id=CUSTOMER, feature_id="sso")
    assert (answer["allowed"], answer["flag"]) == (False, None)


async def test_a_grant_of_seats_counts_the_entities_there_are(shop: Api) -> None:
    await seat(shop, "e1", "e2")
    await create(shop, "seats", included_grant=5)
    assert await numbers(shop, feature_id="seats") == (5, 3, 2)
    status, message = await refused(
        shop, "balances.create", feature_id="seats", entity_id="e1", included_grant=1
    )
    assert (status, message.split(":")[0]) == (400, "feature_id")


async def test_a_large_grant_makes_an_unused_feature_coarser(shop: Api) -> None:
    await create(shop, "mails", included_grant=10**12)
    shown = await done(shop, "features.get", feature_id="mails")
    assert shown["precision"] == 3
    status, message = await refused(
        shop, "balances.create", feature_id="mails", included_grant=10**13
    )
    assert (status, message.split(":")[0]) == (400, "included_grant")


@pytest.mark.parametrize(
    ("request_", "status", "named"),
    [
        ({"customer_id": "nobody", "included_grant": 1}, 404, "Customer nobody not found"),
        ({"entity_id": "nobody", "included_grant": 1}, 404, "Entity nobody not found"),
        ({"feature_id": "nothing", "included_grant": 1}, 404, "Feature nothing not found"),
        ({}, 400, "included_grant"),
        ({"included_grant": 1, "unlimited": True}, 400, "unlimited"),
        ({"unlimited": True, "reset": {"interval": "month"}}, 400, "reset"),
        ({"included_grant": 1, "rollover": {"expiry_duration_length": 1}}, 400, "rollover"),
        ({"included_grant": 1, "next_reset_at": 2 * 10**12}, 400, "next_reset_at"),
        ({"included_grant": 1, "expires_at": 10**12}, 400, "expires_at"),
        (
            {
                "included_grant": 1,
                "reset": {"interval": "year"},
                "rollover": {"expiry_duration_length": 1},
                "expires_at": 1,
            },
            400,
            "expires_at",
        ),
        ({"feature_id": "sso", "included_grant": 1}, 400, "included_grant"),
        ({"feature_id": "sso", "reset": {"interval": "month"}}, 400, "reset"),
        (
            {"feature_id": "seats", "included_grant": 1, "reset": {"interval": "month"}},
            400,
            "reset",
        ),
    ],
)
async def test_a_create_that_breaks_a_rule_is_refused(
    shop: Api, request_: dict[str, object], status: int, named: str
) -> None:
    body = {"feature_id": "messages", **request_}
    answer = await refused(shop, "balances.create", **body)
    assert (answer[0], answer[1].split(":")[0]) == (status, named)
    assert (await done(shop, "balances.list", customer_id=CUSTOMER))["list"] == []


async def test_a_grant_that_never_resets_says_so(shop: Api) -> None:
    await create(shop, included_grant=100, balance_id="gift")
    await create(shop, "seats", included_grant=3)
    (shown,) = (await balance(shop))["breakdown"]
    assert shown["reset"] == {"interval": "one_off", "resets_at": None}
    use = {"customer_id": CUSTOMER, "feature_id": "messages"}
    (deduction,) = (await done(shop, "balances.track", **use))["deductions"]
    assert (deduction["balance_id"], deduction["reset"]) == ("gift", shown["reset"])
    (seats,) = (await balance(shop, feature_id="seats"))["breakdown"]
    assert seats["reset"] is None
