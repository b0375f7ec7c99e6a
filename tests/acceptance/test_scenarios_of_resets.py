"""Scenarios N of the reference, over HTTP, and those of E and H with a rollover: what a new month
brings.

Each test carries the ids it plays and moves the clock of a gateway of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.world import World, a_month_after
from tests.fixtures.gateways import Gateway, Json

DAY_MS = 86_400_000


def rollover(most: float | None = None, months: int = 1) -> Json:
    cap = {} if most is None else {"max": most}
    return {"rollover": {"expiry_duration_type": "month", "expiry_duration_length": months, **cap}}


def test_n01_a_balance_is_full_again_after_its_reset(later: World) -> None:
    later.attach(later.monthly(100))
    later.track(30)
    due = later.balance()["next_reset_at"]
    now = later.advance()
    answer = later.check()
    assert (answer["allowed"], answer["balance"]["remaining"]) == (True, 100)
    assert later.state() == [100, 100, 0]
    following = later.balance()["next_reset_at"]
    assert due < now < following
    assert 28 * DAY_MS <= following - due <= 31 * DAY_MS


def test_n02_a_track_after_the_boundary_belongs_to_the_new_month(later: World) -> None:
    later.attach(later.monthly(100))
    later.track(50)
    later.advance()
    balance = later.track(20)["balance"]
    assert (balance["remaining"], balance["usage"]) == (80, 20)
    assert later.state() == [100, 80, 20]
    assert later.stored_usage() == 20


def test_several_months_that_were_missed_are_one_reset(later: World) -> None:
    later.attach(later.monthly(100, **rollover(months=12)))
    later.track(50)
    now = later.advance("100d")
    assert later.rollovers() == [50]
    assert later.state() == [150, 150, 0]
    assert 0 < later.balance()["next_reset_at"] - now <= 31 * DAY_MS


def test_n04_plans_of_entities_reset(later: World) -> None:
    later.entities("e1", "e2")
    plan_id = later.attach(later.monthly(100), entity="e1")
    later.attach_again(plan_id, "e2")
    later.track(30, "e1")
    later.track(20, "e2")
    assert later.state() == [200, 150, 50]
    later.advance()
    assert later.state() == [200, 200, 0]
    assert [later.state(name) for name in ("e1", "e2")] == [[100, 100, 0]] * 2


def test_n05_what_is_left_rolls_over(later: World) -> None:
    later.attach(later.monthly(400, **rollover(500)))
    later.track(250)
    later.advance()
    assert later.state() == [550, 550, 0]
    balance = later.balance()
    assert balance["rollovers"] == [
        {"granted": 150, "balance": 150, "expires_at": balance["next_reset_at"]}
    ]
    later.advance()
    assert later.rollovers() == [400]


def test_rollovers_are_spent_before_the_balance_and_the_oldest_first(later: World) -> None:
    later.attach(later.monthly(400, **rollover(months=6)))
    later.track(300)
    later.advance()
    later.state()
    later.advance()
    assert (later.rollovers(), later.breakdown()) == ([100, 400], [400])
    later.track(150)
    assert (later.rollovers(), later.breakdown()) == ([350], [400])
    later.track(400)
    assert (later.rollovers(), later.breakdown()) == ([], [350])


@pytest.mark.parametrize("change", [{"included_grant": 150}, {"included_grant": 0, "remaining": 0}])
def test_a_grant_that_was_set_by_hand_ends_with_its_month(later: World, change: Json) -> None:
    later.attach(later.monthly(100), later.lifetime(7))
    later.entities("e1")
    later.attach(later.monthly(20), entity="e1")
    later.update(interval="month", **change)
    later.update("e1", included_grant=50)
    later.track(45, "e1")
    later.advance()
    assert later.allows(127, 128) == [True, False]
    assert (later.state(), later.state("e1")) == ([127, 127, 0], [127, 127, 0])
    assert later.breakdown() == [100, 7]


def test_what_was_set_by_hand_rolls_over_and_is_not_what_a_lock_returns_to(later: World) -> None:
    later.attach(later.monthly(100, **rollover(months=2)))
    later.update(included_grant=150)
    later.gateway.call("clock.advance", to=later.balance()["next_reset_at"] - 3_600_000)
    assert later.lock("a", 20)
    later.advance("2h")
    assert (later.state(), later.rollovers()) == ([230, 230, 0], [130])
    later.release("a")
    assert later.state() == [230, 230, 0]


def test_what_was_bought_stays_where_a_grant_was_set_by_hand(later: World) -> None:
    later.attach(later.prepaid(100, reset={"interval": "month"}), quantities={"messages": 300})
    later.update(included_grant=150)
    assert later.state() == [350, 350, 0]
    later.forget()
    later.advance()
    later.track(310)
    assert later.state() == [300, 0, 300]
    (row,) = later.balance()["breakdown"]
    assert (row["included_grant"], row["prepaid_grant"]) == (100, 200)


def test_a_month_that_only_a_check_has_seen_rolls_over_too(later: World) -> None:
    later.attach(later.monthly(400, **rollover(months=6)))
    later.track(300)
    later.advance()
    assert later.check()["balance"]["remaining"] == 500
    later.advance()
    assert later.check()["balance"]["remaining"] == 900


def test_a_rollover_that_has_expired_is_gone(later: World) -> None:
    later.attach(later.item(included=100, reset={"interval": "year"}, **rollover()))
    later.track(40)
    later.advance("366d")
    assert later.state() == [160, 160, 0]
    later.advance("32d")
    assert (later.state(), later.rollovers()) == ([100, 100, 0], [])


def test_n07_parallel_tracks_at_a_reset_roll_over_once(later: World) -> None:
    later.attach(later.monthly(400, **rollover(500)))
    later.track(200)
    later.advance()
    track = ("balances.track", later.body(None, "messages", value=10))
    answers = later.at_once(*[track] * 5)
    assert {one.status_code for one in answers} == {200}
    assert later.state() == [600, 550, 50]
    (held,) = later.balance()["rollovers"]
    assert (held["granted"], held["balance"]) == (200, 150)


def test_parallel_tracks_at_a_reset_count_in_the_new_month(later: World) -> None:
    later.attach(later.monthly(100))
    later.track(50)
    later.advance()
    track = ("balances.track", later.body(None, "messages", value=10))
    answers = later.at_once(*[track] * 5)
    left = sorted(one.json()["balance"]["remaining"] for one in answers)
    assert left == [50, 60, 70, 80, 90]
    assert later.state() == [100, 50, 50]
    assert later.stored_usage() == 50


def test_n08_what_rolls_over_is_trimmed(later: World) -> None:
    later.attach(later.monthly(100, **rollover(80)))
    later.track(50)
    later.advance()
    assert (later.state()[1], later.rollovers()) == (150, [50])
    later.advance()
    assert (later.state()[1], later.rollovers()) == (180, [80])


def test_n10_each_entity_rolls_over_and_is_trimmed_for_itself(later: World) -> None:
    later.attach(later.monthly(400, **later.each, **rollover(500, months=6)))
    later.entities("e1", "e2")
    later.track(100, "e1")
    later.track(200, "e2")
    later.advance()
    assert [later.rollovers(name) for name in ("e1", "e2")] == [[300], [200]]
    later.advance()
    assert [later.rollovers(name) for name in ("e1", "e2")] == [[100, 400]] * 2
    assert later.left("e1", "e2", None) == [900, 900, 1800]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [(1000, 600, [100, 500]), (600, 1000, [100, 500])],
    ids=["lower", "higher"],
)
def test_n11_rollovers_move_to_the_next_plan_and_are_trimmed_by_it(
    later: World, first: float, second: float, kept: list[float]
) -> None:
    group = f"tiers_{later.number}"
    later.attach(later.monthly(500, **rollover(first, months=6)), group=group)
    for _ in range(2):
        later.advance()
        later.state()
    assert later.rollovers() == ([500, 500] if first == 1000 else kept)
    later.attach(later.monthly(500, **rollover(second, months=6)), group=group)
    assert later.rollovers() == kept
    assert later.state()[1] == 500 + 600


def test_n13_a_rollover_keeps_its_grant_while_it_is_spent(later: World) -> None:
    later.attach(later.monthly(100, **rollover()))
    later.track(70)
    later.advance()
    later.track(10)
    (held,) = later.balance()["rollovers"]
    assert (held["granted"], held["balance"]) == (30, 20)
    assert later.state() == [130, 120, 10]


def test_n13_the_customer_sees_the_rollovers_of_its_entities(later: World) -> None:
    later.attach(later.monthly(100, **later.each, **rollover()))
    later.entities("e1", "e2")
    later.track(40, "e1")
    later.advance()
    later.track(10, "e1")
    (held,) = later.balance("e1")["rollovers"]
    assert (held["granted"], held["balance"]) == (60, 50)
    listed = later.balance()["rollovers"]
    assert [sum(one[name] for one in listed) for name in ("granted", "balance")] == [160, 150]
    assert later.state() == [360, 350, 10]


def test_n14_a_grant_resets_when_it_was_told_to(later: World) -> None:
    first = later.created_at + 10 * DAY_MS
    later.grant(50, reset={"interval": "month"}, next_reset_at=first)
    assert later.balance()["next_reset_at"] == first
    later.track(20)
    later.advance("11d")
    assert later.state() == [50, 50, 0]
    assert later.balance()["next_reset_at"] == a_month_after(first)


def test_e05_credits_that_rolled_over_are_spent_first(later: World) -> None:
    later.actions()
    later.attach(later.monthly(500, "credits", **rollover(300)))
    later.advance()
    assert later.state(None, "credits") == [800, 800, 0]
    for value, feature, rolled, total in (
        (100, "action1", [280], 780),
        (400, "action2", [40], 540),
        (500, "action1", [], 440),
    ):
        later.track(value, feature=feature)
        assert later.rollovers(None, "credits") == rolled
        assert later.state(None, "credits")[1] == total


def test_h19_overflow_with_a_rollover_and_a_usage_limit(later: World) -> None:
    later.attach(later.monthly(100, **rollover()))
    later.track(40)
    later.advance()
    assert later.state()[1] == 160
    later.control(later.usage_limit(5))
    later.track(3)
    later.track(10, overage_behavior="overflow")
    assert (later.state(), later.counter()) == ([160, 147, 13], 13)
    later.track(2)
    assert (later.state(), later.counter()) == ([160, 147, 13], 13)


@pytest.fixture(scope="module")
def persisting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose resets keep free overage."""
    folder = tmp_path_factory.mktemp("gateway") / "data"
    started = Gateway(folder, environment={"TALLYGATE_PERSIST_FREE_OVERAGE": "1"})
    try:
        yield started.start()
    finally:
        started.stop()


