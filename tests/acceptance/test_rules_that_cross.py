"""Rules of the hot path that meet in one call, over HTTP; the numbers were worked out before."""

from __future__ import annotations

import pytest

from tests.acceptance.world import World
from tests.fixtures.gateways import Json

HOUR_MS = 3_600_000


def rollover(months: int = 1) -> Json:
    return {"rollover": {"expiry_duration_type": "month", "expiry_duration_length": months}}


@pytest.mark.parametrize(("units", "left"), [(0, [10, 10]), (15, [5, 5]), (12, [8, 8])])
def test_a_lock_over_entities_one_of_which_is_deleted(
    world: World, units: float, left: list[float]
) -> None:
    world.attach(world.monthly(10, **world.each))
    world.entities("e1", "e2")
    assert world.lock("a", 15)
    world.gateway.call("entities.delete", customer_id=world.customer, entity_id="e1")
    assert world.left("e2", None) == [5, 5]
    world.confirm("a", units)
    assert world.left("e2", None) == left


@pytest.mark.parametrize(("units", "left"), [(0, 25), (12, 23), (18, 17), (100, 5)])
def test_a_lock_of_an_entity_that_is_deleted_takes_no_more_than_its_customer_has(
    world: World, units: float, left: float
) -> None:
    world.attach(world.monthly(10, **world.each), world.lifetime(20))
    world.entities("e1", "e2")
    world.track(5, "e2")
    assert world.lock("a", 15, "e1")
    world.gateway.call("entities.delete", customer_id=world.customer, entity_id="e1")
    assert world.left("e2", None) == [20, 20]
    world.confirm("a", units)
    assert world.left("e2", None) == [left, left]
    events = [one["value"] for one in world.events() if one.get("entity_id") == "e1"]
    assert sum(events) == units  # section 4.2: events keep the id


def test_a_lock_of_an_entity_that_is_deleted_gives_other_entities_nothing_back(
    world: World,
) -> None:
    world.entities("e1", "e2")
    plan_id = world.attach(world.monthly(10), entity="e1")
    world.attach_again(plan_id, "e2")
    world.grant(5)
    world.track(12, "e2")
    assert world.lock("a", 11, "e1")
    world.gateway.call("balances.delete", **world.body(None, "messages", interval="one_off"))
    world.gateway.call("entities.delete", customer_id=world.customer, entity_id="e1")
    world.release("a")
    assert world.state("e2") == [10, 0, 10]


def test_a_lock_of_an_entity_that_is_deleted_takes_nothing_of_a_pool_it_had_no_part_in(
    world: World,
) -> None:
    world.attach(world.monthly(10, **world.each), world.lifetime(20))
    world.entities("e1", "e2")
    without_pool = {"config": {"disable_pooled_balance": True}}
    world.gateway.call("customers.update", customer_id=world.customer, **without_pool)
    assert world.lock("a", 8, "e1")
    world.gateway.call("entities.delete", customer_id=world.customer, entity_id="e1")
    world.confirm("a", 12)
    assert world.left("e2", None) == [10, 30]


@pytest.mark.parametrize(
    ("units", "left"), [(3, [27, 30, 37]), (12, [18, 28, 28]), (25, [5, 15, 15])]
)
def test_a_lock_of_an_entity_over_its_slot_and_its_customer(
    world: World, units: float, left: list[float]
) -> None:
    world.attach(world.monthly(20), world.monthly(10, **world.each))
    world.entities("e1", "e2")
    assert world.lock("a", 15, "e1")
    world.confirm("a", units)
    assert world.left("e1", "e2", None) == left


@pytest.mark.parametrize(("units", "left"), [(8, [2, 10]), (17, [0, 3])])
def test_a_lock_of_the_customer_over_plans_of_its_entities(
    world: World, units: float, left: list[float]
) -> None:
    world.entities("z", "a")
    plan_id = world.attach(world.monthly(10), entity="a")
    world.attach_again(plan_id, "z")
    assert world.lock("a", 15)
    assert world.left("z", "a") == [0, 5]
    world.confirm("a", units)
    assert (world.left("z", "a"), world.left(None)) == (left, [sum(left)])


