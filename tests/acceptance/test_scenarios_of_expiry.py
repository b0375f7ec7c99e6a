"""Scenarios K of the reference, over HTTP, where locks end by time, and where many end at once.

Each test carries the ids it plays. A lock always ends: one without an expiry is released after a
day, which the reference never does.
"""

from __future__ import annotations

import random

import pytest

from tests.acceptance.world import World
from tests.waiting import wait_until

MINUTE_MS = 60_000


def wait_for(world: World, left: float) -> None:
    wait_until(lambda: world.shown()["remaining"] == left, explain=lambda: str(world.shown()))


def test_k23_a_lock_that_expires_gives_everything_back(later: World) -> None:
    later.attach(later.hourly(5), later.monthly(10))
    assert later.lock("a", 8, expires_at=later.created_at + MINUTE_MS)
    assert later.state()[1] == 7
    later.advance("2m")
    wait_for(later, 15)
    assert later.state() == [15, 15, 0]
    assert later.event_values() == [-8, 8]
    assert later.no_lock("a") == 400
    assert later.state() == [15, 15, 0]


def test_k23_a_lock_that_was_confirmed_does_not_expire(later: World) -> None:
    later.attach(later.lifetime(15))
    assert later.lock("a", 8, expires_at=later.created_at + MINUTE_MS)
    later.confirm("a", 4)
    assert later.lock("b", 1, expires_at=later.created_at + MINUTE_MS)
    later.advance("2m")
    wait_for(later, 11)
    assert later.event_values() == [-4, -1, 1, 8]


def test_k23_a_lock_without_an_expiry_is_released_after_a_day(later: World) -> None:
    """The reference forgets it and keeps the units."""
    later.attach(later.lifetime(15))
    assert later.lock("a", 8)
    later.advance("23h")
    assert later.state()[1] == 7
    later.advance("2h")
    wait_for(later, 15)
    assert later.no_lock("a") == 400


def test_a_lock_released_after_a_reset_does_not_lift_a_balance_above_its_grant(
    later: World,
) -> None:
    later.attach(later.hourly(5), later.monthly(10))
    assert later.lock("a", 8, expires_at=later.created_at + 90 * MINUTE_MS)
    later.advance("1h")
    assert later.state() == [15, 12, 3]
    later.release("a")
    assert later.state() == [15, 15, 0]


def test_k25_500_pairs_of_lock_and_finalize_at_once_are_exact(world: World) -> None:
    world.attach(world.lifetime(100_000))
    dice = random.Random(25)
    amounts = [round(dice.uniform(0.01, 50), 2) for _ in range(500)]
    holds = [
        ("balances.check", world.lock_body(f"pair{number}", amount))
        for number, amount in enumerate(amounts)
    ]
    assert all(one.json()["allowed"] for one in world.at_once(*holds))
    finals = [
        dice.choice([None, 0, round(amount / 2, 2), round(amount * 2, 2)]) for amount in amounts
    ]
    bodies = [
        {"lock_id": world.name(f"pair{number}"), "action": "release"}
        if final == 0
        else {"lock_id": world.name(f"pair{number}"), "action": "confirm"}
        | ({} if final is None else {"override_value": final})
        for number, final in enumerate(finals)
    ]
    answers = world.at_once(*[("balances.finalize", body) for body in bodies])
    assert {one.status_code for one in answers} == {200}
    used = sum(
        amount if final is None else final for amount, final in zip(amounts, finals, strict=True)
    )
    assert world.state()[2] == pytest.approx(used, abs=1e-9)
    assert world.stored_usage() == world.state()[2]


def test_500_locks_finalizes_and_expiries_at_once_lose_and_double_nothing(later: World) -> None:
    later.attach(later.lifetime(100), later.lifetime(100, **later.each), later.hourly(400))
    later.entities("e1", "e2")
    dice = random.Random(500)
    soon = later.created_at + 30 * MINUTE_MS
    scopes = (None, "e1", "e2")
    first = {f"f{number}": dice.choice((0.25, 0.5, 1)) for number in range(200)}
    holds = [
        later.lock_body(lock, amount, dice.choice(scopes), expires_at=soon)
        for lock, amount in first.items()
    ]
    answers = later.at_once(*[("balances.check", body) for body in holds])
    assert all(one.json()["allowed"] for one in answers)

    second = {f"s{number}": dice.choice((0.25, 0.5, 1)) for number in range(200)}
    operations = [
        ("balances.check", later.lock_body(lock, amount, dice.choice(scopes)))
        for lock, amount in second.items()
    ]
    operations += [
        (
            "balances.finalize",
            {"lock_id": later.name(lock), "action": "confirm", "override_value": 2 * amount},
        )
        for lock, amount in list(first.items())[:100]
    ]
    dice.shuffle(operations)
    operations.insert(150, ("clock.advance", {"by": "31m"}))
    answers = later.at_once(*operations)
    used, ended = 0.0, set()
    for (kind, body), answer in zip(operations, answers, strict=True):
        if kind == "balances.finalize":
            assert answer.status_code in {200, 400}
            if answer.status_code == 200:
                used += body["override_value"]
                ended.add(body["lock_id"])
        elif kind == "balances.check":
            assert answer.json()["allowed"] is True
            used += body["required_balance"]
    wait_until(
        lambda: later.shown()["usage"] == used, explain=lambda: f"{later.shown()}, not {used}"
    )
    assert all(later.no_lock(lock) == (409 if later.name(lock) in ended else 400) for lock in first)
    assert later.state()[2] == used
    releases = [{"lock_id": later.name(lock), "action": "release"} for lock in second]
    answers = later.at_once(*[("balances.finalize", body) for body in releases])
    assert {one.status_code for one in answers} == {200}
    confirmed = used - sum(second.values())
    assert later.state()[2] == confirmed
    assert later.stored_usage() == confirmed
