"""Scenarios of the cold path: seats, resets, rollovers and limits under plans.

Each test carries the ids it plays.
"""

from __future__ import annotations

import pytest

from tests.acceptance.store import DAY_MS, Store


def test_s79_seats_paid_at_the_end_of_the_cycle(store: Store) -> None:
    store.plan("pro", store.seats(1))
    store.take("pro")
    store.entities("e1", "e2", "e3")
    assert store.state(feature="users") == [1, 0, 3]
    store.gateway.call("entities.delete", **store.scope("e3"))
    assert store.state(feature="users") == [1, 0, 2]
    store.end_of_cycle()
    assert store.state(feature="users") == [1, 0, 2]
    assert store.balance(feature="users")["next_reset_at"] is None


def test_s79_seats_on_a_step_up(store: Store) -> None:
    store.plan("pro", store.seats(2))
    store.plan("premium", store.seats(5))
    store.take("pro")
    store.entities("e1", "e2", "e3", "e4")
    store.take("premium")
    assert store.state(feature="users") == [5, 1, 4]


@pytest.mark.parametrize(
    ("before", "after", "granted"),
    [
        ("premium", "pro", 5),
        ("pro", "free", 2),
    ],
)
def test_s80_seats_across_a_step_down(
    store: Store, before: str, after: str, granted: float
) -> None:
    store.plan("premium", store.seats(3))
    store.plan("pro", store.seats(5))
    store.plan("free", store.item("users", 2))
    store.take(before)
    used = granted + 5
    store.entities(*(f"e{number}" for number in range(int(used))))
    store.take(after)
    store.end_of_cycle()
    assert store.held() == {after: "active"}
    assert store.state(feature="users") == [granted, 0, used]


def seats(store: Store) -> list[float]:
    """Return what is granted, left and used of the seats."""
    return store.state(feature="users")


def leave(store: Store, *names: str) -> None:
    """Delete entities."""
    for name in names:
        store.gateway.call("entities.delete", **store.scope(name))


def test_p01_seats_that_are_counted_at_the_renewal(store: Store) -> None:
    store.plan("pro", store.seats(1))
    store.take("pro")
    store.entities("e1", "e2", "e3")
    assert seats(store) == [1, 0, 3]
    leave(store, "e2")
    assert seats(store) == [1, 0, 2]
    store.end_of_cycle()
    assert (store.held(), seats(store)) == ({"pro": "active"}, [1, 0, 2])


def test_p02_and_s73_seats_beyond_the_included_one(store: Store) -> None:
    store.entities("e1")
    store.plan("pro", store.seats(1))
    assert store.preview("pro")["total"] == 20
    store.take("pro")
    assert seats(store) == [1, 0, 1]
    store.entities("e2", "e3")
    assert seats(store) == [1, 0, 3]
    leave(store, "e3")
    assert seats(store) == [1, 0, 2]
    store.entities("e4", "e5")
    assert seats(store) == [1, 0, 4]


def test_s74_seats_that_are_tracked(store: Store) -> None:
    store.plan("pro", store.seats(1))
    store.take("pro")
    for value, used in ((3, 3), (-3, 0), (1, 1)):
        store.track(value, feature="users")
        assert seats(store) == [1, max(0, 1 - used), used]
    for value, used in ((2, 3), (-2, 1), (1, 2), (2, 4), (-4, 0)):
        store.track(value, feature="users")
        assert seats(store) == [1, max(0, 1 - used), used]
    store.end_of_cycle()
    assert seats(store) == [1, 1, 0]


def test_p04_and_s76_seats_that_are_free_at_the_renewal(store: Store) -> None:
    store.plan("pro", store.seats(1))
    store.take("pro")
    store.entities("e1", "e2", "e3")
    leave(store, "e1", "e2")
    assert seats(store) == [1, 0, 1]
    store.end_of_cycle()
    assert seats(store) == [1, 0, 1]
    store.entities("e1")
    assert seats(store) == [1, 0, 2]


def test_s88_a_reset_that_nobody_waited_for(store: Store) -> None:
    store.plan("free", store.monthly(100))
    store.take("free")
    store.track(30)
    store.advance()
    assert store.state() == [100, 100, 0]
    assert store.balance()["next_reset_at"] > store.now()
    store.track(10)
    store.advance()
    assert store.allows(90) == [True]
    store.advance()
    store.track(20)
    assert store.left(None) == [80]


