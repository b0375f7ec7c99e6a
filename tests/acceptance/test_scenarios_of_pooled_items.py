"""Scenarios of the reference about pooled plan items, over HTTP: what plans of entities give to
their customer, and what becomes of it. Each test carries the ids it plays.
"""

from __future__ import annotations

import random

import pytest

from tests.acceptance.test_verify import verify_one
from tests.acceptance.world import World
from tests.fixtures.gateways import Gateway, Json
from tests.waiting import wait_until

GIVEN = 500


def pooled(world: World, *entities: str) -> str:
    """Attach a plan with a pooled item to entities; return its id."""
    plan_id = world.attach(world.monthly(GIVEN, pooled=True), entity=entities[0])
    for name in entities[1:]:
        world.attach_again(plan_id, name)
    return plan_id


def cancel(world: World, plan_id: str, entity: str) -> None:
    named = {"customer_id": world.customer, "plan_id": plan_id, "entity_id": entity}
    world.gateway.call("billing.update", **named, cancel_action="cancel_immediately")


def rows(world: World, entity: str | None = None) -> list[Json]:
    balance = world.check(entity=entity)["balance"]
    return [] if balance is None else balance["breakdown"]


def test_a23_two_entities_with_the_plan_make_one_row_for_everybody(world: World) -> None:
    world.entities("e0", "e1", "e2")
    pooled(world, "e0", "e1")
    assert world.check(1000)["allowed"] is True
    assert world.check(1000, entity="e0")["allowed"] is True
    assert world.check(1001, entity="e2")["allowed"] is False
    for entity in (None, "e0", "e1", "e2"):
        assert world.state(entity) == [1000, 1000, 0]
        (row,) = rows(world, entity)
        assert (row["plan_id"], row["included_grant"]) == (None, 1000)
        assert row["reset"]["interval"] == "month"


@pytest.mark.parametrize("version", ["2.1", "2.2", "2.3", "2.4", "2.5"])
def test_every_version_shows_pooled_items_and_rows(world: World, version: str) -> None:
    world.entities("e0", "e1")
    plan_id = pooled(world, "e0")
    header = {"x-api-version": version}
    plan = world.gateway.post("plans.get", {"plan_id": plan_id}, **header).json()
    assert plan["items"][0]["pooled"] is True
    seen = world.gateway.post("balances.check", world.body("e1", "messages"), **header).json()
    held = world.gateway.post("customers.get", world.scope(None), **header).json()
    for balance in (seen["balance"], held["balances"][world.name("messages")]):
        (row,) = balance["breakdown"]
        assert (row["plan_id"], row["included_grant"]) == (None, GIVEN)


def test_d19_pooled_rows_are_spent_the_shortest_first(world: World) -> None:
    world.entities("e0")
    world.attach(world.hourly(100, pooled=True), world.monthly(200, pooled=True), entity="e0")
    answer = world.track(120, entity="e0", overage_behavior="reject")
    assert [
        (one["value"], one["plan_id"], one["reset"]["interval"]) for one in answer["deductions"]
    ] == [(100, None, "hour"), (20, None, "month")]
    assert world.breakdown() == [0, 180]


def test_d20_what_one_entity_uses_is_gone_for_the_others(world: World) -> None:
    world.entities("e0", "e1", "e2")
    pooled(world, "e0", "e1")
    world.track(300, entity="e0")
    assert world.left("e0", "e1", "e2", None) == [700] * 4
    world.track(700, entity="e2")
    assert world.left("e0", "e1", "e2", None) == [0] * 4
    body = world.body("e1", "messages", value=1, overage_behavior="reject")
    assert world.gateway.refusal("balances.track", **body) == (400, "insufficient_balance")


