"""``update_entity``: a new document, unless somebody was faster."""

from __future__ import annotations

from gateway.outbox import EntitySet, EntryKind
from gateway.scripts import Status
from tests.lua.world import NOW_MS, World, per_entity, row


async def test_the_document_is_replaced_and_told(world: World) -> None:
    await world.create(calls=[per_entity("a", 10)])
    await world.seats("zoe", "bob")
    await world.track("calls", 3, "bob")
    await world.entries()
    status = await world.scripts.update_entity(
        world.context, str(NOW_MS + 2), "bob", '{"name":"Bob"}'
    )
    assert status is Status.DONE
    reply = await world.read("bob")
    assert reply.entity.endswith('\t2\tseats\t{"name":"Bob"}')
    assert reply.revision == str(NOW_MS + 3)
    assert await world.left("calls", "bob") == 7
    entry = await world.entry()
    assert (entry.kind, entry.seq) == (EntryKind.ENTITY, 5)
    assert entry.changes == [EntitySet("bob", 2, "seats", '{"name":"Bob"}')]


async def test_an_unknown_customer_writes_nothing(world: World) -> None:
    status = await world.scripts.update_entity(world.context, str(NOW_MS), "bob", "{}")
    assert status is Status.CUSTOMER_MISSING
    assert await world.dump() == {}


async def test_an_unknown_entity_or_a_stale_reading_writes_nothing(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    before = await world.dump()
    update = world.scripts.update_entity
    assert await update(world.context, str(NOW_MS + 1), "bob", "{}") is Status.ENTITY_MISSING
    assert await update(world.context, str(NOW_MS), "zoe", "{}") is Status.STALE
    assert await world.dump() == before


async def test_rules_of_an_entity_are_found_without_any_row(world: World) -> None:
    await world.create(calls=[row("a")], rules="calls\x1fo\t1")
    await world.seat("zoe", rules="calls\x1fo\t0\x1ewords\x1fs\t1\t0")
    await world.seats("bob")
    rules = "calls\x1f\x1ewords\x1fs\t2\t0"
    status = await world.scripts.update_entity(
        world.context, await world.revision(), "zoe", "{}", rules
    )
    assert status is Status.DONE
    seen = [
        (one.feature, one.rules, one.own_rules) for one in (await world.read("zoe")).descriptions
    ]
    assert ("words", "", "s\t2\t0") in seen
    assert ("calls", "o\t1", "") in seen
    others = await world.read("bob")
    assert "words" not in [one.feature for one in others.descriptions]


async def test_rules_of_an_entity_go_with_it(world: World) -> None:
    await world.create()
    await world.seat("zoe", rules="words\x1fs\t1\t0")
    status = await world.attach("zoe", rules="words\x1f\x1elines\x1fo\t1")
    assert status is Status.DONE
    assert await world.holding("l:lines\tzoe") == "o\t1"
    await world.leave("zoe")
    assert not (await world.state()).holdings
