"""Scenarios J of the reference, over HTTP: caps on use within a window, and what they count.

Each test carries the ids it plays.
"""

from __future__ import annotations

import pytest

from tests.acceptance.world import World
from tests.fixtures.gateways import Json


def test_j01_a_cap_on_a_feature_counts_what_credits_pay(world: World) -> None:
    world.actions()
    world.attach(world.monthly(100, "credits"))
    world.control(world.usage_limit(5, feature="action1"))
    for value in (5, 1):
        world.track(value, feature="action1")
        assert world.state(None, "credits") == [100, 99, 1]
        assert world.counter("action1") == 5
    assert world.allows(1, feature="action1") == [False]
    assert world.allows(50, feature="credits") == [True]


def test_j02_what_is_over_the_cap_is_dropped(world: World) -> None:
    world.attach(world.monthly(100))
    world.control(world.usage_limit(5))
    assert world.allows(5, 6) == [True, False]
    assert world.track(10)["value"] == 10
    assert (world.state(), world.counter()) == ([100, 95, 5], 5)
    assert world.track(3)["value"] == 3
    assert (world.state(), world.counter()) == ([100, 95, 5], 5)
    assert world.refused(1)


def test_j04_a_cap_on_credits_counts_credits(world: World) -> None:
    world.actions()
    world.attach(world.monthly(100, "credits"))
    world.control(world.usage_limit(1, "day", "credits"))
    for value in (5, 1):
        world.track(value, feature="action1")
        assert world.state(None, "credits") == [100, 99, 1]
        assert world.counter("credits") == 1
    assert world.allows(1, feature="action1") == [False]


def test_j05_a_cap_on_credits_over_two_sources(world: World) -> None:
    world.actions()
    world.attach(world.monthly(1, "credits"), world.lifetime(10, "credits"))
    world.control(world.usage_limit(2, "day", "credits"))
    for value in (10, 1):
        world.track(value, feature="action1")
        assert world.state(None, "credits") == [11, 9, 2]
        assert world.breakdown("credits") == [0, 9]


def test_j07_parallel_tracks_share_the_cap(world: World) -> None:
    world.actions()
    world.attach(world.monthly(100, "credits"))
    world.control(world.usage_limit(5, feature="action1"))
    body = world.body(None, "action1", value=5)
    answers = world.at_once(*[("balances.track", body)] * 2)
    assert [one.status_code for one in answers] == [200, 200]
    assert world.state(None, "credits") == [100, 99, 1]
    assert world.counter("action1") == 5
    assert world.event_values("action1") == [5, 5]


def test_j08_a_cap_counts_units_and_credits_together(world: World) -> None:
    world.actions()
    world.attach(world.monthly(5, "action1"), world.monthly(100, "credits"))
    world.control(world.usage_limit(8, feature="action1"))
    for value in (10, 1):
        world.track(value, feature="action1")
        assert [world.state(None, name)[1] for name in ("action1", "credits")] == [0, 99.4]
        assert world.counter("action1") == 8


def test_j10_a_cap_over_two_sources_of_the_feature(world: World) -> None:
    world.attach(world.monthly(100), world.lifetime(100))
    world.control(world.usage_limit(150))
    world.track(120)
    assert world.breakdown() == [0, 80]
    answer = world.track(50)
    assert sum(one["value"] for one in answer["deductions"]) == 30
    assert (world.breakdown(), world.counter()) == ([0, 50], 150)


def test_j11_each_member_has_its_own_cap(world: World) -> None:
    world.actions()
    world.attach(world.monthly(100, "credits"))
    first, second = (
        world.usage_limit(limit, feature=name)["usage_limits"]
        for name, limit in (("action1", 5), ("action2", 4))
    )
    world.control({"usage_limits": first + second})
    world.track(3, feature="action1")
    world.track(2, feature="action2")
    assert world.allows(2, 3, feature="action1") == [True, False]
    assert world.allows(2, 3, feature="action2") == [True, False]
    world.track(5, feature="action1")
    world.track(5, feature="action2")
    assert world.state(None, "credits") == [100, 96.6, 3.4]
    assert [world.counter(name) for name in ("action1", "action2")] == [5, 4]
    assert world.allows(50, feature="credits") == [True]


def test_j13_check_sees_the_cap_of_a_plan(world: World) -> None:
    world.attach(world.monthly(1000), billing_controls=world.usage_limit(5, "day"))
    world.track(5)
    world.track(1)
    assert (world.state(), world.counter()) == ([1000, 995, 5], 5)
    assert world.allows(1) == [False]


def test_j14_a_lock_counts(world: World) -> None:
    world.attach(world.monthly(100))
    world.control(world.usage_limit(5))
    assert world.lock("first", 4)
    assert (world.state()[1], world.counter()) == (96, 4)
    assert not world.lock("second", 2)
    assert (world.state()[1], world.counter()) == (96, 4)
    world.release("first")
    assert (world.state()[1], world.counter()) == (100, 0)


