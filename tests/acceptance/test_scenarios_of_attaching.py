"""Scenarios of the cold path: plans are attached, switched and scheduled. Nothing is charged.

Each test carries the ids it plays.
"""

from __future__ import annotations

import pytest

from tests.acceptance.store import Store
from tests.acceptance.world import a_month_after
from tests.fixtures.gateways import Json

CARRY = {"enabled": True}


def test_s20_a_free_plan(store: Store) -> None:
    dashboard = store.item("dashboard")
    store.plan("free", store.monthly(100), store.monthly(200, "words"), dashboard)
    assert store.preview("free")["total"] == 0
    answer = store.take("free")
    assert answer == {"customer_id": store.customer, "payment_url": None}
    assert store.held() == {"free": "active"}
    assert (store.state(), store.state(feature="words")) == ([100, 100, 0], [200, 200, 0])
    assert list(store.view()["flags"]) == [store.name("dashboard")]
    assert store.subscriptions()["free"]["current_period_end"] is None


def test_s22_a_step_up_is_at_once(store: Store) -> None:
    store.plan("pro", store.monthly(500))
    store.plan("premium", store.monthly(1000))
    store.take("pro")
    seen = store.preview("premium")
    assert seen["total"] == pytest.approx(30, abs=0.01)
    assert [one["plan_id"] for one in seen["incoming"]] == [store.name("premium")]
    assert [one["plan_id"] for one in seen["outgoing"]] == [store.name("pro")]
    assert (seen["redirect_to_checkout"], seen["checkout_type"]) == (False, None)
    store.take("premium")
    assert store.held() == {"premium": "active"}
    assert store.state() == [1000, 1000, 0]


def test_s22_the_rest_of_the_cycle_is_what_counts(store: Store) -> None:
    store.plan("pro", store.monthly(500))
    store.plan("premium", store.monthly(1000))
    store.take("pro")
    store.advance("15d")
    seen = store.preview("premium")
    start, end = (
        store.subscriptions()["pro"][f"current_period_{name}"] for name in ("start", "end")
    )
    share = (end - store.now()) / (end - start)
    assert seen["total"] == pytest.approx(30 * share, abs=0.05)
    assert seen["total"] == pytest.approx(sum(one["total"] for one in seen["line_items"]))


def test_s23_a_step_down_is_scheduled(store: Store) -> None:
    store.plan("pro", store.monthly(500))
    store.plan("free", store.monthly(100))
    store.take("pro")
    store.track(50)
    seen = store.preview("free")
    assert seen["total"] == 0
    store.take("free")
    held = store.subscriptions()
    ends = held["pro"]["current_period_end"]
    assert seen["next_cycle"]["starts_at"] == ends
    assert store.held() == {"pro": "active", "free": "scheduled"}
    assert held["pro"]["canceled_at"] is not None
    assert held["pro"]["expires_at"] == held["free"]["started_at"] == ends
    assert store.state() == [500, 450, 50]
    store.end_of_cycle()
    assert store.held() == {"free": "active"}
    assert store.state() == [100, 100, 0]
    assert store.subscriptions()["free"]["canceled_at"] is None


def test_s25_a_step_up_drops_what_was_scheduled(store: Store) -> None:
    for name, units in (("free", 100), ("pro", 500), ("premium", 1000)):
        store.plan(name, store.monthly(units))
    store.take("pro")
    store.take("free")
    store.take("premium")
    assert store.held() == {"premium": "active"}
    store.end_of_cycle()
    assert store.held() == {"premium": "active"}
    assert store.state() == [1000, 1000, 0]


def test_another_step_down_takes_the_place_of_the_first(store: Store) -> None:
    for name, units in (("free", 100), ("pro", 500), ("premium", 1000)):
        store.plan(name, store.monthly(units))
    store.take("premium")
    store.take("pro")
    store.take("free")
    assert store.held() == {"premium": "active", "free": "scheduled"}
    store.end_of_cycle()
    assert store.held() == {"free": "active"}


