"""Alerts of ``track``: limits that were reached and thresholds that were crossed, told once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.lifecycle.rules import Alert, Window
from gateway.outbox import AlertKind, AlertRaised
from gateway.scripts import Part, Pool
from tests.lua.world import HOUR_MS, NOW_MS, World, hourly, per_entity, row, rules

FIFTH = (Pool("credits", 1, 5),)
LIMIT = AlertKind.LIMIT_REACHED
WINDOW = Window("", 10, "f", HOUR_MS, NOW_MS, "{}").line


async def told(world: World) -> list[AlertRaised]:
    """Return the alerts since the outbox was last looked at."""
    changes = [change for entry in await world.entries() for change in entry.changes]
    return [change for change in changes if isinstance(change, AlertRaised)]


def reached(limit_type: str, feature: str = "calls", scope: str = "") -> AlertRaised:
    return AlertRaised(LIMIT, feature, scope, f'{{"limit_type":"{limit_type}"}}')


async def test_the_last_unit_is_told_once(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await world.track("calls", 9)
    assert await told(world) == []
    await world.track("calls", 1)
    assert await told(world) == [reached("included")]
    for mode in ("cap", "overflow"):
        await world.track("calls", 5, mode=mode)
    assert await told(world) == []


async def test_it_is_told_again_after_units_came_back(world: World) -> None:
    await world.create(calls=[hourly("a", 10)])
    await world.track("calls", 10)
    await world.track("calls", -3)
    assert len(await told(world)) == 1
    await world.track("calls", 3)
    assert len(await told(world)) == 1
    world.now_ms += HOUR_MS
    await world.track("calls", 10)
    assert len(await told(world)) == 1


async def test_a_refused_call_tells_nothing(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await world.track("calls", 11, mode="reject")
    assert await told(world) == []


@pytest.mark.parametrize(
    ("text", "columns", "limit_type", "units"),
    [
        ("", {"flags": "", "floor": None}, "included", 10),
        ("", {"flags": "o", "floor": 5}, "max_purchase", 15),
        ("s\t5\t0", {"flags": "o", "floor": None}, "spend_limit", 15),
        (WINDOW, {"flags": "", "floor": None}, "usage_limit", 10),
        ("o\t0", {"flags": "o", "floor": 5}, "included", 10),
        ("s\t5\t0", {"flags": "", "floor": None}, "included", 10),
        ("o\t1\ns\t5\t0", {"flags": "", "floor": None}, "spend_limit", 15),
    ],
)
async def test_what_stands_in_the_way_is_named(
    world: World, text: str, columns: dict[str, Any], limit_type: str, units: int
) -> None:
    grant = 50 if text == WINDOW else 10
    await world.create(rules=rules(calls=text), calls=[row("a", grant, **columns)])
    await world.track("calls", units - 1)
    assert await told(world) == []
    await world.track("calls", 5)
    assert await told(world) == [reached(limit_type)]


@pytest.mark.parametrize("whole", [10, 50])
async def test_a_limit_of_some_uses_says_which(world: World, whole: int) -> None:
    """The use that reaches the limit of all uses too is told of that one."""
    of_some = Window("b", 10, "f", HOUR_MS, NOW_MS, '{"region":"eu\\tus"}').line
    of_all = Window("a", whole, "f", HOUR_MS, NOW_MS, "{}").line
    await world.create(rules=rules(calls=f"{of_some}\n{of_all}"), calls=[row("a", 50)])
    await world.use(Part("calls", 11), properties='{"region":"eu\\tus"}')
    (alert,) = await told(world)
    expected: dict[str, Any] = {"limit_type": "usage_limit"}
    if whole == 50:
        expected |= {"filter": {"properties": {"region": "eu\tus"}}}
    assert json.loads(alert.body) == expected


async def test_what_has_no_end_is_never_reached(world: World) -> None:
    await world.create(calls=[row("a", 10, flags="o")], other=[row("b", 0, flags="u")])
    await world.track("calls", 100)
    await world.track("other", 100)
    assert await told(world) == []


async def test_an_entity_reaches_what_it_may_spend(world: World) -> None:
    await world.create(calls=[per_entity("a", 10)])
    await world.seats("zoe", "bob")
    await world.track("calls", 10, "zoe")
    assert await told(world) == [reached("included", scope="zoe")]
    await world.track("calls", 10)
    assert await told(world) == [reached("included")]


async def test_credits_keep_the_feature_going(world: World) -> None:
    await world.create(action1=[row("a", 10)], credits=[row("c", 2)])
    await world.use(Part("action1", 15, FIFTH))
    assert await told(world) == []
    await world.use(Part("action1", 8, FIFTH))
    assert await told(world) == [reached("included", "action1")]


async def test_credits_end_where_the_smallest_amount_costs_more(world: World) -> None:
    await world.create(credits=[row("c", 10)])
    part = Part("calls", 1, (Pool("credits", 3, 1),))
    await world.use(part)
    await world.use(part)
    assert await told(world) == []
    assert (await world.use(part)).applied == [1]
    assert await told(world) == [reached("included")]


async def test_features_of_one_call_are_told_apart(world: World) -> None:
    await world.create(calls=[row("a", 10)], store=[row("b", 5)])
    await world.use(Part("calls", 10), Part("store", 9))
    assert await told(world) == [reached("included"), reached("included", "store")]


def alert(kind: str, threshold: int, name: str = "") -> str:
    return Alert(kind, threshold, name).line


@pytest.mark.parametrize(
    ("kind", "threshold", "before", "crossing"),
    [
        ("usage", 60, 59, 1),
        ("usage_percentage", 6000, 59, 1),
        ("remaining", 40, 59, 1),
        ("remaining_percentage", 4000, 59, 1),
        ("usage", 0, 0, 0),
    ],
)
async def test_a_threshold_is_told_at_the_crossing_and_once(
    world: World, kind: str, threshold: int, before: int, crossing: int
) -> None:
    text = rules(calls=alert(kind, threshold, "sixty"))
    await world.create(rules=text, calls=[row("a", 60), row("b", 40)])
    await world.track("calls", before)
    assert await told(world) == []
    await world.track("calls", crossing)
    found = await told(world)
    if crossing:
        (crossed,) = found
        assert crossed[:3] == (AlertKind.USAGE_ALERT_TRIGGERED, "calls", "")
        assert json.loads(crossed.body) == {
            "name": "sixty",
            "threshold": threshold,
            "threshold_type": kind,
        }
    await world.track("calls", 5)
    assert await told(world) == []


async def test_a_threshold_is_told_again_after_a_reset(world: World) -> None:
    await world.create(rules=rules(calls=alert("usage", 60)), calls=[hourly("a", 100)])
    await world.track("calls", 70)
    assert len(await told(world)) == 1
    world.now_ms += HOUR_MS
    await world.track("calls", 50)
    assert await told(world) == []
    await world.track("calls", 20)
    assert [json.loads(one.body)["name"] for one in await told(world)] == [None]


async def test_several_thresholds_can_be_crossed_at_once(world: World) -> None:
    text = "\n".join((alert("usage", 10), alert("remaining", 5), alert("usage", 99)))
    await world.create(rules=rules(calls=text), calls=[row("a", 20)])
    await world.track("calls", 15)
    kinds = [json.loads(one.body)["threshold_type"] for one in await told(world)]
    assert kinds == ["usage", "remaining"]


async def test_use_of_entities_counts_for_the_customer_and_for_their_own_alerts(
    world: World,
) -> None:
    await world.create(
        rules=rules(calls=alert("usage", 15)), calls=[per_entity("a", 100), row("c", 5)]
    )
    await world.seat("zoe", rules=rules(calls=alert("usage", 10)))
    await world.seats("bob")
    await world.track("calls", 9, "bob")
    await world.track("calls", 9, "zoe")
    assert [one.entity_id for one in await told(world)] == [""]
    await world.track("calls", 1, "zoe")
    assert [one.entity_id for one in await told(world)] == ["zoe"]
    await world.track("calls", 50, "bob")
    assert await told(world) == []


async def test_rows_that_entities_hold_count_for_the_customer(world: World) -> None:
    await world.create(rules=rules(calls=alert("usage_percentage", 5000)), calls=[row("a", 10)])
    await world.seats("zoe")
    await world.attach("zoe", calls=[row("b", 30)])
    await world.track("calls", 19, "zoe")
    assert await told(world) == []
    await world.track("calls", 1, "zoe")
    assert [one.entity_id for one in await told(world)] == [""]


async def test_credits_have_alerts_of_their_own(world: World) -> None:
    await world.create(rules=rules(credits=alert("usage", 3)), credits=[row("c", 100)])
    await world.use(Part("action1", 10, FIFTH))
    assert await told(world) == []
    await world.use(Part("action2", 5, FIFTH))
    assert [one.feature_id for one in await told(world)] == ["credits"]


async def test_giving_back_tells_nothing(world: World) -> None:
    await world.create(rules=rules(calls=alert("remaining", 40)), calls=[row("a", 50)])
    await world.track("calls", 30)
    assert len(await told(world)) == 1
    await world.track("calls", -25)
    assert await told(world) == []


async def test_a_name_may_hold_anything(world: World) -> None:
    name = 'say "80 %"\t\n\\ Größe %d'
    await world.create(rules=rules(calls=alert("usage", 3, name)), calls=[row("a", 50)])
    await world.track("calls", 5)
    (crossed,) = await told(world)
    assert json.loads(crossed.body)["name"] == name