def test_finalizing_above_a_lock_stops_at_the_cap(world: World) -> None:
    world.attach(world.monthly(100))
    world.control(world.usage_limit(5))
    assert world.lock("only", 4)
    world.confirm("only", 10)
    assert (world.state()[1], world.counter()) == (95, 5)


def test_j16_setting_the_usage_does_not_touch_the_counter(world: World) -> None:
    world.attach(world.monthly(1000), billing_controls=world.usage_limit(5, "day"))
    world.track(5)
    assert world.allows(1) == [False]
    world.update(usage=0)
    assert (world.state(), world.counter()) == ([1000, 1000, 0], 5)
    assert world.allows(1) == [False]
    world.track(1)
    assert world.state() == [1000, 1000, 0]


def test_j17_an_entity_has_a_cap_of_its_own(world: World) -> None:
    world.attach(world.monthly(100, **world.each))
    world.entities("e1", "e2")
    world.control(world.usage_limit(5), "e1")
    for value, used in ((3, 3), (4, 5), (1, 5)):
        world.track(value, "e1")
        assert world.state("e1") == [100, 100 - used, used]
        assert world.counter(entity="e1") == used
    assert world.allows(1, entity="e1") == [False]
    assert world.allows(50, entity="e2") == [True]
    assert world.counter() is None


def test_j19_an_entitys_cap_on_units_of_the_customer(world: World) -> None:
    world.attach(world.monthly(100))
    world.entities("e1")
    world.control(world.usage_limit(3), "e1")
    world.track(5, "e1")
    world.track(10)
    assert world.counter(entity="e1") == 3
    assert world.state() == [100, 87, 13]


def test_j20_entities_share_the_cap_of_their_customer(world: World) -> None:
    world.attach(world.monthly(100, **world.each))
    world.entities("e0", "e1")
    world.control(world.usage_limit(5))
    for name, value in (("e0", 3), ("e1", 1), ("e1", 3)):
        world.track(value, name)
    assert world.left("e0", "e1", None) == [97, 98, 195]
    assert world.refused(1, "e0")
    assert world.allows(1) == [False]
    assert world.counter() == 5


def test_j22_a_cap_an_entity_gets_later_counts_from_then_on(world: World) -> None:
    world.attach(world.monthly(100, **world.each))
    world.entities("e0", "e1")
    world.control(world.usage_limit(5))
    world.track(4, "e0")
    assert world.counter() == 4
    world.control(world.usage_limit(5), "e0")
    world.track(5, "e0")
    world.track(3, "e1")
    assert (world.counter(entity="e0"), world.counter()) == (5, 5)
    assert world.left("e0", "e1") == [91, 99]


def test_j23_the_lowest_cap_of_several_plans_counts(world: World) -> None:
    world.attach(world.monthly(100), billing_controls=world.usage_limit(5))
    world.attach(world.monthly(100), billing_controls=world.usage_limit(20), add_on=True)
    assert [world.refused(1) for _ in range(6)] == [False] * 5 + [True]


def test_j23_a_cap_of_the_customer_replaces_that_of_its_plan(world: World) -> None:
    world.attach(world.monthly(1000), billing_controls=world.usage_limit(5))
    world.control(world.usage_limit(100))
    world.track(50)
    assert world.state() == [1000, 950, 50]
    world.track(60)
    assert world.state() == [1000, 900, 100]
    assert world.refused(1)


def test_j25_unlimited_knows_no_cap(world: World) -> None:
    world.attach(world.item(unlimited=True))
    world.control(world.usage_limit(5))
    world.track(10)
    assert world.allows(1) == [True]
    world.track(3)
    assert (world.state(), world.counter()) == ([0, 0, 13], 0)


@pytest.mark.parametrize(
    "limits",
    [
        [{"limit": 5}],
        [{"interval": "month"}],
        [{"limit": 5, "interval": "one_off"}],
        [{"limit": -1, "interval": "month"}],
        [{"limit": 5, "interval": "month"}, {"limit": 6, "interval": "day"}],
    ],
)
@pytest.mark.parametrize("kind", ["customers.update", "entities.update", "plans.create"])
def test_j26_a_cap_of_another_shape_is_refused(world: World, kind: str, limits: Json) -> None:
    world.entities("e1")
    named: Json = {
        "customers.update": world.scope(None),
        "entities.update": world.scope("e1"),
        "plans.create": {"plan_id": f"capped_{world.number}", "name": "Capped"},
    }[kind]
    feature = {"feature_id": world.name("messages")}
    controls = {"usage_limits": [feature | limit for limit in limits]}
    refusal = world.gateway.refusal(kind, **named, billing_controls=controls)
    assert refusal == (400, "invalid_inputs")


def test_a_cap_with_a_filter_counts_only_what_matches(world: World) -> None:
    world.attach(world.monthly(100))
    only = {"properties": {"model": "large"}}
    world.control(world.usage_limit(5, filter=only))
    world.track(20)
    world.track(20, properties={"model": "small"})
    assert (world.state(), world.counter()) == ([100, 60, 40], 0)
    world.track(20, properties={"model": "large", "user": 7})
    assert (world.state(), world.counter()) == ([100, 55, 45], 5)
    assert world.check(1, properties={"model": "large"})["allowed"] is False
    assert world.check(1, properties={"model": "small"})["allowed"] is True


