"""``release_customer``: a customer without an id leaves Redis for SQL, and not behind its back."""

from __future__ import annotations

from gateway.engine.images import restore_groups
from gateway.outbox import CustomerSet, EntryKind
from gateway.scripts import Status
from tests.lua.world import KEYS, World, row

RELEASED = '{"created_at":1,"released":true}'


async def release(world: World, revision: str, cursor: str = "0-0") -> Status:
    return await world.scripts.release_customer(world.context, cursor, revision, RELEASED)


async def come_back(world: World) -> None:
    groups = restore_groups(world.history.image())
    restored = await world.scripts.restore_customer(world.context, world.seen, groups)
    assert restored is Status.DONE


async def test_a_released_customer_leaves_the_outbox_only(world: World) -> None:
    await world.create(calls=[row("a")])
    await world.entries()
    assert await release(world, await world.revision()) is Status.DONE
    assert (await world.state()).names == {KEYS.outbox}
    entry = await world.entry()
    assert (entry.kind, entry.seq) == (EntryKind.CUSTOMER, 2)
    assert entry.changes == [CustomerSet(RELEASED)]
    await come_back(world)


async def test_who_read_sql_before_cannot_bring_it_back(world: World) -> None:
    await world.create(calls=[row("a")])
    await world.entries()
    read, groups = world.seen, restore_groups(world.history.image())
    await release(world, await world.revision())
    before = await world.dump()
    restore = world.scripts.restore_customer
    assert await restore(world.context, read, groups) is Status.BUSY
    assert await release(world, "", read) is Status.BUSY
    assert await world.dump() == before
    await world.entries()
    assert await release(world, "", world.seen) is Status.CUSTOMER_MISSING
    assert await world.dump() == before
    await come_back(world)


async def test_one_that_has_changed_stays(world: World) -> None:
    await world.create(calls=[row("a")])
    read = await world.revision()
    await world.scripts.update_customer(world.context, read, '{"created_at":1,"name":"a"}')
    before = await world.dump()
    assert await release(world, read) is Status.STALE
    assert await release(world, "") is Status.STALE
    assert await world.dump() == before


async def test_one_that_never_was_is_missing(world: World) -> None:
    assert await release(world, "") is Status.CUSTOMER_MISSING
    assert await world.dump() == {}
