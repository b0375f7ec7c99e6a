"""``track`` where entities have slots of a row, or rows of their own."""

from __future__ import annotations

import pytest

from gateway.outbox import Deduction, Reset
from gateway.rows import Kind
from gateway.scripts import Status
from tests.lua.world import HOUR_MS, NOW_MS, World, hourly, per_entity, row


async def test_an_entity_spends_its_slot_before_the_rows_of_the_customer(world: World) -> None:
    await world.create(calls=[row("a", 100), per_entity("b", 50)])
    await world.seats("zoe", "adi")
    await world.entries()
    assert (await world.track("calls", 60, "zoe")).applied == [60]
    assert await world.used("zoe") == {"b": 50, "a": 10}
    assert await world.used("adi") == {"b": 0, "a": 10}
    assert await world.left("calls") == 140
    assert (await world.entry()).changes[1:] == [
        Deduction("calls", "b", "zoe", 2, 50, 50, 50),
        Deduction("calls", "a", "", 1, 10, 10, 10),
    ]


async def test_the_customer_spends_slots_last_and_in_creation_order(world: World) -> None:
    await world.create(calls=[row("a", 50), per_entity("b", 50)])
    await world.seats("zoe", "bob", "adi")
    await world.track("calls", 110)
    assert [await world.left("calls", name) for name in ("zoe", "bob", "adi")] == [0, 40, 50]
    assert await world.left("calls") == 90


async def test_slots_are_spent_around_those_that_are_drained(world: World) -> None:
    names = [f"seat_{number:02d}" for number in range(40)]
    await world.create(calls=[per_entity("b", 10)])
    await world.seats(*names)
    for name in [*names[:20], *names[21:30]]:
        await world.track("calls", 10, name)
    assert (await world.track("calls", 25)).applied == [25]
    assert [await world.left("calls", name) for name in names[19:33]] == [*[0] * 12, 5, 10]
    assert (await world.track("calls", -30, names[3])).applied == [-10]
    assert (await world.track("calls", 12)).applied == [12]
    assert await world.left("calls", names[3]) == 0
    assert await world.left("calls", names[31]) == 3


@pytest.mark.redis_kinds("embedded", "debian")
async def test_a_walk_over_many_slots_writes_what_it_changes_of_the_index_at_once(
    world: World,
) -> None:
    await world.create(calls=[per_entity("b", 10)])
    await world.seats(*(f"seat_{number}" for number in range(70)))
    await world.client.config_resetstat()
    assert (await world.track("calls", 700)).applied == [700]
    calls = await world.client.info("commandstats")
    assert calls["cmdstat_hset"]["calls"] == 70 + 2  # each slot, the index, the customer


async def test_all_slots_together_give_what_the_customer_sees(world: World) -> None:
    await world.create(calls=[per_entity("b", 10)])
    await world.seats("zoe", "bob", "eve")
    await world.track("calls", 4, "bob")
    assert (await world.track("calls", 27, mode="reject")).status is Status.DENIED
    assert (await world.track("calls", 26, mode="reject")).applied == [26]
    assert await world.left("calls") == 0


async def test_overage_of_slots_stays_above_the_floor_of_each(world: World) -> None:
    await world.create(calls=[per_entity("b", 10, flags="o", floor=5)])
    await world.seats("zoe", "bob")
    assert (await world.track("calls", 20, "zoe")).applied == [15]
    assert (await world.track("calls", 100)).applied == [15]
    assert await world.used("zoe") == {"b": 15}
    assert await world.used("bob") == {"b": 15}


async def test_overflow_passes_the_floor_of_the_first_slot(world: World) -> None:
    await world.create(calls=[per_entity("b", 10, flags="o", floor=5)])
    await world.seats("zoe", "bob")
    await world.track("calls", 30)
    assert (await world.track("calls", 7, mode="overflow")).applied == [7]
    assert await world.used("zoe") == {"b": 22}
    assert (await world.track("calls", 1)).applied == [0]


async def test_slots_without_a_grant_are_spent_only_where_units_were_given_back(
    world: World,
) -> None:
    await world.create(calls=[per_entity("b", 0)])
    await world.seats("zoe", "bob", "eve")
    await world.track("calls", -20, "bob", "overflow")
    assert await world.left("calls") == 20
    assert (await world.track("calls", 30)).applied == [20]
    assert await world.used("bob") == {"b": 0}


async def test_unlimited_slots_put_customer_use_on_the_first_entity(world: World) -> None:
    await world.create(calls=[per_entity("b", 0, flags="u")])
    await world.seats("zoe", "bob")
    await world.track("calls", 7)
    await world.track("calls", 5, "bob")
    await world.track("calls", -9)
    assert await world.used() == {"b": 3}
    assert await world.used("zoe") == {"b": -2}


async def test_giving_back_reaches_slots_in_creation_order(world: World) -> None:
    await world.create(calls=[per_entity("b", 10, flags="o")])
    await world.seats("zoe", "bob", "eve")
    await world.track("calls", 15, "bob")
    await world.track("calls", 3, "eve")
    assert (await world.track("calls", -7)).applied == [-7]
    assert await world.used("bob") == {"b": 8}
    assert (await world.track("calls", -100)).applied == [-11]
    assert await world.used() == {"b": 0}


