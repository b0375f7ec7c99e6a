"""Scenarios S106 and S107: what a track says beside its answer, as SQL has it for the webhooks;
that webhooks arrive, and are signed, is the matter of their own tests.

Each test carries the ids it plays.
"""

from __future__ import annotations

import json

import pytest

from tests.acceptance.world import World
from tests.fixtures.gateways import Json


def told(world: World) -> list[Json]:
    """Return what the customer was told so far, and of which entity, the first of it first."""
    world.gateway.wait_for_writer()
    rows = world.gateway.sql(
        "SELECT kind, entity_id, body FROM alerts WHERE customer_id = ? ORDER BY created_at, id",
        world.customer,
    )
    kinds = {"limit_reached": "limit_type", "usage_alert_triggered": "name"}
    return [(entity, json.loads(body)[kinds[kind]]) for kind, entity, body in rows]


def test_s106_the_last_included_unit(world: World) -> None:
    world.attach(world.monthly(100))
    world.track(100)
    assert told(world) == [("", "included")]
    world.track(10)
    assert told(world) == [("", "included")]


def test_s106_the_last_unit_that_may_be_bought(world: World) -> None:
    world.attach(world.pay_per_use(50, most=50))
    world.track(50)
    assert told(world) == []
    world.track(50)
    assert told(world) == [("", "max_purchase")]


def test_s106_the_limit_of_spending(world: World) -> None:
    world.attach(world.pay_per_use(50))
    world.control(world.spend_limit(25))
    world.track(74)
    assert told(world) == []
    world.track(1)
    assert told(world) == [("", "spend_limit")]


def test_s106_the_limit_of_a_day(world: World) -> None:
    world.attach(world.monthly(100))
    world.control(world.usage_limit(5, "day"))
    world.track(6)
    assert (told(world), world.left(None)) == ([("", "usage_limit")], [95])


def test_s106_almost_all_is_not_all(world: World) -> None:
    world.attach(world.monthly(1))
    world.track(0.999)
    assert told(world) == []
    world.track(0.001)
    assert told(world) == [("", "included")]


def test_s106_a_limit_of_an_entity_is_only_its_own(world: World) -> None:
    world.attach(world.monthly(10, **world.each))
    world.entities("e1", "e2")
    world.track(10, "e1")
    assert told(world) == [("e1", "included")]


@pytest.mark.parametrize(
    ("kind", "threshold", "tracked", "crossed"),
    [
        ("usage", 800, 850, True),
        ("usage", 800, 800, True),
        ("usage", 800, 799, False),
        ("usage_percentage", 90, 950, True),
        ("remaining", 200, 850, True),
        ("remaining_percentage", 20, 850, True),
    ],
)
def test_s107_a_threshold(
    world: World, kind: str, threshold: float, tracked: float, *, crossed: bool
) -> None:
    world.attach(world.monthly(1000))
    off = alert(world, "off", threshold, kind, enabled=False)
    watch(world, alert(world, "one", threshold, kind), off)
    world.track(tracked)
    assert told(world) == ([("", "one")] if crossed else [])
    world.track(10)
    assert told(world) == [("", "one")]


def test_s107_each_threshold_by_itself(world: World) -> None:
    world.attach(world.monthly(1000))
    watch(world, alert(world, "first", 500), alert(world, "second", 800))
    for value, names in ((600, ["first"]), (300, ["first", "second"])):
        world.track(value)
        assert told(world) == [("", name) for name in names]


def test_a_hold_and_a_checked_use_tell_of_a_limit_and_a_use_that_comes_again_does_again(
    world: World,
) -> None:
    world.attach(world.monthly(10))
    assert world.lock("a", 10)
    assert told(world) == [("", "included")]
    world.release("a")
    assert world.check(10, send_event=True)["allowed"]
    assert told(world) == [("", "included")] * 2
    watch(world, alert(world, "half", 5))
    for value in (-6, 2, -2, 2):
        world.track(value)
    assert told(world)[2:] == [("", "half")] * 2


def test_what_rolled_over_counts_in_percentages(later: World) -> None:
    rollover = {"expiry_duration_type": "month", "expiry_duration_length": 2}
    later.attach(later.monthly(100, rollover=rollover))
    later.track(50)
    later.advance()
    half = alert(later, "half", 50, "usage_percentage")
    watch(later, half, alert(later, "last", 20, "remaining_percentage"))
    for value, names in ((74, []), (1, ["half"]), (44, ["half"]), (1, ["half", "last"])):
        later.track(value)
        assert told(later) == [("", name) for name in names]


def alert(world: World, name: str, threshold: float, kind: str = "usage", **more: object) -> Json:
    """Return an alert as controls have it."""
    about = {"feature_id": world.name("messages"), "name": name}
    return {**about, "threshold": threshold, "threshold_type": kind, **more}


def watch(world: World, *alerts: Json) -> None:
    """Let the customer be told of thresholds, and of no others."""
    world.control({"usage_alerts": list(alerts)})
