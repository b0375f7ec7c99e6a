"""``delete_customer``: everything goes but what the outbox has to tell."""

from __future__ import annotations

from gateway.outbox import CustomerDeleted, EntryKind
from gateway.scripts import Status
from tests.lua.world import KEYS, World, hourly, per_entity, row


async def test_a_deleted_customer_leaves_the_outbox_only(world: World) -> None:
    await world.create(calls=[row("a"), per_entity("b", 10)])
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("c")])
    await world.track("calls", 50, "zoe")
    assert (await world.state()).names == set(KEYS.own)
    await world.entries()
    assert await world.scripts.delete_customer(world.context) is Status.DONE
    assert (await world.state()).names == {KEYS.outbox}
    entry = await world.entry()
    assert (entry.kind, entry.seq) == (EntryKind.CUSTOMER_DELETE, 5)
    assert entry.changes == [CustomerDeleted()]


async def test_an_unknown_customer_writes_nothing(world: World) -> None:
    assert await world.scripts.delete_customer(world.context) is Status.CUSTOMER_MISSING
    assert await world.dump() == {}
