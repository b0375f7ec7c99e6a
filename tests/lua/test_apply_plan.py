"""``apply_plan``: other rows, the same numbers where a row stays."""

from __future__ import annotations

import asyncio

from gateway.outbox import (
    EntitySet,
    EntryKind,
    RowAdded,
    RowEnded,
    RowUpdated,
    SubscriptionSet,
)
from gateway.rows import decode_live, encode_row
from gateway.scripts import PooledGroups, Status
from tests.lua.world import (
    HOUR_MS,
    NOW_MS,
    SEAT,
    World,
    groups,
    hourly,
    per_entity,
    row,
    rules,
    slots,
)


async def test_rows_that_stay_keep_their_numbers(world: World) -> None:
    await world.create(calls=[row("a", 10), per_entity("b", 10), row("c", 10)])
    await world.seats("zoe", "bob")
    await world.track("calls", 33)
    await world.entries()
    new = hourly("d", 7)
    assert await world.attach(calls=[new, row("a", 10), per_entity("b", 10)]) is Status.DONE
    assert await world.used() == {"d": 0, "a": 10, "b": 13}
    entry = await world.entry()
    assert entry.kind is EntryKind.PLAN
    assert entry.changes == [
        SubscriptionSet("", '{"id":"sub_1"}'),
        RowEnded("calls", "c"),
        RowAdded("calls", "", 0, 5, NOW_MS + HOUR_MS, encode_row(new)),
    ]
    await world.track("calls", 12)
    assert await world.left("calls", "bob") == 2


async def test_uses_at_the_time_of_the_change_are_not_lost(world: World) -> None:
    await world.create(calls=[row("a", 1000)])
    uses = [world.track("calls", 1) for _ in range(20)]
    change = world.attach(calls=[row("a", 1000), row("b", 1000)])
    replies = await asyncio.gather(*uses[:10], change, *uses[10:])
    assert replies[10] is Status.DONE
    assert await world.used() == {"a": 20, "b": 0}


async def test_a_row_that_goes_takes_its_slots_and_marks_along(world: World) -> None:
    await world.create(calls=[per_entity("a", 10)])
    await world.seats("zoe", "bob")
    await world.track("calls", 15)
    assert (await world.state()).marks
    await world.attach(calls=[per_entity("b", 10)])
    assert not (await world.state()).marks
    assert await world.left("calls") == 20
    assert await world.track("calls", 3, "zoe")
    assert (await world.holding("p:calls\tzoe")).split()[1:] == ["3"]


async def test_a_feature_without_rows_is_empty(world: World) -> None:
    await world.create(calls=[row("a")])
    await world.attach(calls=[])
    assert await world.used() == {}
    assert (await world.check("calls", 0)).status is Status.DONE


async def test_continuous_use_fills_the_new_rows_in_order_and_the_rest_is_on_the_first(
    world: World,
) -> None:
    await world.create(seats=[row("a", 500, flags="a"), row("b", 500, flags="a")])
    await world.track("seats", 700)
    await world.attach(seats=[row("c", 100), row("d", 100, flags="a"), row("e", 100, flags="a")])
    assert await world.used() == {"c": 0, "d": 600, "e": 100}
    await world.entries()
    assert (world.history.total("d"), world.history.total("e")) == (600, 100)


async def test_of_rows_that_have_no_room_the_first_takes_all_continuous_use(world: World) -> None:
    await world.create(seats=[row("a", 10, flags="a")])
    await world.track("seats", 7)
    await world.attach(seats=[row("b", 0, flags="a"), row("c", 0, flags="a")])
    assert await world.used() == {"b": 7, "c": 0}


async def test_continuous_use_moves_on_to_a_row_that_stays(world: World) -> None:
    await world.create(seats=[row("a", 5, flags="a"), row("b", 5, flags="a")])
    await world.track("seats", 2)
    await world.attach(seats=[row("b", 5, flags="a")])
    assert await world.used() == {"b": 2}
    await world.entries()
    assert world.history.total("b") == 2
    await world.attach("", seats=[row("c", 5, flags="a"), row("b", 5, flags="a")])
    assert await world.used() == {"c": 0, "b": 2}


async def test_slots_of_continuous_use_move_on_to_the_new_row_of_the_same_entities(
    world: World,
) -> None:
    await world.create(calls=[per_entity("a", 10, flags="a")])
    await world.seats("zoe", "bob")
    await world.track("calls", 7, "zoe")
    await world.track("calls", 3, "bob")
    await world.attach(calls=[per_entity("b", 5, flags="a")])
    assert await world.used() == {"b": 10}
    assert [await world.left("calls", name) for name in ("zoe", "bob")] == [0, 2]
    await world.entries()
    assert world.history.total("b") == 10


async def test_slots_of_use_that_comes_back_each_period_do_not_move_on(world: World) -> None:
    await world.create(calls=[per_entity("a", 10)])
    await world.seats("zoe")
    await world.track("calls", 7, "zoe")
    await world.attach(calls=[per_entity("b", 10, flags="a")])
    assert await world.used() == {"b": 0}