@pytest.mark.parametrize(("units", "left"), [(2.25, [0, 9.85]), (1, [0.5, 10]), (6, [0, 9.1])])
def test_a_lock_over_units_and_credits(world: World, units: float, left: list[float]) -> None:
    world.actions()
    world.attach(world.monthly(1.5, "action1"), world.monthly(10, "credits"))
    assert world.lock("a", 4.75, feature="action1")
    world.confirm("a", units)
    assert [world.shown(None, name)["remaining"] for name in ("action1", "credits")] == left


@pytest.mark.parametrize(("units", "used"), [(None, 10), (12, 10), (8, 8), (0, 0)])
def test_a_hold_of_more_than_there_is(world: World, units: float | None, used: float) -> None:
    world.attach(world.monthly(10))
    lock = {"lock_id": world.name("a"), "enabled": True}
    world.gateway.call("balances.track", **world.body(None, "messages", value=15), lock=lock)
    assert world.state() == [10, 0, 10]
    world.confirm("a", units)
    assert world.state() == [10, 10 - used, used]


def test_a_hold_a_use_and_a_release_under_one_cap(world: World) -> None:
    world.attach(world.monthly(100))
    world.control(world.usage_limit(10))
    assert world.lock("a", 8)
    world.track(5)
    assert (world.counter(), world.state()) == (10, [100, 90, 10])
    world.update(remaining=50)
    world.release("a")
    assert (world.counter(), world.state()) == (2, [100, 58, 42])


def test_holds_share_a_spend_limit(world: World) -> None:
    world.attach(world.pay_per_use(10))
    world.control(world.spend_limit(5))
    assert [world.lock("a", 15), world.lock("b", 1)] == [True, False]
    world.release("a")
    assert world.lock("c", 12)
    world.confirm("c", 20)
    assert world.state() == [10, 0, 15]


def test_a_lock_over_a_balance_that_resets_meanwhile(later: World) -> None:
    """What was held of the hour that is over does not come back."""
    later.attach(later.monthly(10), later.hourly(5))
    assert later.lock("a", 12)
    later.advance("70m")
    assert later.breakdown() == [5, 3]
    later.confirm("a", 4)
    assert (later.breakdown(), later.state()) == ([5, 10], [15, 15, 0])


def test_a_lock_over_slots_that_expires(later: World) -> None:
    later.attach(later.monthly(10, **later.each))
    later.entities("e1", "e2")
    now: int = later.gateway.call("clock.get")["now"]
    assert later.lock("a", 15, expires_at=now + HOUR_MS)
    assert later.left("e1", "e2") == [0, 5]
    later.advance("2h")
    assert later.no_lock("a") == 400
    assert (later.left("e1", "e2", None), later.event_values()) == ([10, 10, 20], [-15, 15])


def test_a_lock_on_what_is_pooled_when_a_plan_ends_that_gave_to_it(world: World) -> None:
    world.entities("e1", "e2")
    plan_id = world.attach(world.monthly(20, pooled=True), entity="e1")
    world.attach_again(plan_id, "e2")
    assert world.lock("a", 30, "e1")
    ends = {"plan_id": plan_id, "cancel_action": "cancel_immediately"}
    world.gateway.call("billing.update", **world.scope("e2"), **ends)
    assert world.state() == [20, 0, 30]
    world.release("a")
    assert world.state() == [20, 20, 0]


@pytest.mark.parametrize(
    ("spend", "cap", "used"), [(4, 20, 9), (4, 7, 7), (0, 20, 5), (None, 8, 8), (4, None, 9)]
)
def test_a_cap_and_a_spend_limit_on_pay_per_use(
    world: World, spend: float | None, cap: float | None, used: float
) -> None:
    world.attach(world.pay_per_use(5))
    limits = {} if spend is None else world.spend_limit(spend)
    world.control(limits | ({} if cap is None else world.usage_limit(cap)))
    assert world.allows(used, used + 1) == [True, False]
    world.track(20)
    assert world.state() == [5, max(0, 5 - used), used]


