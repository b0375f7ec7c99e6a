"""Trials after which the plan before comes back (cold-path section 3.8): that one is paused."""

from __future__ import annotations

import pytest

from tests.acceptance.store import DAY_MS, Store
from tests.acceptance.test_verify import verify_one
from tests.fixtures.gateways import Json

DAYS = 14
REVERTS: Json = {
    "free_trial": {
        "duration_length": DAYS,
        "duration_type": "day",
        "card_required": False,
        "on_end": "revert",
    }
}
"""As published clients send it."""

OVER = f"{DAYS * 24 + 1}h"


def sell(store: Store, *items: Json) -> None:
    """Create a plan with some items, and a dearer one."""
    store.plan("pro", *(items or [store.monthly(500)]))
    store.plan("premium", store.monthly(2000))


def stored(store: Store, plan: str) -> tuple[str, ...]:
    """Return the statuses SQL has of a plan, in the order of their beginning."""
    store.gateway.wait_for_writer()
    rows = store.gateway.sql(
        "SELECT status FROM subscriptions WHERE plan_id = ? ORDER BY started_at", store.name(plan)
    )
    return tuple(status for (status,) in rows)


def is_sound(store: Store) -> bool:
    """Whether SQL, the events and Redis say the same of the customer."""
    store.gateway.wait_for_writer()
    return verify_one(store).code == 0


@pytest.mark.parametrize("terms", [REVERTS, {"customize": REVERTS}])
def test_the_plan_before_is_paused_and_comes_back(store: Store, terms: Json) -> None:
    store.plan("free", store.monthly(100), auto_enable=True)
    sell(store)
    store.take("pro")
    before = store.subscriptions()["pro"]
    store.track(120)
    balance = store.balance()
    store.take("premium", **terms)
    held = store.subscriptions()
    assert list(held) == ["premium"]
    assert held["premium"]["trial_ends_at"] == held["premium"]["started_at"] + DAYS * DAY_MS
    assert store.state() == [2000, 2000, 0]
    assert (stored(store, "pro"), stored(store, "premium")) == (("paused",), ("active",))
    store.track(30)
    assert is_sound(store)
    store.advance(OVER)
    assert store.subscriptions() == {"pro": before}
    assert store.balance() == balance
    assert (stored(store, "pro"), stored(store, "premium")) == (("active",), ("expired",))
    assert store.track(5)["balance"]["remaining"] == 375
    assert is_sound(store)


def test_a_cancel_brings_it_back_and_no_default(store: Store) -> None:
    store.plan("free", store.monthly(100), auto_enable=True)
    sell(store)
    store.take("pro")
    store.track(120)
    store.take("premium", **REVERTS)
    store.change("premium", cancel_action="cancel_end_of_cycle")
    premium = store.subscriptions()["premium"]
    assert premium["expires_at"] == premium["trial_ends_at"]
    assert store.held() == {"premium": "active"}
    store.change("premium", cancel_action="uncancel")
    store.change("premium", cancel_action="cancel_immediately")
    assert (store.held(), store.state()) == ({"pro": "active"}, [500, 380, 120])
    store.take("premium")  # the trial was had
    assert store.subscriptions()["premium"]["trial_ends_at"] is None
    assert stored(store, "pro") == ("expired",)
    assert is_sound(store)


@pytest.mark.parametrize("ends", ["immediate", "later"])
def test_another_plan_instead_of_the_trial_ends_both(store: Store, ends: str) -> None:
    store.plan("free", store.monthly(100), auto_enable=True)
    sell(store)
    store.plan("starter", store.monthly(50))
    store.plan("growth", store.monthly(9000))
    store.take("pro")
    store.take("premium", **REVERTS)
    assert store.not_taken("pro") == (409, "plan_already_attached")
    assert store.not_taken("premium") == (409, "plan_already_attached")
    if ends == "immediate":
        seen = store.preview("growth")
        assert {one["plan_id"] for one in seen["outgoing"]} == {
            store.name("pro"),
            store.name("premium"),
        }
        assert 79.9 < seen["total"] <= 80.1  # the rest of the paid plan is paid back
        store.take("growth")
        assert (store.held(), store.left(None)) == ({"growth": "active"}, [9000])
    else:
        store.take("starter")
        assert store.held() == {"premium": "active", "starter": "scheduled"}
        store.advance(OVER)
        assert (store.held(), store.left(None)) == ({"starter": "active"}, [50])
    assert (stored(store, "pro"), stored(store, "premium")) == (("expired",), ("expired",))
    assert is_sound(store)


def test_a_scheduled_plan_that_is_dropped_leaves_the_paused_one(store: Store) -> None:
    sell(store)
    store.plan("starter", store.monthly(50))
    store.take("pro")
    store.take("premium", **REVERTS)
    store.take("starter")
    store.change("starter", cancel_action="cancel_immediately")
    store.advance(OVER)
    assert store.held() == {"pro": "active"}