def test_every_way_a_plan_ends_takes_what_it_gave_and_leaves_what_was_used(
    world: World,
) -> None:
    world.entities("e0", "e1", "e2")
    plan_id = pooled(world, "e0")
    world.track(300, entity="e2")
    world.attach_again(plan_id, "e1")
    assert world.state() == [1000, 700, 300]
    cancel(world, plan_id, "e0")
    assert world.state("e0") == [500, 200, 300]
    world.forget()
    assert world.state("e2") == [500, 200, 300]
    world.attach(world.monthly(50, pooled=True), entity="e2")
    world.gateway.call("entities.delete", customer_id=world.customer, entity_id="e1")
    assert world.state() == [50, 0, 300]
    world.gateway.wait_for_writer()
    ran = verify_one(world)
    assert (ran.code, ran.found["drifts"]) == (0, [])
    world.gateway.call("entities.delete", customer_id=world.customer, entity_id="e2")
    assert rows(world) == []
    pooled(world, "e0")
    assert world.state("e0") == [500, 500, 0]
    world.gateway.wait_for_writer()
    assert verify_one(world).found["drifts"] == []


def test_a_switch_moves_what_is_given_at_its_time(clock_gateway: Gateway) -> None:
    world = World(clock_gateway)
    world.entities("e0", "e1")
    given: Json = {"entity": "e0", "group": "chat"}
    price = {"amount": 20, "interval": "month"}
    world.attach(world.monthly(500, pooled=True), price=price, **given)
    world.track(100, entity="e1")
    world.attach(world.monthly(800, pooled=True), price={**price, "amount": 50}, **given)
    assert world.state("e1") == [800, 700, 100]
    world.attach(world.monthly(30, pooled=True), **given)
    assert world.state() == [800, 700, 100]
    world.advance("32d")
    assert world.state() == [30, 30, 0]
    world.gateway.wait_for_writer()
    assert verify_one(world).found["drifts"] == []


def test_another_version_of_a_plan_gives_another_amount(world: World) -> None:
    world.entities("e0", "e1")
    plan_id = pooled(world, "e0", "e1")
    (item,) = world.gateway.call("plans.get", plan_id=plan_id)["items"]
    assert (item["pooled"], item["included"]) == (True, GIVEN)
    world.track(100)
    named = {"customer_id": world.customer, "plan_id": plan_id, "entity_id": "e0"}
    for items, state, own in (
        ([world.monthly(700, pooled=True)], [1200, 1100, 100], 0),
        ([world.monthly(40), world.lifetime(9, pooled=True)], [509, 409, 100], 40),
        ([world.monthly(40, pooled=True)], [540, 440, 100], 0),
    ):
        body = {**named, "customize": {"items": items}}
        world.gateway.call("billing.preview_update", **body)
        world.gateway.call("billing.update", **body)
        assert world.state("e1") == state
        assert world.state("e0") == [state[0] + own, state[1] + own, state[2]]


def test_a_pooled_balance_belongs_to_its_plans(world: World) -> None:
    world.entities("e0")
    pooled(world, "e0")
    body = world.body(None, "messages")
    taken = (409, "invalid_request")
    assert world.gateway.refusal("balances.delete", **body) == taken
    refused = world.gateway.refusal("balances.update", **body, included_grant=5)
    assert refused == (400, "invalid_inputs")
    world.update(remaining=40)
    assert world.state() == [500, 40, 460]


def test_who_may_not_spend_from_the_customer_may_not_from_its_pool(
    shared_gateway: Gateway,
) -> None:
    world = World(shared_gateway, config={"disable_pooled_balance": True})
    world.entities("e0", "e1")
    plan_id = pooled(world, "e0")
    assert [world.check(1)["allowed"], world.check(1, entity="e0")["allowed"]] == [True, False]
    world.forget()
    assert [world.check(1)["allowed"], world.check(1, entity="e1")["allowed"]] == [True, False]
    cancel(world, plan_id, "e0")
    assert rows(world) == []


def test_a_plan_of_the_customer_gives_its_pooled_item_like_any_other(world: World) -> None:
    world.entities("e0")
    plan_id = world.attach(world.monthly(GIVEN, pooled=True))
    (row,) = rows(world, "e0")
    assert (row["plan_id"], row["included_grant"]) == (plan_id, GIVEN)


