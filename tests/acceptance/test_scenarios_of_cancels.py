"""Scenarios of the cold path: plans are canceled, taken back, and changed while they are held.

Each test carries the ids it plays.
"""

from __future__ import annotations

import pytest

from tests.acceptance.store import DAY_MS, Store
from tests.fixtures.gateways import Json

NOW, LATER, BACK = (
    {"cancel_action": action}
    for action in ("cancel_immediately", "cancel_end_of_cycle", "uncancel")
)


def with_default(store: Store) -> None:
    """Define free (100, by itself), pro (500) and premium (1000); the customer gets free."""
    store.plan("free", store.monthly(100), auto_enable=True)
    store.plan("pro", store.monthly(500))
    store.plan("premium", store.monthly(1000))
    store.join()


def test_s55_a_cancel_after_a_scheduled_step_down(store: Store) -> None:
    with_default(store)
    store.take("premium")
    store.take("pro")
    store.change("premium", **LATER)
    assert store.held() == {"premium": "active", "free": "scheduled"}
    store.end_of_cycle()
    assert store.held() == {"free": "active"}
    assert store.state() == [100, 100, 0]


def test_s56_the_longest_interval_decides(store: Store) -> None:
    year = {"amount": 200, "interval": "year"}
    store.plan("pro_annual", store.prepaid_pack(), price=year)
    store.take("pro_annual", feature_quantities=store.quantities(messages=100))
    store.change(**LATER)
    ends = store.subscriptions()["pro_annual"]["expires_at"]
    assert ends - store.now() == pytest.approx(365 * DAY_MS, abs=2 * DAY_MS)


def test_s58_overage_is_gone_with_the_plan(store: Store) -> None:
    store.plan("pro", store.payg(100))
    for action in (NOW, LATER):
        store.join()
        store.take("pro")
        store.track(500)
        store.change("pro", **action)
        if action is LATER:
            assert store.state() == [100, 0, 500]
            store.end_of_cycle()
        assert store.held() == {}
        assert store.name("messages") not in store.view()["balances"]


def test_s59_a_cancel_is_taken_back(store: Store) -> None:
    with_default(store)
    store.take("pro")
    store.track(40)
    store.change("pro", **LATER)
    assert store.held() == {"pro": "active", "free": "scheduled"}
    assert store.not_changed("free", **BACK) == (400, "invalid_request")
    store.change("pro", **BACK)
    assert store.held() == {"pro": "active"}
    pro = store.subscriptions()["pro"]
    assert (pro["canceled_at"], pro["expires_at"]) == (None, None)
    assert store.state() == [500, 460, 40]
    store.change("pro", **BACK)
    store.change("pro", **NOW)
    assert store.not_changed("pro", **BACK) == (404, "cus_product_not_found")


def test_a_cancel_of_what_is_scheduled_takes_the_other_one_back(store: Store) -> None:
    with_default(store)
    store.take("premium")
    store.take("pro")
    store.change("pro", **LATER)
    assert store.held() == {"premium": "active"}
    assert store.subscriptions()["premium"]["canceled_at"] is None
    store.end_of_cycle()
    assert store.held() == {"premium": "active"}


def test_s61_cancels_that_make_no_sense(store: Store) -> None:
    store.plan("free", store.monthly(100))
    once = {"amount": 10, "interval": "one_off"}
    store.plan("once", store.lifetime(100), price=once)
    store.plan("pro", store.prepaid_pack(), group=store.name("other"))
    store.take("free")
    store.take("once")
    store.take("pro")
    for plan in ("free", "once"):
        assert store.not_changed(plan, **LATER) == (400, "invalid_request")
    others: list[Json] = [
        {"feature_quantities": store.quantities(messages=100)},
        {"version": 1},
        {"customize": {"items": []}},
    ]
    for more in others:
        assert store.not_changed("pro", **LATER, **more) == (400, "invalid_inputs")
    store.change("pro", **NOW)
    assert store.not_changed("pro", **NOW) == (404, "cus_product_not_found")
    assert store.held() == {"free": "active"}


def test_s62_an_add_on_and_its_base(store: Store) -> None:
    with_default(store)
    month = {"amount": 20, "interval": "month"}
    store.plan("addon", store.monthly(200, "words"), add_on=True, price=month)
    store.take("pro")
    store.take("addon")
    store.change("addon", **LATER)
    assert store.held() == {"pro": "active", "addon": "active"}
    store.change("addon", **BACK)
    store.change("pro", **LATER)
    assert store.held() == {"pro": "active", "addon": "active", "free": "scheduled"}
    store.end_of_cycle()
    assert store.held() == {"addon": "active", "free": "active"}
    assert (store.left(None), store.left(None, feature="words")) == ([100], [200])


