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


async def test_rules_are_stored_and_those_that_are_empty_removed(world: World) -> None:
    await world.create(calls=[row("a")], rules="calls\x1fo\t1\x1ecredits\x1fs\t5\t0")
    reply = await world.read()
    assert [(seen.feature, seen.rules) for seen in reply.descriptions] == [
        ("calls", "o\t1"),
        ("credits", "s\t5\t0"),
    ]
    rules = "calls\x1f\x1ecredits\x1fs\t7\t0\na\tusage\t1\t\x1egone\x1f"
    await world.scripts.update_customer(world.context, BORN, "{}", rules)
    reply = await world.read()
    assert [(seen.feature, seen.rules) for seen in reply.descriptions] == [
        ("calls", ""),
        ("credits", "s\t7\t0\na\tusage\t1\t"),
    ]


async def test_rules_that_are_not_sent_stay(world: World) -> None:
    await world.create(calls=[row("a")], rules="calls\x1fo\t1")
    await world.scripts.update_customer(world.context, BORN, "{}")
    assert (await world.state()).customer["l:calls"] == "o\t1"
