"""Balances as a list of single ones, over HTTP and on real parts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.app import Api
from tests.fixtures.shop import (
    CUSTOMER,
    attach,
    balance,
    create,
    delete,
    done,
    refused,
    seat,
    track,
)

DAY_MS = 86_400_000
Json = Any


async def listed(api: Api, **request: object) -> list[Json]:
    answer = await done(api, "balances.list", customer_id=CUSTOMER, **request)
    assert (answer["has_more"], answer["next_cursor"]) == (False, None)
    return list(answer["list"])


def numbers(one: Json) -> tuple[float, float, float]:
    return one["included_grant"], one["remaining"], one["usage"]


async def test_each_balance_is_one_row(shop: Api) -> None:
    await attach(shop, "monthly")
    await create(shop, included_grant=50, balance_id="gift")
    await create(shop, "sso")
    await track(shop, 120)
    (gift, monthly) = sorted(await listed(shop), key=lambda one: one["plan_id"] or "")
    assert (gift["id"], gift["plan_id"], numbers(gift)) == ("gift", None, (50, 30, 20))
    assert (monthly["plan_id"], numbers(monthly)) == ("monthly", (100, 0, 100))
    for one in (gift, monthly):
        assert (one["customer_id"], one["entity_id"], one["source"]) == (CUSTOMER, None, "customer")
        assert (one["feature_id"], one["status"], one["rollovers"]) == ("messages", "active", [])
    of_check = {one["id"]: one for one in (await balance(shop))["breakdown"]}
    for one in (gift, monthly):
        assert of_check[one["id"]].items() <= one.items()


async def test_an_entity_has_what_it_holds_and_its_slots(shop: Api) -> None:
    await seat(shop, "e1", "e2")
    await attach(shop, "team")
    await create(shop, included_grant=7)
    await create(shop, included_grant=5, entity_id="e1", balance_id="own")
    await track(shop, 12, entity_id="e1")
    (slot, own) = sorted(await listed(shop, entity_id="e1"), key=lambda one: one["plan_id"] is None)
    assert (slot["plan_id"], numbers(slot)) == ("team", (100, 88, 12))
    assert (own["id"], numbers(own)) == ("own", (5, 5, 0))
    assert {one["entity_id"] for one in (slot, own)} == {"e1"}
    assert {one["source"] for one in (slot, own)} == {"entity"}
    (slot,) = await listed(shop, entity_id="e2")
    assert numbers(slot) == (100, 100, 0)
    shown = {one["plan_id"] or one["id"]: one for one in await listed(shop)}
    assert numbers(shown["team"]) == (200, 188, 12)
    assert (shown["team"]["entity_id"], shown["own"]["entity_id"]) == (None, "e1")
    assert len(shown) == 3


async def test_pages_go_through_every_customer(shop: Api) -> None:
    names = [f"c{number}" for number in range(4)]
    for name in names:
        await done(shop, "customers.get_or_create", customer_id=name)
        for each in range(2):
            await create(shop, customer_id=name, included_grant=5, balance_id=f"g{each}")
    await create(shop, "mails", customer_id="c0", included_grant=5)
    found: list[tuple[str, str]] = []
    cursor, pages = "", 0
    while True:
        page = await done(
            shop, "balances.list", limit=3, start_cursor=cursor, feature_id="messages"
        )
        found += [(one["customer_id"], one["id"]) for one in page["list"]]
        pages += 1
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        cursor = page["next_cursor"]
    assert pages == 3
    assert sorted(found) == [(name, f"g{each}") for name in names for each in range(2)]
    again = await done(shop, "balances.list", limit=200, feature_id="messages")
    assert [(one["customer_id"], one["id"]) for one in again["list"]] == found


async def test_plan_and_standalone_balances_are_told_apart(shop: Api) -> None:
    await attach(shop, "monthly")
    await create(shop, included_grant=50)
    assert [one["plan_id"] for one in await listed(shop, plan_id="monthly")] == ["monthly"]
    assert [one["plan_id"] for one in await listed(shop, plan_id=None)] == [None]
    assert await listed(shop, plan_id="none") == []
    assert len(await listed(shop)) == 2


async def test_what_has_expired_is_listed_when_asked_for(shop: Api) -> None:
    now_ms = (await done(shop, "clock.get"))["now"]
    await create(shop, included_grant=50, expires_at=now_ms + DAY_MS, balance_id="brief")
    await create(shop, included_grant=9, expires_at=now_ms + DAY_MS, balance_id="deleted")
    await delete(shop, feature_id="messages", balance_id="deleted")
    await create(shop, included_grant=5, balance_id="lasting")
    await track(shop, 20)
    assert [one["id"] for one in await listed(shop, statuses=["expired"])] == []
    await shop.call("clock.advance", by="2d")
    for _ in range(2):  # before it is settled and after
        (expired,) = await listed(shop, statuses=["expired"])
        assert (expired["id"], expired["status"]) == ("brief", "expired")
        assert (numbers(expired), expired["expires_at"]) == ((50, 30, 20), now_ms + DAY_MS)
        assert [one["id"] for one in await listed(shop)] == ["lasting"]
        both = await listed(shop, statuses=["active", "expired"])
        assert {one["id"]: one["status"] for one in both} == {
            "brief": "expired",
            "lasting": "active",
        }
        await track(shop, 1)


async def test_a_balance_expires_with_its_plan(shop: Api) -> None:
    await seat(shop, "e1", "e2")
    await attach(shop, "team")
    await track(shop, 30, entity_id="e1")
    await attach(shop, "monthly")
    (of_team,) = await listed(shop, statuses=["expired"])
    assert (of_team["plan_id"], numbers(of_team)) == ("team", (200, 170, 30))
    (slot,) = await listed(shop, statuses=["expired"], entity_id="e1")
    assert (slot["entity_id"], numbers(slot)) == ("e1", (100, 70, 30))
    assert [one["plan_id"] for one in await listed(shop)] == ["monthly"]
    await seat(shop, "late")
    assert await listed(shop, statuses=["expired"], entity_id="late") == []


async def test_resets_and_rollovers_show_as_a_check_shows_them(shop: Api) -> None:
    await attach(shop, "rolling")
    await track(shop, 70)
    await shop.call("clock.advance", by="32d")
    (one,) = await listed(shop)
    assert numbers(one) == (100, 100, 0)
    assert one["reset"]["resets_at"] > (await done(shop, "clock.get"))["now"]
    assert one["rollovers"] == (await balance(shop))["rollovers"]
    assert [left["balance"] for left in one["rollovers"]] == [30]
    await track(shop, 10)
    (one,) = await listed(shop)
    assert [(left["granted"], left["balance"]) for left in one["rollovers"]] == [(30, 20)]


async def test_a_deleted_customer_has_no_balances_left(shop: Api) -> None:
    await create(shop, included_grant=5)
    assert len((await done(shop, "balances.list"))["list"]) == 1
    await done(shop, "customers.delete", customer_id=CUSTOMER)
    page = await done(shop, "balances.list", statuses=["active", "expired"])
    assert page["list"] == []


@pytest.mark.parametrize(
    ("request_", "status", "named"),
    [
        ({"customer_id": "nobody"}, 404, "Customer nobody not found"),
        ({"entity_id": "nobody"}, 404, "Entity nobody not found"),
        ({"feature_id": "nothing"}, 404, "Feature nothing not found"),
        ({"customer_id": None, "entity_id": "e1"}, 400, "entity_id"),
        ({"limit": 0}, 400, "limit"),
        ({"limit": 201}, 400, "limit"),
        ({"statuses": ["gone"]}, 400, "statuses.0"),
        ({"statuses": ["active"] * 3}, 400, "statuses"),
        ({"plan_id": "a b"}, 400, "plan_id"),
        ({"start_cursor": "junk"}, 400, "The cursor was not issued by this endpoint."),
        ({"start_cursor": "x" * 1025}, 400, "start_cursor"),
    ],
)
async def test_a_list_that_breaks_a_rule_is_refused(
    shop: Api, request_: dict[str, object], status: int, named: str
) -> None:
    answer = await refused(shop, "balances.list", **request_)
    assert (answer[0], answer[1].split(":")[0]) == (status, named)
