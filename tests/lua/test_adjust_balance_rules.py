"""``adjust_balance``: the rules of spending that follow from rows change with them."""

from __future__ import annotations

from gateway.scripts import Status
from tests.lua.test_adjust_balance import adjust, put
from tests.lua.world import KEYS, World, row


async def test_rules_come_with_the_rows_they_follow_from(world: World) -> None:
    await world.create(calls=[row("a")])
    await world.seat("e1")
    rules = "calls\x1fs\t5\t0"
    assert await adjust(world, put(row("b")), rules=rules) is Status.DONE
    assert await world.client.hget(KEYS.customer, "l:calls") == b"s\t5\t0"
    assert await adjust(world, put(row("own")), scope="e1", rules=rules) is Status.DONE
    assert await world.client.hget(KEYS.entities, "l:calls\te1") == b"s\t5\t0"
    stale = await adjust(world, put(row("c")), rules="calls\x1f", revision="0")
    assert stale is Status.STALE
    assert await world.client.hexists(KEYS.customer, "l:calls")
