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