@pytest.mark.parametrize(
    ("included", "used", "most", "rolled"),
    [
        (400, 250, 500, 150),
        (300, 50, 100, 100),
    ],
)
def test_s89_rollovers(
    store: Store, included: float, used: float, most: float, rolled: float
) -> None:
    rollover = {"max": most, "expiry_duration_type": "month", "expiry_duration_length": 1}
    store.plan("free", store.monthly(included, rollover=rollover))
    store.take("free")
    store.track(used)
    store.advance()
    assert (store.left(None), store.rollovers()) == ([included + rolled], [rolled])


@pytest.mark.parametrize("each", [False, True])
def test_rollovers_go_only_to_a_plan_that_has_some(store: Store, each: bool) -> None:
    """Cold-path section 3.5: they move to an item with a rollover, within its own maximum."""
    more = store.each if each else {}
    for name, included, most in (("pro", 100, 60), ("premium", 200, 50), ("growth", 300, None)):
        rollover = {"max": most, "expiry_duration_type": "forever"} if most else None
        store.plan(name, store.monthly(included, rollover=rollover, **more))
    store.entities("e1")
    store.take("pro")
    store.advance()
    assert store.left(None, "e1") == [160, 160]
    store.take("premium")
    assert store.left(None, "e1") == [250, 250]
    store.take("growth")
    assert (store.left(None, "e1"), store.rollovers()) == ([300, 300], [])


def test_s91_entities_with_rollovers_add_up(store: Store) -> None:
    rollover = {"max": 1000, "expiry_duration_type": "month", "expiry_duration_length": 3}
    store.plan("free", store.monthly(100, rollover=rollover, **store.each))
    store.take("free")
    store.entities("e1", "e2")
    store.track(60, "e1")
    store.track(30, "e2")
    assert store.state()[1:] == [110, 90]
    store.advance()
    assert store.state()[1:] == [310, 0]
    store.track(50, "e1")
    assert store.state()[1:] == [260, 50]


def test_s92_rollovers_are_cut_for_each_entity(store: Store) -> None:
    rollover = {"max": 1080, "expiry_duration_type": "forever"}
    store.plan("free", store.monthly(300, rollover=rollover, **store.each))
    store.take("free")
    store.entities("e1", "e2")
    for _ in range(5):
        store.track(260, "e2")
        store.advance()
    assert sum(store.rollovers("e1")) <= 1080
    assert sum(store.rollovers("e2")) == 200


def test_s94_overage_is_forgiven_at_a_reset(store: Store) -> None:
    store.plan("free", store.monthly(100))
    store.take("free")
    store.track(200, overage_behavior="overflow")
    assert store.state() == [100, 0, 200]
    store.advance()
    assert store.state() == [100, 100, 0]


