"""``adopt_customer``: an id is given once, and by an entry alone."""

from __future__ import annotations

from typing import Any

from gateway.outbox import CustomerSet, EntryKind
from gateway.scripts import Status
from tests.lua.world import CUSTOMER, KEYS, World, row

DOCUMENT = '{"created_at":1}'


async def adopt(world: World, cursor: str = "0-0") -> Status:
    return await world.scripts.adopt_customer(world.context, cursor, "cus_9", 3, DOCUMENT)


async def test_an_adopted_customer_is_an_entry_and_nothing_else(world: World) -> None:
    world.history.seq, world.history.internal_id = 2, "cus_9"
    assert await adopt(world) is Status.DONE
    assert (await world.state()).names == {KEYS.outbox}
    entry = await world.entry()
    assert (entry.kind, entry.customer_id) == (EntryKind.CUSTOMER, CUSTOMER)
    assert (entry.internal_id, entry.seq) == ("cus_9", 3)
    assert entry.changes == [CustomerSet(DOCUMENT)]
    world.history.seq = 0


async def test_an_id_that_is_taken_is_not_given(world: World) -> None:
    await world.create(calls=[row("a")])
    before = await world.dump()
    assert await adopt(world) is Status.EXISTS
    assert await world.dump() == before


async def test_an_id_sql_may_know_waits_for_the_writer(world: World) -> None:
    await world.create(calls=[row("a")])
    read = (await world.entry()).stream_id
    await world.scripts.delete_customer(world.context)
    before = await world.dump()
    assert await adopt(world, cursor=read) is Status.BUSY
    assert await world.dump() == before


async def test_who_creates_the_id_meanwhile_waits_for_the_writer(world: World) -> None:
    world.history.seq, world.history.internal_id = 2, "cus_9"
    await adopt(world)
    before = await world.dump()
    assert await world.create(calls=[row("a")]) is Status.BUSY
    assert await adopt(world) is Status.BUSY
    assert await world.dump() == before
    await world.entries()
    world.history.seq = 0


async def test_a_partition_without_its_seal_waits_for_the_guard(world: World) -> None:
    client: Any = world.client
    world.scripts.seal = "inst_1"
    assert await adopt(world) is Status.FENCED
    assert await world.dump() == {}
    await client.set(KEYS.seal, "inst_1")
    world.history.seq, world.history.internal_id = 2, "cus_9"
    assert await adopt(world) is Status.DONE
    await world.entries()
    await client.delete(KEYS.seal)
    world.history.seq = 0