@pytest.mark.parametrize(("used", "left"), [(200, 0), (175, 25), (150, 50), (40, 100)])
def test_overage_is_forgotten_at_a_reset_unless_it_is_set_to_stay(
    persisting: Gateway, later: World, used: float, left: float
) -> None:
    keeping = World(persisting)
    for world, expected in ((keeping, left), (later, 100)):
        world.attach(world.monthly(100))
        world.track(used, overage_behavior="overflow")
        world.advance()
        assert world.state() == [100, expected, 100 - expected]


def test_a_grant_without_a_plan_keeps_its_overage_too(persisting: Gateway) -> None:
    world = World(persisting)
    world.grant(100, reset={"interval": "month"})
    world.track(150, overage_behavior="overflow")
    world.advance()
    assert world.state() == [100, 50, 50]


@pytest.mark.parametrize("entity", [None, "e1"])
@pytest.mark.parametrize(
    ("bought", "left", "after_a_month"), [(200, 150, 250), (50, 0, 100), (20, 0, 70)]
)
def test_a_one_off_add_on_pays_overage_that_would_stay(
    persisting: Gateway, entity: str | None, bought: float, left: float, after_a_month: float
) -> None:
    """Cold-path section 6.2."""
    world = World(persisting)
    world.entities("e1")
    world.attach(world.monthly(100), entity=entity)
    world.track(150, entity, overage_behavior="overflow")
    buy_once(world, bought, entity)
    granted = 100 + bought
    assert world.state(entity) == world.state() == [granted, left, 150]
    assert world.stored_usage() == 150
    world.advance()
    assert world.state(entity) == [granted, after_a_month, granted - after_a_month]


