"""``create_entity``: its place, its seat, its slots."""

from __future__ import annotations

import asyncio

from gateway.outbox import Deduction, EntitySet, EntryKind, Event
from gateway.scripts import Status
from tests.lua.world import HOUR_MS, NOW_MS, SEAT, World, hourly, per_entity, row, rules


async def test_a_new_entity_counts_for_its_feature(world: World) -> None:
    await world.create(seats=[row("a", 3 * SEAT, flags="a")])
    await world.entries()
    assert await world.seat("zoe") is Status.DONE
    entry = await world.entry()
    assert (entry.kind, entry.seq) == (EntryKind.ENTITY, 2)
    assert entry.changes == [
        EntitySet("zoe", 1, "seats", '{"created_at":2}'),
        Event("seats", "", "zoe", SEAT, SEAT, NOW_MS, "{}"),
        Deduction("seats", "a", "", 1, SEAT, SEAT, SEAT),
    ]
    assert await world.left("seats") == 2 * SEAT
    assert (await world.read("zoe")).entity.endswith('\t1\tseats\t{"created_at":2}')


async def test_an_entity_of_a_feature_nobody_has_rows_of_moves_nothing(world: World) -> None:
    await world.create()
    await world.entries()
    await world.seat("zoe")
    assert (await world.entry()).changes[1:] == [
        Event("seats", "", "zoe", SEAT, 0, NOW_MS, "{}"),
    ]


async def test_an_entity_of_an_unknown_customer_writes_nothing(world: World) -> None:
    assert await world.seat("zoe") is Status.CUSTOMER_MISSING
    assert await world.dump() == {}


async def test_an_id_is_taken_whatever_its_feature(world: World) -> None:
    await world.create(seats=[row("a", 300)])
    await world.seats("zoe")
    before = await world.dump()
    assert await world.seat("zoe") is Status.EXISTS
    assert await world.seat("zoe", "rooms") is Status.EXISTS
    assert await world.dump() == before


async def test_of_many_at_once_each_succeeds_or_is_told_it_exists(world: World) -> None:
    await world.create(seats=[row("a", 1000)])
    names = [f"seat_{number % 5}" for number in range(15)]
    statuses = await asyncio.gather(*map(world.seat, names))
    assert statuses.count(Status.DONE) == 5
    assert statuses.count(Status.EXISTS) == 10
    assert await world.left("seats") == 500


async def test_seats_beyond_the_grant_are_owed(world: World) -> None:
    await world.create(seats=[row("a", SEAT, flags="af")])
    await world.seats("zoe", "bob", "eve")
    assert await world.used() == {"a": 3 * SEAT}


async def test_seats_beyond_the_grant_are_owed_by_the_first_row_without_a_permission(
    world: World,
) -> None:
    await world.create(seats=[row("a", SEAT), row("b", SEAT)])
    await world.seats("zoe", "bob", "eve")
    assert await world.used() == {"a": 2 * SEAT, "b": SEAT}


async def test_a_pay_per_use_cap_is_not_passed(world: World) -> None:
    await world.create(seats=[row("a", SEAT, flags="oa", floor=SEAT)])
    await world.seats("zoe", "bob")
    before = await world.dump()
    assert await world.seat("eve") is Status.CAPPED
    assert await world.dump() == before


async def test_entities_of_one_feature_are_limited_by_the_caller(world: World) -> None:
    await world.create()
    await world.seats("zoe", "bob")
    before = await world.dump()
    assert await world.seat("eve", entities_max=2) is Status.CAPPED
    assert await world.dump() == before
    assert await world.seat("eve", "rooms", entities_max=2) is Status.DONE


async def test_a_seat_waits_until_rows_of_entities_are_settled(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", seats=[hourly("a", 10 * SEAT)])
    world.now_ms += HOUR_MS
    before = await world.dump()
    assert await world.seat("bob") is Status.DUE
    assert await world.dump() == before
    await world.settle()
    assert await world.seat("bob") is Status.DONE
    assert await world.used("zoe") == {"a": SEAT}


async def test_a_new_entity_has_a_full_slot_without_a_write(world: World) -> None:
    await world.create(calls=[per_entity("a", 10)])
    await world.seats("zoe")
    await world.track("calls", 10)
    await world.seats("bob")
    assert await world.left("calls", "bob") == 10
    assert await world.left("calls") == 10
    assert await world.holding("p:calls\tbob") == ""


async def test_the_band_of_a_feature_is_given_once(world: World) -> None:
    await world.create()
    await world.seats("zoe", "bob")
    await world.leave("zoe")
    await world.leave("bob")
    await world.seats("eve")
    state = await world.state()
    assert state.customer["n:seats"] == "1 1"
    assert state.customer["entities"] == "3"


async def test_a_spend_limit_on_seats_lets_none_go_uncounted(world: World) -> None:
    limit = rules(seats="s\t0\t0")
    await world.create(rules=limit, seats=[row("s", SEAT, flags="af")])
    await world.seats("zoe", "bob")
    assert await world.used() == {"s": 2 * SEAT}
    await world.leave("bob")
    assert await world.used() == {"s": SEAT}


async def test_a_seat_beyond_the_grant_takes_what_rolled_over_first(world: World) -> None:
    await world.create(seats=[hourly("a", 40, flags="a", roll=":1")])
    world.now_ms += HOUR_MS
    assert await world.seat("zoe") is Status.DONE
    assert await world.left("seats") == 0
    assert sorted((await world.used()).values()) == [40, 60]
    await world.check_ledger()


async def test_an_entity_whose_slot_would_leave_the_exact_range_is_refused(world: World) -> None:
    third = (2**53 - 1) // 3
    await world.create(calls=[per_entity("a", third)], tokens=[per_entity("b", third // 2)])
    await world.seats("zoe", "bob", "eve")
    before = await world.dump()
    assert await world.seat("ann") is Status.OUT_OF_RANGE
    assert await world.dump() == before
    assert await world.seat("lab", "rooms") is Status.DONE
    assert await world.left("calls") == 3 * third
