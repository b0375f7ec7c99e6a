"""Plans that begin and end at a time, whoever looks: beyond what the scenarios say."""

from __future__ import annotations

import pytest

from tests.acceptance.store import DAY_MS, Store


def test_a_schedule_can_be_chosen(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.plan("premium", store.monthly(500))
    store.take("premium")
    store.take("pro", plan_schedule="immediate")
    assert (store.held(), store.left(None)) == ({"pro": "active"}, [100])
    store.take("premium", plan_schedule="end_of_cycle")
    assert store.held() == {"pro": "active", "premium": "scheduled"}
    store.end_of_cycle()
    assert (store.held(), store.left(None)) == ({"premium": "active"}, [500])


def test_a_plan_can_begin_and_end_at_a_time(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    day = store.now() + DAY_MS
    store.take("pro", starts_at=day, ends_at=day + DAY_MS)
    assert store.held() == {"pro": "scheduled"}
    assert store.subscriptions()["pro"]["started_at"] == day
    assert store.check()["allowed"] is False
    store.advance("25h")
    assert (store.held(), store.left(None)) == ({"pro": "active"}, [100])
    assert store.subscriptions()["pro"]["expires_at"] == day + DAY_MS
    store.advance("24h")
    assert store.held() == {}
    assert store.check()["allowed"] is False


@pytest.mark.parametrize("leaving", ["cancel", "step down"])
def test_a_plan_that_ends_before_its_cycle_does_not_get_longer(store: Store, leaving: str) -> None:
    store.plan("pro", store.monthly(100))
    store.plan("starter", store.monthly(10))
    store.take("pro", ends_at=store.now() + DAY_MS)
    ends = store.subscriptions()["pro"]["expires_at"]
    if leaving == "cancel":
        store.change("pro", cancel_action="cancel_end_of_cycle")
    else:
        store.take("starter")
        assert store.subscriptions()["starter"]["started_at"] == ends
    assert store.subscriptions()["pro"]["expires_at"] == ends


@pytest.mark.parametrize("default", [False, True])
def test_a_plan_that_begins_after_the_end_of_another_leaves_that_end(
    store: Store, default: bool
) -> None:
    """The free plan that enables itself is held in between."""
    if default:
        store.plan("free", store.monthly(5), auto_enable=True)
    store.plan("pro", store.monthly(100))
    store.plan("premium", store.monthly(500))
    store.take("pro", ends_at=store.now() + DAY_MS)
    ends = store.subscriptions()["pro"]["expires_at"]
    starts = store.now() + 3 * DAY_MS
    foreseen = store.preview("premium", starts_at=starts)
    assert [one["expires_at"] for one in foreseen["outgoing"]] == [ends]
    store.take("premium", starts_at=starts)
    held = store.subscriptions()
    assert (held["pro"]["expires_at"], held["premium"]["started_at"]) == (ends, starts)
    store.advance("25h")
    between = {"free": "active"} if default else {}
    assert store.held() == {**between, "premium": "scheduled"}
    store.advance("48h")
    assert store.held() == {"premium": "active"}
    period = store.subscriptions()["premium"]["current_period_start"]
    assert (period, store.left(None)) == (starts, [500])


def test_a_plan_goes_on_until_the_other_one_that_comes_instead(store: Store) -> None:
    """Its end was only that a plan followed, and that one is dropped."""
    for name in ("starter", "pro", "premium"):
        store.plan(name, store.monthly(100))
    store.take("pro")
    store.take("starter")
    starts = store.now() + 60 * DAY_MS
    store.take("premium", starts_at=starts)
    assert store.held() == {"pro": "active", "premium": "scheduled"}
    assert store.subscriptions()["pro"]["expires_at"] == starts


@pytest.mark.parametrize("default", [False, True])
def test_an_add_on_that_has_not_begun_stays_when_a_plan_comes_to_its_end(
    store: Store, default: bool
) -> None:
    """Cold-path section 6.6; a cancel at once drops it (section 3.9)."""
    if default:
        store.plan("free", store.monthly(5), auto_enable=True)
    store.plan("pro", store.monthly(100))
    month = {"amount": 20, "interval": "month"}
    store.plan("addon", store.monthly(200, "words"), add_on=True, price=month)
    store.take("pro", ends_at=store.now() + DAY_MS)
    store.take("addon", starts_at=store.now() + 3 * DAY_MS)
    store.advance("25h")
    left = {"free": "active"} if default else {}
    assert store.held() == {**left, "addon": "scheduled"}
    store.advance("48h")
    assert store.held() == {**left, "addon": "active"}


def test_cycles_can_be_counted_from_a_later_time(store: Store) -> None:
    """Cold-path section 6.1: a cycle does not begin before the plan does."""
    store.plan("pro", store.monthly(100))
    anchor = store.now() + 10 * DAY_MS
    store.take("pro", billing_cycle_anchor=anchor)
    pro = store.subscriptions()["pro"]
    assert (pro["current_period_start"], pro["current_period_end"]) == (pro["started_at"], anchor)
    assert store.balance()["next_reset_at"] == anchor
    store.gateway.call("clock.advance", to=anchor)
    pro = store.subscriptions()["pro"]
    assert pro["current_period_start"] == anchor
    assert store.balance()["next_reset_at"] == pro["current_period_end"]


@pytest.mark.parametrize(
    "terms",
    [
        {"starts_at": 1},
        {"ends_at": 1},
        {"starts_at": 4102444800000, "ends_at": 4102444799000},
        {"starts_at": 4102444800000, "plan_schedule": "end_of_cycle"},
    ],
)
def test_dates_that_make_no_sense_are_refused(store: Store, terms: dict[str, object]) -> None:
    store.plan("pro", store.monthly(100))
    assert store.not_taken("pro", **terms) == (400, "invalid_request")
    assert store.held() == {}


@pytest.mark.parametrize("field", ["starts_at", "billing_cycle_anchor"])
def test_a_trial_begins_at_once(store: Store, field: str) -> None:
    """Cold-path section 3.14."""
    store.plan("pro", store.monthly(100), free_trial={"duration_length": 7, "duration_type": "day"})
    terms = {field: store.now() + DAY_MS}
    assert store.not_taken("pro", **terms) == (400, "invalid_request")
    store.take("pro", **terms, customize={"free_trial": None})
    assert list(store.held()) == ["pro"]


def test_a_one_off_plan_is_a_purchase_that_may_end(store: Store) -> None:
    once = {"amount": 10, "interval": "one_off"}
    store.plan("once", store.lifetime(100), price=once)
    ends = store.now() + DAY_MS
    store.take("once", ends_at=ends)
    store.take("once")
    listed = store.view()["purchases"]
    assert [one["expires_at"] for one in listed] == [ends, None]
    assert store.left(None) == [200]
    store.advance("25h")
    assert [one["expires_at"] for one in store.view()["purchases"]] == [None]
    assert store.left(None) == [100]


def test_of_two_plans_that_end_within_a_minute_each_ends_at_its_time(store: Store) -> None:
    month = {"amount": 20, "interval": "month"}
    first = store.now() + DAY_MS
    for name, units, ends in (("one", 100, first), ("other", 10, first + 55_000)):
        store.plan(name, store.lifetime(units), add_on=True, price=month)
        store.take(name, ends_at=ends)
    assert store.check()["balance"]["granted"] == 110
    store.gateway.call("clock.advance", to=first)
    assert store.check()["balance"]["granted"] == 10
    assert store.held() == {"other": "active"}


def test_entities_step_down_on_their_own(store: Store) -> None:
    store.entities("e1")
    store.plan("pro", store.monthly(500))
    store.plan("free", store.monthly(100))
    store.take("pro", "e1")
    store.take("pro")
    store.take("free", "e1")
    assert store.held() == {"pro": "active"}
    own = [one for one in store.view("e1")["subscriptions"] if one["scope"] == "entity"]
    assert [one["status"] for one in own] == ["active", "scheduled"]
    store.end_of_cycle()
    assert store.left(None, "e1") == [600, 600]
    assert store.held() == {"pro": "active"}


def test_a_deleted_entity_takes_what_was_scheduled_along(store: Store) -> None:
    store.entities("e1")
    store.plan("pro", store.monthly(500))
    store.plan("free", store.monthly(100))
    store.take("pro", "e1")
    store.take("free", "e1")
    store.gateway.call("entities.delete", **store.scope("e1"))
    store.entities("e1")
    store.advance("32d")
    assert store.held("e1") == {}


def test_what_needs_money_is_refused_by_its_name(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    for field, value in (
        ("discounts", [{"reward_id": "r"}]),
        ("license_quantities", [{"license_plan_id": "l", "quantity": 1}]),
        ("invoice_mode", {"enabled": True}),
    ):
        body = {**store.scope(None), "plan_id": store.name("pro"), field: value}
        answer = store.gateway.post("billing.attach", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "not_supported")
        assert answer.json()["message"].startswith(field)
    for name in ("billing.open_customer_portal", "invoices.list", "rewards.redeem"):
        answer = store.gateway.post(name, store.scope(None))
        assert (answer.status_code, answer.json()["code"]) == (400, "not_supported")
        assert answer.json()["message"].startswith(name)
    assert store.held() == {}


def test_plans_have_one_order_whoever_remembers_them(store: Store) -> None:
    """A customer that comes back from SQL is the same as before."""
    store.plan("pro", store.monthly(100))
    store.plan("starter", store.monthly(10))
    store.plan("addon", store.monthly(1, "words"), add_on=True)
    store.take("pro")
    store.take("starter")
    store.take("addon")
    assert list(store.held()) == ["pro", "addon", "starter"]
    view = store.view()
    store.forget()
    assert store.view() == view
