"""Rules of plans, time and limits that meet in one customer; the numbers were worked out before.
Each is played to the end, and looked at once more as SQL knows it.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.acceptance.store import DAY_MS, Store
from tests.acceptance.world import World

HOUR_MS = DAY_MS // 24


def at(year: int, month: int, day: int, hour: int = 0) -> int:
    return round(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000)


def next_year(world: World) -> int:
    """Return a year to come whose February has 28 days."""
    now: int = world.gateway.call("clock.get")["now"]
    year = datetime.fromtimestamp(now / 1000, UTC).year + 1
    return year + (year % 4 == 0)


def states(world: World, *entities: str, feature: str = "messages") -> list[list[float]]:
    """Return the customer's balance and those of entities, the same from SQL as from Redis."""
    found = [world.state(one, feature) for one in (None, *entities)]
    world.forget()
    assert [world.state(one, feature) for one in (None, *entities)] == found
    return found


@pytest.mark.parametrize(
    ("quantity", "confirmed", "state"),
    [(50, 40, [50, 10, 40]), (150, 120, [150, 30, 120]), (50, 80, [50, 0, 80])],
)
def test_another_quantity_while_units_are_held(
    store: Store, quantity: float, confirmed: float, state: list[float]
) -> None:
    store.plan("pro", store.prepaid_pack(pack=10))
    store.take("pro", feature_quantities=store.quantities(messages=100))
    assert store.lock("a", 80)
    store.change("pro", feature_quantities=store.quantities(messages=quantity))
    assert store.state() == [quantity, max(0, quantity - 80), 80]
    store.confirm("a", confirmed)
    assert states(store) == [state]


def test_another_quantity_for_each_entity(store: Store) -> None:
    store.plan("pro", store.prepaid_pack(**store.each))
    store.entities("a", "b")
    store.take("pro", feature_quantities=store.quantities(messages=200))
    store.track(150, "a")
    more = {300: [[600, 450, 150], [300, 150, 150], [300, 300, 0]]}
    less = {100: [[200, 100, 150], [100, 0, 150], [100, 100, 0]]}
    for quantity, found in (more | less).items():
        store.change("pro", feature_quantities=store.quantities(messages=quantity))
        assert states(store, "a", "b") == found
    store.entities("c")
    assert store.state("c") == [100, 100, 0]


def test_a_hold_of_an_entity_that_is_deleted_goes_back_to_its_customer(store: Store) -> None:
    store.attach(store.monthly(10))
    store.attach(store.monthly(10, **store.each))
    store.entities("a", "b")
    assert store.lock("x", 13, "a")
    store.gateway.call("entities.delete", customer_id=store.customer, entity_id="a")
    assert store.state() == [20, 17, 3]
    store.release("x")
    assert states(store, "b") == [[20, 20, 0], [20, 20, 0]]


def test_what_is_pooled_under_caps_of_its_customer_and_of_one_entity(store: Store) -> None:
    store.entities("a", "b")
    pooled = store.attach(store.monthly(20, pooled=True), entity="a")
    store.attach_again(pooled, "b")
    store.attach(store.monthly(10), entity="a")
    store.control(store.usage_limit(25))
    store.control(store.usage_limit(15), "a")
    store.track(30, "a")
    assert (store.counter(entity="a"), store.counter()) == (15, 0)
    assert states(store, "a", "b") == [[50, 35, 15], [50, 35, 15], [40, 35, 5]]
    store.track(30, "b")
    assert (store.counter(entity="a"), store.counter()) == (15, 25)
    assert states(store, "a", "b") == [[50, 10, 40], [50, 10, 40], [40, 10, 30]]
    assert [store.refused(1, one) for one in (None, "a", "b")] == [True] * 3


def test_credits_that_rolled_over_are_spent_and_not_given_back(store: Store) -> None:
    store.actions()
    months = {"expiry_duration_type": "month", "expiry_duration_length": 6}
    store.attach(store.monthly(100, "credits", rollover=months))
    store.track(200, feature="action1")
    store.advance()
    for units, left in ((400, 80), (-150, 100), (-500, 100)):
        store.track(units, feature="action1")
        assert states(store, feature="credits") == [[160, left, 160 - left]]


def test_a_step_down_of_entities_that_are_more_than_the_next_plan_has_seats(store: Store) -> None:
    for name, each, seats in (("premium", 30, 10), ("pro", 10, 2)):
        store.plan(name, store.monthly(each, **store.each), store.item("users", seats))
    store.take("premium")
    store.entities("a", "b")
    store.track(25, "a")
    store.take("pro")
    store.entities("c")
    assert states(store, "a", "c") == [[90, 65, 25], [30, 5, 25], [30, 30, 0]]
    store.end_of_cycle()
    assert states(store, "a", "c") == [[30, 30, 0], [10, 10, 0], [10, 10, 0]]
    assert states(store, feature="users") == [[2, 0, 3]]


