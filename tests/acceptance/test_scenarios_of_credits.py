"""Scenarios B, C and E of the reference, over HTTP: credit systems and what they pay for.

Each test carries the ids it plays. A unit of action1 costs 0.2 of ``credits`` and 2 of
``credits3``, one of action2 0.6 of ``credits``, one of action3 1.4 of ``credits2``.
"""

from __future__ import annotations

import pytest

from tests.acceptance.world import World
from tests.fixtures.gateways import Gateway


@pytest.fixture
def world(shared_gateway: Gateway) -> World:
    made = World(shared_gateway)
    made.actions()
    return made


def test_b01_the_required_balance_is_answered_in_credits(world: World) -> None:
    world.attach(world.monthly(100, "credits"))
    answer = world.check(50.75, feature="action1")
    assert (answer["allowed"], answer["required_balance"]) == (True, 10.15)
    balance = answer["balance"]
    assert (balance["feature_id"], balance["remaining"]) == (world.name("credits"), 100)


def test_b02_more_than_the_credits_pay_is_denied(world: World) -> None:
    world.attach(world.monthly(100, "credits"))
    answer = world.check(167.33, feature="action2")
    assert (answer["allowed"], answer["required_balance"]) == (False, 100.398)


def test_b04_credits_answer_once_the_feature_is_used_up(world: World) -> None:
    world.attach(world.monthly(50, "action1"), world.monthly(100, "credits"))
    answer = world.check(25.5, feature="action1")
    assert (answer["allowed"], answer["required_balance"]) == (True, 25.5)
    assert answer["balance"]["feature_id"] == world.name("action1")
    world.track(50, feature="action1")
    answer = world.check(25.5, feature="action1")
    assert (answer["allowed"], answer["required_balance"]) == (True, 5.1)
    assert answer["balance"]["feature_id"] == world.name("credits")


def test_check_adds_units_and_credits_as_track_does(world: World) -> None:
    """The reference's check does not: 5 units and 5 credits do not allow 8 there."""
    world.attach(world.monthly(5, "action1"), world.monthly(1, "credits"))
    assert world.allows(10, 10.1, feature="action1") == [True, False]
    assert world.refused(10.1, feature="action1")
    assert not world.refused(10, feature="action1")
    assert [world.state(None, name)[1] for name in ("action1", "credits")] == [0, 0]


def test_b05_pay_per_use_of_the_feature_itself_answers(world: World) -> None:
    world.attach(world.pay_per_use(0, feature="action1"), world.monthly(100, "credits"))
    answer = world.check(5, feature="action1")
    assert (answer["allowed"], answer["required_balance"]) == (True, 5)
    balance = answer["balance"]
    assert (balance["feature_id"], balance["overage_allowed"]) == (world.name("action1"), True)


def test_b07_send_event_takes_credits(world: World) -> None:
    world.attach(world.monthly(1000, "credits"))
    answer = world.check(25.75, feature="action1", send_event=True)
    assert (answer["allowed"], answer["required_balance"]) == (True, 5.15)
    assert world.state(None, "credits") == [1000, 994.85, 5.15]


def test_b08_send_event_answers_every_pool_that_could_pay(world: World) -> None:
    world.attach(world.monthly(100, "action1"), world.monthly(200, "credits"))
    world.attach(world.monthly(10))
    answer = world.check(5, feature="action1", send_event=True)
    assert answer["balance"]["feature_id"] == world.name("action1")
    left = {name: balance and balance["remaining"] for name, balance in answer["balances"].items()}
    assert left == {
        world.name("action1"): 95,
        world.name("credits"): 200,
        world.name("credits3"): None,
    }
    assert "balances" not in world.check(5, send_event=True)


def test_c04_unlimited_credits_count_their_usage(world: World) -> None:
    world.attach(world.item("credits", unlimited=True))
    answer = world.check(1000, feature="action1", send_event=True)
    assert (answer["allowed"], answer["required_balance"]) == (True, 200)
    assert world.state(None, "credits") == [0, 0, 200]


def test_unlimited_credits_pay_before_finite_units(world: World) -> None:
    world.attach(world.monthly(100, "action1"), world.item("credits", unlimited=True))
    world.track(5, feature="action1")
    assert world.state(None, "action1") == [100, 100, 0]
    assert world.state(None, "credits") == [0, 0, 1]


def test_c05_a_denied_send_event_leaves_everything_as_it_was(world: World) -> None:
    world.attach(world.monthly(1000))
    assert world.check(150, send_event=True)["balance"]["remaining"] == 850
    answer = world.check(900, send_event=True)
    assert (answer["allowed"], answer["balance"]["remaining"]) == (False, 850)
    assert world.state() == [1000, 850, 150]
    assert world.event_values() == [150]


