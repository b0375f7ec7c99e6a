"""Several plans attached in one step (cold-path section 3.12): all of them or none."""

from __future__ import annotations

import pytest

from tests.acceptance.store import Store
from tests.fixtures.gateways import Json

REFUSED = (400, "invalid_request")


@pytest.fixture
def plans(store: Store) -> Store:
    """Three main plans of one group, one of another, and an add-on."""
    store.plan("free", store.monthly(100))
    store.plan("pro", store.monthly(500))
    store.plan("premium", store.monthly(1000))
    price = {"amount": 30, "interval": "month"}
    store.plan("team", store.item("users", 10), group=store.name("other"), price=price)
    price = {"amount": 20, "interval": "month"}
    store.plan("addon", store.monthly(200, "words"), add_on=True, price=price)
    return store


def take(store: Store, *plans: str | Json, **more: object) -> Json:
    return store.gateway.call("billing.multi_attach", **store.several(*plans, **more))


def preview(store: Store, *plans: str | Json) -> Json:
    return store.gateway.call("billing.preview_multi_attach", **store.several(*plans))


def refused(store: Store, *plans: str | Json, **more: object) -> tuple[int, str]:
    """Return how both calls are refused, having changed nothing."""
    body, before = store.several(*plans, **more), store.view()
    found = store.gateway.refusal("billing.multi_attach", **body)
    assert store.gateway.refusal("billing.preview_multi_attach", **body) == found
    assert store.view() == before
    return found


def test_s53_plans_of_two_groups_are_attached_together(plans: Store) -> None:
    seen = preview(plans, "pro", "team")
    assert seen["total"] == pytest.approx(50, abs=0.01)
    assert [one["plan_id"] for one in seen["incoming"]] == [plans.name("pro"), plans.name("team")]
    assert (seen["redirect_to_checkout"], seen["checkout_type"]) == (False, None)
    assert plans.held() == {}

    answer = take(plans, "pro", "team")
    assert answer == {"customer_id": plans.customer, "payment_url": None}
    assert plans.held() == {"pro": "active", "team": "active"}
    assert (plans.state(), plans.state(feature="users")) == ([500, 500, 0], [10, 10, 0])


def test_s53_a_free_plan_gives_way(plans: Store) -> None:
    plans.take("free")
    seen = preview(plans, "pro", "addon")
    assert seen["total"] == pytest.approx(40, abs=0.01)
    assert [one["plan_id"] for one in seen["outgoing"]] == [plans.name("free")]
    take(plans, "pro", "addon")
    assert plans.held() == {"pro": "active", "addon": "active"}
    assert (plans.state(), plans.state(feature="words")) == ([500, 500, 0], [200, 200, 0])


def test_s53_a_plan_that_was_scheduled_is_deleted(plans: Store) -> None:
    plans.take("pro")
    plans.take("free")
    assert plans.held() == {"pro": "active", "free": "scheduled"}
    assert preview(plans, "premium", "addon")["total"] == pytest.approx(50, abs=0.05)
    take(plans, "premium", "addon")
    assert plans.held() == {"premium": "active", "addon": "active"}
    plans.end_of_cycle()
    assert plans.held() == {"premium": "active", "addon": "active"}


def test_s53_a_plan_that_is_held_and_two_of_one_group_are_refused(plans: Store) -> None:
    plans.take("pro")
    assert refused(plans, "addon", "pro") == REFUSED
    assert refused(plans, "free", "premium") == REFUSED
    assert refused(plans, "team", "team") == REFUSED


def test_one_plan_that_is_refused_keeps_all_others_away(plans: Store) -> None:
    assert refused(plans, "pro", "nothing") == (404, "product_not_found")
    many = {"plan_id": "team", "feature_quantities": plans.quantities(users=5)}
    assert refused(plans, "pro", many)[0] == 400
    assert refused(plans, "pro", "free", starts_at=plans.now() + 1000) == REFUSED
    assert refused(plans, "pro", {"plan_id": "team", "version": 2}) == (404, "product_not_found")


def test_what_nobody_got_leaves_its_features_free(plans: Store) -> None:
    body = plans.several("addon", "nothing")
    assert plans.gateway.refusal("billing.multi_attach", **body) == (404, "product_not_found")
    body = plans.several("addon", "pro", "premium")
    assert plans.gateway.refusal("billing.multi_attach", **body) == REFUSED
    plans.gateway.call("plans.delete", plan_id=plans.name("addon"))
    words = {"feature_id": plans.name("words")}
    plans.gateway.call("features.update", **words, type="boolean")