def test_what_pays_no_overage(persisting: Gateway, later: World) -> None:
    """What is paid by use, what slots owe, what comes each month, and all without the setting."""
    paid, each, monthly = (World(persisting) for _ in range(3))
    paid.attach(paid.pay_per_use(100))
    paid.track(150)
    each.attach(each.monthly(100, **each.each))
    each.entities("e1")
    each.track(150, "e1", overage_behavior="overflow")
    for world in (paid, each):
        buy_once(world, 200)
    for world in (monthly, later):
        world.attach(world.monthly(100))
        world.track(150, overage_behavior="overflow")
    monthly.attach(monthly.monthly(200), add_on=True)
    buy_once(later, 200)
    assert [world.state() for world in (paid, each, monthly, later)] == [[300, 200, 150]] * 4


def buy_once(world: World, units: float, entity: str | None = None) -> None:
    price = {"amount": 1, "interval": "one_off", "billing_method": "prepaid"}
    item = world.item(price=price)
    world.attach(item, entity=entity, quantities={"messages": units}, add_on=True)


def test_each_entity_keeps_its_overage_for_itself(persisting: Gateway) -> None:
    world = World(persisting)
    world.attach(world.monthly(100, **world.each))
    world.entities("e1", "e2")
    world.track(150, "e1", overage_behavior="overflow")
    world.track(70, "e2")
    world.advance()
    assert world.left("e1", "e2", None) == [50, 100, 150]


def test_a_cap_on_credits_leaves_rollovers_alone_whatever_is_tracked(later: World) -> None:
    later.actions()
    rollover = {"max": 1000, "expiry_duration_type": "month", "expiry_duration_length": 1}
    later.attach(later.monthly(100, "credits", rollover=rollover))
    later.track(80, feature="credits")
    later.advance()
    later.control(later.usage_limit(5, "day", "credits"))
    assert later.allows(25, 26, feature="credits") == [True, False]
    assert later.allows(125, 126, feature="action1") == [True, False]
    assert later.track(30, feature="credits", dry_run=True)["balance"]["usage"] == 25
    assert later.lock("hold", 24, feature="credits")
    assert (later.state(None, "credits"), later.counter("credits")) == ([120, 96, 24], 4)
    later.confirm("hold", 22)
    assert (later.state(None, "credits"), later.counter("credits")) == ([120, 98, 22], 2)
    later.track(30, feature="credits")
    assert (later.state(None, "credits"), later.counter("credits")) == ([120, 95, 25], 5)