CYCLES: list[tuple[dict[str, object], tuple[int, int, int], tuple[int, int, int]]] = [
    ({"interval": "month"}, (2, 28, 10), (5, 31, 10)),
    ({"interval": "month", "interval_count": 2}, (3, 31, 10), (5, 31, 10)),
    ({"interval": "quarter"}, (4, 30, 10), (7, 31, 10)),
    ({"interval": "semi_annual"}, (7, 31, 10), (7, 31, 10)),
    ({"interval": "week", "interval_count": 2}, (2, 14, 10), (5, 9, 10)),
    ({"interval": "hour", "interval_count": 5}, (1, 31, 15), (4, 30, 14)),
]
"""What resets how often, and when next on the 31st of January and on the 30th of April."""


def test_many_cycles_that_pass_at_once_are_counted_from_the_day_they_began(store: Store) -> None:
    """All in one year: the clock can be ten of them ahead, with those that are skipped."""
    year = next_year(store)
    store.gateway.call("clock.advance", to=at(year, 1, 31, 10))
    customers = []
    for reset, first, _ in CYCLES:
        store.join()
        customers.append(store.customer)
        store.attach(store.item("messages", 10, reset=reset))
        assert abs(store.balance()["next_reset_at"] - at(year, *first)) < HOUR_MS, reset
        store.track(4)
    store.gateway.call("clock.advance", to=at(year, 4, 30, 11))
    for store.customer, (reset, _, later) in zip(customers, CYCLES, strict=True):
        assert abs(store.balance()["next_reset_at"] - at(year, *later)) < HOUR_MS, reset
        used = 4 if reset["interval"] == "semi_annual" else 0
        assert states(store) == [[10, 10 - used, used]], reset


def test_the_day_a_plan_began_outlives_a_step_up_and_a_step_down(store: Store) -> None:
    year = next_year(store)
    store.plan("pro", store.payg(3))
    store.plan("premium", store.monthly(50))
    store.plan("starter", store.monthly(2))
    store.gateway.call("clock.advance", to=at(year, 1, 31, 12))
    store.join()
    for month, day, take, ends in (
        (1, 31, "pro", (2, 28)),
        (3, 15, "premium", (3, 31)),
        (4, 1, None, (4, 30)),
        (5, 2, "starter", (5, 31)),
        (6, 1, None, (6, 30)),
        (7, 1, None, (7, 31)),
    ):
        store.gateway.call("clock.advance", to=at(year, month, day, 13))
        store.take(take) if take else None
        (held,) = (one for one in store.subscriptions().values() if one["status"] == "active")
        expected = at(year, *ends, 12)
        assert abs(held["current_period_end"] - expected) < 2 * HOUR_MS
        assert abs(store.balance()["next_reset_at"] - expected) < 2 * HOUR_MS
    assert store.held() == {"starter": "active"}


@pytest.mark.parametrize(
    ("tiers", "more", "totals"),
    [
        (
            [(600, 1), ("inf", 0.5)],
            {},
            {0: 0, 100: 0, 101: 1, 600: 500, 601: 500.5, 900: 650},
        ),
        (
            [(600, 10), ("inf", 5)],
            {"billing_units": 100},
            {101: 10, 600: 50, 850: 65},
        ),
        (
            [(500, 10, 20), ("inf", 7, 50)],
            {"billing_units": 100, "tier_behavior": "volume"},
            {0: 0, 100: 0, 450: 70, 500: 70, 501: 92, 900: 113},
        ),
    ],
)
def test_bands_count_the_included_units_and_packs_are_whole(
    store: Store,
    tiers: list[tuple[float | str, ...]],
    more: dict[str, object],
    totals: dict[float, float],
) -> None:
    bands = [dict(zip(("to", "amount", "flat_amount"), one, strict=False)) for one in tiers]
    price = {"interval": "month", "billing_method": "prepaid", "tiers": bands, **more}
    store.plan("banded", store.item("messages", 100, price=price))
    asked = {units: store.quantities(messages=units) for units in totals}
    for units, total in totals.items():
        assert store.preview("banded", feature_quantities=asked[units])["total"] == total


def test_use_of_one_feature_is_carried_and_what_is_left_of_another(store: Store) -> None:
    store.plan("pro", store.monthly(100), store.monthly(100, "words"))
    store.plan("premium", store.monthly(500), store.monthly(500, "words"))
    store.take("pro")
    store.track(30)
    store.track(40, feature="words")
    carry = {"carry_over_usages": "messages", "carry_over_balances": "words"}
    terms = {
        name: {"enabled": True, "feature_ids": [store.name(feature)]}
        for name, feature in carry.items()
    }
    store.take("premium", **terms)
    assert states(store) == [[500, 470, 30]]
    assert states(store, feature="words") == [[560, 560, 0]]
    store.end_of_cycle()
    assert (store.state(), store.state(feature="words")) == ([500, 500, 0], [500, 500, 0])
