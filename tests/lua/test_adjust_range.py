"""``adjust_balance``: what all entities are given together stays exact."""

from __future__ import annotations

from gateway.scripts import Status
from tests.lua.test_adjust_balance import adjust, change, put
from tests.lua.world import World, per_entity, row


async def test_grants_of_all_entities_that_leave_the_exact_range_write_nothing(
    world: World,
) -> None:
    await world.create()
    await world.seats("zoe", "bob")
    assert await adjust(world, put(row("a", 5 * 10**15)), scope="zoe") is Status.DONE
    before = await world.dump()
    status = await adjust(world, put(row("b", 5 * 10**15)), scope="bob")
    assert status is Status.OUT_OF_RANGE
    assert await world.dump() == before
    assert await adjust(world, change(row("a", 9 * 10**15)), scope="zoe") is Status.DONE


async def test_slots_that_leave_the_exact_range_together_write_nothing(world: World) -> None:
    half = (2**53 - 1) // 2
    await world.create(calls=[per_entity("a", 100)])
    await world.seats("zoe", "bob")
    before = await world.dump()
    assert await adjust(world, change(per_entity("a", half + 1))) is Status.OUT_OF_RANGE
    assert await world.dump() == before
    assert await adjust(world, change(per_entity("a", half))) is Status.DONE
    assert await world.left("calls") == 2 * half