async def test_a_reset_of_slots_touches_none_of_them(world: World) -> None:
    await world.create(
        calls=[hourly("b", 10, kind=Kind.PER_ENTITY, entity_feature="seats")],
    )
    await world.seats("zoe", "bob")
    await world.track("calls", 15)
    slot = await world.holding("p:calls\tbob")
    await world.entries()
    world.now_ms += HOUR_MS
    assert (await world.track("calls", 1, "zoe")).applied == [1]
    assert await world.left("calls") == 19
    assert await world.holding("p:calls\tbob") == slot
    reset, _, *moves = (await world.entry()).changes
    assert [reset, *moves] == [
        Reset("calls", "b", "", 3, NOW_MS + 2 * HOUR_MS),
        Deduction("calls", "b", "zoe", 3, 1, 1, 1),
    ]


async def test_entities_of_another_feature_have_no_slot(world: World) -> None:
    await world.create(calls=[per_entity("b", 10)])
    await world.seats("zoe")
    await world.seat("den", "rooms")
    assert (await world.track("calls", 1, "den")).applied == [0]
    assert await world.left("calls") == 10


async def test_an_entity_spends_its_own_rows_by_rank_together_with_its_slots(world: World) -> None:
    await world.create(calls=[per_entity("b", 10), row("d", 10)])
    await world.seats("zoe")
    await world.attach("zoe", calls=[row("a", 10), row("c", 10)])
    await world.entries()
    await world.track("calls", 35, "zoe")
    assert await world.used("zoe") == {"a": 10, "b": 10, "c": 10, "d": 5}
    assert [change.total for change in (await world.entry()).changes[1:]] == [10, 10, 10, 5]  # type: ignore[union-attr]


async def test_the_customer_spends_what_entities_hold_last_and_never_overdraws_it(
    world: World,
) -> None:
    await world.create(calls=[row("a", 50)])
    await world.seats("zoe", "bob")
    await world.attach("bob", calls=[row("b", 10)])
    await world.attach("zoe", calls=[row("c", 10), row("d", 10, flags="o")])
    await world.entries()
    assert await world.left("calls") == 80
    assert (await world.track("calls", 75)).applied == [75]
    assert [await world.left("calls", name) for name in ("zoe", "bob")] == [0, 5]
    assert (await world.entry()).changes[1:] == [
        Deduction("calls", "a", "", 1, 50, 50, 50),
        Deduction("calls", "c", "zoe", 5, 10, 10, 10),
        Deduction("calls", "d", "zoe", 6, 10, 10, 10),
        Deduction("calls", "b", "bob", 3, 5, 5, 5),
    ]
    assert (await world.track("calls", 50)).applied == [5]
    assert (await world.track("calls", 50, "zoe")).applied == [50]


async def test_giving_back_pays_what_entities_owe_before_it_fills_their_rows(world: World) -> None:
    await world.create()
    await world.seats("zoe", "bob")
    await world.attach("zoe", calls=[row("a", 10)])
    await world.attach("bob", calls=[row("b", 10, flags="o")])
    await world.track("calls", 10, "zoe")
    await world.track("calls", 15, "bob")
    assert (await world.track("calls", -6)).applied == [-6]
    assert await world.used("bob") == {"b": 10}
    assert await world.used("zoe") == {"a": 9}
    assert (await world.track("calls", -100, mode="overflow")).applied == [-100]
    assert await world.used("zoe") == {"a": -91}
    assert await world.left("calls") == 101


async def test_overflow_beyond_what_entities_hold_is_owed_by_the_first(world: World) -> None:
    await world.create()
    await world.seats("zoe", "bob")
    await world.attach("bob", calls=[row("b", 10)])
    await world.attach("zoe", calls=[row("a", 10)])
    assert (await world.track("calls", 25, mode="overflow")).applied == [25]
    assert await world.used("zoe") == {"a": 15}


async def test_an_unlimited_row_of_an_entity_takes_customer_use_after_nothing_else(
    world: World,
) -> None:
    await world.create(calls=[row("a", 10)])
    await world.seats("zoe", "bob")
    await world.attach("zoe", calls=[row("b", 10)])
    await world.attach("bob", calls=[row("c", 0, flags="u")])
    assert (await world.track("calls", 100)).applied == [100]
    assert await world.used("bob") == {"c": 100, "a": 0}
    assert await world.used("zoe") == {"b": 0, "a": 0}


async def test_customer_use_waits_until_rows_of_entities_are_settled(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("b", 10)])
    await world.track("calls", 10, "zoe")
    world.now_ms += HOUR_MS
    before = await world.dump()
    assert (await world.track("calls", 1)).status is Status.DUE
    assert await world.dump() == before
    await world.settle()
    assert (await world.track("calls", 20)).applied == [20]


async def test_the_entity_itself_need_not_wait_for_settling(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("b", 10)])
    await world.track("calls", 10, "zoe")
    await world.entries()
    world.now_ms += HOUR_MS
    assert (await world.track("calls", 4, "zoe")).applied == [4]
    reset, _, *moves = (await world.entry()).changes
    assert [reset, *moves] == [
        Reset("calls", "b", "zoe", 4, NOW_MS + 2 * HOUR_MS),
        Deduction("calls", "b", "zoe", 4, 4, 4, 4),
    ]
    assert await world.left("calls") == 6


@pytest.mark.parametrize("used", [0, 3])
async def test_what_an_entity_holds_begins_anew_with_whatever_is_used_of_it(
    world: World, used: int
) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("a", 10), row("b", 5)])
    await world.track("calls", 12, "zoe")
    await world.entries()
    world.now_ms += HOUR_MS
    assert (await world.track("calls", used, "zoe")).status is Status.DONE
    await world.entries()
    assert (world.history.total("a"), world.history.total("b")) == (used, 2)
    assert await world.settle() == (Status.DONE, 0)
    assert (await world.left("calls"), await world.left("calls", "zoe")) == (13 - used, 13 - used)
    await world.check_ledger()