def test_s26_the_same_plan_is_refused(store: Store) -> None:
    store.plan("pro", store.monthly(500))
    store.plan("free", store.monthly(100))
    store.take("pro")
    assert store.not_taken("pro") == (409, "plan_already_attached")
    store.take("free")
    assert store.not_taken("pro") == (409, "plan_already_attached")
    assert store.held() == {"pro": "active", "free": "scheduled"}


def test_s28_use_that_comes_back_is_dropped_and_its_date_stays(store: Store) -> None:
    store.plan("pro", store.monthly(100), store.seats(5))
    store.plan("premium", store.monthly(500), store.seats(10))
    store.take("pro")
    store.advance("15d")
    store.track(30)
    store.track(3, feature="users")
    before = store.balance()["next_reset_at"]
    store.take("premium")
    assert store.state() == [500, 500, 0]
    assert store.balance()["next_reset_at"] == before
    assert store.state(feature="users") == [10, 7, 3]


def test_s29_from_free_to_paid_the_dates_start_anew(store: Store) -> None:
    store.plan("free", store.monthly(50))
    store.plan("pro", store.monthly(100))
    year = {"amount": 200, "interval": "year"}
    store.plan("pro_annual", store.monthly(300), price=year)
    store.take("free")
    store.advance("15d")
    store.track(10)
    before = store.now()
    store.take("pro")
    second = store.balance()["next_reset_at"]
    assert store.state() == [100, 100, 0]
    assert a_month_after(before) <= second <= a_month_after(store.now())
    store.take("pro_annual")
    assert store.balance()["next_reset_at"] == second


@pytest.mark.parametrize(
    ("used", "units", "state"),
    [
        (40, 200, [200, 160, 40]),
        (0, 200, [200, 200, 0]),
        (50, 30, [30, 0, 50]),
    ],
)
def test_s31_use_is_carried_over(
    store: Store, used: float, units: float, state: list[float]
) -> None:
    store.plan("pro", store.monthly(50))
    store.plan("premium", store.monthly(units))
    store.take("pro")
    if used:
        store.track(used)
    store.take("premium", carry_over_usages=CARRY)
    assert store.state() == state
    store.gateway.wait_for_writer()
    assert store.stored_usage() == state[2]


def test_s32_use_of_some_features_is_carried_over(store: Store) -> None:
    store.plan("pro", store.monthly(50), store.monthly(100, "words"))
    store.plan("premium", store.monthly(200), store.monthly(300, "words"))
    store.take("pro")
    store.track(30)
    store.track(60, feature="words")
    store.take("premium", carry_over_usages=CARRY | {"feature_ids": [store.name("messages")]})
    assert (store.left(None), store.left(None, feature="words")) == ([170], [300])


