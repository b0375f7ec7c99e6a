"""Scenarios K of the reference, over HTTP: units held, confirmed, given back, or left to expire.

Each test carries the ids it plays. Unless a test says otherwise there are 15 units: 5 that reset
each hour, spent first, and 10 that reset each month.
"""

from __future__ import annotations

import pytest

from tests.acceptance.world import World

HOUR_MS = 3_600_000


@pytest.fixture
def held(world: World) -> World:
    world.attach(world.hourly(5), world.monthly(10))
    return world


def test_k01_confirming_less_gives_back_the_rest(held: World) -> None:
    assert held.lock("a", 8, properties={"step": "lock"})
    assert (held.breakdown(), held.balance()["held"]) == ([0, 7], 8)
    held.confirm("a", 5, properties={"step": "confirm"})
    assert (held.state(), held.balance().get("held", 0)) == ([15, 10, 5], 0)
    assert held.event_values() == [-3, 8]
    assert [one["properties"] for one in held.events()] == [{"step": "lock"}, {"step": "confirm"}]


def test_confirming_what_is_held_changes_nothing(held: World) -> None:
    assert held.lock("a", 8)
    held.confirm("a")
    assert held.state() == [15, 7, 8]
    assert held.event_values() == [8]
    assert held.no_lock("a") == 409


def test_confirming_more_takes_the_difference(held: World) -> None:
    assert held.lock("a", 8)
    held.confirm("a", 11)
    assert held.state() == [15, 4, 11]
    assert held.event_values() == [3, 8]


@pytest.mark.parametrize("before", [0, 5])
def test_k02_a_release_gives_everything_back(held: World, before: float) -> None:
    if before:
        held.track(before)
    assert held.lock("a", 8)
    assert held.state()[1] == 7 - before
    held.release("a")
    assert held.state() == [15, 15 - before, before]
    assert held.event_values() == [-8] + [before] * bool(before) + [8]


def test_k04_confirming_a_negative_amount_gives_back_more(held: World) -> None:
    held.track(5)
    assert held.lock("a", 8)
    held.confirm("a", -3)
    assert held.state()[1] == 13
    assert held.event_values() == [-11, 5, 8]


def test_confirming_a_negative_amount_stops_at_the_grant(held: World) -> None:
    assert held.lock("a", 5)
    held.confirm("a", -2)
    assert held.state() == [15, 15, 0]
    assert held.event_values() == [-7, 5]


@pytest.mark.parametrize(("units", "left"), [(-3, 8), (3, 2), (-8, 13)])
def test_k05_a_hold_of_a_negative_amount(held: World, units: float, left: float) -> None:
    held.track(10)
    assert held.lock("a", -5)
    assert held.state()[1] == 10
    held.confirm("a", units)
    assert held.state()[1] == left


@pytest.mark.parametrize(
    ("required", "units", "left", "events"),
    [
        (8, 5, [0, 20], [-3, 8]),
        (8, 0, [5, 20], [-8, 8]),
        (5, 3, [2, 20], [-2, 5]),
        (8, 8, [0, 17], [8]),
        (0, 0, [5, 20], None),
    ],
)
def test_k07_units_return_to_the_source_they_came_from_last(
    world: World, required: float, units: float, left: list[float], events: list[float] | None
) -> None:
    world.attach(world.hourly(5), world.lifetime(20))
    assert world.lock("a", required)
    world.confirm("a", units)
    assert world.breakdown() == left
    if events is not None:
        assert world.event_values() == events


def test_k08_the_event_of_a_finalize_has_its_properties_or_those_of_the_lock(held: World) -> None:
    assert held.lock("a", 4, properties={"by": "lock"})
    held.confirm("a", 3)
    assert held.lock("b", 4, properties={"by": "lock"})
    held.confirm("b", 2, properties={"by": "finalize"})
    of_value = {one["value"]: one["properties"] for one in held.events()}
    assert of_value == {4: {"by": "lock"}, -1: {"by": "lock"}, -2: {"by": "finalize"}}


@pytest.mark.parametrize(("units", "left"), [(20, 180), (45, 155)])
def test_k10_a_lock_on_credits(world: World, units: float, left: float) -> None:
    world.actions()
    world.attach(world.monthly(200, "credits"))
    assert world.lock("a", 30, feature="credits")
    assert world.state(None, "credits")[1] == 170
    world.confirm("a", units)
    assert world.state(None, "credits") == [200, left, 200 - left]


