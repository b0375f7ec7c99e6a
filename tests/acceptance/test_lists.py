"""Lists over HTTP: in both orders, from and until a time."""

from __future__ import annotations

import pytest

from tests.acceptance.world import World
from tests.fixtures.gateways import Json


@pytest.fixture
def customers(world: World) -> list[Json]:
    """Three customers in the order of a list that begins with the oldest."""
    made = [
        world.gateway.call("customers.get_or_create", customer_id=f"{world.customer}:{number}")
        for number in range(3)
    ]
    found = world.gateway.call(
        "customers.list", search=f"{world.customer}:", sort_order="asc", created_at_range={}
    )
    assert {one["id"] for one in found["list"]} == {one["id"] for one in made}
    ages: list[int] = [one["created_at"] for one in found["list"]]
    assert ages == sorted(ages)
    listed: list[Json] = found["list"]
    return listed


def test_customers_are_paged_in_either_order(world: World, customers: list[Json]) -> None:
    for order, expected in (("asc", customers), ("desc", customers[::-1])):
        asked = {"search": f"{world.customer}:", "sort_order": order, "limit": 2}
        first = world.gateway.call("customers.list", **asked)
        last = world.gateway.call("customers.list", **asked, start_cursor=first["next_cursor"])
        assert first["list"] + last["list"] == expected
        assert last["next_cursor"] is None
        turned = {"asc": "desc", "desc": "asc"}[order]
        wrong = asked | {"sort_order": turned, "start_cursor": first["next_cursor"]}
        assert world.gateway.refusal("customers.list", **wrong) == (400, "invalid_cursor")


def test_customers_are_listed_by_their_creation(world: World, customers: list[Json]) -> None:
    def listed(**created: float) -> list[str]:
        asked = {"search": f"{world.customer}:", "created_at_range": created, "sort_order": "asc"}
        return [one["id"] for one in world.gateway.call("customers.list", **asked)["list"]]

    names = [one["id"] for one in customers]
    first, last = customers[0]["created_at"], customers[-1]["created_at"]
    assert listed(start=float(first), end=float(last)) == names
    assert listed(start=first) == listed(end=last) == names
    assert listed(start=last + 1) == listed(end=first - 1) == []


@pytest.mark.parametrize("version", ["2.1", "2.2"])
def test_a_page_by_offset_says_how_many_there_are(world: World, version: str) -> None:
    world.entities("a", "b")
    pages = {"entities.list": "customer_id", "customers.list": "search"}
    for (name, field), total in zip(pages.items(), (2, 1), strict=True):
        body = {field: world.customer, "limit": 1}
        page = world.gateway.post(name, body, **{"x-api-version": version}).json()
        counts = ("total", "total_count", "total_filtered_count")
        assert [page[count] for count in counts] == [total] * 3
        assert (page["has_more"], page["offset"], page["limit"]) == (total > 1, 0, 1)


def test_no_customer_has_a_payment_processor(world: World) -> None:
    world.entities("seat")
    asked = {"search": world.customer, "processors": ["stripe"]}
    assert world.gateway.call("customers.list", **asked) == {"list": [], "next_cursor": None}
    asked = {"customer_id": world.customer, "processors": ["stripe"]}
    assert world.gateway.call("entities.list", **asked) == {"list": [], "next_cursor": None}


def test_lists_of_what_nobody_has_are_empty_where_they_are_asked_for(world: World) -> None:
    asked = ["invoices", "invoice_previews", "referrals"]  # cold-path section 4.2
    customer = {"customer_id": world.customer}
    shown = world.gateway.call("customers.get", **customer, expand=asked)
    assert [shown[name] for name in asked] == [[], [], []]
    assert not set(asked) & set(world.gateway.call("customers.get", **customer))


def test_entities_are_listed_by_the_plans_they_show(world: World) -> None:
    world.entities("a", "b")
    team = world.attach(world.monthly(5))
    seat = world.attach(world.monthly(7), entity="b")

    def listed(plan_id: str, **asked: object) -> list[str]:
        asked = {"customer_id": world.customer, "plans": [{"id": plan_id, **asked}]}
        found = world.gateway.call("entities.list", **asked)["list"]
        held = [{plan["plan_id"] for plan in one["subscriptions"]} for one in found]
        assert all(plan_id in plans for plans in held)
        return [one["id"] for one in found]

    assert listed(team) == ["b", "a"]
    assert listed(seat) == ["b"]
    assert listed(team, versions=[2]) == []
