"""``evict_customer``: a customer that SQL has whole leaves Redis, and comes back the same."""

from __future__ import annotations

from gateway.engine.images import restore_groups
from gateway.outbox import join
from gateway.scripts import Hold, Part, Status
from tests.lua.world import CUSTOMER, ENV, KEYS, World, per_entity, row
from tests.property.history import History
from tests.property.readings import normal

HEAD = f"{ENV}\t{CUSTOMER}"


async def _evict(world: World, seq: int | None, internal_id: str = "cus_1") -> Status:
    evict = world.scripts.evict_customer
    return await evict(KEYS, HEAD, world.seen, internal_id, seq)


async def _hold(world: World, lock_id: str) -> None:
    hold = Hold(lock_id, world.now_ms + 1000)
    assert (await world.use(Part("calls", 3), hold=hold)).status is Status.DONE


async def test_a_customer_that_sql_has_whole_leaves_nothing_but_its_locks(world: World) -> None:
    await world.create(calls=[row("a"), per_entity("b", 10)])
    await world.seats("zoe")
    await world.track("calls", 4, "zoe")
    await _hold(world, "lock_1")
    await world.entries()
    before = normal(await world.read("zoe"), world.now_ms)

    assert await _evict(world, world.history.seq) is Status.DONE
    assert (await world.state()).names == {KEYS.outbox, KEYS.locks, KEYS.holds}
    assert (await world.read()).status is Status.CUSTOMER_MISSING
    assert await world.entries() == []

    groups = restore_groups(world.history.image())
    assert await world.scripts.restore_customer(world.context, world.seen, groups) is Status.DONE
    assert normal(await world.read("zoe"), world.now_ms) == before


async def test_a_customer_that_sql_has_not_whole_stays(world: World) -> None:
    await world.create(calls=[row("a")])
    await world.track("calls", 1)
    await world.entries()
    before = await world.dump()
    assert await _evict(world, world.history.seq - 1) is Status.STALE
    assert await _evict(world, world.history.seq, "cus_2") is Status.STALE
    assert await world.dump() == before


async def test_without_a_seq_the_outbox_tells_whether_it_may_leave(world: World) -> None:
    await world.create(calls=[row("a")])
    assert await _evict(world, None) is Status.BUSY
    await world.entries()
    await world.track("calls", 1)
    assert await _evict(world, None) is Status.BUSY
    await world.entries()
    # Another customer of the partition may be ahead of SQL.

    line = join("track", *HEAD.replace(CUSTOMER, "bob").split("\t"), "cus_2", 1, 0, "req_1")
    await world.client.xadd(KEYS.outbox, {"e": line})
    assert await _evict(world, None, "") is Status.DONE
    await world.client.delete(KEYS.outbox)
    world.history = History()


async def test_receipts_that_are_named_go_with_it(world: World) -> None:
    await world.create(calls=[row("a")])
    await _hold(world, "lock_1")
    await _hold(world, "lock_2")
    await world.entries()
    evict = world.scripts.evict_customer
    assert await evict(KEYS, HEAD, world.seen, "cus_1", None, ["lock_1"]) is Status.DONE
    assert await world.client.hkeys(KEYS.locks) == [f"{ENV}\tlock_2".encode()]
    assert await world.client.zrange(KEYS.holds, 0, -1) == [f"{HEAD}\tlock_2".encode()]
    world.history = History()


async def test_an_unknown_customer_is_missing(world: World) -> None:
    assert await _evict(world, 1) is Status.CUSTOMER_MISSING
    assert await world.dump() == {}