def test_the_default_comes_back_at_once(store: Store) -> None:
    store.plan("free", store.monthly(100), store.item("users", 2), auto_enable=True)
    store.plan("pro", store.monthly(500), store.item("users", 5))
    store.join()
    store.entities("e1", "e2", "e3")
    store.take("pro")
    store.track(200)
    store.change("pro", **NOW)
    assert store.held() == {"free": "active"}
    assert (store.state(), store.state(feature="users")) == ([100, 100, 0], [2, 0, 3])
    store.change("free", **NOW)
    assert store.held() == {}


def test_the_free_default_comes_back_beside_one_with_a_trial(store: Store) -> None:
    trial = {"duration_length": 7, "duration_type": "day", "card_required": False}
    store.plan("free", store.monthly(100), auto_enable=True)
    store.plan("pro", store.monthly(500), auto_enable=True, free_trial=trial)
    store.join()
    assert store.held() == {"pro": "active"}
    store.change("pro", cancel_action="cancel_immediately")
    assert store.held() == {"free": "active"}


def test_a_plan_of_an_entity_leaves_no_default_behind(store: Store) -> None:
    with_default(store)
    store.entities("e1")
    store.take("pro", "e1")
    store.change("pro", "e1", **NOW)
    assert [one["scope"] for one in store.view("e1")["subscriptions"]] == ["customer"]


def test_a_base_that_ends_takes_what_waits_along(store: Store) -> None:
    store.plan("pro", store.monthly(500))
    store.plan("free", store.monthly(10))
    month = {"amount": 20, "interval": "month"}
    store.plan("addon", store.monthly(200, "words"), add_on=True, price=month)
    store.take("pro")
    store.take("addon", starts_at=store.now() + DAY_MS)
    store.take("free")
    store.change("pro", **NOW)
    assert store.held() == {}
    store.advance("32d")
    assert store.held() == {}


def test_s64_less_counts_at_once_or_from_the_next_cycle_on(store: Store) -> None:
    store.plan("pro", store.prepaid_pack())
    keeps: Json = {
        "proration": {"on_increase": "prorate_next_cycle", "on_decrease": "no_prorations"}
    }
    store.plan("premium", store.prepaid_pack(**keeps))
    store.take("pro", feature_quantities=store.quantities(messages=300))
    store.track(50)
    store.change("pro", feature_quantities=store.quantities(messages=500))
    assert store.state() == [500, 450, 50]
    store.change("pro", feature_quantities=store.quantities(messages=150))
    assert store.state() == [200, 150, 50]

    store.take("premium", feature_quantities=store.quantities(messages=300))
    store.track(50)
    store.change("premium", feature_quantities=store.quantities(messages=500))
    assert store.state() == [500, 450, 50]
    store.change("premium", feature_quantities=store.quantities(messages=200))
    assert store.state() == [500, 450, 50]
    store.end_of_cycle()
    assert store.state() == [200, 200, 0]


def test_more_than_is_sold_cannot_be_bought(store: Store) -> None:
    price = {
        "amount": 1,
        "interval": "month",
        "billing_method": "prepaid",
        "max_purchase": 300,
        "billing_units": 100,
    }
    store.plan("pro", store.item("messages", 100, price=price))
    too_much = {"feature_quantities": store.quantities(messages=500)}
    assert store.not_taken("pro", **too_much) == (400, "invalid_request")
    store.take("pro", feature_quantities=store.quantities(messages=400))
    assert store.state() == [400, 400, 0]
    assert store.not_changed("pro", **too_much) == (400, "invalid_request")