def test_s95_cycles_keep_the_day_they_began(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.take("pro")
    first = store.subscriptions()["pro"]
    assert first["current_period_start"] == first["started_at"]
    store.end_of_cycle()
    second = store.subscriptions()["pro"]
    assert second["current_period_start"] == first["current_period_end"]
    assert store.balance()["next_reset_at"] == second["current_period_end"]


def test_s97_the_first_boundary_can_be_chosen(store: Store) -> None:
    tenth = store.now() + 10 * DAY_MS
    store.grant(50, reset={"interval": "month"}, next_reset_at=tenth)
    assert store.balance()["next_reset_at"] == tenth
    store.track(10)
    assert store.left(None) == [40]
    store.advance("11d")
    assert store.left(None) == [50]
    assert 27 * DAY_MS < store.balance()["next_reset_at"] - tenth < 32 * DAY_MS
    body = store.body(None, "words", included_grant=5, next_reset_at=tenth)
    assert store.gateway.refusal("balances.create", **body)[0] == 400


def test_s98_what_resets_is_spent_before_what_lasts(store: Store) -> None:
    store.plan("free", store.monthly(500), store.lifetime(200))
    store.take("free")
    store.track(400)
    assert store.breakdown() == [100, 200]
    store.track(200)
    assert store.breakdown() == [0, 100]
    store.advance()
    assert store.left(None) == [600]


def test_s100_a_usage_limit_clamps(store: Store) -> None:
    store.plan("free", store.monthly(100))
    store.take("free")
    store.control(store.usage_limit(5))
    store.track(10)
    assert (store.left(None), store.counter()) == ([95], 5)
    store.track(3)
    assert (store.left(None), store.counter()) == ([95], 5)
    assert store.event_values() == [3, 10]


def test_s101_a_usage_limit_beside_credits(store: Store) -> None:
    store.actions()
    store.plan("free", store.monthly(100, "credits"))
    store.take("free")
    store.control(store.usage_limit(5, feature="action1"))
    store.track(5, feature="action1")
    assert store.left(None, feature="credits") == [99]
    store.track(1, feature="action1")
    assert store.left(None, feature="credits") == [99]
    store.track(10, feature="credits")
    assert store.left(None, feature="credits") == [89]


@pytest.mark.parametrize(
    ("one", "other", "strict"),
    [
        ((100, "day"), (2000, "month"), "month"),
        ((10, "day"), (2000, "month"), "day"),
        ((70, "week"), (100, "year"), "year"),
    ],
)
def test_s103_the_stricter_limit_of_two_plans(
    store: Store, one: tuple[float, str], other: tuple[float, str], strict: str
) -> None:
    for number, (limit, interval) in enumerate((one, other)):
        controls = store.usage_limit(limit, interval)
        name = f"plan{number}"
        store.plan(name, store.monthly(10), group=store.name(name), billing_controls=controls)
        store.take(name)
    (shown,) = store.view()["billing_controls"]["usage_limits"]
    assert (shown["interval"], shown["source"]) == (strict, "plan")


def test_s104_a_spend_limit_of_the_plan(store: Store) -> None:
    controls = store.spend_limit(25)
    store.plan("pro", store.lifetime(1000), store.payg(100), billing_controls=controls)
    store.take("pro")
    store.track(1120)
    store.track(10)
    assert store.state()[2] == 1125
    assert store.refused(1)


def test_s112_credits(store: Store) -> None:
    store.feature("model", type="metered", consumable=True)
    costs = [{"metered_feature_id": store.name("model"), "credit_cost": 6}]
    store.feature("credits", type="credit_system", credit_schema=costs)
    store.attach(store.monthly(100, "credits"))
    store.track(3, feature="model")
    assert store.left(None, feature="credits") == [82]


def test_s112_what_is_left_of_a_month_and_of_a_rollover(store: Store) -> None:
    rollover = {"expiry_duration_type": "forever"}
    store.attach(store.monthly(1000, rollover=rollover))
    store.track(600)
    store.advance("31d")
    assert (store.left(None), store.rollovers()) == ([1400], [400])
    store.track(300)
    assert (store.rollovers(), store.breakdown()) == ([100], [1000])
    assert store.left(None) == [1100]


def test_s46_plans_of_entities_share_one_cycle(store: Store) -> None:
    """The seeds: each under its own subscription, with the billing cycles synced."""
    store.entities("e1", "e2", "e3")
    store.plan("pro", store.monthly(100))
    store.take("pro", "e1")
    cycle = store.subscriptions("e1")["pro"]
    half = (cycle["current_period_start"] + cycle["current_period_end"]) // 2
    store.gateway.call("clock.advance", to=half)
    seen = store.preview("pro", "e2")
    assert seen["total"] == pytest.approx(10, abs=0.01)
    assert seen["next_cycle"]["starts_at"] == cycle["current_period_end"]
    store.take("pro", "e2")
    assert store.subscriptions("e2")["pro"]["current_period_end"] == cycle["current_period_end"]
    assert store.balance("e2")["next_reset_at"] == cycle["current_period_end"]
    store.gateway.call("entities.delete", **store.scope("e1"))
    store.gateway.call("entities.delete", **store.scope("e2"))
    assert store.preview("pro", "e3")["total"] == 20


@pytest.mark.parametrize("is_free", [True, False])
def test_s46_a_plan_of_an_entity_that_begins_later_shares_the_cycle_too(
    store: Store, is_free: bool
) -> None:
    store.plan("free", store.monthly(5))
    store.plan("pro", store.monthly(100))
    store.entities("e1", "e2")
    if is_free:
        store.take("free")
    store.take("pro", "e1")
    ends = store.subscriptions("e1")["pro"]["current_period_end"]
    starts = store.now() + 3 * DAY_MS
    (line,) = store.preview("pro", "e2", starts_at=starts)["next_cycle"]["line_items"]
    assert line["period"] == {"start": starts, "end": ends}
    store.take("pro", "e2", starts_at=starts)
    store.gateway.call("clock.advance", to=starts)
    assert store.subscriptions("e2")["pro"]["current_period_end"] == ends
    assert ends in [one["reset"]["resets_at"] for one in store.balance("e2")["breakdown"]]
