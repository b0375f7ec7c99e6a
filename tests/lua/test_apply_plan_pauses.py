"""``apply_plan``: rows rest in the document of a plan that is paused, and come back, exactly."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway import outbox
from gateway.documents import EntityDocument, RestingRow, Subscription
from gateway.outbox import Deduction, RowAdded, RowEnded, SubscriptionSet
from gateway.rows import Row, encode_row, encode_rows
from gateway.scripts import FeatureRows, PooledGroups, Status
from tests.lua.world import HOUR_MS, NOW_MS, SEAT, World, groups, hourly, per_entity, row

_encode = msgspec.json.Encoder().encode


async def pause(world: World, *resting: Row, scope: str = "", **rows: list[Row]) -> Status:
    """Replace rows; those that rest do so as rows of the feature ``calls``."""
    rests = [RestingRow(feature_id="calls", line=encode_row(one), id=one.id) for one in resting]
    held = Subscription(id="sub_1", plan_id="pro", version=1, status="paused", resting=rests)
    document, line = _encode([held]).decode(), outbox.join("S", scope, _encode(held).decode())
    if scope:
        document = _encode(EntityDocument(created_at=1, subscriptions=[held])).decode()
    revision = await world.revision()
    change = (document, line, "", "", groups(rows), PooledGroups())
    return await world.scripts.apply_plan(world.context, revision, scope, *change)


async def resting(world: World) -> list[RestingRow]:
    """Return the rows that rest, as Redis and the outbox have them."""
    changes = (await world.entries())[-1].changes
    (told,) = [one for one in changes if isinstance(one, SubscriptionSet)]
    held = msgspec.json.decode(told.document, type=Subscription)
    text = (await world.read()).subscriptions
    assert msgspec.json.decode(text, type=list[Subscription]) == [held]
    return held.resting


async def come_back(world: World, *texts: str, scope: str = "", calls: list[Row]) -> Status:
    """Replace rows by some, each with the text it begins by."""
    rows = [FeatureRows("calls", encode_rows(calls), " ".join(texts), SEAT)]
    args = (await world.revision(), scope, "[]" if not scope else '{"created_at":1}', "", "", "")
    return await world.scripts.apply_plan(world.context, *args, rows, PooledGroups())


async def test_uses_at_the_time_are_counted_once(world: World) -> None:
    old, new = row("ent_a", 1000), row("ent_b", 1000)
    await world.create(calls=[old])
    uses = [world.track("calls", 1) for _ in range(20)]
    replies = await asyncio.gather(*uses[:10], pause(world, old, calls=[new]), *uses[10:])
    assert replies[10] is Status.DONE
    (rest,) = [
        one
        for entry in await world.entries()
        for change in entry.changes
        if isinstance(change, SubscriptionSet)
        for one in msgspec.json.decode(change.document, type=Subscription).resting
    ]
    assert rest.used[0] + (await world.used())["ent_b"] == 20


async def test_one_number_goes_on_in_its_period(world: World) -> None:
    old = hourly("ent_a", 50)
    await world.create(calls=[old])
    await world.track("calls", 30)
    assert await pause(world, old, calls=[row("ent_b")]) is Status.DONE
    (rest,) = await resting(world)
    assert (rest.used, rest.due_ms) == ({0: 30}, NOW_MS + HOUR_MS)
    begun = f"{rest.due_ms}:{rest.period}:0=30"
    assert await come_back(world, begun, calls=[old]) is Status.DONE
    changes = (await world.entry()).changes
    assert changes == [
        RowEnded("calls", "ent_b"),
        RowAdded("calls", "", 30, rest.period, rest.due_ms, encode_row(old)),
    ]
    assert await world.used() == {"ent_a": 30}
    world.now_ms += HOUR_MS
    assert await world.left("calls") == 50


async def test_what_waits_to_reset_waits_on(world: World) -> None:
    """Nobody has looked at it: it rests with its old number, and resets once it is back."""
    old = hourly("ent_a", 50, roll=":1")
    await world.create(calls=[old])
    await world.track("calls", 30)
    world.now_ms += HOUR_MS
    await pause(world, old, calls=[])
    (rest,) = await resting(world)
    assert (rest.used, rest.due_ms) == ({0: 30}, NOW_MS + HOUR_MS)
    await come_back(world, f"{rest.due_ms}:{rest.period}:0=30", calls=[old])
    assert await world.left("calls") == 70
    assert [left for left, *_ in await world.rollovers()] == [20]


@pytest.mark.parametrize("scope", ["", "zoe"])
async def test_without_a_name_nothing_rests(world: World, scope: str) -> None:
    await world.create(calls=[row("ent_a")])
    await world.seats("zoe")
    await world.attach(scope, calls=[row("ent_b")])
    await pause(world, scope=scope, calls=[])
    assert '"resting"' not in (await world.read(scope)).subscriptions


async def test_slots_come_back_to_who_is_still_there(world: World) -> None:
    old = per_entity("ent_a", 10)
    await world.create(calls=[old])
    await world.seats("zoe", "bob", "kim", "eve")
    for name, units in (("zoe", 4), ("bob", 12), ("kim", -3)):
        await world.track("calls", units, name, mode="overflow")
    await pause(world, old, calls=[per_entity("ent_b", 100)])
    (rest,) = await resting(world)
    assert not {period for period, *_ in (await world.state()).marks}
    used = {number: units for number, units in rest.used.items() if units}
    assert sorted(used.values()) == [-3, 4, 12]
    await world.track("calls", 7, "zoe")
    await world.leave("bob")
    await world.seats("bob")
    await world.entries()
    text = ",".join(f"{number}={units}" for number, units in used.items())
    await come_back(world, f"0:{rest.period}:{text}", calls=[old])
    moved = [one for one in (await world.entry()).changes if isinstance(one, Deduction)]
    assert sorted((one.entity_id, one.delta) for one in moved) == [("kim", -3), ("zoe", 4)]
    names = ("zoe", "bob", "kim", "eve")
    assert [await world.left("calls", name) for name in names] == [6, 10, 13, 10]
    assert await world.left("calls") == 39


async def test_what_slots_rolled_over_rests_with_them(world: World) -> None:
    old = per_entity("ent_a", 10, unit="f", every=HOUR_MS, anchor_ms=NOW_MS, roll=":1")
    await world.create(calls=[old])
    await world.seats("zoe", "bob")
    await world.track("calls", 4, "zoe")
    world.now_ms += HOUR_MS
    await world.settle()
    await world.track("calls", 1, "zoe")
    before = await world.rollovers("zoe"), await world.rollovers("bob")
    assert [left for left, *_ in before[0]] == [5]
    await world.entries()
    await pause(world, old, calls=[per_entity("ent_b", 10, roll=":1")])
    (rest,) = await resting(world)
    assert sorted(text.split("=")[1] for text in rest.rolled) == ["0", "1"]
    assert await world.rollovers("zoe") == []
    assert await world.left("calls") == 20
    rolled = "".join(f"\x1e{text}" for text in rest.rolled).replace("\t", "\x1f")
    await come_back(world, f"{rest.due_ms}:{rest.period}:{rolled}", calls=[old])
    assert (await world.rollovers("zoe"), await world.rollovers("bob")) == before
    assert await world.left("calls") == 35


async def test_seats_are_counted_by_the_entities_there_are(world: World) -> None:
    old = row("ent_s", 10, flags="a")
    await world.create(seats=[old])
    await world.seats("zoe", "bob", "kim")
    rests = [RestingRow(feature_id="seats", line=encode_row(old), id=old.id)]
    held = Subscription(id="sub_1", plan_id="pro", version=1, status="paused", resting=rests)
    text = _encode([held]).decode()
    change = (text, outbox.join("S", "", _encode(held).decode()), "", "", groups({"seats": []}))
    revision = await world.revision()
    await world.scripts.apply_plan(world.context, revision, "", *change, PooledGroups())
    await world.leave("bob")
    rows = [FeatureRows("seats", encode_row(old), "0:9:0=3", SEAT)]
    args = (await world.revision(), "", "[]", "", "", "", rows, PooledGroups())
    await world.scripts.apply_plan(world.context, *args)
    assert await world.used() == {"ent_s": 2 * SEAT}
