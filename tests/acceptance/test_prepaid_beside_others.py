"""A feature that one plan gives in several ways: bought beforehand, included, and paid by use."""

from __future__ import annotations

import pytest

from tests.acceptance.store import Store


def bought(store: Store) -> list[float]:
    return [one["prepaid_grant"] for one in store.balance()["breakdown"]]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_quantity_is_kept_whatever_else_gives_the_feature(store: Store, is_first: bool) -> None:
    """Cold-path sections 2.3 and 3.9: included beside prepaid is fine, and an update keeps both."""
    items = [store.prepaid_pack(), store.monthly(50)]
    store.plan("pro", *items if is_first else reversed(items))
    quantities = {"feature_quantities": store.quantities(messages=200)}
    assert store.preview("pro", **quantities)["total"] == 40
    store.take("pro", **quantities)
    store.track(30)
    assert (store.state(), sorted(bought(store))) == ([250, 220, 30], [0, 200])
    store.change("pro", customize={"price": {"amount": 30, "interval": "month"}})
    assert (store.state(), sorted(bought(store))) == ([250, 220, 30], [0, 200])
    store.change("pro", feature_quantities=store.quantities(messages=300))
    assert (store.state(), sorted(bought(store))) == ([350, 320, 30], [0, 300])


def test_what_pay_per_use_includes_is_not_bought_with_the_next_plan(store: Store) -> None:
    """Cold-path section 3.4: a quantity that is not said is what was bought."""
    store.plan("pro", store.prepaid_pack(), store.payg(50))
    store.plan("premium", store.prepaid_pack(), store.payg(0))
    store.take("pro", feature_quantities=store.quantities(messages=200))
    assert store.state() == [250, 250, 0]
    assert store.preview("premium")["next_cycle"]["total"] == 70
    store.take("premium")
    assert (store.state(), bought(store)) == ([200, 200, 0], [200, 0])


def test_what_was_bought_once_is_not_bought_for_each_cycle_of_the_next_plan(store: Store) -> None:
    once = store.prepaid_pack(interval="one_off")
    store.plan("pro", store.prepaid_pack(), once)
    store.plan("premium", store.prepaid_pack())
    store.take("pro", feature_quantities=store.quantities(messages=200))
    assert bought(store) == [200, 200]
    assert store.preview("premium")["next_cycle"]["total"] == 70
    store.take("premium")
    assert (bought(store), store.breakdown()) == ([200, 0], [200, 200])


def test_seats_are_bought_again_with_the_next_plan(store: Store) -> None:
    """Cold-path section 3.4: what the next plan includes is deducted."""
    seats = {"amount": 10, "interval": "month", "billing_method": "prepaid"}
    store.plan("pro", store.item("users", 2, price=seats))
    store.plan("premium", store.item("users", 1, price=seats))
    store.take("pro", feature_quantities=store.quantities(users=4))
    store.entities("e1", "e2", "e3")
    assert store.preview("premium")["next_cycle"]["total"] == 80
    store.take("premium")
    (seat,) = store.balance(feature="users")["breakdown"]
    assert (seat["included_grant"], seat["prepaid_grant"], seat["usage"]) == (1, 3, 3)


def test_a_smaller_quantity_from_the_next_cycle_on_is_that_of_the_plan_that_begins_then(
    store: Store,
) -> None:
    """Cold-path sections 3.4 and 6.3: the pending quantity counts when the cycle ends."""
    store.plan("premium", store.prepaid_pack(proration={"on_decrease": "none"}))
    store.plan("pro", store.prepaid_pack(pack=250))
    store.take("premium", feature_quantities=store.quantities(messages=1000))
    store.change("premium", feature_quantities=store.quantities(messages=450))
    store.take("pro")
    assert bought(store) == [1000]
    store.end_of_cycle()
    assert (store.held(), bought(store)) == ({"pro": "active"}, [500])


def test_a_quantity_that_waits_for_the_next_cycle_outlives_another_price(store: Store) -> None:
    packs = store.prepaid_pack(proration={"on_decrease": "none"})
    words = store.prepaid_pack("words", proration={"on_decrease": "none"})
    store.plan("pro", packs, words)
    store.take("pro", feature_quantities=store.quantities(messages=1000, words=1000))
    store.change("pro", feature_quantities=store.quantities(messages=500, words=500))
    changes = {
        "customize": {"price": {"amount": 30, "interval": "month"}},
        "feature_quantities": store.quantities(words=900),
    }
    named = {**store.scope(None), "plan_id": store.name("pro")}
    seen = store.gateway.call("billing.preview_update", **named, **changes)
    assert seen["next_cycle"]["total"] == 30 + 50 + 90
    store.change("pro", **changes)
    assert bought(store) == [1000]
    store.end_of_cycle()
    assert bought(store) == [500]
    assert store.state(feature="words")[0] == 900


def test_what_is_bought_once_never_waits_for_the_next_cycle(store: Store) -> None:
    """Cold-path section 3.9: on a recurring plan it is a top-up."""
    once = store.prepaid_pack(interval="one_off", proration={"on_decrease": "none"})
    store.plan("pro", once)
    store.take("pro", feature_quantities=store.quantities(messages=300))
    store.change("pro", feature_quantities=store.quantities(messages=100))
    assert bought(store) == [400]


def test_a_top_up_buys_what_the_price_sells_at_once(store: Store) -> None:
    """Again and again, and never with the included units on top, which were given before."""
    once = store.prepaid_pack(included=100, interval="one_off")
    once["price"]["max_purchase"] = 300
    store.plan("pro", once)
    store.take("pro", feature_quantities=store.quantities(messages=400))
    too_much = {"feature_quantities": store.quantities(messages=400)}
    assert store.not_changed("pro", **too_much) == (400, "invalid_request")
    store.change("pro", feature_quantities=store.quantities(messages=300))
    assert bought(store) == [600]


def test_a_smaller_quantity_waits_for_the_end_of_the_cycle_it_is_paid_for(store: Store) -> None:
    """Not for that of the plan, which may be a year."""
    packs = store.prepaid_pack(proration={"on_decrease": "none"})
    words = store.prepaid_pack("words", interval="quarter", proration={"on_decrease": "none"})
    store.plan("pro", packs, words, price={"amount": 200, "interval": "year"})
    store.take("pro", feature_quantities=store.quantities(messages=300, words=300))
    less = {"feature_quantities": store.quantities(messages=100, words=200)}
    named = {**store.scope(None), "plan_id": store.name("pro"), **less}
    ends = store.balance()["next_reset_at"]
    (incoming,) = store.gateway.call("billing.preview_update", **named)["incoming"]
    assert incoming["effective_at"] == ends
    store.change("pro", **less)
    assert bought(store) == [300]
    store.gateway.call("clock.advance", to=ends)
    assert bought(store) == [100]
    assert store.state(feature="words")[0] == 300
    store.gateway.call("clock.advance", to=store.balance(feature="words")["next_reset_at"])
    assert store.state(feature="words")[0] == 200