def test_s34_what_is_left_is_carried_over(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.plan("premium", store.monthly(500))
    store.take("pro")
    store.track(30)
    ends = store.balance()["next_reset_at"]
    store.take("premium", carry_over_balances=CARRY)
    assert store.state() == [570, 570, 0]
    rest = next(one for one in store.balance()["breakdown"] if one["plan_id"] is None)
    assert (rest["remaining"], rest["expires_at"]) == (70, ends)
    assert rest["reset"] == {"interval": "one_off", "resets_at": None}


def test_s31_s34_use_and_what_is_left_are_carried_over_together(store: Store) -> None:
    store.plan("pro", store.monthly(500))
    store.plan("premium", store.monthly(1000))
    store.take("pro")
    store.track(40)
    store.take("premium", carry_over_balances=CARRY, carry_over_usages=CARRY)
    assert store.state() == [1460, 1420, 40]
    store.gateway.wait_for_writer()
    assert store.stored_usage() == 40


def test_s34_nothing_left_carries_nothing_and_a_debt_goes_along(store: Store) -> None:
    store.plan("pro", store.payg(100))
    store.plan("premium", store.monthly(500))
    for used, left in ((100, 500), (120, 480)):
        store.join()
        store.take("pro")
        store.track(used)
        store.take("premium", carry_over_balances=CARRY)
        assert store.left(None) == [left]
        assert len(store.balance()["breakdown"]) == 1


def test_s34_where_nothing_can_be_carried_over(store: Store) -> None:
    store.plan("pro", store.monthly(100), store.item("users", 3), store.item("dashboard"))
    store.plan("free", store.monthly(10))
    store.plan("premium", store.monthly(500))
    store.take("pro")
    for wish in ("carry_over_balances", "carry_over_usages"):
        assert store.not_taken("free", **{wish: CARRY}) == (400, "invalid_request")
    for feature in ("users", "dashboard"):
        wished = CARRY | {"feature_ids": [store.name(feature)]}
        refused = store.not_taken("premium", carry_over_balances=wished)
        assert refused == (400, "invalid_request")
    assert store.held() == {"pro": "active"}


def test_s35_what_was_bought_once_survives(store: Store) -> None:
    once = store.prepaid_pack(interval="one_off")
    store.plan("pro", once)
    store.plan("premium", store.monthly(500))
    store.plan("growth", store.monthly(10, "words"))
    for target, used, more, left in (
        ("premium", 50, {}, 650),
        ("premium", 50, {"carry_over_balances": CARRY}, 650),
        ("premium", 200, {}, 500),
        ("growth", 50, {}, 150),
    ):
        store.join()
        store.take("pro", feature_quantities=store.quantities(messages=200))
        store.track(used)
        store.take(target, **more)
        assert store.left(None) == [left]


def test_s35_what_was_bought_beside_a_grant_survives(store: Store) -> None:
    store.plan("pro", store.monthly(100), store.prepaid_pack(interval="one_off"))
    store.plan("premium", store.monthly(1000))
    store.take("pro", feature_quantities=store.quantities(messages=200))
    store.track(150)
    store.take("premium")
    assert store.left(None) == [1150]
    store.end_of_cycle()
    assert store.left(None) == [1150]


def test_s37_an_add_on_stays(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.plan("premium", store.monthly(500))
    month = {"amount": 20, "interval": "month"}
    store.plan("addon", store.monthly(200, "words"), add_on=True, price=month)
    store.take("pro")
    store.take("addon")
    store.take("premium")
    assert store.held() == {"premium": "active", "addon": "active"}
    assert (store.left(None), store.left(None, feature="words")) == ([500], [200])


def test_s38_an_add_on_twice_under_ids_of_the_caller(store: Store) -> None:
    store.plan("addon", store.monthly(100), add_on=True)
    for number in (1, 2):
        store.take("addon", subscription_id=f"inst-{number}")
    listed = store.view()["subscriptions"]
    assert [one["id"] for one in listed] == ["inst-1", "inst-2"]
    assert [one["quantity"] for one in listed] == [1, 1]
    refused = store.not_taken("addon", subscription_id="inst-1")
    assert refused == (409, "duplicate_subscription_id")
    store.change(subscription_id="inst-1", cancel_action="cancel_immediately")
    refused = store.not_taken("addon", subscription_id="inst-1")
    assert refused == (409, "duplicate_subscription_id")
    store.take("addon")
    assert store.view()["subscriptions"][-1]["id"].startswith("cus_prod_")


def test_s40_every_kind_of_feature_with_overage(store: Store) -> None:
    store.plan("pro", store.payg(100), store.seats(3))
    store.plan("premium", store.monthly(500), store.seats(10))
    store.take("pro")
    store.track(150)
    store.track(5, feature="users")
    store.take("premium")
    assert (store.state(), store.state(feature="users")) == ([500, 500, 0], [10, 5, 5])


def test_s41_one_step_up_after_another(store: Store) -> None:
    store.plan("free", store.monthly(50), store.item("users", 1))
    store.plan("pro", store.monthly(100), store.item("users", 3))
    store.plan("premium", store.monthly(500), store.item("users", 10))
    store.take("free")
    store.track(1, feature="users")
    store.take("pro")
    store.track(2, feature="users")
    store.take("premium")
    assert (store.state(feature="users"), store.left(None)) == ([10, 7, 3], [500])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {}),
        ({}, {"pack": 50}),
        ({"pack": 50}, {}),
        ({}, {"included": 100}),
        ({"included": 100}, {}),
    ],
)
def test_s43_a_quantity_that_is_not_said_stays(store: Store, old: Json, new: Json) -> None:
    store.plan("pro", store.prepaid_pack(**old))
    store.plan("premium", store.prepaid_pack(**new))
    store.take("pro", feature_quantities=store.quantities(messages=200))
    store.track(50)
    store.take("premium")
    assert store.state() == [200, 200, 0]


