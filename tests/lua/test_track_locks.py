"""``track`` that makes a lock: what it holds, where that is written down, and what refuses it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.lifecycle.rules import Window
from gateway.outbox import LockSet, LockState
from gateway.scripts import Hold, Part, Pool, Status
from tests.lua.world import (
    CUSTOMER,
    ENV,
    HOUR_MS,
    KEYS,
    NOW_MS,
    World,
    hourly,
    per_entity,
    row,
    rules,
)

HOLD = Hold("lock_1", NOW_MS + HOUR_MS)
FIELD = f"{ENV}\tlock_1"
PROPERTIES = '{"a":1}'
FIFTH = (Pool("credits", 1, 5),)


async def receipt(world: World) -> list[str]:
    """Return the lines of the receipt in Redis."""
    client: Any = world.client
    text: bytes = await client.hget(KEYS.locks, FIELD)
    return text.decode().split("\n")


async def test_a_lock_takes_its_units_and_writes_down_where_from(world: World) -> None:
    await world.create(calls=[row("a", 5), row("b", 10)])
    await world.entries()
    assert (await world.use(Part("calls", 8), hold=HOLD, mode="reject")).applied == [8]
    head = f"{CUSTOMER}\tcalls\t\t8\t{HOLD.expires_ms}\t0\tcus_1\t{PROPERTIES}"
    lines = [head, "calls\ta\t\t1\t5\t5", "calls\tb\t\t2\t3\t3"]
    assert await receipt(world) == lines
    member = f"{ENV}\t{CUSTOMER}\tlock_1"
    assert await world.client.zscore(KEYS.holds, member) == HOLD.expires_ms
    assert (await world.entry()).changes[-1] == LockSet(
        "lock_1", "calls", "", LockState.OPEN, HOLD.expires_ms, 8, "\n".join(lines)
    )
    assert (await world.state()).customer["x:calls"] == "k\t8"
    assert await world.used() == {"a": 5, "b": 3}


async def test_a_lock_of_an_entity_is_held_at_both_levels(world: World) -> None:
    await world.create(calls=[row("a", 5), per_entity("b", 10)])
    await world.seats("zoe")
    await world.use(Part("calls", 13), scope="zoe", hold=HOLD)
    assert (await receipt(world))[1:] == ["calls\tb\tzoe\t2\t10\t10", "calls\ta\t\t1\t3\t3"]
    assert (await world.state()).customer["x:calls"] == "k\t13"
    assert await world.holding("x:calls\tzoe") == "k\t13"
    for scope in ("", "zoe"):
        (described,) = (await world.check("calls", 0, scope)).descriptions
        assert "k\t13" in (described.extras, described.own_extras)


async def test_the_slots_a_customer_level_lock_took_are_written_down(world: World) -> None:
    await world.create(calls=[row("a", 5), per_entity("b", 10)])
    await world.seats("zoe", "bob")
    await world.attach("bob", calls=[row("c", 4)])
    await world.use(Part("calls", 28), hold=HOLD)
    assert [
        line.split("\t")[1:3] + line.split("\t")[4:] for line in (await receipt(world))[1:]
    ] == [
        ["a", "", "5", "5"],
        ["b", "zoe", "10", "10"],
        ["b", "bob", "10", "10"],
        ["c", "bob", "3", "3"],
    ]


async def test_of_credits_the_units_they_stand_for_are_written_down(world: World) -> None:
    await world.create(action1=[row("a", 5)], credits=[row("b", 1), row("c", 10)])
    await world.use(Part("action1", 18, FIFTH), hold=HOLD)
    assert (await receipt(world))[1:] == [
        "action1\ta\t\t1\t5\t5",
        "credits\tb\t\t2\t1\t5",
        "credits\tc\t\t3\t2\t8",
    ]
    state = await world.state()
    assert (state.customer["x:action1"], state.customer["x:credits"]) == ("k\t5", "k\t3")


async def test_what_is_owed_is_written_down_after_all_that_was_there(world: World) -> None:
    await world.create(calls=[row("a", 5, flags="o"), row("b", 10)])
    await world.use(Part("calls", 17), hold=HOLD)
    assert (await receipt(world))[1:] == [
        "calls\ta\t\t1\t5\t5",
        "calls\tb\t\t2\t10\t10",
        "calls\ta\t\t1\t2\t2",
    ]


async def test_units_that_cost_nothing_are_covered_by_nobody(world: World) -> None:
    await world.create(action1=[row("a", 5)], credits=[row("b", 9)])
    await world.use(Part("action1", 7, FIFTH), hold=HOLD)
    assert (await receipt(world))[0].split("\t")[3] == "7"
    assert (await receipt(world))[1:] == ["action1\ta\t\t1\t5\t5"]


async def test_windows_a_lock_fills_are_written_down(world: World) -> None:
    limit = Window("", 10, "f", HOUR_MS, NOW_MS, "{}").line
    await world.create(rules=rules(calls=limit), calls=[row("a", 50)])
    await world.track("calls", 2)
    await world.use(Part("calls", 5), hold=HOLD)
    assert (await receipt(world))[-1] == f"\tcalls\t\t\t{NOW_MS + HOUR_MS}\t5"
    extras = (await world.state()).customer["x:calls"].split("\n")
    assert sorted(extras) == ["k\t5", f"w\t\t{NOW_MS + HOUR_MS}\t7"]


async def test_what_is_given_back_under_a_lock_is_held_too(world: World) -> None:
    await world.create(calls=[row("a", 50)])
    await world.track("calls", 10)
    await world.use(Part("calls", -5), hold=HOLD)
    assert (await receipt(world))[1:] == ["calls\ta\t\t1\t-5\t5"]
    assert (await world.state()).customer["x:calls"] == "k\t-5"


async def test_a_lock_of_nothing_is_a_lock(world: World) -> None:
    await world.create(calls=[row("a", 50)])
    assert (await world.use(Part("calls", 0), hold=HOLD)).applied == [0]
    assert len(await receipt(world)) == 1
    assert "x:calls" not in (await world.state()).customer


async def test_a_second_lock_of_one_id_is_refused_while_the_first_is_open(world: World) -> None:
    await world.create(calls=[row("a", 50)])
    await world.use(Part("calls", 8), hold=HOLD)
    before = await world.dump()
    for hold in (HOLD, HOLD._replace(expires_ms=HOLD.expires_ms + 1)):
        reply = await world.use(Part("calls", 1), hold=hold)
        assert (reply.status, reply.applied) == (Status.LOCK_EXISTS, [])
    assert await world.dump() == before


async def test_locks_add_up(world: World) -> None:
    await world.create(calls=[row("a", 50)])
    for number in range(3):
        await world.use(Part("calls", 8), hold=HOLD._replace(lock_id=f"lock_{number}"))
    assert (await world.state()).customer["x:calls"] == "k\t24"
    assert await world.left("calls") == 26


async def test_a_lock_that_is_denied_holds_nothing(world: World) -> None:
    await world.create(calls=[row("a", 5)])
    before = await world.dump()
    refused = await world.use(Part("calls", 8), hold=HOLD, mode="reject")
    assert refused.status is Status.DENIED
    assert await world.dump() == before


@pytest.mark.parametrize("mode", ["cap", "overflow", "reject"])
async def test_a_check_holds_nothing_of_nothing(world: World, mode: str) -> None:
    await world.create(other=[row("a", 5)])
    before = await world.dump()
    hold = HOLD._replace(of_check=True)
    refused = await world.use(Part("calls", 8), hold=hold, mode=mode)
    assert refused.status is Status.DENIED
    assert await world.dump() == before
    assert (await world.use(Part("calls", 0), hold=hold, mode=mode)).status is Status.DONE


async def test_a_check_that_may_overdraw_says_so_in_its_receipt(world: World) -> None:
    await world.create(calls=[row("a", 5)])
    await world.use(Part("calls", 8), hold=HOLD._replace(of_check=True), mode="overflow")
    assert (await receipt(world))[1:] == [
        "calls\ta\t\t1\t5\t5",
        "calls\ta\t\t1\t3\t3",
        "\t\toverflow\t\t0\t0",
    ]


async def test_a_reset_that_was_due_comes_before_the_lock(world: World) -> None:
    await world.create(calls=[hourly("a", 5)])
    await world.track("calls", 5)
    world.now_ms += HOUR_MS
    await world.use(Part("calls", 3), hold=HOLD)
    assert (await receipt(world))[1:] == ["calls\ta\t\t2\t3\t3"]


async def test_what_rolled_over_is_held_as_itself(world: World) -> None:
    await world.create(calls=[hourly("a", 5, roll=":1")])
    world.now_ms += HOUR_MS
    await world.use(Part("calls", 8), hold=HOLD)
    rolled, own = (await receipt(world))[1:]
    assert rolled.startswith("calls\ta~1\t")
    assert rolled.endswith("\t5\t5")
    assert own.startswith("calls\ta\t\t2\t3")