def test_a_step_down_is_at_once_and_cycles_begin_now_for_plans_that_have_one(plans: Store) -> None:
    plans.plan("gift", plans.monthly(7, "words"), add_on=True)
    plans.take("premium")
    plans.advance("10d")
    take(plans, "pro", "gift", billing_cycle_anchor="now")
    assert plans.held() == {"pro": "active", "gift": "active"}
    start = plans.subscriptions()["pro"]["current_period_start"]
    assert start == pytest.approx(plans.now(), abs=60_000)


def test_add_ons_join_the_cycle_wherever_they_stand(plans: Store) -> None:
    plans.take("pro")
    plans.advance("10d")
    end = plans.subscriptions()["pro"]["current_period_end"]
    take(plans, "addon", "premium")
    ends = {name: one["current_period_end"] for name, one in plans.subscriptions().items()}
    assert ends == {"addon": end, "premium": end}


def test_all_begin_later_together(plans: Store) -> None:
    starts_at = plans.now() + 5 * 86_400_000
    take(plans, "pro", "team", starts_at=starts_at)
    assert plans.held() == {"pro": "scheduled", "team": "scheduled"}
    plans.advance("6d")
    assert plans.held() == {"pro": "active", "team": "active"}
    assert plans.state() == [500, 500, 0]


def test_ids_of_subscriptions_are_given_once(plans: Store) -> None:
    named = {"plan_id": "pro", "subscription_id": "sub_1"}
    assert refused(plans, named, {**named, "plan_id": "team"}) == (400, "invalid_inputs")
    take(plans, named, "team")
    assert plans.subscriptions()["pro"]["id"] == "sub_1"
    again = {"plan_id": "addon", "subscription_id": "sub_1"}
    assert refused(plans, again) == (409, "duplicate_subscription_id")


def test_an_entity_gets_its_plans_and_several_scopes_are_refused(plans: Store) -> None:
    plans.entities("e1", "e2")
    first: Json = {"plan_id": "pro", "entity_id": "e1"}
    other: Json = {"plan_id": "addon", "entity_id": "e2"}
    assert refused(plans, first, other) == (400, "not_supported")
    assert refused(plans, first, "addon") == (400, "not_supported")
    answer = take(plans, first, "addon", entity_id="e1")
    assert answer["entity_id"] == "e1"
    assert plans.held("e1") == {"pro": "active", "addon": "active"}
    assert plans.held() == {}
    take(plans, {"plan_id": "pro", "entity_id": None}, entity_id="e1")
    assert plans.held() == {"pro": "active"}


def test_items_and_units_are_asked_of_each_plan(plans: Store) -> None:
    plans.plan("packs", plans.prepaid_pack("words"), add_on=True)
    bought: Json = {"plan_id": "packs", "feature_quantities": plans.quantities(words=300)}
    own: Json = {"plan_id": "pro", "customize": {"items": [plans.monthly(750)]}}
    take(plans, own, bought)
    assert (plans.left(None), plans.state(feature="words")) == ([750], [300, 300, 0])


def test_plans_stay_in_the_order_they_were_sent_in(plans: Store) -> None:
    """A customer that comes back from SQL is the same as before."""
    take(plans, "team", "addon", "pro")
    view = plans.view()
    assert list(plans.held()) == ["team", "addon", "pro"]
    plans.forget()
    assert plans.view() == view


def test_published_clients_have_another_name_for_the_proration(store: Store) -> None:
    store.plan("free", store.monthly(100))
    store.plan("pro", store.monthly(500))
    month = {"amount": 5, "interval": "month"}
    store.plan("addon", store.monthly(10, "words"), add_on=True, price=month)
    store.take("pro")
    preview = "billing.preview_multi_attach"
    for said, total in (("prorate_immediately", 5), ("none", 0)):
        body = store.several("addon", billing_behavior=said)
        assert store.gateway.call(preview, **body)["total"] == total
    for wrong in (
        {"billing_behavior": "half"},
        {"billing_behavior": "none", "proration_behavior": "none"},
    ):
        assert store.gateway.refusal(preview, **store.several("addon", **wrong))[0] == 400
    store.join()
    store.take("free")
    answer = store.gateway.post(preview, store.several("pro", billing_behavior="none")).json()
    assert answer["message"].startswith("billing_behavior: ")
