"""``finalize``: what is confirmed stays, the rest goes back where it came from, once."""

from __future__ import annotations

from typing import Any

from gateway.outbox import Event, LockSet, LockState
from gateway.scripts import Ending, Hold, Part, Pool, Status
from tests.lua.world import (
    CUSTOMER,
    ENV,
    HOUR_MS,
    KEYS,
    NOW_MS,
    SEAT,
    World,
    groups,
    hourly,
    per_entity,
    row,
)

HOLD = Hold("lock_1", NOW_MS + HOUR_MS)
KEEP_MS = 1000
PLAIN = Part("calls", 0)


async def end(
    world: World, action: str = "confirm", final: int | None = None, part: Part = PLAIN
) -> tuple[Status, str]:
    ending = Ending(HOLD.lock_id, action, KEEP_MS, final)
    return await world.scripts.finalize(world.context, ending, part)


async def lock(world: World, units: int, *pools: Pool, scope: str = "") -> None:
    part = Part("calls", units, pools)
    assert (await world.use(part, hold=HOLD, mode="reject", scope=scope)).status is Status.DONE


async def test_confirming_less_gives_the_rest_back_last_taken_first(world: World) -> None:
    await world.create(calls=[row("a", 5), row("b", 10)])
    await lock(world, 8)
    await world.entries()
    assert await end(world, "confirm", 4) == (Status.DONE, "")
    assert await world.used() == {"a": 4, "b": 0}
    changes = (await world.entry()).changes
    assert changes[0] == Event("calls", "", "", -4, -4, NOW_MS, '{"a":1}')
    assert changes[-1] == LockSet("lock_1", "calls", "", LockState.CONFIRMED, NOW_MS, 4, "")


async def test_confirming_what_is_held_writes_no_event(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await lock(world, 8)
    await world.entries()
    assert await end(world) == (Status.DONE, "")
    assert [type(one) for one in (await world.entry()).changes] == [LockSet]
    assert await world.left("calls") == 2


async def test_a_lock_ends_once_and_is_remembered(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await lock(world, 8)
    await end(world, "confirm", 5)
    assert await end(world, "confirm", 5) == (Status.LOCK_MISSING, "confirm\t5")
    assert await end(world, "release") == (Status.LOCK_MISSING, "confirm\t5")
    assert await world.left("calls") == 5
    world.now_ms += KEEP_MS
    assert (await end(world, "expire"))[0] is Status.DONE
    assert await end(world) == (Status.LOCK_MISSING, "")


async def test_an_unknown_lock_writes_nothing(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    before = await world.dump()
    assert await end(world) == (Status.LOCK_MISSING, "")
    assert await world.dump() == before


async def test_a_lock_that_has_expired_is_let_go_by_whoever_comes(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await lock(world, 8)
    world.now_ms += HOUR_MS
    assert await end(world) == (Status.LOCK_MISSING, "")
    assert await world.left("calls") == 10


async def test_a_lock_does_not_expire_before_its_time(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await lock(world, 8)
    assert await end(world, "expire") == (Status.DONE, "")
    assert await end(world, "forget") == (Status.DONE, "")
    assert await world.left("calls") == 2
    assert await end(world, "release") == (Status.DONE, "")


async def test_units_of_a_period_that_has_ended_are_lost_with_it(world: World) -> None:
    await world.create(calls=[hourly("a", 10)])
    late = Hold("lock_1", NOW_MS + 2 * HOUR_MS)
    await world.use(Part("calls", 8), hold=late, mode="reject")
    world.now_ms += HOUR_MS
    await world.track("calls", 1)
    await world.entries()
    assert await end(world, "release") == (Status.DONE, "")
    assert await world.used() == {"a": 1}
    event = (await world.entry()).changes[0]
    assert isinstance(event, Event)
    assert (event.value, event.applied) == (-8, 0)


async def test_a_lock_of_another_customer_is_left_alone(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await lock(world, 8)
    field = f"{ENV}\t{HOLD.lock_id}"
    client: Any = world.client
    receipt = (await client.hget(KEYS.locks, field)).decode()
    theirs = receipt.replace(CUSTOMER, "somebody", 1)
    await end(world, "release")
    await client.hset(KEYS.locks, field, theirs)
    world.now_ms += KEEP_MS
    for action in ("release", "expire", "forget"):
        await end(world, action)
        assert (await client.hget(KEYS.locks, field)).decode() == theirs
    assert await client.zscore(KEYS.holds, f"{ENV}\t{CUSTOMER}\t{HOLD.lock_id}") is None
    await client.hdel(KEYS.locks, field)


async def test_a_lock_of_a_deleted_customer_gives_the_next_one_nothing(world: World) -> None:
    await world.create(calls=[row("a", 100)])
    await lock(world, 30)
    await world.scripts.delete_customer(world.context)
    client: Any = world.client
    cursor = (await client.xrevrange(KEYS.outbox, count=1))[0][0].decode()
    rows = groups({"calls": [row("z", 100)]})
    create = world.scripts.create_customer
    await create(world.context, cursor, "cus_2", '{"created_at":2}', "[]", "", "", rows)
    await world.track("calls", 50)
    assert await end(world, "release") == (Status.LOCK_MISSING, "")
    assert await world.used() == {"z": 50}
    await lock(world, 8)
    assert await end(world, "release") == (Status.DONE, "")


async def test_credits_go_back_though_the_catalog_has_changed(world: World) -> None:
    await world.create(credits=[row("c", 100)])
    await lock(world, 50, Pool("credits", 2, 1))
    assert await world.used() == {"c": 100}
    assert await end(world, "confirm", 20) == (Status.DONE, "")
    assert await world.used() == {"c": 40}
    reply = await world.read()
    assert "k\t" not in next(one for one in reply.descriptions if one.feature == "credits").extras


async def test_an_entity_that_came_later_gets_nothing_back(world: World) -> None:
    await world.create(calls=[per_entity("p", 10)], seats=[row("s", 9 * SEAT)])
    await world.seats("zoe")
    await lock(world, 8, scope="zoe")
    await world.leave("zoe")
    await world.seats("zoe")
    await world.track("calls", 3, "zoe")
    assert await end(world, "release") == (Status.DONE, "")
    assert await world.left("calls", "zoe") == 7