def test_s65_updates_that_are_refused(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    once = {"amount": 10, "interval": "one_off"}
    bought = store.prepaid_pack(interval="one_off")
    store.plan("once", bought, price=once, group=store.name("other"))
    store.take("pro")
    store.take("once", feature_quantities=store.quantities(messages=100))
    assert store.not_changed("pro") == (400, "invalid_inputs")
    assert store.not_changed("pro", version=1) == (400, "invalid_request")
    assert store.not_changed("pro", version=2) == (404, "product_not_found")
    same = {"items": [store.monthly(100)]}
    assert store.not_changed("pro", customize=same) == (400, "invalid_request")
    sold_once = {"price": once}
    assert store.not_changed("pro", customize=sold_once) == (400, "invalid_request")
    new = {"add_items": [store.prepaid_pack("words")]}
    assert store.not_changed("pro", customize=new) == (400, "invalid_options")
    unknown = {"feature_quantities": store.quantities(words=5)}
    assert store.not_changed("pro", **unknown) == (400, "invalid_request")
    more = {"feature_quantities": store.quantities(messages=500)}
    assert store.not_changed("once", **more) == (400, "invalid_request")
    cheaper = {"price": {"amount": 5, "interval": "one_off"}}
    assert store.not_changed("once", customize=cheaper) == (400, "invalid_request")
    assert store.state() == [200, 200, 0]


def test_s67_one_item_is_replaced(store: Store) -> None:
    store.plan("pro", store.monthly(100), store.lifetime(500))
    store.take("pro")
    store.track(350)
    assert store.breakdown() == [0, 250]
    removed = [{"feature_id": store.name("messages"), "interval": "month"}]
    store.change("pro", customize={"remove_items": removed, "add_items": [store.monthly(200)]})
    assert store.breakdown() == [100, 250]
    assert store.state() == [700, 350, 350]
    store.change("pro", feature_quantities=[])
    plans = store.gateway.call("customers.get", **store.scope(None), expand=["subscriptions.plan"])
    (one,) = plans["subscriptions"]
    assert [item["included"] for item in one["plan"]["items"]] == [500, 200]


def test_a_customer_moves_to_another_version(store: Store) -> None:
    store.plan("pro", store.monthly(100), store.monthly(10, "words"))
    store.take("pro")
    store.track(30)
    changed = store.gateway.call(
        "plans.update", plan_id=store.name("pro"), items=[store.monthly(300)]
    )
    assert (changed["version"], store.left(None)) == (2, [70])
    store.change("pro", version=2)
    assert store.state() == [300, 270, 30]
    assert store.name("words") not in store.view()["balances"]
    before = store.gateway.call("plans.get", plan_id=store.name("pro"), version=1)
    assert [item["included"] for item in before["items"]] == [100, 10]


@pytest.mark.parametrize("each", [False, True])
def test_an_update_keeps_what_was_used_unless_it_is_told_not_to(store: Store, each: bool) -> None:
    """Cold-path section 3.9: all usage is carried by default; seats are in use all the same."""
    more = store.each if each else {}

    def items(messages: float) -> list[Json]:
        seats = store.item("users", 5)
        return [store.monthly(messages, **more), store.monthly(50, "words"), seats]

    def customize(messages: float) -> Json:
        return {"customize": {"items": items(messages)}}

    store.plan("pro", *items(100))
    store.entities("e1")
    store.take("pro")
    store.track(30, "e1")
    store.track(10, feature="words")
    store.change("pro", **customize(200))
    assert (store.left("e1"), store.left(None, feature="words")) == ([170], [40])
    due = store.balance()["next_reset_at"]
    named = {"enabled": True, "feature_ids": [store.name("words")]}
    store.change("pro", **customize(300), carry_over_usages=named)
    assert (store.left("e1"), store.left(None, feature="words")) == ([300], [40])
    store.track(1, "e1")
    store.change("pro", **customize(400), carry_over_usages={"enabled": False})
    assert (store.left("e1"), store.left(None, feature="words")) == ([400], [50])
    assert (store.state(feature="users"), store.balance()["next_reset_at"]) == ([5, 4, 1], due)


def test_what_an_update_would_do(store: Store) -> None:
    with_default(store)
    store.take("pro")
    body = {**store.scope(None), "plan_id": store.name("pro")}
    seen = store.gateway.call("billing.preview_update", **body, **LATER)
    assert (seen["intent"], seen["total"]) == ("cancel_end_of_cycle", 0)
    assert [one["plan_id"] for one in seen["outgoing"]] == [store.name("pro")]
    assert [one["plan_id"] for one in seen["incoming"]] == [store.name("free")]
    assert seen["incoming"][0]["effective_at"] == seen["next_cycle"]["starts_at"]
    assert store.held() == {"pro": "active"}
    seen = store.gateway.call("billing.preview_update", **body, **NOW)
    assert seen["total"] == pytest.approx(-20, abs=0.01)
    assert store.held() == {"pro": "active"}
