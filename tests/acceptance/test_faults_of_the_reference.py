"""Faults met while running the reference, over HTTP: each stays a fault of the reference.

The first four lost or doubled units, the others answered what was not so.
"""

from __future__ import annotations

from tests.acceptance.world import World


def test_the_first_call_for_an_entity_gives_back_nothing(world: World) -> None:
    """40 units tracked for the customer; the first read of an entity brought 20 of them back."""
    world.attach(world.monthly(20), world.monthly(100, **world.each))
    world.entities("e1", "e2")
    world.forget()
    world.track(40)
    for name, left in (("e1", 80), ("e2", 100)):
        assert world.check(entity=name)["balance"]["remaining"] == left
    assert world.state() == [220, 180, 40]
    world.forget()
    assert world.track(5, "e1")["balance"]["remaining"] == 75
    assert world.state() == [220, 175, 45]
    assert world.stored_usage() == 45


def test_tracks_in_flight_while_a_plan_and_a_balance_arrive_are_counted(world: World) -> None:
    """Of 60, 34 were counted and 26 that had been acknowledged were lost."""
    group = f"tiers_{world.number}"
    world.attach(world.lifetime(1000))
    world.attach(world.item("workflows", 10), group=group)
    plan_id = f"tier_{world.number}"
    items = [world.item("workflows", 20), world.lifetime(100)]
    world.gateway.call("plans.create", plan_id=plan_id, name="Tier", group=group, items=items)
    track = ("balances.track", world.body(None, "messages", value=1))
    attach = ("billing.attach", world.scope(None) | {"plan_id": plan_id})
    create = ("balances.create", world.body(None, "messages", included_grant=50))
    answers = world.at_once(*[track] * 30, attach, create, *[track] * 30)
    assert {one.status_code for one in answers} == {200}
    assert world.state() == [1150, 1090, 60]
    assert world.stored_usage() == 60
    assert world.event_values() == [1] * 60


def test_a_track_right_after_a_reset_is_never_wiped_by_it(later: World) -> None:
    """One run in five under load applied it to the old month."""
    later.attach(later.monthly(100))
    track = ("balances.track", later.body(None, "messages", value=1))
    check = ("balances.check", later.body(None, "messages"))
    get = ("customers.get", later.scope(None))
    for _ in range(5):
        later.track(50)
        later.advance()
        answers = later.at_once(*[get, track, check, track] * 5)
        assert {one.status_code for one in answers} == {200}
        assert later.state() == [100, 90, 10]
        assert later.stored_usage() == 10
        later.track(-10)


def test_parallel_creates_with_one_balance_id_make_one_balance(world: World) -> None:
    """Six made two or three."""
    body = world.body(None, "messages", included_grant=100, balance_id="one")
    answers = world.at_once(*[("balances.create", body)] * 6)
    assert sorted(one.status_code for one in answers) == [200] + [409] * 5
    assert world.state() == [100, 100, 0]
    world.gateway.wait_for_writer()
    rows = world.gateway.sql(
        "SELECT count(*) FROM balances WHERE feature_id = ?", world.name("messages")
    )
    assert rows == [(1,)]


def test_200_parallel_tracks_answer_200_different_remainders(world: World) -> None:
    """Several answers showed the same remainder."""
    world.attach(world.monthly(200))
    track = ("balances.track", world.body(None, "messages", value=1))
    answers = world.at_once(*[track] * 200)
    left = sorted(one.json()["balance"]["remaining"] for one in answers)
    assert left == list(range(200))


def test_a_rollover_is_in_every_answer_after_a_reset(later: World) -> None:
    """It was missing where the customer had not been read before."""
    rule = {"max": 1000, "expiry_duration_type": "month", "expiry_duration_length": 3}
    later.attach(later.monthly(100, rollover=rule))
    later.entities("e1")
    later.track(40)
    later.forget()
    later.advance()
    assert later.check()["balance"]["rollovers"][0]["balance"] == 60
    assert later.state() == [160, 160, 0]
    assert later.rollovers("e1") == [60]
    assert later.track(10)["balance"]["rollovers"][0]["balance"] == 50
    later.forget()
    assert (later.rollovers(), later.rollovers("e1")) == ([50], [50])
    assert later.state() == [160, 150, 10]