def test_a_lock_on_a_member_holds_credits(world: World) -> None:
    world.actions()
    world.attach(world.monthly(5, "action1"), world.monthly(100, "credits"))
    assert world.lock("a", 20, feature="action1")
    assert [world.state(None, name)[1] for name in ("action1", "credits")] == [0, 97]
    world.confirm("a", 4)
    assert [world.state(None, name)[1] for name in ("action1", "credits")] == [1, 100]


def test_k11_decimals(world: World) -> None:
    world.actions()
    world.attach(world.monthly(100, "action1"))
    assert world.lock("a", 27.89, feature="action1")
    world.confirm("a", 12.45)
    assert world.state(None, "action1") == [100, 87.55, 12.45]


@pytest.fixture
def mixed(world: World) -> World:
    """100 of the customer, and 50 for each of two entities."""
    world.attach(world.monthly(100), world.monthly(50, **world.each))
    world.entities("e1", "e2")
    return world


def test_k13_a_lock_of_the_customer_reaches_into_its_entities(mixed: World) -> None:
    assert mixed.lock("a", 120)
    assert mixed.left(None, "e1", "e2") == [80, 30, 50]
    mixed.confirm("a", 160)
    assert mixed.left(None, "e1", "e2") == [40, 0, 40]


def test_k13_locks_of_two_entities(mixed: World) -> None:
    assert mixed.lock("a", 30, "e1")
    assert mixed.lock("b", 20, "e2")
    mixed.confirm("a", 15)
    mixed.confirm("b", 25)
    assert mixed.left(None, "e1", "e2") == [160, 135, 125]


def test_k13_a_lock_of_an_entity_beside_a_track_of_the_customer(mixed: World) -> None:
    assert mixed.lock("a", 30, "e1")
    mixed.track(10)
    mixed.confirm("a")
    assert mixed.left(None, "e1", "e2") == [160, 110, 140]


def test_k14_units_return_to_the_entity_they_came_from_last(world: World) -> None:
    world.attach(world.monthly(10, **world.each))
    world.entities("e1", "e2")
    assert world.lock("a", 14)
    assert world.left("e1", "e2") == [0, 6]
    world.confirm("a", 8)
    assert world.left(None, "e1", "e2") == [12, 2, 10]
    assert world.event_values() == [-6, 14]


def test_k16_units_return_to_the_rollover_they_came_from_last(later: World) -> None:
    _roll_over(later, resets=2)
    assert later.lock("a", 250)
    assert (later.rollovers(), later.breakdown()) == ([], [50])
    later.confirm("a", 80)
    assert (later.rollovers(), later.breakdown()) == ([20, 100], [100])
    assert later.state()[1] == 220


def test_k16_confirming_more_spends_the_rest_of_the_rollover_first(later: World) -> None:
    _roll_over(later, resets=1)
    assert later.lock("a", 30)
    assert later.rollovers() == [70]
    later.confirm("a", 150)
    assert (later.rollovers(), later.breakdown()) == ([], [50])
    assert later.state()[1] == 50


def _roll_over(world: World, resets: int) -> None:
    rule = {"max": 1000, "expiry_duration_type": "month", "expiry_duration_length": 6}
    world.attach(world.monthly(100, rollover=rule))
    for _ in range(resets):
        world.advance()
        world.state()
    assert world.rollovers() == [100] * resets


@pytest.mark.parametrize(("units", "left", "sources"), [(57, 173, [80, 93]), (63, 167, [77, 90])])
def test_k17_the_plan_changes_while_units_are_held(
    world: World, units: float, left: float, sources: list[float]
) -> None:
    group = f"tiers_{world.number}"
    world.attach(world.monthly(50), group=group)
    world.attach(world.lifetime(100), add_on=True)
    assert world.lock("a", 60)
    assert world.breakdown() == [0, 90]
    world.attach(world.monthly(80), group=group)
    assert world.breakdown() == [80, 90]
    world.confirm("a", units)
    assert (world.state()[1], world.breakdown()) == (left, sources)


def test_k19_without_a_balance_nothing_can_be_held(world: World) -> None:
    assert not world.lock("a", 10)
    assert world.no_lock("a") == 400
    assert world.lock("b", 0)


@pytest.mark.parametrize("units", [0, 3])
def test_k20_a_lock_on_unlimited_counts_its_usage(world: World, units: float) -> None:
    world.attach(world.item(unlimited=True))
    assert world.lock("a", 5)
    assert world.state() == [0, 0, 5]
    if units:
        world.confirm("a", units)
    else:
        world.release("a")
    assert world.state() == [0, 0, units]


