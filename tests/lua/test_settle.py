"""``settle``: what is due for rows that entities hold, in bounded steps."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from gateway.outbox import EntryKind, Reset, RowEnded, RowUpdated
from gateway.rows import Kind, RowDocument, decode_rows, encode_row
from gateway.scripts import Status
from tests.lua.world import HOUR_MS, NOW_MS, World, hourly, row, slots


async def test_due_rows_are_full_again_and_told(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("a", 10), row("b", 5)])
    await world.track("calls", 12, "zoe")
    await world.entries()
    world.now_ms += HOUR_MS
    assert await world.settle() == (Status.DONE, 1)
    entry = await world.entry()
    assert entry.kind is EntryKind.RESET
    assert entry.changes == [Reset("calls", "a", "zoe", 5, NOW_MS + 2 * HOUR_MS)]
    assert await world.used("zoe") == {"a": 0, "b": 2}
    assert await world.left("calls") == 13


async def test_nothing_due_writes_nothing(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("a", 10)])
    before = await world.dump()
    world.now_ms += HOUR_MS - 1
    assert await world.settle() == (Status.DONE, 0)
    assert await world.dump() == before


async def test_an_unknown_customer_writes_nothing(world: World) -> None:
    assert await world.settle() == (Status.CUSTOMER_MISSING, 0)
    assert await world.dump() == {}


async def test_work_is_bounded_and_ends(world: World) -> None:
    names = [f"seat_{number}" for number in range(5)]
    await world.create()
    await world.seats(*names)
    for name in names:
        await world.attach(name, calls=[hourly(f"row_{name}", 10)])
        await world.track("calls", 4, name)
    world.now_ms += HOUR_MS
    assert [(await world.settle(2))[1] for _ in range(4)] == [2, 2, 1, 0]
    assert await world.left("calls") == 50


async def test_each_row_is_settled_once_a_period(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("a", 10)])
    await world.track("calls", 10, "zoe")
    world.now_ms += HOUR_MS
    counts = await asyncio.gather(*(world.settle() for _ in range(5)))
    assert sorted(count for _, count in counts) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("owner", ["", "a"])
@pytest.mark.parametrize("planned", [60, 0])
@pytest.mark.parametrize(("included", "prepaid"), [(150, 0), (0, 0), (40, 25)])
async def test_what_was_set_by_hand_of_a_grant_ends_with_the_period(
    world: World, owner: str, included: int, prepaid: int, planned: int
) -> None:
    name = '"included":1,"planned":2'
    document = RowDocument(
        plan_id=name, included=included, prepaid=prepaid, interval="hour", planned=planned
    )
    changed = hourly("x", included + prepaid, document=document)
    await world.create(calls=[] if owner else [row("y"), changed])
    await world.seats("a")
    if owner:
        await world.attach("a", calls=[changed])
    await world.track("calls", min(5, changed.grant), owner)
    await world.entries()
    world.now_ms += HOUR_MS
    reply = await world.settled(owner)
    texts = [text for seen in reply.descriptions for text in (seen.rows, seen.own_rows) if text]
    rows = [one for text in texts for one in decode_rows(text)]
    document = structs.replace(document, included=planned, planned=None)
    expected = structs.replace(changed, grant=planned + prepaid, document=document)
    assert [one for one in rows if one.id == "x"] == [expected]
    reset, changed_row = (await world.entry()).changes
    assert isinstance(reset, Reset)
    assert changed_row == RowUpdated("calls", owner, reset.due_ms, encode_row(expected))
    assert (await world.used(owner))["x"] == 0
    assert await world.left("calls") == planned + prepaid + (0 if owner else 100)


async def test_an_expired_row_ends_and_the_others_stay(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    ending = row("b", 5, expires_ms=NOW_MS + 1)
    other = row("c", 5, expires_ms=NOW_MS + 1)
    await world.attach("zoe", calls=[row("a", 10), ending], store=[other])
    await world.track("calls", 12, "zoe")
    await world.entries()
    world.now_ms += 1
    assert await world.settle() == (Status.DONE, 2)
    assert (await world.entry()).changes == [RowEnded("calls", "b"), RowEnded("store", "c")]
    assert await world.used("zoe") == {"a": 10}
    assert (await world.state()).customer["h:store"].split()[1:] == ["0"] * 7


async def test_rows_of_an_entity_that_is_deleted_are_due_no_longer(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("a", 10)])
    await world.leave("zoe")
    world.now_ms += HOUR_MS
    assert await world.settle() == (Status.DONE, 0)


async def test_overage_of_a_thousand_slots_is_kept_in_bounded_steps(
    world: World, redis_kind: str
) -> None:
    # The cluster is the embedded server again, and the one in memory gives no verdict.
    limit = 200 if redis_kind in ("embedded", "debian") else 40
    names = [f"seat_{number:04d}" for number in range(5 * limit)]
    kept = {"kind": Kind.PER_ENTITY, "entity_feature": "seats", "flags": "ok"}
    await world.create(calls=[hourly("a", 10, **kept), hourly("b", 3, **kept)])
    used = {name: 14 + number % 20 for number, name in enumerate(names)}
    for name, units in used.items():
        await world.seat(name, entities_max=2_000)
        await world.track("calls", units, name)
    world.now_ms += HOUR_MS
    await world.entries()
    steps = []
    while (settled := (await world.settle(limit))[1]) == limit:
        steps.append(settled)
        assert (await world.read()).status is Status.DUE
    assert (len(steps), settled) == (5, 0)
    assert len(await world.entries()) == 1
    shown = await world.used(names[19])
    assert shown == {"a": used[names[19]] - 13, "b": 0}
    assert await world.left("calls", names[19]) == 3
    assert sum((await world.used()).values()) == sum(units - 13 for units in used.values())
    await world.check_ledger()


async def test_overage_that_was_prepared_is_prepared_anew_when_a_row_has_changed(
    world: World,
) -> None:
    kept = {"kind": Kind.PER_ENTITY, "entity_feature": "seats", "flags": "ok"}
    await world.create(calls=[hourly("a", 10, **kept)])
    await world.seats("zoe", "bob", "ann")
    for name in ("zoe", "bob", "ann"):
        await world.track("calls", 15, name)
    world.now_ms += HOUR_MS
    assert (await world.settle(2))[1] == 2
    assert await world.leave("zoe") is Status.DONE
    assert (await world.settle(2))[1] == 2
    assert (await world.settle(2))[1] == 0
    assert await world.used() == {"a": 10}
    await world.check_ledger()


async def test_overage_that_was_prepared_goes_with_its_row(world: World) -> None:
    kept = {"kind": Kind.PER_ENTITY, "entity_feature": "seats", "flags": "ok"}
    await world.create(calls=[hourly("a", 10, **kept)])
    await world.seats("zoe", "bob")
    for name in ("zoe", "bob"):
        await world.track("calls", 15, name)
    world.now_ms += HOUR_MS
    assert (await world.settle(1))[1] == 1
    assert await world.attach(calls=[row("b", 5)]) is Status.DONE
    state = await world.state()
    assert not [field for field in state.customer if field.startswith("y:")]
    assert state.marks == {}
    await world.check_ledger()


async def test_a_caller_that_is_behind_ends_what_another_one_has_begun(world: World) -> None:
    await world.create(calls=[slots("a", 100, roll=":1")])
    await world.seats("ada", "bob", "eve")
    ahead, behind = NOW_MS + HOUR_MS + 1000, NOW_MS + HOUR_MS - 1000
    world.now_ms = ahead
    assert await world.settle(1) == (Status.DONE, 1)
    world.now_ms = behind
    for scope in ("ada", ""):
        assert (await world.check("calls", 1, scope)).status is Status.DUE
        assert (await world.track("calls", 1, scope)).status is Status.DUE
    assert await world.settle(2) == (Status.DONE, 2)
    assert (await world.check("calls", 1, "ada")).status is Status.DUE
    assert await world.settle(2) == (Status.DONE, 0)
    assert [await world.left("calls", scope) for scope in ("ada", "eve", "")] == [200, 200, 600]
    before = await world.dump()
    for now_ms in (ahead, behind):
        world.now_ms = now_ms
        assert await world.settle() == (Status.DONE, 0)
    assert await world.dump() == before
    assert "z:" not in (await world.state()).customer
