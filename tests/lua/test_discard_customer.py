"""``discard_customer``: what is older than SQL leaves, and only while the outbox is behind it."""

from __future__ import annotations

from typing import Any

from gateway.engine.images import restore_groups
from gateway.scripts import Status
from tests.lua.world import ENV, KEYS, World, row

HEAD = "sandbox\tada"


def after(stream_id: str) -> str:
    """Return the next id, which SQL has and the stream has not."""
    milliseconds, sequence = stream_id.split("-")
    return f"{milliseconds}-{int(sequence) + 1}"


async def test_a_customer_behind_sql_goes_with_its_receipts(world: World) -> None:
    client: Any = world.client
    await world.create(calls=[row("a", 10)])
    await world.seats("zoe")
    await world.entries()
    for lock_id in ("one", "two"):
        await client.hset(KEYS.locks, f"{ENV}\t{lock_id}", "ada\tcalls")
        await client.zadd(KEYS.holds, {f"{HEAD}\t{lock_id}": 5})
    discarded = await world.scripts.discard_customer(KEYS, HEAD, after(world.seen), ["one"])
    assert discarded == (Status.DONE, True)
    assert await client.exists(*KEYS[:4]) == 0
    assert await client.hkeys(KEYS.locks) == [f"{ENV}\ttwo".encode()]
    assert await client.zrange(KEYS.holds, 0, -1) == [f"{HEAD}\ttwo".encode()]
    groups = restore_groups(world.history.image())
    restored = await world.scripts.restore_customer(world.context, world.seen, groups)
    assert restored is Status.DONE
    await client.hdel(KEYS.locks, f"{ENV}\ttwo")
    await client.zrem(KEYS.holds, f"{HEAD}\ttwo")


async def test_receipts_of_a_customer_that_is_not_here_go_as_well(world: World) -> None:
    client: Any = world.client
    await client.hset(KEYS.locks, f"{ENV}\tone", "ada\tcalls")
    discarded = await world.scripts.discard_customer(KEYS, HEAD, "5-0", ["one"])
    assert discarded == (Status.DONE, False)
    assert await client.exists(KEYS.locks) == 0


async def test_a_partition_that_was_raised_is_left_alone(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await world.entries()
    before = await world.dump()
    discard = world.scripts.discard_customer
    assert await discard(KEYS, HEAD, world.seen, []) == (Status.STALE, False)
    assert await discard(KEYS, HEAD, "5-0", []) == (Status.STALE, False)
    assert await world.dump() == before