@pytest.mark.parametrize(
    ("overage", "behavior", "used"),
    [
        (True, "cap", 15),
        (True, "overflow", 15),
        (None, "cap", 10),
        (None, "overflow", 15),
        (False, "cap", 10),
    ],
)
def test_a_spend_limit_permits_nothing_by_itself(
    world: World, overage: bool | None, behavior: str, used: float
) -> None:
    world.attach(world.monthly(10))
    permits = {} if overage is None else world.overage(enabled=overage)
    world.control(permits | world.spend_limit(5))
    world.track(30, overage_behavior=behavior)
    assert world.state() == [10, 0, used]


@pytest.mark.parametrize(("feature", "used"), [("action1", [15, 1]), ("credits", [5, 3])])
def test_overage_goes_where_it_is_allowed(world: World, feature: str, used: list[float]) -> None:
    world.actions()
    world.attach(world.monthly(5, "action1"), world.monthly(1, "credits"))
    world.control(world.overage(feature, enabled=True))
    world.track(20, feature="action1")
    assert [world.shown(None, name)["usage"] for name in ("action1", "credits")] == used


def test_caps_on_a_feature_and_on_the_credits_that_pay_for_it(world: World) -> None:
    world.actions()
    world.attach(world.monthly(5, "action1"), world.monthly(100, "credits"))
    limits = [world.usage_limit(20, feature="action1"), world.usage_limit(2, feature="credits")]
    world.control({"usage_limits": [one for limit in limits for one in limit["usage_limits"]]})
    assert world.allows(15, 15.1, feature="action1") == [True, False]
    world.track(50, feature="action1")
    assert [world.counter(name) for name in ("action1", "credits")] == [15, 2]


def test_credits_of_slots_and_of_the_customer(world: World) -> None:
    world.actions()
    world.attach(world.monthly(10, "credits", **world.each), world.monthly(5, "credits"))
    world.entities("e1", "e2")
    world.track(60, "e1", "action1")
    assert world.left("e1", "e2", None, feature="credits") == [3, 13, 13]
    assert world.allows(15, 15.1, entity="e1", feature="action1") == [True, False]
    assert world.allows(65, 65.1, feature="action1") == [True, False]


def test_limits_of_an_entity_beside_those_of_its_customer(world: World) -> None:
    world.attach(world.pay_per_use(10, **world.each))
    world.entities("e1", "e2")
    world.control(world.spend_limit(5) | world.usage_limit(20))
    world.control(world.spend_limit(0) | world.usage_limit(12), "e1")
    for name, used in (("e1", 10), ("e2", 15)):
        world.track(30, name)
        assert world.state(name) == [10, 0, used]
    world.track(30)
    assert world.state() == [20, 0, 25]
    assert (world.counter(entity="e1"), world.counter()) == (10, 15)


def test_a_month_that_is_over_at_three_levels_at_once(later: World) -> None:
    later.entities("e1", "e2")
    later.attach(later.monthly(10), later.monthly(20, **later.each))
    later.attach(later.monthly(30), entity="e1")
    later.track(55, "e1")
    later.track(7, "e2")
    assert later.left("e1", "e2", None) == [5, 18, 18]
    later.advance()
    assert later.track(55, "e1")["balance"]["remaining"] == 5
    assert later.left("e1", "e2", None) == [5, 25, 25]


def test_the_customer_spends_rollovers_of_its_entities_and_gives_none_back(later: World) -> None:
    later.attach(later.monthly(10, **later.each, **rollover(6)))
    later.entities("z", "a")
    later.track(4, "z")
    later.advance()
    assert later.left("z", "a", None) == [16, 20, 36]
    later.track(20)
    assert later.left("z", "a", None) == [6, 10, 16]
    later.track(-5)
    assert later.left("z", "a", None) == [10, 10, 20]


def test_what_was_added_above_a_grant_rolls_over_too(later: World) -> None:
    later.attach(later.monthly(100, **rollover()))
    later.update(add_to_balance=50)
    later.advance()
    assert (later.state(), later.rollovers()) == ([250, 250, 0], [150])
    later.update(usage=30)
    assert (later.state(), later.rollovers()) == ([250, 220, 30], [150])


