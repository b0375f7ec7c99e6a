"""``finalize``: what is confirmed stays, the rest goes back where it came from, once."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.lifecycle.rules import Window
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
    rules,
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


async def test_a_check_that_may_overdraw_is_confirmed_so(world: World) -> None:
    await world.create(calls=[row("a", 10), row("b", 5)])
    hold = HOLD._replace(of_check=True)
    part = Part("calls", 20)
    assert (await world.use(part, hold=hold, mode="overflow")).applied == [20]
    assert await end(world, "confirm", 22) == (Status.DONE, "")
    assert await world.used() == {"a": 17, "b": 5}


@pytest.mark.parametrize(("final", "counted"), [(None, 7), (3, 5), (0, 2)])
async def test_windows_a_lock_fills_get_their_room_back(
    world: World, final: int | None, counted: int
) -> None:
    limit = Window("", 10, "f", HOUR_MS, NOW_MS, "{}").line
    await world.create(rules=rules(calls=limit), calls=[row("a", 50)])
    await world.track("calls", 2)
    await lock(world, 5)
    assert await end(world, "confirm", final) == (Status.DONE, "")
    assert (await world.state()).customer["x:calls"] == f"w\t\t{NOW_MS + HOUR_MS}\t{counted}"


async def test_what_a_row_that_ended_gave_goes_back_within_what_was_used_of_others(
    world: World,
) -> None:
    """A hold that may overdraw is given back as any other: that is no use beyond what there is."""
    await world.create(calls=[row("a", 10), row("b", 50)])
    await world.use(Part("calls", 8), hold=HOLD._replace(of_check=True), mode="overflow")
    await world.attach(calls=[row("b", 50)])
    assert await end(world, "release") == (Status.DONE, "")
    assert await world.used() == {"b": 0}


@pytest.mark.parametrize("mode", ["cap", "overflow"])
async def test_a_track_that_may_overdraw_is_confirmed_within_what_there_is(
    world: World, mode: str
) -> None:
    await world.create(calls=[row("a", 10)])
    await world.use(Part("calls", 5), hold=HOLD, mode=mode)
    assert await end(world, "confirm", 22) == (Status.DONE, "")
    assert await world.used() == {"a": 10}


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


async def test_a_lock_of_another_feature_made_of_its_name_since_is_left_alone(world: World) -> None:
    await world.create(calls=[row("a", 5)], store=[row("b", 5)])
    await lock(world, 3)
    before = await world.dump()
    assert await end(world, part=Part("store", 0)) == (Status.LOCK_MISSING, "")
    assert await world.dump() == before


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


async def test_what_was_owed_goes_back_before_what_was_taken_of_later_rows(world: World) -> None:
    await world.create(calls=[row("a", 5, flags="o"), row("b", 10)])
    await lock(world, 20)
    assert await world.used() == {"a": 10, "b": 10}
    await end(world, "confirm", 12)
    assert await world.used() == {"a": 5, "b": 7}


async def test_what_was_owed_goes_back_before_credits_whatever_the_order_of_rows(
    world: World,
) -> None:
    await world.create(calls=[row("a", 0, flags="o")])
    await world.seats("zoe")
    await world.attach("zoe", coins=[row("b", 62)])
    fifth = Pool("coins", 1, 5)
    await lock(world, 330, fifth)
    await end(world, "confirm", 59, Part("calls", 0, [fifth]))
    assert await world.used() == {"a": 0}
    assert (await world.used("zoe"))["b"] == 12


async def test_a_debt_that_was_paid_back_is_owed_again_last(world: World) -> None:
    await world.create(calls=[row("a", 10), row("b", 5, flags="o")])
    await world.track("calls", 20)
    await lock(world, -12)
    assert await world.used() == {"a": 3, "b": 5}
    await end(world, "confirm", -7)
    assert await world.used() == {"a": 8, "b": 5}


async def test_what_stays_of_credits_is_what_the_units_cost_that_stay(world: World) -> None:
    await world.create(coins=[row("a", 1), row("b", 10)])
    dear = Pool("coins", 3, 2)
    await lock(world, 7, dear)
    assert await world.used() == {"a": 1, "b": 10}
    await end(world, "confirm", 3, Part("calls", 0, [dear]))
    assert sum((await world.used()).values()) == 5


async def test_units_that_cost_nothing_go_back_first(world: World) -> None:
    await world.create(calls=[row("a", 5)], coins=[row("b", 9)])
    fifth = Pool("coins", 1, 5)
    await lock(world, 7, fifth)
    await end(world, "confirm", 6, Part("calls", 0, [fifth]))
    assert await world.used() == {"a": 5, "b": 0}


async def test_what_a_lock_of_no_whole_unit_took_goes_back(world: World) -> None:
    await world.create(coins=[row("a", 5)])
    dear = Pool("coins", 10, 1)
    assert (await world.use(Part("calls", 1, [dear]), hold=HOLD)).applied == [0]
    assert await world.used() == {"a": 5}
    await end(world, part=Part("calls", 0, [dear]))
    assert await world.used() == {"a": 0}


async def test_a_hold_that_another_one_outweighs_is_taken_off_the_customer_all_the_same(
    world: World,
) -> None:
    await world.create(calls=[row("a", 10)])
    await world.seats("zoe")
    other = HOLD._replace(lock_id="lock_2")
    assert (await world.use(Part("calls", 8), hold=other)).applied == [8]
    await lock(world, -8, scope="zoe")
    state = await world.state()
    assert "x:calls" not in state.customer
    assert state.holdings["x:calls\tzoe"] == "k\t-8"
    await end(world, "release")
    state = await world.state()
    assert state.customer["x:calls"] == "k\t8"
    assert "x:calls\tzoe" not in state.holdings
