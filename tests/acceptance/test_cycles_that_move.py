"""``billing_cycle_anchor`` of a plan that is held (cold-path sections 3.9 and 3.10), and what PyPI
``autumn-sdk`` 1.0.2 gets, which asks for cycles from now on with every call.
"""

from __future__ import annotations

import pytest

from tests.acceptance.store import DAY_MS, Store
from tests.acceptance.test_scenarios_of_trials import SKIPPED, trial
from tests.acceptance.test_verify import verify_one
from tests.fixtures.gateways import Json

NOW: Json = {"billing_cycle_anchor": "now"}
REFUSED = (400, "invalid_request")
MINUTE_MS = 60_000


def month(held: Json) -> tuple[int, int]:
    """Return when the cycle of a subscription begins and ends."""
    return held["current_period_start"], held["current_period_end"]


def begins_now(store: Store, plan: str, entity: str | None = None) -> bool:
    """Whether a monthly cycle of a plan has just begun."""
    start, end = month(store.subscriptions(entity)[plan])
    return 0 <= store.now() - start < MINUTE_MS and end - start >= 28 * DAY_MS


def agrees(store: Store) -> bool:
    """Whether SQL agrees with Redis, once it has all."""
    store.gateway.wait_for_writer()
    return verify_one(store).code == 0


def foretold(store: Store, plan: str, **more: object) -> Json:
    body = {**store.scope(None), "plan_id": store.name(plan), **more}
    return store.gateway.call("billing.preview_update", **body)


def test_now_alone_begins_a_new_cycle_for_all_that_resets(store: Store) -> None:
    rolls: Json = {"rollover": {"max": 60, "expiry_duration_length": 1}}
    weekly = store.item("notes", 70, reset={"interval": "week"})
    store.feature("notes", type="metered", consumable=True)
    lifetime, each = store.lifetime(30, "words"), store.monthly(10, **store.each)
    store.plan("pro", store.monthly(100, **rolls), weekly, lifetime, each, store.item("users", 5))
    store.entities("e1", "e2")
    store.take("pro")
    store.advance("10d")
    store.track(65)
    store.track(4, "e1")
    store.track(20, feature="notes")
    store.track(7, feature="words")
    seen = foretold(store, "pro", **NOW)
    assert (seen["intent"], [one["plan_id"] for one in seen["incoming"]]) == (
        "none",
        [store.name("pro")],
    )
    store.change("pro", **NOW)
    assert begins_now(store, "pro")
    _, end = month(store.subscriptions()["pro"])
    assert seen["next_cycle"]["starts_at"] == pytest.approx(end, abs=MINUTE_MS)
    shown = store.balance()
    assert (shown["next_reset_at"], store.rollovers()) == (end, [35])
    assert store.state() == [155, 155, 0]
    assert store.left("e1", "e2") == [145, 145]
    assert store.state(feature="notes") == [70, 70, 0]
    again = store.balance(feature="notes")["next_reset_at"]
    assert again == end - (end - month(store.subscriptions()["pro"])[0]) + 7 * DAY_MS
    assert store.state(feature="words") == [30, 23, 7]
    assert store.state(feature="users") == [5, 3, 2]
    assert agrees(store)
    store.gateway.call("clock.advance", to=end + 1000)
    assert store.balance()["next_reset_at"] > end
    assert agrees(store)


def test_beside_another_change_what_was_used_stays_used(store: Store) -> None:
    """Section 3.9: an update of the same plan carries all usage by default."""
    store.plan("pro", store.prepaid_pack(), store.monthly(100, "words"))
    store.take("pro", feature_quantities=store.quantities(messages=300))
    for change in (
        {"feature_quantities": store.quantities(messages=500)},
        {"customize": {"price": {"amount": 30, "interval": "month"}}},
    ):
        store.advance("9d")
        store.track(40)
        store.track(5, feature="words")
        store.change("pro", **change, **NOW)
        assert begins_now(store, "pro")
        _, end = month(store.subscriptions()["pro"])
        dues = [store.balance(feature=one)["next_reset_at"] for one in ("messages", "words")]
        assert dues == [end, end]
    assert (store.state(), store.state(feature="words")) == ([500, 420, 80], [100, 90, 10])
    assert agrees(store)
    store.end_of_cycle()
    assert (store.state(), store.state(feature="words")) == ([500, 500, 0], [100, 100, 0])


