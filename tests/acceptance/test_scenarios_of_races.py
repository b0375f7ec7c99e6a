"""Scenarios M of the reference, over HTTP: many calls at once, and calls beside changes.

Each test carries the ids it plays.
"""

from __future__ import annotations

import random
from decimal import Decimal

from tests.acceptance.world import World


def test_m05_two_features_at_once(world: World) -> None:
    world.attach(world.item("users", 10), world.monthly(50))
    left = [10, 50]
    for users, messages in ((5, 20), (3, 15), (2, 10)):
        operations = [("balances.track", world.body(None, "users", value=1))] * users
        operations += [("balances.track", world.body(None, "messages", value=1))] * messages
        answers = world.at_once(*operations)
        assert {one.status_code for one in answers} == {200}
        left = [left[0] - users, left[1] - messages]
        assert [world.state(None, name)[1] for name in ("users", "messages")] == left
        used = [world.stored_usage(name) for name in ("users", "messages")]
        assert used == [10 - left[0], 50 - left[1]]


def test_m07_a_thousand_tracks_of_random_decimals_are_exact(world: World) -> None:
    world.attach(world.monthly(1_000_000))
    dice = random.Random(7)
    values = [Decimal(dice.randrange(1, 10_000_000)).scaleb(-5) for _ in range(1000)]
    answers = world.at_once(
        *[("balances.track", world.body(None, "messages", value=float(one))) for one in values]
    )
    assert {one.status_code for one in answers} == {200}
    used = float(sum(values))
    assert world.state() == [1_000_000, float(1_000_000 - sum(values)), used]
    assert world.stored_usage() == used


def test_m08_500_calls_of_a_customer_and_its_entities(world: World) -> None:
    """Once its own units are used up the customer spends those of the entity that was created
    first; in the reference that of the entity whose id sorts first.
    """
    world.attach(world.monthly(500), world.monthly(5000, **world.each))
    world.entities("zulu", "alpha")
    dice = random.Random(8)
    tracked: dict[str | None, float] = {None: 0, "zulu": 0, "alpha": 0}
    operations = []
    for _ in range(500):
        scope = dice.choice(list(tracked))
        value = dice.choice([1, 2.5, 7, 12.25, 20])
        tracked[scope] += value
        operations.append(("balances.track", world.body(scope, "messages", value=value)))
    assert tracked[None] > 500
    answers = world.at_once(*operations)
    assert {one.status_code for one in answers} == {200}
    zulu = 5000 - tracked["zulu"] - (tracked[None] - 500)
    alpha = 5000 - tracked["alpha"]
    assert world.left("zulu", "alpha", None) == [zulu, alpha, zulu + alpha]
    assert world.stored_usage() == sum(tracked.values())


def test_m10_seats_that_were_bought_beforehand(world: World) -> None:
    world.attach(world.prepaid(0, "users"), quantities={"users": 50})
    operation = ("balances.track", world.body(None, "users", value=1))
    answers = world.at_once(*[operation] * 10)
    assert {one.status_code for one in answers} == {200}
    assert world.state(feature="users") == [50, 40, 10]


def test_m11_a_track_right_before_an_attach_is_kept(world: World) -> None:
    """The reference may lose it: its test accepts 345 to 350."""
    world.attach(world.monthly(100))
    world.track(5)
    world.attach(world.lifetime(250), add_on=True)
    assert world.state() == [350, 345, 5]


def test_m13_a_customer_that_is_read_anew_has_what_was_used(world: World) -> None:
    world.attach(world.monthly(100))
    world.track(5)
    world.forget()
    assert world.stored_usage() == 5
    assert world.state() == [100, 95, 5]
    assert world.track(1)["balance"]["remaining"] == 94


def test_m14_setting_the_usage_beside_tracks(world: World) -> None:
    world.attach(world.monthly(100))
    update = ("balances.update", world.body(None, "messages", usage=50))
    track = ("balances.track", world.body(None, "messages", value=1))
    answers = world.at_once(track, update, track, track)
    assert {one.status_code for one in answers} == {200}
    granted, remaining, usage = world.state()
    assert (granted, remaining + usage) == (100, 100)
    assert remaining in {50, 49, 48, 47}


def test_parallel_send_events_and_tracks_never_pass_the_grant(world: World) -> None:
    world.actions()
    world.attach(world.monthly(10, "action1"), world.monthly(10, "credits"))
    check = ("balances.check", world.body(None, "action1", required_balance=2, send_event=True))
    answers = world.at_once(*[check] * 50)
    assert sum(one.json()["allowed"] for one in answers) == 30
    assert [world.state(None, name)[1] for name in ("action1", "credits")] == [0, 0]
