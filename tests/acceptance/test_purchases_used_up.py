"""What was bought once ends when it is used up and bought again (cold-path section 6.6)."""

from __future__ import annotations

import pytest

from tests.acceptance.store import DAY_MS, Store
from tests.acceptance.test_verify import verify
from tests.fixtures.gateways import Json

ONCE: Json = {"price": {"amount": 10, "interval": "one_off"}}


def purchases(store: Store, entity: str | None = None) -> int:
    return len(store.view(entity)["purchases"])


@pytest.mark.parametrize("entity", [None, "e1"])
def test_a_purchase_that_is_used_up_makes_room(store: Store, entity: str | None) -> None:
    store.entities("e1")
    store.plan("once", store.lifetime(100), store.item("dashboard"), **ONCE)
    store.take("once", entity)
    store.track(100, entity)
    assert (purchases(store, entity), store.state(entity)) == (1, [100, 0, 100])
    store.take("once", entity)
    assert (purchases(store, entity), store.state(entity)) == (2, [200, 100, 100])
    store.advance("1d")
    store.track(100, entity)
    store.take("once", entity)
    assert (purchases(store, entity), store.state(entity)) == (1, [100, 100, 0])
    assert store.name("dashboard") in store.view(entity)["flags"]
    store.take("once", entity)
    store.track(120, entity)
    store.advance("1d")
    store.take("once", entity)
    assert (purchases(store, entity), store.state(entity)) == (2, [200, 180, 20])
    store.gateway.wait_for_writer()
    found = verify(store.gateway, "--env", "sandbox", "--customer", store.customer)
    assert found.code == 0, found.out


def test_what_gives_more_than_what_is_used_up_stays(store: Store) -> None:
    store.plan("once", store.lifetime(100), store.item("dashboard"), **ONCE)
    store.plan("boundless", store.item(unlimited=True), store.lifetime(5, "words"), **ONCE)
    store.plan("seats", store.item("users", 1), **ONCE)
    without = {"customize": {"items": [store.lifetime(100)]}}
    brief = {"ends_at": store.now() + 30 * DAY_MS}
    for more, count in ((brief, 1), ({}, 1), (without, 2), (brief, 2)):
        store.take("once", **more)  # the second one turns on what no later one does for as long
        assert purchases(store) == count
        store.track(100)
        store.advance("1d")
    for plan, feature in (("boundless", "words"), ("seats", "users")):
        store.join()
        store.take(plan)
        store.track(5 if feature == "words" else 1, feature=feature)
        store.advance("1d")
        store.take(plan)
        assert purchases(store) == 2


def test_units_on_hold_are_not_used_up(store: Store) -> None:
    store.plan("once", store.lifetime(100), **ONCE)
    store.take("once")
    store.advance("1d")
    assert store.lock("job", 100)
    store.take("once")
    store.release("job")
    assert (purchases(store), store.state()) == (2, [200, 200, 0])


def test_more_than_may_be_side_by_side_is_refused_and_changes_nothing(store: Store) -> None:
    items = [
        store.item("messages", 1, reset={"interval": "day", "interval_count": days})
        for days in range(1, 200)
    ]
    store.plan("main", *items)
    store.plan("once", store.lifetime(1), **ONCE)
    store.plan("two", store.monthly(1), store.lifetime(1, "messages"), add_on=True)
    store.take("main")
    assert store.not_taken("two") == (400, "invalid_request")
    store.take("once")
    for plan in ("once", "two"):
        assert store.not_taken(plan) == (400, "invalid_request")
    assert (purchases(store), store.state()) == (1, [200, 200, 0])
    more = {"add_items": [store.item("messages", 1, reset={"interval": "year"})]}
    assert store.not_changed("main", customize=more) == (400, "invalid_request")
    assert store.state() == [200, 200, 0]
