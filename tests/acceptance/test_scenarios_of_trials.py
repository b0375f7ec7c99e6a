"""Free trials (cold-path section 3.8): the scenarios of the reference, and what follows from it."""

from __future__ import annotations

import pytest

from tests.acceptance.store import DAY_MS, Store
from tests.fixtures.gateways import Json

SKIPPED: Json = {"free_trial": None}


def trial(days: int, **more: object) -> Json:
    """Return the part of a plan that gives it a trial."""
    return {"free_trial": {"duration_length": days, "duration_type": "day", **more}}


def ends(store: Store, plan: str, entity: str | None = None) -> float | None:
    """Return for how many days from its beginning a plan is tried."""
    one = store.subscriptions(entity)[plan]
    ends_at: int | None = one["trial_ends_at"]
    return None if ends_at is None else (ends_at - one["started_at"]) / DAY_MS


def test_s14_a_default_with_a_trial_beats_the_free_one(store: Store) -> None:
    store.plan("free", store.monthly(100), auto_enable=True)
    price = {"amount": 20, "interval": "month"}
    terms = trial(7, card_required=False) | {"price": price, "auto_enable": True}
    store.plan("trial_pro", store.monthly(1000), **terms)
    store.join()
    assert store.held() == {"trial_pro": "active"}
    assert (ends(store, "trial_pro"), store.state()) == (7, [1000, 1000, 0])
    store.advance("169h")
    assert (store.held(), store.state()) == ({"free": "active"}, [100, 100, 0])


def test_s68_a_new_trial(store: Store) -> None:
    store.plan("pro", store.monthly(500), **trial(7))
    seen = store.preview("pro")
    assert (seen["total"], seen["next_cycle"]["total"]) == (0, 20)
    store.take("pro")
    pro = store.subscriptions()["pro"]
    due = pro["trial_ends_at"]
    assert (pro["status"], ends(store, "pro")) == ("active", 7)
    assert abs(seen["next_cycle"]["starts_at"] - due) < DAY_MS / 24
    assert (pro["current_period_start"], pro["current_period_end"]) == (pro["started_at"], due)
    assert (store.state(), store.balance()["next_reset_at"]) == ([500, 500, 0], due)
    store.gateway.call("clock.advance", to=due + 1000)
    pro = store.subscriptions()["pro"]
    assert (pro["trial_ends_at"], pro["current_period_start"]) == (None, due)


def test_s70_trials_that_meet(store: Store) -> None:
    store.plan("pro", store.monthly(500), **trial(7))
    store.plan("premium", store.monthly(1000), **trial(14))
    store.plan("growth", store.monthly(2000))
    store.take("pro")
    assert store.preview("premium")["total"] == 0
    store.take("premium")
    assert (store.held(), ends(store, "premium")) == ({"premium": "active"}, 14)
    down = store.preview("pro")
    assert (down["total"], down["next_cycle"]["total"]) == (0, 20)
    store.take("pro")
    held = store.subscriptions()
    due = held["premium"]["trial_ends_at"]
    assert (held["pro"]["status"], held["pro"]["started_at"]) == ("scheduled", due)
    assert down["next_cycle"]["starts_at"] == due
    store.gateway.call("clock.advance", to=due + 1000)
    assert (store.held(), ends(store, "pro")) == ({"pro": "active"}, None)


def test_s70_a_plan_without_a_trial_ends_the_one_before(store: Store) -> None:
    store.plan("pro", store.monthly(500), **trial(7))
    store.plan("premium", store.monthly(1000))
    store.take("pro")
    assert store.not_taken("premium", proration_behavior="none") == (400, "invalid_request")
    assert store.preview("premium")["total"] == 50
    store.take("premium")
    premium = store.subscriptions()["premium"]
    assert premium["trial_ends_at"] is None
    assert premium["current_period_start"] == premium["started_at"]


def test_s71_a_trial_without_a_price_ends_and_the_free_plan_is_back(store: Store) -> None:
    store.plan("free", store.monthly(100), auto_enable=True)
    store.plan("tried", store.monthly(300), **trial(3))
    store.join()
    store.take("tried")
    assert (store.held(), ends(store, "tried")) == ({"tried": "active"}, 3)
    free = store.not_changed("tried", cancel_action="cancel_end_of_cycle")
    assert free == (400, "invalid_request")
    store.advance("73h")
    assert (store.held(), store.state()) == ({"free": "active"}, [100, 100, 0])


def test_a_trial_is_had_once_by_each(store: Store) -> None:
    store.plan("pro", store.monthly(500), **trial(7))
    plans = store.gateway.call("plans.list", customer_id=store.customer)["list"]
    offered = {one["id"]: one["customer_eligibility"] for one in plans}
    assert offered[store.name("pro")]["trial_available"] is True
    store.take("pro")
    store.change("pro", cancel_action="cancel_immediately")
    assert store.preview("pro")["total"] == 20
    store.take("pro")
    assert ends(store, "pro") is None
    body = {**store.scope(None), "expand": ["trials_used"]}
    (used,) = store.gateway.call("customers.get", **body)["trials_used"]
    assert (used["plan_id"], used["customer_id"]) == (store.name("pro"), store.customer)
    plans = store.gateway.call("plans.list", customer_id=store.customer)["list"]
    offered = {one["id"]: one["customer_eligibility"] for one in plans}
    assert offered[store.name("pro")]["trial_available"] is False
    store.entities("e1")
    store.take("pro", "e1")
    own = [one for one in store.view("e1")["subscriptions"] if one["scope"] == "entity"]
    assert own[0]["trial_ends_at"] == own[0]["started_at"] + 7 * DAY_MS


