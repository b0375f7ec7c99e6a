"""Scheduled plans outlive whatever happens to Redis and to the gateway, and begin exactly once."""

from __future__ import annotations

import pytest

from tests.acceptance.store import DAY_MS, Store
from tests.acceptance.test_verify import verify
from tests.fixtures.gateways import Gateway, Json
from tests.waiting import wait_until

SOON_MS = 500
"""Before a plan begins: time has to pass until then, and nothing has to be done in it."""


def stored(store: Store) -> dict[str, str]:
    """Return the status of each plan in SQL, once it has everything."""
    store.gateway.wait_for_writer()
    rows = store.gateway.sql(
        "SELECT s.plan_id, s.status FROM subscriptions s "
        "JOIN customers c ON c.internal_id = s.internal_id WHERE c.id = ? ORDER BY s.seq",
        store.customer,
    )
    return {plan.removesuffix(store.name("")): status for plan, status in rows}


def two_plans(store: Store) -> None:
    store.plan("pro", store.monthly(500), store.item("users", 3))
    store.plan("free", store.monthly(100), store.item("users", 1))


def test_what_is_scheduled_comes_back_from_sql(store: Store) -> None:
    two_plans(store)
    store.entities("e1")
    store.take("pro", "e1")
    store.take("free", "e1")
    store.take("pro")
    store.take("free")
    before = (store.view(), store.view("e1"))
    store.forget()
    assert (store.view(), store.view("e1")) == before
    store.forget()
    store.end_of_cycle_of("pro")
    assert stored(store) == {"pro": "expired", "free": "active"}
    assert store.held() == {"free": "active"}
    assert store.left(None, "e1") == [200, 200]


def test_a_plan_begins_although_nobody_asks(store: Store) -> None:
    two_plans(store)
    starts = store.now() + DAY_MS
    store.take("pro", starts_at=starts)
    assert stored(store) == {"pro": "scheduled"}
    store.gateway.call("clock.advance", to=starts - SOON_MS)
    wait_until(lambda: stored(store) == {"pro": "active"})
    assert store.left(None) == [500]


def test_calls_at_the_moment_itself_agree(store: Store) -> None:
    two_plans(store)
    store.take("free")
    starts = store.now() + DAY_MS
    store.take("pro", starts_at=starts)
    store.gateway.call("clock.advance", to=starts - SOON_MS)
    wait_until(lambda: store.now() >= starts)
    bodies: list[tuple[str, Json]] = [
        ("balances.track", store.body(None, "messages", value=1)) for _ in range(20)
    ]
    answers = store.at_once(*bodies, ("customers.get", store.scope(None)))
    assert {one.json()["balance"]["granted"] for one in answers[:20]} == {500}
    assert store.held() == {"pro": "active"}
    assert store.state() == [500, 480, 20]
    store.gateway.wait_for_writer()
    added = store.gateway.sql(
        "SELECT count(*) FROM balances b JOIN customers c ON c.internal_id = b.internal_id "
        "WHERE c.id = ? AND b.plan_id = ?",
        store.customer,
        store.name("pro"),
    )
    assert added == [(2,)]


def test_a_gateway_that_was_killed_carries_out_what_was_due_meanwhile(gateway: Gateway) -> None:
    store = Store(gateway)
    two_plans(store)
    store.take("pro")
    store.track(100)
    store.take("free")
    ends = store.subscriptions()["pro"]["expires_at"]
    gateway.wait_for_writer()
    gateway.kill()
    gateway.start()
    assert store.held() == {"pro": "active", "free": "scheduled"}
    gateway.call("clock.advance", to=ends + 90 * DAY_MS)
    assert store.held() == {"free": "active"}
    free = store.subscriptions()["free"]
    assert (free["started_at"], store.state()) == (ends, [100, 100, 0])
    found = verify(gateway)
    assert found.code == 0, found.out


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("each", [False, True])
def test_what_rolls_over_does_so_before_a_plan_that_begins_late(
    store: Store, late: bool, each: bool
) -> None:
    """Cold-path section 6.4: what is left at the end of the first plan expires a month after it."""
    more = store.each if each else {}
    for name, included in (("pro", 100), ("starter", 40)):
        rollover = {"max": 1000, "expiry_duration_length": 1}
        store.plan(name, store.monthly(included, rollover=rollover, **more))
    store.entities("e1")
    store.take("pro")
    store.track(30)
    store.take("starter")
    if not late:
        store.end_of_cycle()
        assert (store.rollovers(), store.left(None)) == ([70], [110])
        store.end_of_cycle()
    else:
        ends = store.subscriptions()["pro"]["expires_at"]
        store.gateway.call("clock.advance", to=ends + 40 * DAY_MS)
    assert store.held() == {"starter": "active"}
    assert (store.rollovers(), store.left(None, "e1")) == ([40], [80, 80])
    (rolled,) = store.balance()["rollovers"]
    assert rolled["expires_at"] == store.balance()["next_reset_at"]
    found = verify(store.gateway, "--env", "sandbox", "--customer", store.customer)
    assert found.code == 0, found.out


def test_the_ledger_adds_up_after_many_switches(store: Store) -> None:
    two_plans(store)
    store.plan("premium", store.monthly(1000), store.prepaid_pack("words"))
    store.take("pro")
    store.entities("e1", "e2")
    store.track(60)
    store.take("premium", carry_over_usages={"enabled": True})
    store.change("premium", feature_quantities=store.quantities(words=300))
    store.track(120, feature="words")
    store.change("premium", feature_quantities=store.quantities(words=200))
    store.change("premium", customize={"add_items": [store.lifetime(50)]})
    store.track(5)
    store.take("free")
    store.end_of_cycle()
    store.take("pro", carry_over_balances={"enabled": True})
    store.change("pro", cancel_action="cancel_immediately")
    store.gateway.wait_for_writer()
    found = verify(store.gateway, "--env", "sandbox", "--customer", store.customer)
    assert found.code == 0, found.out
    before = store.view()
    store.forget()
    assert store.view() == before