@pytest.mark.parametrize("default", [True, False])
def test_a_plan_that_ends_while_it_is_paused_does_not_come_back(
    store: Store, *, default: bool
) -> None:
    if default:
        store.plan("free", store.monthly(100), auto_enable=True)
    sell(store)
    store.take("pro")
    store.change("pro", cancel_action="cancel_end_of_cycle")
    store.take("premium", free_trial=REVERTS["free_trial"] | {"duration_length": 40})
    assert store.held() == {"premium": "active"}
    store.advance("32d")
    assert (store.held(), stored(store, "pro")) == ({"premium": "active"}, ("expired",))
    store.advance("9d")
    assert store.held() == ({"free": "active"} if default else {})
    assert is_sound(store)


def test_a_cancel_that_waits_goes_on_waiting_and_a_step_down_is_dropped(store: Store) -> None:
    sell(store)
    store.plan("starter", store.monthly(50))
    for leaves in (True, False):
        store.join()
        store.take("pro")
        if leaves:
            store.change("pro", cancel_action="cancel_end_of_cycle")
        else:
            store.take("starter")
        ends = store.subscriptions()["pro"]["expires_at"]
        store.take("premium", **REVERTS)
        store.change("premium", cancel_action="cancel_immediately")
        assert store.subscriptions()["pro"]["expires_at"] == (ends if leaves else None)
        assert store.held() == {"pro": "active"}


def test_only_a_paid_plan_is_reverted_to_and_only_at_once(store: Store) -> None:
    store.plan("free", store.monthly(100))
    sell(store)
    store.plan("starter", store.monthly(50))
    store.plan("growth", store.monthly(9000))
    once = {"amount": 5, "interval": "one_off"}
    store.plan("once", store.item("messages", 5), price=once)
    month = {"amount": 5, "interval": "month"}
    store.plan("addon", store.monthly(5), add_on=True, price=month)
    assert store.not_taken("premium", **REVERTS) == (400, "invalid_request")
    store.take("free")
    assert store.not_taken("premium", **REVERTS) == (400, "invalid_request")
    store.take("pro")
    assert store.not_taken("addon", **REVERTS) == (400, "invalid_request")
    store.take("starter", **REVERTS)  # a step down waits, and has no trial
    assert store.held() == {"pro": "active", "starter": "scheduled"}
    store.take("premium", **REVERTS)
    assert store.held() == {"premium": "active"}
    assert store.not_taken("growth", **REVERTS) == (400, "invalid_request")
    assert store.not_changed("pro", cancel_action="cancel_immediately") == (400, "invalid_request")
    for terms in ({"free_trial": None}, {"customize": {"free_trial": None}}):
        assert store.not_changed("premium", **terms) == (400, "invalid_request")


def test_what_is_removed_is_not_reverted_to_and_a_trial_not_removed(store: Store) -> None:
    sell(store)
    store.plan("growth", store.monthly(9000))
    store.take("pro")
    removes = {"remove_plan_ids": [store.name("pro")]}
    assert store.not_taken("premium", **REVERTS, **removes) == (400, "invalid_request")
    store.take("premium", **REVERTS)
    for name in ("pro", "premium"):
        removes = {"remove_plan_ids": [store.name(name)]}
        assert store.not_taken("growth", **removes) == (400, "invalid_request")
    assert (store.held(), stored(store, "pro")) == ({"premium": "active"}, ("paused",))


def test_previews_pay_nothing_for_the_trial_and_go_on_with_the_plan(store: Store) -> None:
    sell(store)
    store.take("pro")
    pro = store.subscriptions()["pro"]
    seen = store.preview("premium", **REVERTS)
    assert (seen["total"], seen["line_items"]) == (0, [])
    assert [one["plan_id"] for one in seen["incoming"]] == [store.name("premium")]
    (gone,) = seen["outgoing"]
    names = ("plan_id", "effective_at", "canceled_at", "expires_at")
    assert [gone[name] for name in names] == [store.name("pro"), None, None, None]
    following = seen["next_cycle"]
    assert (following["starts_at"], following["total"]) == (pro["current_period_end"], 20)
    assert store.held() == {"pro": "active"}
    store.take("premium", **REVERTS)
    body = {**store.scope(None), "plan_id": store.name("premium")}
    cancel = body | {"cancel_action": "cancel_immediately"}
    seen = store.gateway.call("billing.preview_update", **cancel)
    assert (seen["total"], seen["line_items"]) == (0, [])
    assert [one["plan_id"] for one in seen["incoming"]] == [store.name("pro")]
    assert [one["plan_id"] for one in seen["outgoing"]] == [store.name("premium")]
    assert seen["next_cycle"]["total"] == 20
    plans = store.gateway.call("plans.list", customer_id=store.customer)["list"]
    offered = {one["id"]: one["customer_eligibility"] for one in plans}
    pro_seen = offered[store.name("pro")]
    assert (pro_seen["attach_action"], pro_seen.get("status")) == ("none", None)
    assert offered[store.name("premium")]["trialing"] is True


