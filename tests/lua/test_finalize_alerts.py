"""Alerts of ``finalize``: what a lock takes beyond its hold crosses limits as a track does."""

from __future__ import annotations

import json

import pytest

from gateway.lifecycle.rules import Alert
from gateway.outbox import AlertKind, AlertRaised
from gateway.scripts import Ending, Hold, Part, Status
from tests.lua.world import HOUR_MS, NOW_MS, World, row, rules

HOLD = Hold("lock_1", NOW_MS + HOUR_MS)
EIGHTY = rules(calls=Alert("usage", 80, "eighty").line)


async def told(world: World) -> list[tuple[AlertKind, str]]:
    """Return kind and scope of the alerts since the outbox was last looked at."""
    changes = [change for entry in await world.entries() for change in entry.changes]
    return [(one.kind, one.entity_id) for one in changes if isinstance(one, AlertRaised)]


async def end(world: World, action: str = "confirm", final: int | None = None) -> None:
    ending = Ending(HOLD.lock_id, action, 1000, final)
    assert await world.scripts.finalize(world.context, ending, Part("calls", 0)) == (
        Status.DONE,
        "",
    )


async def hold(world: World, units: int, scope: str = "") -> None:
    await world.use(Part("calls", units), hold=HOLD, scope=scope)


@pytest.mark.parametrize(
    ("held", "final", "kinds"),
    [
        (50, 79, []),
        (50, 80, [AlertKind.USAGE_ALERT_TRIGGERED]),
        (50, 100, [AlertKind.LIMIT_REACHED, AlertKind.USAGE_ALERT_TRIGGERED]),
        (50, 900, [AlertKind.LIMIT_REACHED, AlertKind.USAGE_ALERT_TRIGGERED]),
        (50, 50, []),
        (50, 20, []),
    ],
)
async def test_what_is_confirmed_beyond_the_hold_can_cross(
    world: World, held: int, final: int, kinds: list[AlertKind]
) -> None:
    await world.create(rules=EIGHTY, calls=[row("a", 100)])
    await hold(world, held)
    assert await told(world) == []
    await end(world, "confirm", final)
    assert await told(world) == [(kind, "") for kind in kinds]


async def test_what_a_lock_has_crossed_is_not_told_again(world: World) -> None:
    await world.create(rules=EIGHTY, calls=[row("a", 100)])
    await hold(world, 90)
    assert await told(world) == [(AlertKind.USAGE_ALERT_TRIGGERED, "")]
    await end(world, "confirm", 95)
    assert await told(world) == []


@pytest.mark.parametrize(("action", "final"), [("release", None), ("confirm", 3)])
async def test_the_end_of_a_hold_that_gave_units_can_cross(
    world: World, action: str, final: int | None
) -> None:
    await world.create(rules=EIGHTY, calls=[row("a", 100)])
    await world.track("calls", 85)
    await hold(world, -40)
    await told(world)
    await end(world, action, final)
    assert await told(world) == [(AlertKind.USAGE_ALERT_TRIGGERED, "")]


async def test_a_lock_of_an_entity_is_told_as_its(world: World) -> None:
    await world.create(calls=[row("a", 100)])
    await world.seats("zoe")
    await hold(world, 50, "zoe")
    await world.entries()
    await end(world, "confirm", 100)
    entry = await world.entry()
    (alert,) = [change for change in entry.changes if isinstance(change, AlertRaised)]
    assert (alert.kind, alert.entity_id) == (AlertKind.LIMIT_REACHED, "zoe")
    assert json.loads(alert.body) == {"limit_type": "included"}