@pytest.mark.parametrize(
    ("pack", "quantity", "granted"),
    [
        (100, 150, 200),
        (1000, 1, 1000),
        (250, 300, 500),
    ],
)
def test_s44_quantities_are_whole_packs(
    store: Store, pack: float, quantity: float, granted: float
) -> None:
    store.plan("pro", store.prepaid_pack(pack=pack))
    store.take("pro", feature_quantities=store.quantities(messages=quantity))
    assert store.state() == [granted, granted, 0]


def test_s46_plans_of_entities_are_their_own(store: Store) -> None:
    store.entities("e1", "e2")
    store.plan("pro", store.monthly(100))
    store.take("pro", "e1")
    assert store.held("e1") == {"pro": "active"}
    assert store.subscriptions("e1")["pro"]["scope"] == "entity"
    assert store.view()["subscriptions"] == []
    assert store.left("e1") == [100]
    store.take("pro", "e2")
    store.track(30, "e2")
    assert store.left("e1", "e2") == [100, 70]


def test_s47_one_plan_at_the_customer_and_at_an_entity(store: Store) -> None:
    store.entities("e1")
    store.plan("pro", store.monthly(100))
    store.take("pro")
    store.take("pro", "e1")
    assert store.left(None, "e1") == [200, 200]
    listed = [one["scope"] for one in store.view("e1")["subscriptions"]]
    assert listed == ["entity", "customer"]


def test_s47_a_larger_plan_of_the_customer_beside_one_of_an_entity(store: Store) -> None:
    store.entities("e1")
    store.plan("pro", store.monthly(500))
    store.plan("growth", store.monthly(10_000))
    store.take("pro", "e1")
    store.take("growth")
    assert store.left(None, "e1") == [10_500, 10_500]
    assert [one["plan_id"] for one in store.view("e1")["subscriptions"]] == [
        store.name("pro"),
        store.name("growth"),
    ]


def test_s49_overage_of_entities_is_gone_after_the_cycle(store: Store) -> None:
    store.entities("e1", "e2")
    price = {"amount": 1, "billing_units": 10, "interval": "month", "billing_method": "usage_based"}
    store.plan("pro", store.item("messages", 100, price=price, **store.each))
    store.take("pro")
    store.track(155, "e1")
    store.track(123, "e2")
    assert store.state()[2] == 278
    store.end_of_cycle()
    assert [store.state(name) for name in ("e1", "e2")] == [[100, 100, 0]] * 2


def test_s52_without_billing_changes(store: Store) -> None:
    store.plan("free", store.monthly(100))
    store.plan("pro", store.monthly(500))
    store.take("free", no_billing_changes=True)
    assert store.left(None) == [100]
    store.take("pro", no_billing_changes=True)
    assert (store.held(), store.left(None)) == ({"pro": "active"}, [500])
    assert store.view()["stripe_id"] is None
