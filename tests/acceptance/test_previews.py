"""Previews say what would be, and write nothing (cold-path section 3.11)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.acceptance.store import DAY_MS, Store
from tests.fixtures.gateways import Json


def newcomer(store: Store, **more: Json) -> Json:
    """Return a call about a customer nobody has heard of."""
    return {"customer_id": f"{store.customer}_new", "plan_id": store.name("pro"), **more}


def test_a_preview_creates_no_customer(store: Store) -> None:
    store.plan("free", store.monthly(100), auto_enable=True)
    store.plan("pro", store.monthly(500))
    call = newcomer(store, customer_data={"name": "Ada"})
    seen = store.gateway.call("billing.preview_attach", **call)
    assert seen["total"] == 20
    assert [one["plan_id"] for one in seen["incoming"]] == [store.name("pro")]
    assert [one["plan_id"] for one in seen["outgoing"]] == [store.name("free")]
    unknown = {"customer_id": call["customer_id"]}
    assert store.gateway.refusal("customers.get", **unknown) == (404, "customer_not_found")

    store.gateway.call("billing.attach", **call)
    assert store.gateway.call("customers.get", **unknown)["name"] == "Ada"
    store.close()


def test_a_preview_creates_no_entity(store: Store) -> None:
    store.plan("pro", store.monthly(500))
    store.take("pro")
    seats = {"feature_id": store.name("users")}
    seen = store.preview("pro", "e1", entity_data=seats)
    assert [one["plan_id"] for one in seen["incoming"]] == [store.name("pro")]
    named = store.scope("e1")
    assert store.gateway.refusal("entities.get", **named) == (404, "entity_not_found")
    of_both = newcomer(store, entity_id="e1", customer_data={}, entity_data=seats)
    assert store.gateway.call("billing.preview_attach", **of_both)["total"] == 20


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        ({}, (404, "customer_not_found")),
        ({"customer_data": {}, "entity_id": "e1"}, (404, "entity_not_found")),
        ({"customer_data": {"auto_enable_plan_id": "none"}}, (404, "product_not_found")),
    ],
)
def test_a_preview_is_refused_as_the_attach_would_be(
    store: Store, more: Json, refusal: tuple[int, str]
) -> None:
    store.plan("pro", store.monthly(500))
    call = newcomer(store, **more)
    assert store.gateway.refusal("billing.preview_attach", **call) == refusal
    words = {"entity_id": "e1", "entity_data": {"feature_id": store.name("words")}}
    about = {**store.scope(None), "plan_id": store.name("pro"), **words}
    assert store.gateway.refusal("billing.preview_attach", **about) == (400, "invalid_request")


def test_a_plan_that_nobody_got_leaves_its_features_free(store: Store) -> None:
    words = store.name("words")
    store.plan("pro", store.monthly(10, "words"))
    store.preview("pro")
    assert store.not_taken("pro", starts_at=1) == (400, "invalid_request")
    refused = store.gateway.refusal("billing.attach", **newcomer(store))
    assert refused == (404, "customer_not_found")
    store.gateway.call("features.update", feature_id=words, type="boolean")
    store.gateway.call("plans.delete", plan_id=store.name("pro"))
    assert store.gateway.call("features.delete", feature_id=words) == {"success": True}


def test_another_quantity_is_previewed_without_what_stays(store: Store) -> None:
    store.plan("pro", store.prepaid_pack())
    store.take("pro", feature_quantities=store.quantities(messages=200))
    more = {"feature_quantities": store.quantities(messages=300)}
    named = {**store.scope(None), "plan_id": store.name("pro"), **more}
    seen = store.gateway.call("billing.preview_update", **named)
    lines = [(one["feature_id"], one["quantity"]) for one in seen["line_items"]]
    messages = store.name("messages")
    assert lines == [(messages, 200), (messages, 300)]
    assert seen["total"] == pytest.approx(10, abs=0.05)
    assert seen["next_cycle"]["total"] == 50


@pytest.mark.parametrize(
    ("proration", "quantity", "total", "following"),
    [
        ({"on_increase": "prorate_next_cycle"}, 500, 0, 90),
        ({"on_increase": "bill_next_cycle"}, 500, 0, 70),
        ({"on_increase": "prorate_immediately"}, 500, 20, 70),
        ({"on_increase": "prorate_next_cycle"}, 100, -20, 30),
        ({"on_increase": "prorate_next_cycle", "on_decrease": "prorate"}, 100, 0, 10),
        ({"on_decrease": "prorate"}, 100, -20, 30),
        ({"on_decrease": "prorate_next_cycle"}, 100, 0, 10),
        ({"on_decrease": "no_prorations"}, 100, 0, 30),
    ],
)
def test_s64_when_another_quantity_is_paid_for(
    store: Store, proration: Json, quantity: int, total: int, following: int
) -> None:
    """Cold-path sections 3.9 and 5.4: these settings move the money, not the balance."""
    store.plan("pro", store.prepaid_pack(proration=proration))
    store.take("pro", feature_quantities=store.quantities(messages=300))
    named = {**store.scope(None), "plan_id": store.name("pro")}
    named["feature_quantities"] = store.quantities(messages=quantity)
    seen = store.gateway.call("billing.preview_update", **named)
    assert seen["total"] == pytest.approx(total, abs=0.01)
    assert sum(one["total"] for one in seen["line_items"]) == pytest.approx(total, abs=0.01)
    assert seen["next_cycle"]["total"] == pytest.approx(following, abs=0.01)


def test_without_proration_a_cycle_that_has_begun_costs_nothing(store: Store) -> None:
    store.plan("pro", store.monthly(500))
    store.plan("premium", store.prepaid_pack(interval="one_off"))
    store.plan("addon", add_on=True, price={"amount": 8, "interval": "month"})
    unprorated = {"proration_behavior": "none"}
    assert store.preview("pro", **unprorated)["total"] == 20
    store.take("pro")
    bought = {"feature_quantities": store.quantities(messages=100)}
    seen = store.preview("premium", **bought, **unprorated)
    assert [one["total"] for one in seen["line_items"]] == [10]
    assert (seen["total"], seen["next_cycle"]["total"]) == (10, 50)
    anew = store.preview("premium", **unprorated, billing_cycle_anchor="now")
    assert anew["total"] == 50
    assert store.preview("addon", **unprorated)["total"] == 0
    body = {**store.scope(None), "plan_id": store.name("pro"), **unprorated}
    body["cancel_action"] = "cancel_immediately"
    assert store.gateway.call("billing.preview_update", **body)["total"] == 0


def test_what_was_used_beyond_the_plan_is_paid_for_when_another_begins(store: Store) -> None:
    """Cold-path section 3.10 and scenario S40; a cancel forgives it (sections 3.9 and 10)."""
    packs = {"amount": 1, "interval": "month", "billing_method": "usage_based", "billing_units": 10}
    words = store.item("words", 100, price=packs)
    store.plan("pro", store.payg(100), words, store.seats(0))
    store.plan("premium", store.monthly(500), store.item("users", 9))
    store.plan("free", store.monthly(5))
    store.take("pro")
    assert store.preview("premium")["total"] == pytest.approx(30, abs=0.01)
    store.track(150)
    store.track(155, feature="words")
    store.track(2, feature="users")
    seen = store.preview("premium")
    used = [one for one in seen["line_items"] if one["feature_id"] is not None]
    assert [(one["quantity"], one["total"]) for one in used] == [(50, 5), (60, 6)]
    assert seen["total"] == pytest.approx(41, abs=0.01)
    assert store.preview("free")["total"] == 0
    kept = {"enabled": True, "feature_ids": [store.name("messages")]}
    for wish in ("carry_over_usages", "carry_over_balances"):
        assert store.preview("premium", **{wish: kept})["total"] == pytest.approx(36, abs=0.01)
    body = {**store.scope(None), "cancel_action": "cancel_immediately"}
    canceled = store.gateway.call("billing.preview_update", **body)
    assert canceled["total"] == pytest.approx(-20, abs=0.01)


def test_what_entities_used_beyond_the_plan_is_rounded_up_together(store: Store) -> None:
    """Cold-path sections 2.8 and 3.10; the use is that of scenario S49."""
    packs = {"amount": 1, "interval": "month", "billing_method": "usage_based", "billing_units": 10}
    store.plan("pro", store.item("messages", 100, price=packs, **store.each))
    store.plan("premium", store.monthly(500))
    store.entities("a", "b", "c")
    store.take("pro")
    for seat, units in (("a", 155), ("b", 123), ("c", 10)):
        store.track(units, seat)
    seen = store.preview("premium")
    used = [one for one in seen["line_items"] if one["feature_id"] is not None]
    assert [(one["quantity"], one["total"]) for one in used] == [(80, 8)]
    assert seen["total"] == pytest.approx(38, abs=0.01)


def test_more_of_what_is_bought_once_is_previewed_alone(store: Store) -> None:
    store.plan("pro", store.prepaid_pack(interval="one_off"))
    store.take("pro", feature_quantities=store.quantities(messages=200))
    more = {"feature_quantities": store.quantities(messages=100)}
    named = {**store.scope(None), "plan_id": store.name("pro"), **more}
    seen = store.gateway.call("billing.preview_update", **named)
    assert [(one["quantity"], one["total"]) for one in seen["line_items"]] == [(100, 10)]
    store.gateway.call("billing.update", **named)
    assert store.left(None) == [300]


def test_s112_each_band_at_its_own_rate(store: Store) -> None:
    tiers: list[Json] = [
        {"to": 1_000, "amount": 0.01},
        {"to": 10_000, "amount": 0.008},
        {"to": "inf", "amount": 0.005},
    ]
    price = {"tiers": tiers, "interval": "month", "billing_method": "prepaid"}
    store.plan("api", store.item("messages", price=price))
    quantities = store.quantities(messages=15_000)
    seen = store.preview("api", feature_quantities=quantities)
    assert [one["total"] for one in seen["line_items"]] == [107]
    assert seen["total"] == 107
    store.take("api", feature_quantities=quantities)
    assert store.state() == [15_000, 15_000, 0]


def test_s112_a_step_up_at_half_the_cycle(store: Store) -> None:
    store.plan("pro")
    store.plan("premium")
    store.take("pro")
    (held,) = store.view()["subscriptions"]
    half = (held["current_period_start"] + held["current_period_end"]) // 2
    store.gateway.call("clock.advance", to=half)
    seen = store.preview("premium")
    assert seen["total"] == pytest.approx(15, abs=0.01)
    lines = [one["total"] for one in seen["line_items"]]
    assert sorted(lines) == pytest.approx([-10, 25], abs=0.01)


def test_s112_a_price_that_is_paid_once_beside_a_monthly_one(store: Store) -> None:
    store.feature("setup", type="metered", consumable=True)
    once = {"amount": 50, "interval": "one_off", "billing_method": "prepaid"}
    store.plan("pro", store.item("setup", price=once))
    seen = store.preview("pro", feature_quantities=store.quantities(setup=1))
    assert sorted(one["total"] for one in seen["line_items"]) == [20, 50]
    assert (seen["total"], seen["next_cycle"]["total"]) == (70, 20)


def test_what_nobody_could_pay_is_previewed_to_the_cent(store: Store) -> None:
    price = {"amount": 10**13, "billing_units": 0.000001, "interval": "one_off"}
    price["billing_method"] = "prepaid"
    store.plan("dear", store.item("messages", price=price))
    seen = store.preview("dear", feature_quantities=store.quantities(messages=9 * 10**9))
    assert [one["total"] for one in seen["line_items"]] == [9 * 10**28]


def named(store: Store, listed: list[Json]) -> list[str]:
    return [one["plan_id"].removesuffix(store.name("")) for one in listed]


def test_what_waits_is_previewed_as_it_will_begin(store: Store) -> None:
    """Cold-path section 3.4: units that were bought before are bought again, at the end of the
    month, which is another day each month.
    """
    for name in ("premium", "pro"):
        store.plan(name, store.prepaid_pack())
    store.plan("addon", add_on=True, price={"amount": 8, "interval": "month"})
    ended = datetime.fromtimestamp(store.now() / 1000, UTC).replace(month=3, day=31)
    store.take("premium", billing_cycle_anchor=int(ended.timestamp()) * 1000)
    store.change("premium", feature_quantities=store.quantities(messages=300))
    seen = store.preview("pro")
    (incoming,) = seen["incoming"]
    assert [one["quantity"] for one in incoming["feature_quantities"]] == [300]
    following = seen["next_cycle"]
    assert (seen["total"], following["total"]) == (0, 50)
    store.take("pro")
    assert store.preview("addon")["next_cycle"]["total"] == 58
    store.end_of_cycle()
    pro = store.subscriptions()["pro"]
    periods = {(one["period"]["start"], one["period"]["end"]) for one in following["line_items"]}
    assert periods == {(pro["current_period_start"], pro["current_period_end"])}
    assert store.state() == [300, 300, 0]


def test_a_plan_that_goes_on_until_its_end_is_one_that_goes(store: Store) -> None:
    for name in ("premium", "pro", "starter"):
        store.plan(name, store.monthly(100))
    store.take("premium")
    store.take("pro")
    ends = store.subscriptions()["premium"]["expires_at"]
    seen = store.preview("starter")
    assert named(store, seen["incoming"]) == ["starter"]
    outgoing = dict(zip(named(store, seen["outgoing"]), seen["outgoing"], strict=True))
    assert {name: one["effective_at"] for name, one in outgoing.items()} == {
        "pro": None,
        "premium": ends,
    }
    named_premium = {**store.scope(None), "plan_id": store.name("premium")}
    named_premium["cancel_action"] = "cancel_end_of_cycle"
    seen = store.gateway.call("billing.preview_update", **named_premium)
    assert (seen["incoming"], sorted(named(store, seen["outgoing"]))) == ([], ["premium", "pro"])


def test_an_add_on_that_begins_within_a_cycle_costs_the_rest_of_it(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.plan("addon", add_on=True, price={"amount": 8, "interval": "month"})
    store.take("pro")
    (held,) = store.view()["subscriptions"]
    half = (held["current_period_start"] + held["current_period_end"]) // 2
    following = store.preview("addon", starts_at=half)["next_cycle"]
    assert (following["starts_at"], following["total"]) == (half, pytest.approx(4, abs=0.01))
    (line,) = following["line_items"]
    assert line["period"] == {"start": half, "end": held["current_period_end"]}
    store.take("addon", starts_at=half)
    store.gateway.call("clock.advance", to=half)
    assert store.subscriptions()["addon"]["current_period_end"] == held["current_period_end"]


def test_what_ends_before_its_next_cycle_has_none(store: Store) -> None:
    store.plan("pro", store.monthly(100))
    store.plan("addon", add_on=True, price={"amount": 8, "interval": "month"})
    day = store.now() + DAY_MS
    assert "next_cycle" not in store.preview("addon", ends_at=day)
    store.take("addon", ends_at=day)
    assert store.preview("pro")["next_cycle"]["total"] == 20
    store.take("pro")
    named_pro = {**store.scope(None), "plan_id": store.name("pro")}
    named_pro["cancel_action"] = "cancel_end_of_cycle"
    assert "next_cycle" not in store.gateway.call("billing.preview_update", **named_pro)


def test_what_is_paid_by_use_is_named_with_the_cycle_it_is_paid_with(store: Store) -> None:
    """How much that will be nobody knows yet, so its lines have no amount."""
    store.plan("pro", store.payg(100), store.prepaid_pack("words"))
    seen = store.preview("pro", feature_quantities=store.quantities(words=100))
    assert [one["display_name"] for one in seen["line_items"]] == ["pro", "words"]
    cycle = seen["next_cycle"]
    (line,) = cycle["usage_line_items"]
    assert (line["display_name"], line["plan_id"]) == ("messages", store.name("pro"))
    assert (line["feature_id"], line["period"]["end"]) == (
        store.name("messages"),
        cycle["starts_at"],
    )
    store.take("pro")
    store.plan("starter")
    started = store.subscriptions()["pro"]["started_at"]
    (line,) = store.preview("starter")["next_cycle"]["usage_line_items"]
    assert (line["plan_id"], line["period"]["start"]) == (store.name("pro"), started)


def test_the_next_cycle_is_that_of_the_price_that_is_due_next(store: Store) -> None:
    price = {"amount": 200, "interval": "year"}
    store.plan("pro", store.prepaid_pack(), price=price)
    bought = {"feature_quantities": store.quantities(messages=200)}
    seen = store.preview("pro", **bought)
    store.take("pro", **bought)
    following = seen["next_cycle"]
    assert (seen["total"], following["total"]) == (220, 20)
    late_ms = store.balance()["next_reset_at"] - following["starts_at"]
    assert 0 <= late_ms < 60_000