def test_k22_no_lock_on_continuous_use_and_none_for_more_than_a_day(world: World) -> None:
    world.attach(world.item("workflows", 5), world.monthly(10))
    body = world.lock_body("a", 1, feature="workflows")
    assert world.gateway.refusal("balances.check", **body) == (400, "invalid_request")
    body = world.lock_body("b", 1, expires_at=world.created_at + 48 * HOUR_MS)
    assert world.gateway.refusal("balances.check", **body) == (400, "invalid_request")
    assert (world.state(), world.state(feature="workflows")) == ([10, 10, 0], [5, 5, 0])


def test_a_lock_whose_id_is_taken_is_refused_and_holds_nothing(held: World) -> None:
    assert held.lock("a", 4)
    taken = (409, "lock_already_exists")
    assert held.gateway.refusal("balances.check", **held.lock_body("a", 2)) == taken
    track = held.lock_body("a", 0)
    del track["required_balance"]
    assert held.gateway.refusal("balances.track", **track, value=2) == taken
    assert held.state() == [15, 11, 4]


def test_a_track_can_hold_units(held: World) -> None:
    body = held.lock_body("a", 0)
    del body["required_balance"]
    held.gateway.call("balances.track", **body, value=8)
    assert held.state() == [15, 7, 8]
    held.confirm("a", 5)
    assert held.state() == [15, 10, 5]


@pytest.mark.parametrize(
    ("behavior", "taken", "confirmed"), [("cap", 15, 15), ("overflow", 20, 30), ("reject", 0, 0)]
)
def test_a_check_says_what_becomes_of_a_lock_that_is_too_large(
    held: World, behavior: str, taken: float, confirmed: float
) -> None:
    """Published clients send it; finalizing goes by it too."""
    allowed = held.lock("a", 20, overage_behavior=behavior)
    assert (allowed, held.state()) == (taken > 0, [15, max(0, 15 - taken), taken])
    if allowed:
        held.confirm("a", 30)
    assert held.state()[2] == confirmed
    if allowed:
        assert held.lock("b", 5, overage_behavior=behavior)
        assert held.state()[2] == confirmed + (5 if behavior == "overflow" else 0)
        held.release("b")
    assert held.state()[2] == confirmed


@pytest.mark.parametrize("behavior", ["cap", "overflow", "reject"])
def test_no_lock_is_made_where_nothing_is_held(world: World, behavior: str) -> None:
    assert not world.lock("a", 5, overage_behavior=behavior)
    assert world.no_lock("a") == 400
    assert world.event_values() == []
    wrong = world.lock_body("a", 5, overage_behavior="all")
    assert world.gateway.refusal("balances.check", **wrong) == (400, "invalid_inputs")


def test_a_lock_that_overflows_stops_at_a_spend_limit(world: World) -> None:
    world.attach(world.pay_per_use(10))
    world.control(world.spend_limit(5) | world.usage_limit(3))
    assert world.lock("a", 30, overage_behavior="overflow")
    assert (world.state()[2], world.counter()) == (15, 15)
    world.confirm("a", 12)
    assert (world.state()[2], world.counter()) == (12, 12)


def test_a_release_takes_no_other_amount(held: World) -> None:
    assert held.lock("a", 4)
    named = {"lock_id": held.name("a"), "action": "release", "override_value": 1}
    status, _ = held.gateway.refusal("balances.finalize", **named)
    assert (status, held.state()) == (400, [15, 11, 4])


def test_k26_a_release_that_comes_twice_releases_once(held: World) -> None:
    """A repeated finalize is answered as the first; the reference answers 400."""
    assert held.lock("a", 8)
    held.release("a")
    held.release("a")
    assert held.state() == [15, 15, 0]
    assert held.event_values() == [-8, 8]
    assert held.no_lock("a") == 409
    assert held.no_lock("unknown") == 400


def test_the_same_finalize_many_times_at_once_is_done_once(held: World) -> None:
    """The reference lets one of them succeed."""
    assert held.lock("a", 8)
    body = {"lock_id": held.name("a"), "action": "confirm", "override_value": 5}
    answers = held.at_once(*[("balances.finalize", body)] * 5)
    assert {one.status_code for one in answers} == {200}
    assert held.state() == [15, 10, 5]
    assert held.event_values() == [-3, 8]


def test_of_different_finalizes_at_once_one_succeeds(held: World) -> None:
    assert held.lock("a", 8)
    named = {"lock_id": held.name("a")}
    confirm = ("balances.finalize", named | {"action": "confirm", "override_value": 5})
    release = ("balances.finalize", named | {"action": "release"})
    confirmed, released = held.at_once(confirm, release)
    assert sorted((confirmed.status_code, released.status_code)) == [200, 409]
    assert held.state()[2] == (5 if confirmed.status_code == 200 else 0)