def test_changes_of_many_entities_at_once_lose_nothing(world: World) -> None:
    names = [f"e{number}" for number in range(12)]
    world.entities(*names)
    plan_id = pooled(world, "e0")
    named = {"customer_id": world.customer}
    attach: list[tuple[str, Json]] = [
        ("billing.attach", {**named, "plan_id": plan_id, "entity_id": name}) for name in names[1:]
    ]
    uses = [("balances.track", world.body(name, "messages", value=1)) for name in names]
    assert {one.status_code for one in world.at_once(*attach, *uses)} == {200}
    assert world.state() == [6000, 5988, 12]
    end: list[tuple[str, Json]] = [
        ("entities.delete", {**named, "entity_id": name}) for name in names[:6]
    ]
    end += [
        (
            "billing.update",
            {**named, "plan_id": plan_id, "entity_id": name}
            | {"cancel_action": "cancel_immediately"},
        )
        for name in names[6:10]
    ]
    assert {one.status_code for one in world.at_once(*end)} == {200}
    assert world.state() == [1000, 988, 12]
    wait_until(lambda: verify_one(world).found["drifts"] == [])


def test_what_would_leave_the_exact_range_is_refused_and_changes_nothing(world: World) -> None:
    world.entities("e0", "e1")
    plan_id = world.attach(world.monthly(5e9, pooled=True), entity="e0")
    named = {"customer_id": world.customer, "plan_id": plan_id, "entity_id": "e1"}
    assert world.gateway.refusal("billing.attach", **named) == (400, "invalid_request")
    assert world.state("e1") == [5e9, 5e9, 0]
    seen = world.gateway.call("entities.get", customer_id=world.customer, entity_id="e1")
    # A plan that enables itself, of another test, may have reached the customer.
    assert plan_id not in {one["plan_id"] for one in seen["subscriptions"]}


def test_a_plan_that_ends_with_its_cycle_takes_its_last_row_along(
    clock_gateway: Gateway,
) -> None:
    world = World(clock_gateway)
    world.entities("e0", "e1")
    price = {"amount": 20, "interval": "month"}
    plan_id = world.attach(
        world.monthly(GIVEN, pooled=True),
        world.item("messages", pooled=True, unlimited=True),
        world.monthly(7),
        entity="e0",
        price=price,
    )
    named = {"customer_id": world.customer, "plan_id": plan_id, "entity_id": "e0"}
    ends = {**named, "cancel_action": "cancel_end_of_cycle"}
    world.gateway.call("billing.preview_update", **ends)
    world.gateway.call("billing.update", **ends)
    world.track(90, entity="e1")
    balance = world.balance("e1")
    assert (balance["unlimited"], len(balance["breakdown"])) == (True, 2)
    world.advance("32d")
    assert rows(world, "e0") == rows(world) == []
    world.gateway.wait_for_writer()
    assert verify_one(world).found["drifts"] == []


def test_after_any_story_the_grant_is_the_sum_of_what_the_plans_say(world: World) -> None:
    chance = random.Random(7)
    world.entities(*(f"e{number}" for number in range(4)))
    given = {"small": 10, "large": 300}
    plans = {
        name: world.attach(
            world.monthly(units, pooled=True), world.hourly(1), entity="e0", group="chat"
        )
        for name, units in given.items()
    }
    held = {"e0": "large"}
    used = 0
    for _ in range(40):
        entity, name = f"e{chance.randrange(4)}", chance.choice(list(plans))
        if held.get(entity) == name:
            cancel(world, plans[name], entity)
            del held[entity]
        elif chance.random() < 0.2:
            world.gateway.call("entities.delete", customer_id=world.customer, entity_id=entity)
            world.entities(entity)
            held.pop(entity, None)
        else:
            world.attach_again(plans[name], entity)
            held[entity] = name
        granted = sum(given[one] for one in held.values())
        used = used if held else 0
        found = rows(world)
        seen = [(row["included_grant"], row["usage"]) for row in found]
        assert seen == ([(granted, used)] if held else [])
        if found and found[0]["remaining"] >= 5:
            world.track(5)
            used += 5
    world.gateway.wait_for_writer()
    assert verify_one(world).found["drifts"] == []