@pytest.mark.parametrize("anchor", ["utc", "billing_cycle"])
def test_a_window_that_has_ended_counts_anew(later: World, anchor: str) -> None:
    later.attach(later.monthly(100))
    later.control(later.usage_limit(5, "day", anchor=anchor))
    later.track(9)
    assert (later.counter(), later.allows(1)) == (5, [False])
    later.advance("1d")
    assert (later.counter(), later.allows(5, 6)) == (0, [True, False])
    later.track(9)
    assert (later.counter(), later.state()) == (5, [100, 90, 10])


def test_a_window_ends_when_its_balance_resets(later: World) -> None:
    """Cold-path section 4.4: it has the phase of the balance, whenever the customer came."""
    later.advance("10d")
    later.attach(later.monthly(100))
    later.control(later.usage_limit(5))
    later.track(9)
    later.advance("25d")
    assert (later.counter(), later.state()) == (5, [100, 95, 5])
    later.advance("6d")
    assert (later.counter(), later.state()) == (0, [100, 100, 0])


@pytest.mark.parametrize("each", [False, True])
def test_a_window_of_an_entity_ends_when_the_balance_it_spends_from_resets(
    later: World, each: bool
) -> None:
    later.advance("10d")
    later.attach(later.hourly(0), add_on=True)
    later.attach(later.monthly(100, **(later.each if each else {})))
    later.entities("e1")
    later.control(later.usage_limit(5), "e1")
    later.track(9, "e1")
    assert (later.counter(entity="e1"), later.state("e1")) == (5, [100, 95, 5])
    later.advance("25d")
    later.forget()
    assert (later.counter(entity="e1"), later.refused(1, "e1")) == (5, True)
    later.advance("6d")
    assert (later.counter(entity="e1"), later.state("e1")) == (0, [100, 100, 0])
    later.track(9, "e1")
    assert (later.counter(entity="e1"), later.state("e1")) == (5, [100, 95, 5])


def test_a_window_of_an_entity_goes_along_with_another_plan(later: World) -> None:
    """Cold-path section 4.4: what was counted in a cycle of another phase is not."""
    later.attach(later.monthly(100), group="one")
    later.entities("e1")
    later.control(later.usage_limit(5), "e1")
    later.advance("5d")
    later.track(9, "e1")
    paid = {"amount": 1, "interval": "month"}
    later.attach(later.monthly(200), group="one", price=paid)
    assert later.counter(entity="e1") == 0
    later.track(9, "e1")
    assert (later.counter(entity="e1"), later.state("e1")) == (5, [200, 195, 5])
    later.advance("27d")  # of a cycle of 28 days or more; that of the plan before has ended
    assert later.counter(entity="e1") == 5


def test_a_customer_that_comes_back_has_used_its_cap(world: World) -> None:
    world.attach(world.item("messages", 100, reset={"interval": "quarter"}))
    world.attach(world.monthly(100))
    world.control(world.usage_limit(5, "week"))
    world.track(4)
    world.forget()
    assert (world.counter(), world.allows(1, 2)) == (4, [True, False])


def test_a_changed_cap_keeps_what_was_counted(world: World) -> None:
    world.attach(world.monthly(100))
    world.control(world.usage_limit(5))
    world.track(4)
    world.control(world.usage_limit(6))
    assert world.counter() == 4
    world.track(10)
    assert (world.counter(), world.state()) == (6, [100, 94, 6])


def test_a_cap_of_an_entity_that_is_off_frees_it_of_the_customers(world: World) -> None:
    """Cold-path section 4.4: a disabled higher entry still hides the lower one."""
    world.attach(world.monthly(100))
    world.entities("e1", "e2")
    world.control(world.usage_limit(5))
    world.control(world.usage_limit(1, enabled=False), "e1")
    world.track(20, "e1")
    world.track(20, "e2")
    assert (world.state(), world.counter()) == ([100, 75, 25], 5)
    assert (world.allows(1), world.check(75, "e1")["allowed"]) == ([False], True)
    shown = world.gateway.call("entities.get", **world.scope("e1"))["billing_controls"]
    assert [one["source"] for one in shown["usage_limits"]] == ["entity"]


def test_a_spend_limit_of_an_entity_that_is_off_frees_it_of_the_customers(world: World) -> None:
    price = {"amount": 1, "interval": "month", "billing_method": "usage_based"}
    world.attach(world.item("messages", 100, price=price))
    world.entities("e1", "e2")
    limit = {"feature_id": world.name("messages"), "overage_limit": 5}
    world.control({"spend_limits": [limit | {"enabled": True}]})
    world.control({"spend_limits": [limit]}, "e1")
    world.track(200, "e2")
    assert world.state() == [100, 0, 105]
    world.track(200, "e1")
    assert world.state() == [100, 0, 305]
