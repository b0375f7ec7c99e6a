"""Rollovers are so many at most, whatever the number of resets: a dozen of those that never end, a
hundred of those that expire.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta

from gateway.outbox import Reset, RowAdded, RowEnded, RowUpdated
from gateway.scripts import Status
from tests.lua.world import HOUR_MS, World, hourly, slots


async def resets(world: World, count: int, slots_each: int = 0) -> None:
    for _ in range(count):
        world.now_ms += HOUR_MS
        assert await world.settle() == (Status.DONE, slots_each)


async def test_beyond_a_dozen_the_oldest_that_never_end_are_one(world: World) -> None:
    await world.create(calls=[hourly("a", 100, roll=":0")])
    await resets(world, 12)
    assert await world.rollovers() == [(100, 0, 0)] * 12
    await world.entries()
    world.now_ms += HOUR_MS
    assert await world.rollovers() == [(200, 0, 0), *[(100, 0, 0)] * 11]
    await world.settle()
    changes = (await world.entry()).changes
    assert [type(one) for one in changes] == [Reset, RowUpdated, RowEnded, RowAdded]
    assert await world.rollovers() == [(200, 0, 0), *[(100, 0, 0)] * 11]
    await world.track("calls", 230)
    assert await world.rollovers() == [(0, 200, 0), (70, 30, 0), *[(100, 0, 0)] * 10]


async def test_one_that_is_being_spent_is_not_joined(world: World) -> None:
    await world.create(calls=[hourly("a", 100, roll=":0")])
    await resets(world, 12)
    await world.track("calls", 30)
    await resets(world, 20)
    assert await world.rollovers() == [(70, 30, 0), (2000, 0, 0), *[(100, 0, 0)] * 11]


async def test_a_hundred_that_expire_stay_apart(world: World) -> None:
    await world.create(calls=[hourly("a", 100, roll=":1")])
    await resets(world, 100)
    assert [one[0] for one in await world.rollovers()] == [100] * 100


async def test_beyond_a_hundred_those_that_expire_close_together_are_one(
    world: World, redis_kind: str
) -> None:
    await world.create(calls=[hourly("a", 100, roll=":1")])
    # The cluster is the embedded server again, and the one in memory gives no verdict.
    hours = 31 * 24 * 2 if redis_kind in ("embedded", "debian") else 5 * 24
    for hour in range(1, hours + 1):
        await resets(world, 1)
        if hour % 96 == 0 or hour == hours:
            seen = await world.rollovers()
            ends = [expires_ms for _, _, expires_ms in seen]
            assert len(seen) <= 102
            assert ends == sorted(set(ends))
            # Nothing ends early, and nothing lasts for a hundredth of a month longer than it may.
            lasting = sum(units for units, _, _ in seen) // 100
            assert min(hour, lasting_hours(world)) <= lasting <= lasting_hours(world) + 8
            assert all(used == 0 for _, used, _ in seen)


def lasting_hours(world: World) -> int:
    """Return the hours of the month that ends now."""
    now = datetime.fromtimestamp(world.now_ms / 1000, UTC)
    return (now - (now - relativedelta(months=1))) // timedelta(hours=1)


async def test_what_is_left_of_slots_is_joined_for_each_entity(world: World) -> None:
    await world.create(calls=[slots("a", 10, roll=":0")])
    await world.seats("zoe", "bob")
    await world.track("calls", 4, "zoe")
    await resets(world, 15, slots_each=2)
    lasting = [(10, 0, 0)] * 11
    assert await world.rollovers("zoe") == [(36, 0, 0), *lasting]
    assert await world.rollovers("bob") == [(40, 0, 0), *lasting]
    assert await world.left("calls") == 10 * 2 * 16 - 4
