"""Scenarios F to P of the reference, over HTTP: give-backs, entities, overage, many at once.

Each test carries the ids it plays.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.acceptance.test_concurrency import send_all
from tests.acceptance.world import World
from tests.fixtures.gateways import Gateway, Json


def test_f01_f02_give_backs_stop_at_the_grant(world: World) -> None:
    world.attach(world.monthly(100))
    world.track(-5)
    assert world.state() == [100, 100, 0]
    for value, left in ((30, 70), (-10, 80), (-50, 100)):
        assert world.track(value)["balance"]["remaining"] == left


def test_f05_give_backs_heal_overage_first(world: World) -> None:
    world.attach(world.monthly(100), world.lifetime(50), world.pay_per_use(0))
    world.track(180)
    assert world.state() == [150, 0, 180]
    world.track(-20)
    assert world.state() == [150, 0, 160]
    world.track(-20)
    assert world.state() == [150, 10, 140]
    world.track(-50)
    assert world.state() == [150, 60, 90]


def test_f07_overflow_gives_back_beyond_the_grant(world: World) -> None:
    world.attach(world.monthly(100))
    world.track(30)
    world.track(-50, overage_behavior="overflow")
    assert world.state() == [100, 120, -20]


def test_g01_a_shared_row_is_seen_by_every_entity(world: World) -> None:
    world.attach(world.monthly(300))
    world.entities("e1", "e2", "e3")
    world.track(50)
    assert [world.state(name)[1] for name in (None, "e1", "e2", "e3")] == [250] * 4


def test_g02_per_entity_sums(world: World) -> None:
    world.attach(world.monthly(100, entity_feature_id=world.name("users")))
    world.entities("e1", "e2", "e3")
    for name in ("e1", "e2", "e3"):
        world.track(10, name)
    assert world.state()[1] == 270
    world.track(10)
    assert world.state()[1] == 260
    assert sum(world.state(name)[1] for name in ("e1", "e2", "e3")) == 260


def test_g04_customer_row_before_per_entity_at_customer_level(world: World) -> None:
    each = world.lifetime(50, entity_feature_id=world.name("users"))
    world.attach(world.monthly(100), each)
    world.entities("e1", "e2", "e3")
    assert (world.state()[1], world.state("e1")[1]) == (250, 150)
    world.track(50)
    assert world.state()[1] == 200
    world.track(60)
    assert (world.state()[1], world.state("e1")[1]) == (140, 40)
    for name in ("e1", "e2", "e3"):
        world.track(10, name)
    assert [world.state(name)[1] for name in ("e1", "e2", "e3")] == [30, 40, 40]


def test_an_event_says_of_each_balance_once_what_it_gave(world: World) -> None:
    world.attach(world.lifetime(3), world.monthly(10, **world.each))
    world.entities("e1", "e2")
    answer = world.track(15)
    assert sorted(one["value"] for one in answer["deductions"]) == [3, 12]
    assert [one["deductions"] for one in world.events()] == [answer["deductions"]]


def test_g05_an_entity_plan_is_used_by_its_owner(world: World) -> None:
    world.entities("e1", "e2", "e3")
    world.attach(world.monthly(100), entity="e1")
    for name in ("e2", "e3"):
        world.attach_again(f"plan_{world.number}_1", name)
    for name in ("e1", "e2", "e3"):
        world.track(10, name)
    assert [world.state(name)[1] for name in (None, "e1", "e2", "e3")] == [270, 90, 90, 90]


def test_g07_own_units_before_the_customers(world: World) -> None:
    world.entities("e1")
    world.attach(world.monthly(100))
    world.attach_again(f"plan_{world.number}_1", "e1")
    world.track(50, "e1")
    assert (world.state("e1")[1], world.state()[1]) == (150, 150)
    world.track(120, "e1")
    assert (world.state("e1")[1], world.state()[1]) == (30, 30)


def test_g08_per_entity_items_and_entity_plans_together(world: World) -> None:
    world.attach(world.monthly(100, entity_feature_id=world.name("users")))
    world.entities("e1", "e2")
    world.attach(world.monthly(50), entity="e1")
    world.attach_again(f"plan_{world.number}_2", "e2")
    assert world.state()[1] == 300
    world.track(80, "e1")
    assert world.state("e1")[1:] == [70, 80]
    assert world.state()[1:] == [220, 80]
    assert world.state("e2")[1:] == [150, 0]


def test_g10_g11_an_entity_can_be_kept_off_the_customers_units(shared_gateway: Gateway) -> None:
    world = World(shared_gateway, config={"disable_pooled_balance": True})
    world.attach(world.monthly(5000), world.monthly(500, **world.each))
    world.entities("e1")
    assert world.refused(600, "e1")
    assert world.left("e1", None) == [500, 5500]
    assert world.allows(500, 501, entity="e1") == [True, False]
    assert world.track(600, "e1")["value"] == 600
    assert world.left("e1", None) == [0, 5000]


def test_g13_an_entity_with_a_plan_can_be_kept_off_the_customers_units(
    shared_gateway: Gateway,
) -> None:
    world = World(shared_gateway, config={"disable_pooled_balance": True})
    world.attach(world.monthly(5000))
    world.entities("e1")
    world.attach(world.monthly(500), entity="e1")
    world.track(300, "e1")
    assert world.left("e1", None) == [200, 5200]


def test_g14_allocated_rows_of_customer_and_entities(world: World) -> None:
    world.entities("e1", "e2")
    world.attach(world.item("workflows", 10))
    world.attach(world.item("workflows", 5), entity="e1")
    world.attach_again(f"plan_{world.number}_2", "e2")
    assert [world.state(name, "workflows")[1] for name in (None, "e1")] == [20, 15]
    bodies = [
        ("balances.track", world.body(name, "workflows", value=1)) for name in (None, "e1", "e2")
    ]
    asyncio.run(send_all(world.gateway, bodies))
    left = [world.state(name, "workflows")[1] for name in (None, "e1", "e2")]
    assert left == [17, 13, 13]


def test_h16_overflow_goes_below_zero_and_cap_then_takes_nothing(world: World) -> None:
    world.attach(world.monthly(100))
    world.track(150, overage_behavior="overflow")
    assert world.state() == [100, 0, 150]
    assert world.check()["allowed"] is False
    world.track(10)
    assert world.state() == [100, 0, 150]


def test_m01_cap_takes_what_is_there(world: World) -> None:
    world.attach(world.monthly(5))
    body = world.body(None, "messages", value=10)
    answers = asyncio.run(send_all(world.gateway, [("balances.track", body)] * 5))
    assert {one.status_code for one in answers} == {200}
    assert world.state() == [5, 0, 5]


def test_m02_free_allocated_accepts_overage_unless_it_is_rejected(world: World) -> None:
    world.attach(world.item("workflows", 1))
    body = world.body(None, "workflows", value=1)
    asyncio.run(send_all(world.gateway, [("balances.track", body)] * 5))
    assert world.state(feature="workflows") == [1, 0, 5]
    assert world.refused(1, feature="workflows")


def test_m04_each_slot_has_its_own_floor(world: World) -> None:
    seats = world.name("users")
    world.attach(world.pay_per_use(500, 100, entity_feature_id=seats))
    world.entities("seat1", "seat2")
    body = world.body("seat1", "messages", value=200, overage_behavior="reject")
    answers = asyncio.run(send_all(world.gateway, [("balances.track", body)] * 5))
    assert sorted(one.status_code for one in answers) == [200] * 3 + [400] * 2
    assert world.state("seat1") == [500, 0, 600]
    assert world.state("seat2") == [500, 500, 0]


def test_p05_many_entities_at_once_each_get_their_balance(world: World) -> None:
    world.attach(world.monthly(100, entity_feature_id=world.name("users")))
    bodies = [
        (
            "entities.create",
            {
                "customer_id": world.customer,
                "entity_id": f"e{number}",
                "feature_id": world.name("users"),
            },
        )
        for number in range(20)
    ]
    answers = asyncio.run(send_all(world.gateway, bodies))
    assert {one.status_code for one in answers} == {200}
    assert world.state() == [2000, 2000, 0]
    assert [world.state(f"e{number}") for number in range(20)] == [[100, 100, 0]] * 20


@pytest.mark.parametrize("path", ["check", "track", "balances.check", "balances.track"])
def test_p07_a_call_creates_the_entity_it_describes(world: World, path: str) -> None:
    """The reference stopped doing so with version 2.1, here it goes on: see A19. Before it, who
    does not say of which feature is asked for it (hot-path section 1.0).
    """
    world.attach(world.item("users", 5), world.monthly(100, **world.each))
    seat = {"feature_id": world.name("users"), "name": "Seat"}
    for version in ("1.2", "2.1", "2.3"):
        entity = f"e{version}"
        unknown = (400, "invalid_inputs") if version == "1.2" else (404, "entity_not_found")
        assert called(world, path, version, entity) == unknown
        assert called(world, path, version, entity, entity_data=seat) == (200, None)
        made = world.gateway.call("entities.get", **world.scope(entity))
        assert (made["name"], made["feature_id"]) == ("Seat", world.name("users"))
        used = 1 if path.endswith("track") else 0
        assert world.state(entity) == [100, 100 - used, used]
    assert world.state(feature="users") == [5, 2, 3]


def called(
    world: World, path: str, version: str, entity: str, **more: Json
) -> tuple[int, str | None]:
    """Check or track; return the status, and the code of a refusal."""
    answer = world.gateway.post(
        path, world.body(entity, "messages", **more), **{"x-api-version": version}
    )
    return answer.status_code, None if answer.is_success else answer.json()["code"]


@pytest.mark.parametrize("version", ["2.1", "2.3.0"])
def test_p08_an_unknown_entity_is_not_found(world: World, version: str) -> None:
    world.attach(world.monthly(100))
    for kind, body in (
        ("entities.get", world.scope("nobody")),
        ("balances.check", world.body("nobody", "messages")),
        ("balances.track", world.body("nobody", "messages")),
    ):
        answer = world.gateway.post(kind, body, **{"x-api-version": version})
        assert (answer.status_code, answer.json()["code"]) == (404, "entity_not_found")
    assert world.state() == [100, 100, 0]


def test_an_entity_without_its_customer_is_the_one_there_is_now(world: World) -> None:
    """Cold-path section 5.1: several of one id need a customer_id, also while SQL is behind."""
    other = World(world.gateway)
    named = {"entity_id": f"seat_{world.number}"}
    world.entities(named["entity_id"])
    assert world.gateway.call("entities.get", **named)["customer_id"] == world.customer
    other.entities(named["entity_id"])
    for kind in ("entities.delete", "entities.update"):
        assert world.gateway.refusal(kind, **named) == (400, "entity_id_required")
    world.gateway.call("entities.delete", customer_id=other.customer, **named)
    world.gateway.call("entities.delete", **named)
    other.entities(named["entity_id"])
    assert world.gateway.call("entities.get", **named)["customer_id"] == other.customer


def test_two_customers_with_an_entity_of_one_id_are_told_apart_at_once(world: World) -> None:
    others = [World(world.gateway) for _ in range(5)]
    for number, other in enumerate(others):
        entity_id = f"desk_{world.number}_{number}"
        world.entities(entity_id)
        world.gateway.wait_for_writer()
        other.entities(entity_id)
        assert world.gateway.refusal("entities.get", entity_id=entity_id) == (
            400,
            "entity_id_required",
        )


def test_an_entity_whose_seat_is_paid_for_is_not_created_on_the_way(world: World) -> None:
    """Cold-path section 5.1: a check must not add to a bill."""
    price = {"amount": 10, "interval": "month", "billing_method": "usage_based"}
    plan_id = world.attach(world.item("users", 1, price=price), world.monthly(100))
    seat = {"entity_id": "e1", "entity_data": {"feature_id": world.name("users")}}
    about = {"customer_id": world.customer, "feature_id": world.name("messages"), **seat}
    kinds = ("balances.check", "balances.track", "billing.preview_attach", "billing.attach")
    for kind in kinds:
        refused = world.gateway.refusal(kind, plan_id=plan_id, **about)
        assert refused == (400, "invalid_inputs")
    assert world.gateway.refusal("entities.get", **world.scope("e1")) == (404, "entity_not_found")
    assert world.state(feature="users") == [1, 1, 0]
    world.entities("e1")
    assert world.gateway.call("balances.check", **about)["allowed"] is True


def test_seats_over_the_included_ones_are_created(world: World) -> None:
    world.attach(world.item("users", 3))
    world.entities("e1", "e2", "e3", "e4")
    answer = world.check(feature="users")
    assert (answer["allowed"], world.state(feature="users")) == (False, [3, 0, 4])


def test_s50_an_entity_that_exists_is_counted_once_over_base_and_add_on(world: World) -> None:
    world.entities("e1")
    world.attach(world.item("users", 4))
    world.attach(world.item("users", 2), add_on=True)
    assert world.state(feature="users") == [6, 5, 1]