def test_a_plan_of_an_entity_is_paused_alone(store: Store) -> None:
    sell(store)
    store.entities("ann", "ben")
    for one in (None, "ann", "ben"):
        store.take("pro", one)
        store.track(10, one)
    store.take("premium", "ann", **REVERTS)
    assert store.state("ann") == [2500, 2490, 10]
    store.track(5, "ann")
    assert is_sound(store)
    store.forget()
    store.gateway.call("entities.get", **store.scope("ann"))
    assert is_sound(store)
    store.advance(OVER)
    assert store.state("ann") == [1000, 980, 20]
    assert store.state() == [1500, 1470, 30]
    store.take("premium", "ben", **REVERTS)
    store.gateway.call("entities.delete", **store.scope("ben"))
    assert stored(store, "pro").count("paused") == 0
    assert is_sound(store)


def test_it_comes_back_from_sql_and_whoever_is_asked_first(store: Store) -> None:
    """Nobody asks: the sweep does it. With the customer in SQL alone it waits for it to be read."""
    sell(store)
    store.take("pro")
    store.track(120)
    store.take("premium", **REVERTS)
    store.forget()
    store.advance(OVER)
    assert stored(store, "pro") == ("active",)
    assert store.state() == [500, 380, 120]
    assert is_sound(store)


def test_a_version_and_an_edit_meanwhile_leave_it_as_it_was(store: Store) -> None:
    sell(store)
    store.take("pro")
    store.take("premium", **REVERTS)
    plan = store.name("pro")
    items = [store.monthly(700)]
    updated = store.gateway.call("plans.update", plan_id=plan, items=items)
    assert updated["version"] == 2  # it is held
    assert store.gateway.refusal("plans.delete", plan_id=plan)[0] == 400
    store.gateway.call("plans.update", plan_id=plan, group=store.name("other"))
    store.advance(OVER)
    assert (store.held(), store.left(None)) == ({"pro": "active"}, [500])


def test_a_trial_of_a_plan_without_a_price_waits_for_no_cycle(store: Store) -> None:
    store.plan("pro", store.monthly(500))
    store.plan("tried", store.monthly(2000))
    store.take("pro")
    store.take("tried", plan_schedule="immediate", **REVERTS)
    assert (store.held(), store.left(None)) == ({"tried": "active"}, [2000])
    refused = store.not_changed("tried", cancel_action="cancel_end_of_cycle")
    assert refused == (400, "invalid_request")
    store.advance(OVER)
    assert (store.held(), store.left(None)) == ({"pro": "active"}, [500])


def test_a_quantity_that_waited_counts_once_the_plan_is_back(store: Store) -> None:
    waits: Json = {"proration": {"on_decrease": "none"}}
    sell(store, store.monthly(500), store.prepaid_pack("words", **waits))
    store.take("pro", feature_quantities=store.quantities(words=300))
    store.change("pro", feature_quantities=store.quantities(words=100))
    assert store.left(None, feature="words") == [300]
    terms = REVERTS["free_trial"] | {"duration_length": 40}
    store.take("premium", free_trial=terms)
    store.advance("41d")
    assert (store.held(), store.left(None, feature="words")) == ({"pro": "active"}, [100])
    assert is_sound(store)


def test_an_add_on_of_the_trial_outlives_it(store: Store) -> None:
    sell(store)
    month = {"amount": 5, "interval": "month"}
    store.plan("addon", store.monthly(5, "words"), add_on=True, price=month)
    store.take("pro")
    store.take("premium", **REVERTS)
    store.take("addon")
    held = store.subscriptions()
    assert held["addon"]["trial_ends_at"] == held["premium"]["trial_ends_at"]
    assert is_sound(store)
    store.advance(OVER)
    assert store.held() == {"pro": "active", "addon": "active"}


def test_several_plans_begin_in_one_step(store: Store) -> None:
    sell(store)
    month = {"amount": 5, "interval": "month"}
    store.plan("team", store.monthly(10, "words"), group=store.name("other"), price=month)
    store.plan("club", store.monthly(20, "words"), group=store.name("other"), price=month)
    store.take("pro")
    store.track(10)
    body = store.several("premium", "club", **REVERTS)
    assert store.gateway.refusal("billing.multi_attach", **body) == (400, "invalid_request")
    store.take("team")
    store.track(1, feature="words")
    store.gateway.call("billing.multi_attach", **body)
    assert store.held() == {"premium": "active", "club": "active"}
    store.advance(OVER)
    assert store.held() == {"pro": "active", "team": "active"}
    assert (store.left(None), store.left(None, feature="words")) == ([490], [9])
    assert is_sound(store)
