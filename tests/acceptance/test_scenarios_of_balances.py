"""Scenarios O of the reference, over HTTP: balances changed by hand, created and deleted.

Each test carries the ids it plays.
"""

from __future__ import annotations

import pytest

from tests.acceptance.world import World
from tests.fixtures.gateways import Gateway, Json

DAY_MS = 86_400_000


def delete(world: World, **which: object) -> None:
    body = world.body(None, "messages", **which)
    assert world.gateway.call("balances.delete", **body) == {"success": True}


def test_o01_setting_what_is_left_changes_the_usage(world: World) -> None:
    world.attach(world.monthly(100))
    for remaining, usage in ((80, 20), (120, -20)):
        world.update(remaining=remaining)
        assert world.state() == [100, remaining, usage]
        assert world.stored_usage() == usage


def test_o02_setting_what_is_left_after_usage(world: World) -> None:
    world.attach(world.monthly(100))
    world.track(30)
    world.update(remaining=50)
    assert world.state() == [100, 50, 50]


def test_adding_to_what_is_left(world: World) -> None:
    world.attach(world.monthly(100))
    world.track(30)
    world.update(add_to_balance=10)
    assert world.state() == [100, 80, 20]
    world.update(add_to_balance=-30)
    assert world.state() == [100, 50, 50]


def test_o04_the_interval_names_the_source(world: World) -> None:
    world.attach(world.monthly(100), world.lifetime(200))
    world.update(interval="month", remaining=50)
    assert (world.breakdown(), world.state()[2]) == ([50, 200], 50)
    world.update(interval="one_off", remaining=100)
    assert (world.breakdown(), world.state()[2]) == ([50, 100], 150)


def test_o05_a_customers_remainder_over_its_entities(world: World) -> None:
    """The entity that was created first gives and takes first."""
    world.attach(world.monthly(100, **world.each))
    world.entities("e1", "e2", "e3")
    world.update(remaining=240)
    assert world.left("e1", "e2", "e3", None) == [40, 100, 100, 240]
    world.update(remaining=150)
    assert world.left("e1", "e2", "e3", None) == [0, 50, 100, 150]
    world.update(remaining=280)
    assert world.left("e1", "e2", "e3", None) == [130, 50, 100, 280]


def test_more_that_is_left_goes_to_the_first_source(world: World) -> None:
    world.attach(world.monthly(100), world.lifetime(50))
    world.track(140)
    world.update(remaining=130)
    assert (world.breakdown(), world.state()) == ([120, 10], [150, 130, 20])


def test_o07_an_entity_below_zero(world: World) -> None:
    world.attach(world.pay_per_use(100, **world.each))
    world.entities("e1", "e2")
    world.update("e1", remaining=-50)
    assert world.state("e1") == [100, 0, 150]
    assert world.state() == [200, 100, 150]


def test_o08_setting_the_usage(world: World) -> None:
    world.attach(world.monthly(100))
    world.update(usage=30)
    assert world.state() == [100, 70, 30]
    world.track(10.5)
    for usage, left in ((27.35, 72.65), (0, 100), (130, 0), (-20, 120)):
        world.update(usage=usage)
        assert world.state() == [100, left, usage]


def test_o10_a_grant_and_what_is_left_together(world: World) -> None:
    world.attach(world.monthly(100))
    world.track(30)
    for remaining, included, usage in ((50, 100, 50), (80, 150, 70), (100, 100, 0)):
        world.update(remaining=remaining, included_grant=included)
        assert world.state() == [included, remaining, usage]


def test_a_grant_is_that_of_all_sources_together(world: World) -> None:
    world.attach(world.monthly(100), world.lifetime(200))
    world.update(included_grant=350)
    assert (world.state(), world.breakdown()) == ([350, 350, 0], [150, 200])
    world.update(remaining=80, included_grant=150)
    assert (world.state(), world.breakdown()) == ([150, 80, 70], [0, 80])
    world.update(interval="month", included_grant=50)
    assert world.state() == [200, 130, 70]


def test_a_grant_beside_slots_of_entities(world: World) -> None:
    world.attach(world.lifetime(100), world.monthly(10, **world.each))
    world.entities("e1", "e2")
    world.update(included_grant=150)
    assert (world.state(), world.state("e1")) == ([150, 150, 0], [140, 140, 0])
    less = world.body(None, "messages", included_grant=10)
    assert world.gateway.refusal("balances.update", **less) == (400, "invalid_inputs")


def test_o11_a_balance_id_is_used_once_by_a_customer(world: World, shared_gateway: Gateway) -> None:
    world.grant(100, balance_id="my-balance")
    body = world.body(None, "messages", included_grant=100, balance_id="my-balance")
    status, _ = world.gateway.refusal("balances.create", **body)
    assert (status, world.state()) == (409, [100, 100, 0])
    other = World(shared_gateway)
    other.grant(100, balance_id="my-balance")
    assert other.state() == [100, 100, 0]
    world.grant(200, balance_id="my-other-balance")
    assert world.state() == [300, 300, 0]
    names = {row["id"] for row in world.balance()["breakdown"]}
    assert names == {"my-balance", "my-other-balance"}