@pytest.mark.parametrize("required", [100, 0])
@pytest.mark.parametrize("units", [("action1", "credits"), ("credits",), ("action1",), ()])
def test_a_check_that_uses_nothing_names_what_a_look_names(
    world: World, units: tuple[str, ...], required: float
) -> None:
    if units:
        world.attach(*(world.monthly(5, name) for name in units))
    world.entities("e1")
    for entity in (None, "e1"):
        looked = world.check(required, entity, "action1")
        answer = world.check(required, entity, "action1", send_event=True)
        del answer["balances"]
        assert answer == looked


def test_the_slots_of_others_answer_for_no_entity(world: World) -> None:
    world.attach(world.monthly(5, "action1", **world.each), world.monthly(1, "credits"))
    other = world.scope("w1") | {"feature_id": world.name("workflows")}
    world.gateway.call("entities.create", **other)
    answer = world.check(6, "w1", "action1", send_event=True)
    assert (answer["allowed"], answer["required_balance"]) == (False, 1.2)
    assert answer["balance"]["feature_id"] == world.name("credits")


def test_e01_each_member_has_its_own_cost(world: World) -> None:
    world.attach(world.monthly(200, "credits"))
    answer = world.track(50.25, feature="action1")
    assert (answer["value"], answer["balance"]["feature_id"]) == (50.25, world.name("credits"))
    assert world.state(None, "credits") == [200, 189.95, 10.05]
    world.track(33.67, feature="action2")
    assert world.state(None, "credits") == [200, 169.748, 30.252]


def test_e02_units_of_the_feature_first_then_credits(world: World) -> None:
    world.attach(world.monthly(100, "action1"), world.monthly(200, "credits"))
    world.track(40.5, feature="action1")
    assert [world.state(None, name)[1] for name in ("action1", "credits")] == [59.5, 200]
    answer = world.track(80, feature="action1")
    assert [world.state(None, name)[1] for name in ("action1", "credits")] == [0, 195.9]
    taken = [(one["feature_id"], one["value"]) for one in answer["deductions"]]
    assert taken == [(world.name("action1"), 59.5), (world.name("credits"), 4.1)]


def test_e04_an_event_drains_each_feature_and_then_its_own_credits(world: World) -> None:
    world.attach(
        world.monthly(80, "action1"),
        world.monthly(150, "credits"),
        world.monthly(60, "action3"),
        world.monthly(100, "credits2"),
    )
    names = ("action1", "credits", "action3", "credits2")
    for value, left in (
        (50, [30, 150, 10, 100]),
        (50, [0, 146, 0, 44]),
        (10, [0, 144, 0, 30]),
        (100, [0, 124, 0, 0]),
    ):
        world.track_event(value)
        assert [world.state(None, name)[1] for name in names] == left


def test_credits_that_reset_sooner_pay_first_whichever_system_they_are_of(world: World) -> None:
    """Hot-path section 3.2: the order is that of all balances a call may spend."""
    world.attach(world.monthly(1, "credits"), world.hourly(4, "credits3"))
    assert world.allows(7, 7.1, feature="action1") == [True, False]
    world.track(3, feature="action1")
    assert [world.shown(None, name)["remaining"] for name in ("credits", "credits3")] == [0.8, 0]


def test_e07_unlimited_shows_its_usage_in_its_one_source(world: World) -> None:
    world.attach(world.item(unlimited=True))
    world.track(7)
    balance = world.balance()
    assert (balance["unlimited"], world.state()) == (True, [0, 0, 7])
    assert [row["usage"] for row in balance["breakdown"]] == [7]


def test_e08_unlimited_takes_units_back(world: World) -> None:
    world.attach(world.item(unlimited=True))
    world.track(10)
    world.track(-4)
    assert world.state() == [0, 0, 6]


def test_tenths_add_up_exactly(world: World) -> None:
    """0.1 and 0.2 of 10.6 leave 10.3, not the float next to it."""
    world.attach(world.monthly(10.6))
    world.track(0.1)
    world.track(0.2)
    assert world.allows(10.3, 10.300001) == [True, False]
    assert world.check(10.3, send_event=True)["allowed"] is True
    assert world.state() == [10.6, 0, 10.6]


def test_tenths_add_up_exactly_in_credits(world: World) -> None:
    schema = [{"metered_feature_id": world.name("messages"), "credit_cost": 1}]
    world.feature("coins", type="credit_system", credit_schema=schema)
    world.attach(world.monthly(10.6, "coins"))
    world.track(0.1)
    world.track(0.2)
    assert world.allows(10.3, 10.300001) == [True, False]
    assert world.check(10.3, send_event=True)["allowed"] is True
    assert world.state(None, "coins") == [10.6, 0, 10.6]


def test_credits_in_use_can_be_given_to_each_seat_of_a_plan(world: World) -> None:
    """The precision of what is in use stays; five hundred a seat and month are the seeds' own."""
    world.attach(world.monthly(100, "credits"))
    world.track(1, feature="action1")
    world.attach(world.monthly(500, "credits", **world.each), world.item("users"), add_on=True)
    world.entities("e1", "e2")
    world.track(10, "e1", feature="action1")
    assert world.left(None, "e1", "e2", feature="credits") == [1097.8, 597.8, 599.8]