def test_another_version_begins_a_new_cycle(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.take("pro")
    store.track(30)
    items = [store.monthly(300), store.monthly(20, "words")]
    store.gateway.call("plans.update", plan_id=store.name("pro"), items=items)
    store.advance("9d")
    store.change("pro", version=2, **NOW)
    assert begins_now(store, "pro")
    due = store.subscriptions()["pro"]["current_period_end"]
    for feature, state in (("messages", [300, 270, 30]), ("words", [20, 20, 0])):
        assert (store.balance(feature=feature)["next_reset_at"], store.state(feature=feature)) == (
            due,
            state,
        )


@pytest.mark.parametrize("entity", [None, "e1"])
@pytest.mark.parametrize(
    ("change", "carry", "used"),
    [
        ({}, None, 0),
        ({}, {"enabled": True}, 30),
        ({}, {"enabled": True, "feature_ids": ["words"]}, 0),
        ({"customize": {"price": {"amount": 9, "interval": "month"}}}, None, 30),
        ({"customize": {"price": {"amount": 9, "interval": "month"}}}, {"enabled": False}, 0),
        ({"quantity": 50}, None, 30),
        ({"quantity": 50}, {"enabled": False}, 0),
    ],
)
def test_what_was_used_is_kept_as_is_asked(
    store: Store, entity: str | None, change: Json, carry: Json, used: float
) -> None:
    store.plan("pro", store.monthly(100), store.prepaid_pack("words", pack=10))
    store.entities("e1")
    store.take("pro", entity, feature_quantities=store.quantities(words=20))
    store.advance("10d")
    store.track(30, entity)
    body = {**change, **NOW}
    if quantity := body.pop("quantity", None):
        body["feature_quantities"] = store.quantities(words=quantity)
    if carry is not None:
        names = [store.name(one) for one in carry.get("feature_ids", ())]
        body["carry_over_usages"] = carry | ({"feature_ids": names} if names else {})
    store.change("pro", entity, **body)
    assert store.state(entity) == [100, 100 - used, used]
    assert begins_now(store, "pro", entity)
    due = store.subscriptions(entity)["pro"]["current_period_end"]
    assert store.balance(entity)["next_reset_at"] == due
    assert agrees(store)


def test_a_smaller_quantity_does_not_wait_for_a_cycle_that_is_over(store: Store) -> None:
    kept: Json = {"proration": {"on_decrease": "none"}}
    store.plan("pro", store.prepaid_pack(**kept), store.prepaid_pack("words", **kept))
    store.take("pro", feature_quantities=store.quantities(messages=500, words=500))
    store.change("pro", feature_quantities=store.quantities(messages=200, words=200))
    store.advance("10d")
    change = {"feature_quantities": store.quantities(messages=300), **NOW}
    seen = foretold(store, "pro", **change)
    (incoming,) = seen["incoming"]
    store.change("pro", **change)
    due = store.subscriptions()["pro"]["current_period_end"]
    assert [store.state(feature=one)[0] for one in ("messages", "words")] == [300, 500]
    assert incoming["effective_at"] == pytest.approx(due, abs=MINUTE_MS)
    store.gateway.call("clock.advance", to=due + 1000)
    assert [store.state(feature=one)[0] for one in ("messages", "words")] == [300, 200]


def test_a_reset_that_was_due_is_not_lost(store: Store) -> None:
    """Nobody looked since the last cycle ended: what was used of it is not used of the next."""
    store.plan("pro", store.prepaid_pack(), store.monthly(10, "words", **store.each))
    store.entities("e1")
    store.take("pro", feature_quantities=store.quantities(messages=300))
    store.track(120)
    store.track(4, "e1", "words")
    store.end_of_cycle()
    store.change("pro", feature_quantities=store.quantities(messages=400), **NOW)
    assert store.state() == [400, 400, 0]
    assert store.state("e1", "words") == [10, 10, 0]
    assert agrees(store)


def test_a_cancel_takes_no_notice_of_now(store: Store) -> None:
    store.plan("free", store.monthly(5), auto_enable=True)
    store.plan("pro", store.monthly(100))
    store.take("pro")
    store.advance("10d")
    store.track(30)
    before = month(store.subscriptions()["pro"])
    store.change("pro", cancel_action="cancel_end_of_cycle", **NOW)
    ending = store.subscriptions()["pro"]
    assert (month(ending), ending["expires_at"]) == (before, before[1])
    assert store.subscriptions()["free"]["started_at"] == before[1]
    store.change("pro", cancel_action="uncancel", **NOW)
    going_on = store.subscriptions()["pro"]
    assert (month(going_on), going_on["expires_at"]) == (before, None)
    assert store.state() == [100, 70, 30]
    store.change("pro", cancel_action="cancel_immediately", **NOW)
    assert store.held() == {"free": "active"}
    later = {"billing_cycle_anchor": store.now() + DAY_MS, "cancel_action": "cancel_immediately"}
    assert store.not_changed("free", **later) == (400, "invalid_inputs")


def test_a_trial_says_when_cycles_begin(store: Store) -> None:
    """Section 3.14. What a client always sends must not stand in the way of what it is asked."""
    store.plan("pro", store.prepaid_pack(), **trial(7))
    store.take("pro", feature_quantities=store.quantities(messages=100))
    before = month(store.subscriptions()["pro"])
    for anchor in ("now", store.now() + DAY_MS):
        assert store.not_changed("pro", billing_cycle_anchor=anchor) == REFUSED
    store.change("pro", feature_quantities=store.quantities(messages=300), **NOW)
    assert (store.state(), month(store.subscriptions()["pro"])) == ([300, 300, 0], before)
    store.advance("1d")
    store.change("pro", customize=SKIPPED, **NOW)
    assert begins_now(store, "pro")
    assert store.subscriptions()["pro"]["trial_ends_at"] is None


def test_a_plan_without_a_billing_cycle_has_none_to_move(store: Store) -> None:
    store.plan("free", store.monthly(5))
    store.plan("once", store.lifetime(5), price={"amount": 3, "interval": "one_off"})
    store.take("free")
    store.take("once")
    due = store.balance()["next_reset_at"]
    for plan in ("free", "once"):
        for anchor in ("now", store.now() + DAY_MS):
            assert store.not_changed(plan, billing_cycle_anchor=anchor) == REFUSED
    items = [store.monthly(9)]
    anchor = store.now() + DAY_MS
    changed: Json = {"customize": {"items": items}}
    assert store.not_changed("free", **changed, billing_cycle_anchor=anchor) == REFUSED
    store.advance("1d")
    store.change("free", **changed, **NOW)
    assert store.state() == [14, 14, 0]
    assert store.balance()["next_reset_at"] == due
    price = {"customize": {"price": {"amount": 9, "interval": "month"}}}
    store.change("free", **price, **NOW)
    assert begins_now(store, "free")


def test_what_was_to_happen_at_a_time_does_so_then(store: Store) -> None:
    store.plan("premium", store.monthly(500))
    store.plan("starter", store.monthly(40))
    store.plan("addon", store.monthly(7, "words"), add_on=True, price={"amount": 3, **MONTH})
    store.take("premium")
    store.take("addon")
    store.take("starter")
    ends = store.subscriptions()["premium"]["expires_at"]
    beside = month(store.subscriptions()["addon"])
    store.advance("10d")
    store.change("premium", **NOW)
    held = store.subscriptions()
    assert begins_now(store, "premium")
    assert (held["premium"]["expires_at"], held["starter"]["started_at"]) == (ends, ends)
    assert month(held["addon"]) == beside
    store.gateway.call("clock.advance", to=ends + 1000)
    assert store.held() == {"addon": "active", "starter": "active"}
    assert store.state() == [40, 40, 0]


MONTH = {"interval": "month"}


def test_cycles_are_counted_from_a_time_that_comes(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.take("pro")
    store.advance("10d")
    store.track(30)
    anchor = store.now() + 5 * DAY_MS
    later: Json = {"billing_cycle_anchor": anchor}
    seen = foretold(store, "pro", **later, proration_behavior="none")
    assert (seen["total"], seen["next_cycle"]["total"]) == (0, 20)
    assert seen["next_cycle"]["starts_at"] == anchor
    store.change("pro", **later)
    assert store.subscriptions()["pro"]["current_period_end"] == anchor
    assert (store.balance()["next_reset_at"], store.state()) == (anchor, [100, 70, 30])
    store.gateway.call("clock.advance", to=anchor + 1000)
    assert store.subscriptions()["pro"]["current_period_start"] == anchor
    assert store.state() == [100, 100, 0]
    assert store.balance()["next_reset_at"] == store.subscriptions()["pro"]["current_period_end"]
    assert agrees(store)


def test_a_new_cycle_is_paid_as_a_whole_and_the_old_one_back(store: Store) -> None:
    """Section 3.10, and that of one price or quantity that changes with it."""
    once = store.prepaid_pack("words", interval="one_off")
    store.plan("pro", store.prepaid_pack(proration={"on_increase": "bill_next_cycle"}), once)
    store.take("pro", feature_quantities=store.quantities(messages=100, words=100))
    (held,) = store.view()["subscriptions"]
    start, end = month(held)
    store.gateway.call("clock.advance", to=(start + end) // 2)
    alone = foretold(store, "pro", **NOW)
    assert sorted(one["total"] for one in alone["line_items"]) == pytest.approx(
        [-10, -5, 10, 20], abs=0.01
    )
    assert (alone["total"], alone["next_cycle"]["total"]) == (pytest.approx(15, abs=0.01), 30)
    assert all(one["period"]["end"] > end for one in alone["line_items"] if one["total"] > 0)
    more = foretold(store, "pro", feature_quantities=store.quantities(messages=300), **NOW)
    assert (more["total"], more["intent"]) == (pytest.approx(35, abs=0.01), "update_quantity")
    dearer = {"customize": {"price": {"amount": 30, **MONTH}}}
    assert foretold(store, "pro", **dearer, **NOW)["total"] == pytest.approx(25, abs=0.01)
    assert foretold(store, "pro", **NOW, proration_behavior="none")["total"] == 30
    assert store.change("pro", **NOW)["payment_url"] is None


def test_use_beyond_the_plan_is_paid_for_with_the_cycle_that_ends(store: Store) -> None:
    """Section 3.10. What is carried over is paid for with the cycle it is carried to."""
    store.plan("pro", store.payg(100), store.seats(0))
    store.take("pro")
    store.track(150)
    store.track(2, feature="users")
    used = [one["total"] for one in foretold(store, "pro", **NOW)["line_items"]]
    assert sorted(used) == pytest.approx([-20, 5, 20], abs=0.01)
    kept = {"carry_over_usages": {"enabled": True}}
    later = {"billing_cycle_anchor": store.now() + DAY_MS}
    dearer = {"customize": {"price": {"amount": 30, **MONTH}}}
    for more in (NOW | kept, NOW | dearer, later):
        assert len(foretold(store, "pro", **more)["line_items"]) == 2
    assert len(foretold(store, "pro", **NOW, cancel_action="cancel_immediately")["line_items"]) == 1


@pytest.mark.parametrize("entity", [None, "e1"])
def test_a_window_of_the_cycle_begins_with_it(store: Store, entity: str | None) -> None:
    """Hot-path section 3.6; one of the calendar does not."""
    store.feature("notes", type="metered", consumable=True)
    store.plan("pro", store.monthly(100), store.monthly(100, "notes"))
    store.entities("e1")
    store.take("pro", entity)
    followed = store.usage_limit(5)["usage_limits"]
    apart = store.usage_limit(5, "year", "notes", anchor="utc")["usage_limits"]
    store.control({"usage_limits": followed + apart}, entity)
    store.track(9, entity)
    store.track(9, entity, "notes")
    store.advance("3d")
    store.change("pro", entity, **NOW)
    seen = [store.counter(feature, entity) for feature in ("messages", "notes")]
    assert (seen, store.state(entity)) == ([0, 5], [100, 100, 0])
    store.track(9, entity)
    assert (store.counter(entity=entity), store.state(entity)) == (5, [100, 95, 5])
    assert agrees(store)


def test_what_the_plans_of_entities_pool_keeps_its_cycle(store: Store) -> None:
    store.plan("seat", store.monthly(50, pooled=True), store.monthly(7, "words"), group="seats")
    store.gateway.call("plans.update", plan_id=store.name("seat"), price={"amount": 3, **MONTH})
    store.entities("e1", "e2")
    store.take("seat", "e1")
    store.take("seat", "e2")
    due = store.balance()["next_reset_at"]
    store.advance("10d")
    store.track(30)
    store.track(3, "e1", "words")
    store.change("seat", "e1", **NOW)
    assert begins_now(store, "seat", "e1")
    assert (store.balance()["next_reset_at"], store.state()) == (due, [100, 70, 30])
    assert store.state("e1", "words") == [7, 7, 0]
    assert store.subscriptions("e2")["seat"]["current_period_end"] == due
    assert agrees(store)


@pytest.mark.parametrize("plan", ["free", "once", "tried", "starter", "addon"])
def test_an_attach_that_begins_otherwise_is_not_refused_for_now(store: Store, plan: str) -> None:
    store.plan("premium", store.monthly(500))
    store.plan("free", store.monthly(5))
    store.plan("starter", store.monthly(40))
    store.plan("tried", store.monthly(7), price={"amount": 90, **MONTH}, **trial(7))
    store.plan("once", store.lifetime(5), price={"amount": 3, "interval": "one_off"})
    store.plan("addon", store.monthly(7, "words"), add_on=True, price={"amount": 3, **MONTH})
    store.take("premium", **NOW)
    store.advance("10d")
    seen = store.preview(plan, **NOW)
    assert [one["plan_id"] for one in seen["incoming"]] == [store.name(plan)]
    store.take(plan, **NOW)
    if plan == "once":
        assert [one["plan_id"] for one in store.view()["purchases"]] == [store.name(plan)]
        return
    held = store.subscriptions()[plan]
    waits = plan in {"free", "starter"}
    assert held["status"] == ("scheduled" if waits else "active")
    if plan == "tried":
        assert held["current_period_end"] == held["trial_ends_at"]
    if plan == "addon":
        assert begins_now(store, plan)
