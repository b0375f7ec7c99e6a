"""``read_customer``: everything a scope may spend, in one reading."""

from __future__ import annotations

from gateway.rows import Kind
from gateway.scripts import Status
from tests.lua.world import HOUR_MS, World, hourly, per_entity, row


async def test_the_customer_is_read_with_its_features_by_name(world: World) -> None:
    await world.create(store=[row("b")], calls=[row("a")], sso=[row("c", kind=Kind.FLAG)])
    reply = await world.read()
    assert (reply.status, reply.internal_id, reply.entity) == (Status.DONE, "cus_1", "")
    assert [seen.feature for seen in reply.descriptions] == ["calls", "sso", "store"]


async def test_an_entity_is_read_with_its_own_rows_and_slots(world: World) -> None:
    await world.create(calls=[per_entity("a", 10), row("c", 10)])
    await world.seats("zoe", "bob")
    await world.attach("zoe", calls=[row("b", 5)])
    await world.track("calls", 17, "zoe")
    assert await world.used("zoe") == {"a": 10, "b": 5, "c": 2}
    assert await world.used("bob") == {"a": 0, "c": 2}
    (seen,) = (await world.read()).descriptions
    assert seen.held.split()[1:] == ["5", "5", "0", "0", "1", "0", "0"]


async def test_unknown_ones_are_told_apart(world: World) -> None:
    assert (await world.read()).status is Status.CUSTOMER_MISSING
    assert (await world.read("zoe")).status is Status.CUSTOMER_MISSING
    await world.create()
    assert (await world.read("zoe")).status is Status.ENTITY_MISSING


async def test_customer_level_waits_until_rows_of_entities_are_settled(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("a", 10)])
    world.now_ms += HOUR_MS
    assert (await world.read()).status is Status.DUE
    assert (await world.read("zoe")).status is Status.DONE
    await world.settle()
    assert (await world.read()).status is Status.DONE


async def test_reading_writes_nothing(world: World) -> None:
    await world.create(calls=[hourly("a", 10)])
    await world.track("calls", 10)
    world.now_ms += HOUR_MS
    before = await world.dump()
    assert await world.left("calls") == 10
    assert await world.dump() == before
