"""``update_customer``: a new document, unless somebody was faster."""

from __future__ import annotations

import asyncio

from gateway.outbox import CustomerSet, EntryKind
from gateway.scripts import Status
from tests.lua.world import NOW_MS, World, row

BORN = str(NOW_MS)


async def test_the_document_is_replaced_and_told(world: World) -> None:
    await world.create(calls=[row("a")])
    await world.entries()
    assert await world.scripts.update_customer(world.context, BORN, '{"name":"Ada"}') is Status.DONE
    reply = await world.read()
    assert (reply.document, reply.revision) == ('{"name":"Ada"}', str(NOW_MS + 1))
    entry = await world.entry()
    assert (entry.kind, entry.seq) == (EntryKind.CUSTOMER, 2)
    assert entry.changes == [CustomerSet('{"name":"Ada"}')]


async def test_of_two_changes_of_one_reading_one_has_to_read_again(world: World) -> None:
    await world.create()
    statuses = await asyncio.gather(
        *(world.scripts.update_customer(world.context, BORN, text) for text in ('{"a":1}', "{}"))
    )
    assert sorted(statuses) == [Status.DONE, Status.STALE]


async def test_a_stale_change_writes_nothing(world: World) -> None:
    await world.create()
    before = await world.dump()
    assert await world.scripts.update_customer(world.context, "7", "{}") is Status.STALE
    assert await world.dump() == before


async def test_uses_do_not_make_a_reading_stale(world: World) -> None:
    await world.create(calls=[row("a")])
    await world.track("calls", 1)
    assert await world.scripts.update_customer(world.context, BORN, "{}") is Status.DONE


async def test_an_unknown_customer_writes_nothing(world: World) -> None:
    status = await world.scripts.update_customer(world.context, BORN, "{}")
    assert status is Status.CUSTOMER_MISSING
    assert await world.dump() == {}