@pytest.mark.parametrize(
    ("entity", "steps"),
    [
        ("z", [(15, [5, 15, 15]), (-8, [13, 15, 23]), (-80, [20, 20, 30])]),
        (None, [(25, [0, 5, 5]), (-12, [12, 15, 17]), (-80, [20, 20, 30])]),
    ],
)
def test_give_backs_fill_what_is_spent_first(
    world: World, entity: str | None, steps: list[tuple[float, list[float]]]
) -> None:
    """An entity's own units first, for the customer its own, then those of its first entity."""
    world.attach(world.monthly(10), world.monthly(10, **world.each))
    world.entities("z", "a")
    for value, left in steps:
        world.track(value, entity)
        assert world.left("z", "a", None) == left


def test_give_backs_heal_credits_below_zero_before_they_fill_units(world: World) -> None:
    world.actions()
    world.attach(world.monthly(5, "action1"), world.pay_per_use(1, feature="credits"))
    for value, left, used in ((20, 0, 3), (-12, 2, 1), (-3.5, 5, 0.9), (-50, 5, 0)):
        world.track(value, feature="action1")
        found = world.shown(None, "action1")["remaining"], world.shown(None, "credits")["usage"]
        assert found == (left, used)


def test_the_first_entity_comes_before_the_one_whose_plan_resets_sooner(world: World) -> None:
    world.entities("zoe", "amy")
    world.attach(world.item("messages", 20, reset={"interval": "day"}), entity="amy")
    world.attach(world.lifetime(5), entity="zoe")
    world.attach(world.monthly(3), entity="zoe")
    world.track(4)
    assert world.left("zoe", "amy", None) == [4, 20, 24]
    world.track(6)
    assert world.left("zoe", "amy", None) == [0, 18, 18]


def test_the_customer_spends_plans_of_entities_down_to_zero_alone(world: World) -> None:
    world.entities("e1")
    world.attach(world.pay_per_use(5), entity="e1")
    assert world.allows(5, 5.1) == [True, False]
    assert world.allows(5, 5.1, entity="e1") == [True, True]
    world.track(9)
    assert (world.state(), world.state("e1")) == ([5, 0, 5], [5, 0, 5])
    world.track(9, "e1")
    assert (world.state(), world.state("e1")) == ([5, 0, 14], [5, 0, 14])


def test_an_event_spills_into_the_credits_of_each_feature_up_to_its_caps(world: World) -> None:
    """Of action1 10 units and 1 credit for 5 more; of action3 10 units and 2.8 credits for 2."""
    world.actions()
    grants = {"action1": 10, "credits": 5, "action3": 10, "credits2": 7}
    world.attach(*(world.monthly(included, name) for name, included in grants.items()))
    caps = [(15, "action1"), (2.8, "credits2")]
    limits = [world.usage_limit(limit, feature=name) for limit, name in caps]
    world.control({"usage_limits": [one for each in limits for one in each["usage_limits"]]})
    world.track_event(20)
    assert [world.shown(None, name)["remaining"] for name in grants] == [0, 4, 0, 4.2]
    assert [world.counter(name) for _, name in caps] == [15, 2.8]


@pytest.mark.parametrize(
    ("kind", "entry", "hiding", "used"),
    [
        ("usage_limits", {"limit": 4, "interval": "month"}, {"enabled": False}, [4, 15]),
        ("spend_limits", {"enabled": True, "overage_limit": 2}, {"enabled": False}, [12, 15]),
        ("overage_allowed", {"enabled": False}, {"enabled": True}, [10, 15]),
    ],
)
def test_an_entry_of_the_customer_hides_that_of_its_plan(
    world: World, kind: str, entry: Json, hiding: Json, used: list[float]
) -> None:
    """A disabled one too."""
    named = {"feature_id": world.name("messages")}
    world.attach(world.pay_per_use(10), billing_controls={kind: [named | entry]})
    for controls, sum_used in zip(([], [named | entry | hiding]), used, strict=True):
        world.control({kind: controls})
        world.track(15 if not controls else 15 - used[0])
        assert world.state()[2] == sum_used
