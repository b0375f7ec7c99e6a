"""Scenarios of the reference about pooled plan items, over HTTP: what plans of entities give to
their customer, and what becomes of it. Each test carries the ids it plays.
"""

from __future__ import annotations

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
