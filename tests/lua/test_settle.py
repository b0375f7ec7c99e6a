"""``settle``: what is due for rows that entities hold, in bounded steps."""

from __future__ import annotations

import asyncio

from gateway.outbox import EntryKind, Reset, RowEnded
from gateway.scripts import Status
from tests.lua.world import HOUR_MS, NOW_MS, World, hourly, row


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