async def test_entities_held_by_a_plan_of_an_entity_are_not_counted_again(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", seats=[row("own", 9 * SEAT, flags="af")])
    await world.seats("bob")
    await world.attach("", seats=[row("a", 9 * SEAT, flags="af")])
    (seen,) = (await world.check("seats", 0)).descriptions
    used = int(seen.held.split()[2]) + int(seen.live.split()[0])
    assert used == 2 * SEAT


async def test_grants_of_all_entities_that_leave_the_exact_range_are_refused(world: World) -> None:
    await world.create()
    await world.seats("zoe", "bob")
    assert await world.attach("zoe", calls=[row("a", 5 * 10**15)]) is Status.DONE
    before = await world.dump()
    assert await world.attach("bob", calls=[row("b", 5 * 10**15)]) is Status.OUT_OF_RANGE
    assert await world.dump() == before


async def test_slots_that_leave_the_exact_range_together_are_refused(world: World) -> None:
    third = (2**53 - 1) // 3
    await world.create()
    await world.seats("zoe", "bob", "eve")
    before = await world.dump()
    assert await world.attach(calls=[per_entity("a", third + 1)]) is Status.OUT_OF_RANGE
    assert await world.dump() == before
    assert await world.attach(calls=[per_entity("a", third)]) is Status.DONE
    assert await world.left("calls") == 3 * third


async def test_use_that_comes_back_each_period_does_not_move_on(world: World) -> None:
    await world.create(calls=[row("a", 500)])
    await world.track("calls", 100)
    await world.attach(calls=[row("b", 500)])
    assert await world.used() == {"b": 0}


async def test_entities_that_were_there_before_the_plan_count(world: World) -> None:
    await world.create()
    await world.seats("zoe", "bob")
    await world.attach(seats=[row("a", SEAT, flags="af")])
    assert await world.used() == {"a": 2 * SEAT}
    await world.attach(seats=[row("b", 9 * SEAT, flags="af")])
    assert await world.used() == {"b": 2 * SEAT}


async def test_a_change_of_another_reading_writes_nothing(world: World) -> None:
    await world.create(calls=[row("a")])
    before = await world.dump()
    assert await world.attach(revision="9", calls=[row("b")]) is Status.STALE
    assert await world.dump() == before


async def test_an_unknown_customer_or_entity_writes_nothing(world: World) -> None:
    assert await world.attach(calls=[row("a")]) is Status.CUSTOMER_MISSING
    assert await world.dump() == {}
    await world.create()
    before = await world.dump()
    assert await world.attach("nobody", calls=[row("a")]) is Status.ENTITY_MISSING
    assert await world.dump() == before


async def test_rows_of_an_entity_are_its_own(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await world.seats("zoe", "bob")
    await world.entries()
    new = hourly("b", 20)
    assert await world.attach("zoe", calls=[new]) is Status.DONE
    assert (await world.entry()).changes == [
        EntitySet("zoe", 1, "seats", '{"created_at":3}'),
        RowAdded("calls", "zoe", 0, 3, NOW_MS + HOUR_MS, encode_row(new)),
    ]
    assert (await world.read("zoe")).entity.endswith('\t{"created_at":3}')
    assert [await world.left("calls", scope) for scope in ("", "zoe", "bob")] == [30, 30, 10]


async def test_rows_an_entity_keeps_keep_their_numbers(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", calls=[row("a", 20), row("b", 20, flags="a")])
    await world.track("calls", 33, "zoe")
    await world.attach("zoe", calls=[row("a", 20), row("c", 5, flags="a")])
    assert await world.used("zoe") == {"a": 20, "c": 13}
    assert (await world.state()).customer["h:calls"].split()[1:5] == ["25", "33", "8", "0"]


async def test_an_entity_without_rows_leaves_no_trace_of_them(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("a", 20)])
    await world.track("calls", 7, "zoe")
    await world.attach("zoe", calls=[])
    state = await world.state()
    assert list(state.holdings) == ["e:zoe"]
    assert not state.marks
    assert not state.due
    assert state.customer["h:calls"].split()[1:] == ["0"] * 7


async def test_the_rules_of_the_scope_come_with_its_plan(world: World) -> None:
    await world.create(calls=[row("a", 10)], rules="calls\x1fo\t1")
    await world.seats("zoe")
    await world.attach("zoe", rules="calls\x1fs\t5\t0", calls=[row("b", 1)])
    await world.attach(rules="calls\x1fo\t0", calls=[row("a", 10)])
    (seen,) = (await world.read("zoe")).descriptions
    assert (seen.rules, seen.own_rules) == ("o\t0", "s\t5\t0")


async def test_a_stale_change_leaves_the_rules(world: World) -> None:
    await world.create(calls=[row("a", 10)], rules="calls\x1fo\t1")
    before = await world.dump()
    assert await world.attach(revision="7", rules="calls\x1fo\t0") is Status.STALE
    assert await world.dump() == before


async def test_rows_of_an_entity_and_pooled_rows_of_its_customer_are_one_step(
    world: World,
) -> None:
    await world.create(calls=[row("a", 5)])
    await world.seats("zoe", "bob")
    await world.track("calls", 3, "bob")
    await world.entries()
    pooled, own = hourly("p", 20), row("own", 7)
    shared = PooledGroups(rules(calls="o\t0"), groups({"calls": [pooled, row("a", 5)]}))
    assert await world.attach("zoe", pooled=shared, calls=[own]) is Status.DONE
    assert await world.used("zoe") == {"own": 0, "p": 0, "a": 3}
    assert [await world.left("calls", name) for name in ("zoe", "bob", "")] == [29, 22, 29]
    entry = await world.entry()
    assert entry.kind is EntryKind.PLAN
    added = [one.row for one in entry.changes if isinstance(one, RowAdded)]
    assert added == [encode_row(own), encode_row(pooled)]
    assert (await world.state()).customer["l:calls"] == "o\t0"
    await world.check_ledger()


async def test_numbers_of_an_entity_that_move_on_leave_those_of_pooled_rows_alone(
    world: World,
) -> None:
    await world.create(calls=[hourly("p", 20)])
    await world.seats("zoe")
    await world.attach("zoe", calls=[row("old", 5)])
    await world.track("calls", 9, "zoe")
    more = PooledGroups("", groups({"calls": [hourly("p", 30)]}))
    carry = "calls\told\tnew\t"
    assert await world.attach("zoe", carries=carry, pooled=more, calls=[row("new", 8)])
    assert await world.used("zoe") == {"new": 5, "p": 4}
    assert await world.left("calls") == 3 + 26
    await world.check_ledger()


async def test_a_customer_row_that_expired_since_it_was_read_does_not_come_back(
    world: World,
) -> None:
    ends = row("e", 10, expires_ms=NOW_MS + HOUR_MS)
    await world.create(calls=[ends])
    await world.seats("zoe")
    await world.attach("zoe", calls=[row("old", 5)])
    shared = PooledGroups("", groups({"calls": [ends, row("p", 20)]}))
    world.now_ms += HOUR_MS
    before = await world.dump()
    carry = "calls\told\tnew\t"
    changed = await world.attach("zoe", carries=carry, pooled=shared, calls=[row("new", 5)])
    assert changed is Status.STALE
    assert await world.dump() == before


async def test_the_next_reset_of_a_row_that_stays_moves_with_its_cycle(world: World) -> None:
    await world.create(calls=[hourly("a", 10), slots("b", 5), hourly("c", 10)])
    await world.seats("zoe")
    await world.track("calls", 23)
    await world.entries()
    world.now_ms += HOUR_MS // 4
    at_ms, later_ms = world.now_ms, world.now_ms + 7
    moved = hourly("a", 10, anchor_ms=at_ms), slots("b", 5, anchor_ms=at_ms), hourly("c", 10)
    moves = {"a": later_ms, "b": at_ms}
    assert await world.attach(calls=list(moved), moves=moves) is Status.DONE
    entry = await world.entry()
    assert [one for one in entry.changes if isinstance(one, RowUpdated)] == [
        RowUpdated("calls", "", later_ms, encode_row(moved[0])),
        RowUpdated("calls", "", at_ms, encode_row(moved[1])),
    ]
    assert await world.left("calls") == 5
    world.now_ms = later_ms
    assert await world.left("calls") == 10 + 5
    await world.track("calls", 1)
    (seen,) = (await world.check("calls", 0)).descriptions
    dues = dict(zip("acb", (one.due_ms for one in decode_live(seen.live)), strict=True))
    assert dues == dict.fromkeys("ab", at_ms + HOUR_MS) | {"c": NOW_MS + HOUR_MS}
    await world.check_ledger()


async def test_a_reset_that_is_due_comes_before_the_one_that_moves(world: World) -> None:
    await world.create(calls=[hourly("a", 10)])
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("own", 10)])
    await world.track("calls", 3, "zoe")
    await world.track("calls", 4)
    world.now_ms += HOUR_MS
    move = {"a": world.now_ms + 7, "own": world.now_ms + 9}
    assert await world.attach(calls=[hourly("a", 10)], moves=move) is Status.DUE
    assert await world.attach("zoe", calls=[hourly("own", 10)], moves=move) is Status.DONE
    assert await world.attach(calls=[hourly("a", 10)], moves=move) is Status.DONE
    assert [await world.left("calls", name) for name in ("", "zoe")] == [20, 20]
    await world.check_ledger()


async def test_slots_that_roll_over_are_settled_before_their_reset_moves(world: World) -> None:
    rolling = slots("a", 10, roll=":0")
    await world.create(calls=[rolling])
    await world.seats("zoe")
    world.now_ms += HOUR_MS
    before = await world.dump()
    assert await world.attach(calls=[rolling], moves={"a": world.now_ms}) is Status.DUE
    assert await world.dump() == before