def two_grants(world: World) -> None:
    world.grant(100, balance_id="a")
    world.grant(200, balance_id="b")


def test_o13_a_deleted_balance_is_gone_with_its_usage(world: World) -> None:
    two_grants(world)
    world.update(balance_id="a", remaining=60)
    delete(world, balance_id="a")
    assert world.state() == [200, 200, 0]
    assert [row["id"] for row in world.balance()["breakdown"]] == ["b"]


@pytest.mark.parametrize(("usage", "left"), [(40, 160), (130, 70)])
def test_o14_the_usage_of_a_deleted_balance_can_be_kept(
    world: World, usage: float, left: float
) -> None:
    two_grants(world)
    world.update(balance_id="a", usage=usage)
    delete(world, balance_id="a", recalculate_balances=True)
    assert world.state() == [200, left, usage]


def test_the_usage_of_the_last_balance_is_kept_as_overage(world: World) -> None:
    world.grant(100, balance_id="a")
    world.track(40)
    delete(world, balance_id="a", recalculate_balances=True)
    assert world.state() == [0, 0, 40]
    assert world.allows(1) == [False]


def test_o16_what_cannot_be_deleted(world: World) -> None:
    """The reference answers 200 where nothing matches."""
    world.attach(world.pay_per_use(100))
    paid = world.gateway.refusal("balances.delete", **world.body(None, "messages"))
    assert paid[0] == 409
    missing = world.body(None, "messages", balance_id="nothing")
    assert world.gateway.refusal("balances.delete", **missing)[0] == 404
    assert world.gateway.refusal("balances.delete", **world.body(None, "workflows"))[0] == 404
    world.grant(10, balance_id="a")
    body = {**world.scope(None), "balance_id": "a", "recalculate_balances": True}
    answer = world.gateway.post("balances.delete", body)
    assert answer.status_code == 400
    assert "feature_id" in answer.json()["message"]
    assert world.state() == [110, 110, 0]


def test_o17_an_expiry_that_is_set_later(world: World) -> None:
    world.grant(100, balance_id="a")
    world.track(30)
    expires_at = world.created_at + 10 * DAY_MS
    world.update(balance_id="a", expires_at=expires_at)
    (row,) = world.balance()["breakdown"]
    assert (row["expires_at"], row["remaining"]) == (expires_at, 70)
    past = world.body(None, "messages", balance_id="a", expires_at=world.created_at - DAY_MS)
    assert world.gateway.refusal("balances.update", **past)[0] == 400
    assert world.balance()["breakdown"] == [row]


def test_a_balance_that_has_expired_is_gone(later: World) -> None:
    later.attach(later.lifetime(10))
    later.grant(100, expires_at=later.created_at + DAY_MS)
    assert later.state() == [110, 110, 0]
    later.advance("25h")
    assert later.state() == [10, 10, 0]
    later.track(20)
    assert later.state() == [10, 0, 10]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"remaining": 5, "usage": 5}, 400),
        ({"remaining": 5, "add_to_balance": 5}, 400),
        ({"usage": 5, "add_to_balance": 5}, 400),
        ({}, 400),
        ({"remaining": 5, "interval": "hour"}, 404),
        ({"remaining": 5, "balance_id": "nothing"}, 404),
    ],
)
def test_an_update_that_contradicts_itself_or_matches_nothing_is_refused(
    world: World, change: Json, status: int
) -> None:
    """The reference answers 200 to some of them and changes nothing."""
    world.attach(world.monthly(100))
    body = world.body(None, "messages", **change)
    assert world.gateway.refusal("balances.update", **body)[0] == status
    assert world.state() == [100, 100, 0]


@pytest.mark.parametrize(
    "grant",
    [
        {},
        {"included_grant": 5, "unlimited": True},
        {"unlimited": True, "reset": {"interval": "month"}},
        {"included_grant": 5, "rollover": {"duration": "month", "length": 1}},
        {"included_grant": 5, "next_reset_at": 4_102_444_800_000},
        {"included_grant": 5, "reset": {"interval": "month"}, "next_reset_at": 1},
        {"included_grant": 5, "expires_at": 1},
    ],
)
def test_a_grant_that_contradicts_itself_is_refused(world: World, grant: Json) -> None:
    body = world.body(None, "messages", **grant)
    assert world.gateway.refusal("balances.create", **body)[0] == 400
    assert world.check()["balance"] is None


def test_a_customers_update_of_all_sources_is_in_sql(world: World) -> None:
    world.attach(world.monthly(100), world.lifetime(50))
    world.track(20)
    world.update(remaining=10)
    assert (world.breakdown(), world.stored_usage()) == ([0, 10], 140)