def test_what_joins_a_plan_in_its_trial_shares_it(store: Store) -> None:
    store.plan("pro", store.monthly(500), **trial(7))
    month = {"amount": 5, "interval": "month"}
    store.plan("addon", store.monthly(10, "words"), add_on=True, price=month)
    store.take("pro")
    assert store.preview("addon")["total"] == 0
    store.take("addon")
    held = store.subscriptions()
    assert held["addon"]["trial_ends_at"] == held["pro"]["trial_ends_at"]


def test_a_cancel_waits_for_the_end_of_the_trial(store: Store) -> None:
    store.plan("pro", store.monthly(500), **trial(40))
    store.take("pro")
    store.change("pro", cancel_action="cancel_end_of_cycle")
    pro = store.subscriptions()["pro"]
    assert pro["expires_at"] == pro["trial_ends_at"]
    store.change("pro", cancel_action="uncancel")
    assert ends(store, "pro") == 40


@pytest.mark.parametrize("terms", [SKIPPED, {"customize": SKIPPED}])
def test_a_trial_is_left_out(store: Store, terms: Json) -> None:
    store.plan("pro", store.monthly(500), **trial(7))
    assert store.preview("pro", **terms)["total"] == 20
    store.take("pro", **terms)
    assert ends(store, "pro") is None


SHORT = trial(3)


@pytest.mark.parametrize(
    ("terms", "days"), [(SHORT, 3), ({"customize": SHORT}, 3), (trial(9) | {"customize": SHORT}, 3)]
)
def test_a_trial_that_comes_with_the_attach_begins_whatever_was_had(
    store: Store, terms: Json, days: int
) -> None:
    store.plan("pro", store.monthly(500), **trial(7))
    store.take("pro")
    store.change("pro", cancel_action="cancel_immediately")
    assert (store.preview("pro")["total"], store.preview("pro", **terms)["total"]) == (20, 0)
    store.take("pro", **terms)
    assert ends(store, "pro") == days
    due = store.subscriptions()["pro"]["trial_ends_at"]
    assert (store.state(), store.balance()["next_reset_at"]) == ([500, 500, 0], due)


@pytest.mark.parametrize("terms", [SHORT, {"customize": SHORT}])
def test_a_trial_that_came_with_the_attach_can_be_ended(store: Store, terms: Json) -> None:
    store.plan("pro", store.monthly(500))
    store.take("pro", **terms)
    assert ends(store, "pro") == 3
    store.change("pro", **SKIPPED)
    assert ends(store, "pro") is None
    assert store.not_changed("pro", **SKIPPED) == (400, "invalid_request")


def test_several_plans_begin_with_the_trial_they_are_given(store: Store) -> None:
    store.plan("pro", store.monthly(500))
    month = {"amount": 5, "interval": "month"}
    store.plan("team", store.monthly(10, "words"), group=store.name("other"), price=month)
    body = {**store.scope(None), **SHORT}
    plans = [{"plan_id": store.name(one)} for one in ("pro", "team")]
    assert store.gateway.call("billing.preview_multi_attach", **body, plans=plans)["total"] == 0
    store.gateway.call("billing.multi_attach", **body, plans=plans)
    assert (ends(store, "pro"), ends(store, "team")) == (3, 3)


@pytest.mark.parametrize("length", [0, -1, 1.5, "seven", None])
def test_a_trial_without_a_right_length_is_refused_by_its_name(
    store: Store, length: object
) -> None:
    store.plan("pro", store.monthly(500))
    asked = {"plan_id": store.name("pro"), **store.scope(None)}
    wrong = {"free_trial": {"duration_length": length}}
    for field, terms in (("free_trial", wrong), ("customize.free_trial", {"customize": wrong})):
        answer = store.gateway.post("billing.attach", asked | terms)
        assert answer.status_code == 400
        assert answer.json()["message"].startswith(f"{field}.duration_length: ")
    assert store.held() == {}


def test_a_purchase_has_no_trial(store: Store) -> None:
    store.plan("once", store.item("messages", 5), price={"amount": 5, "interval": "one_off"})
    assert store.not_taken("once", **SHORT) == (400, "invalid_request")


@pytest.mark.parametrize("terms", [SKIPPED, {"customize": SKIPPED}])
def test_a_trial_is_ended_for_one_customer(store: Store, terms: Json) -> None:
    store.plan("pro", store.monthly(500), **trial(7, card_required=False))
    store.take("pro")
    store.change("pro", **terms)
    assert ends(store, "pro") is None
    store.advance("169h")
    assert store.held() == {"pro": "active"}


def test_a_plan_whose_trial_reverts_takes_the_place_of_a_paid_one(store: Store) -> None:
    store.plan("pro", store.monthly(500))
    store.plan("premium", store.monthly(1000), **trial(7, on_end="revert"))
    assert store.not_taken("premium") == (400, "invalid_request")
    enabled = {"plan_id": store.name("premium"), "auto_enable": True, "price": None}
    assert store.gateway.refusal("plans.update", **enabled) == (400, "invalid_request")
    store.take("pro")
    store.take("premium")
    assert (store.held(), ends(store, "premium")) == ({"premium": "active"}, 7)
    store.advance("169h")
    assert (store.held(), store.state()) == ({"pro": "active"}, [500, 500, 0])
