"""``apply_plan``: numbers of rows that end move on where the caller names an heir, exactly."""

from __future__ import annotations

import asyncio

import pytest

from gateway.outbox import Deduction, Reset, RowAdded, RowEnded
from gateway.rows import Row, RowDocument, decode_row
from gateway.scripts import Status
from tests.lua.world import HOUR_MS, NOW_MS, World, hourly, per_entity, row


def rest(row_id: str, **columns: object) -> Row:
    """Return a row whose grant the script writes."""
    return row(row_id, 1, document=RowDocument(included=1), **columns)


async def test_use_moves_on_to_the_heir_whatever_it_grants(world: World) -> None:
    await world.create(calls=[row("a", 50)])
    await world.track("calls", 40)
    await world.entries()
    await world.attach(carries="calls\ta\tb\t", calls=[row("b", 30)])
    assert await world.used() == {"b": 40}
    changes = (await world.entry()).changes
    assert [one for one in changes if isinstance(one, RowEnded)] == [RowEnded("calls", "a")]
    assert [one.used for one in changes if isinstance(one, RowAdded)] == [40]
    assert world.history.total("b") == 40


async def test_use_moves_on_to_a_row_that_stays(world: World) -> None:
    await world.create(calls=[row("a", 50), row("b", 50)])
    await world.track("calls", 60)
    await world.entries()
    await world.attach(carries="calls\ta\tb\t", calls=[row("b", 50)])
    assert await world.used() == {"b": 60}
    moved = [one for one in (await world.entry()).changes if isinstance(one, Deduction)]
    assert [(one.delta, one.used) for one in moved] == [(50, 60)]
    assert world.history.total("b") == 60


async def test_what_is_left_becomes_a_grant(world: World) -> None:
    await world.create(calls=[row("a", 100)])
    await world.track("calls", 30)
    await world.entries()
    new = [row("b", 500), rest("c", expires_ms=NOW_MS + HOUR_MS)]
    await world.attach(carries="calls\ta\tb\tc", calls=new)
    assert await world.used() == {"b": 0, "c": 0}
    assert await world.left("calls") == 570
    added = [one for one in (await world.entry()).changes if isinstance(one, RowAdded)]
    (made,) = [decode_row(one.row) for one in added if decode_row(one.row).id == "c"]
    assert (made.grant, made.document.included) == (70, 70)


async def test_nothing_left_leaves_no_row_and_a_debt_is_the_heirs(world: World) -> None:
    for used, owed in ((100, 0), (120, 20)):
        await world.client.flushall()
        await world.create(calls=[row("a", 100, flags="o")])
        await world.track("calls", used)
        await world.attach(carries="calls\ta\tb\tc", calls=[row("b", 500), rest("c")])
        assert await world.used() == {"b": owed}


async def test_what_is_left_becomes_a_grant_and_what_was_used_is_the_heirs(world: World) -> None:
    for used, kept in ((30, 70), (120, 0)):
        await world.client.flushall()
        await world.create(calls=[row("a", 100, flags="o")])
        await world.track("calls", used)
        both = "calls\ta\tb\tc\ncalls\ta\tb\t"
        await world.attach(carries=both, calls=[row("b", 500), rest("c")])
        assert await world.used() == {"b": used} | ({"c": 0} if kept else {})
        assert await world.left("calls") == 500 - used + kept


@pytest.mark.parametrize("scope", ["", "zoe"])
@pytest.mark.parametrize(
    ("bought", "used"), [(0, [100, 140, 0]), (50, [60, 130, 50]), (100, [60, 90, 90])]
)
async def test_what_was_used_beyond_rows_that_stay_moves_on_as_far_as_there_is_room(
    world: World, scope: str, bought: int, used: list[int]
) -> None:
    rows = [row("a", 60, flags="o", floor=40), row("b", 90, flags="o"), row("c", 10)]
    await world.create()
    await world.seats("zoe")
    await world.attach(scope, calls=rows)
    await world.track("calls", 250, scope)
    carries = "".join(f"calls\t{name}\td\t\n" for name in "abc")
    await world.attach(scope, carries=carries, calls=[*rows, row("d", bought)])
    assert list((await world.used(scope)).values()) == [*used[:2], 10, used[2]]
    await world.check_ledger()


async def test_a_reset_that_is_due_comes_first(world: World) -> None:
    await world.create(calls=[hourly("a", 100)])
    await world.track("calls", 80)
    await world.entries()
    world.now_ms += HOUR_MS
    await world.attach(carries="calls\ta\tb\tc", calls=[row("b", 500), rest("c")])
    assert await world.left("calls") == 600
    assert any(isinstance(one, Reset) for one in (await world.entry()).changes)


async def test_uses_at_the_time_of_the_change_are_carried_or_counted(world: World) -> None:
    await world.create(calls=[row("a", 1000)])
    uses = [world.track("calls", 1) for _ in range(20)]
    change = world.attach(carries="calls\ta\tb\t", calls=[row("b", 1000)])
    replies = await asyncio.gather(*uses[:10], change, *uses[10:])
    assert replies[10] is Status.DONE
    assert await world.used() == {"b": 20}


async def test_slots_move_on_to_a_heir_that_is_named(world: World) -> None:
    await world.create(calls=[per_entity("a", 10)])
    await world.seats("zoe", "bob")
    await world.track("calls", 7, "zoe")
    await world.attach(carries="calls\ta\tb\t", calls=[per_entity("b", 20)])
    assert await world.used() == {"b": 7}
    assert [await world.left("calls", name) for name in ("zoe", "bob")] == [13, 20]


async def test_rows_of_an_entity_carry_as_those_of_the_customer(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", calls=[row("a", 100), row("z", 10)])
    await world.track("calls", 60, "zoe")
    await world.attach(
        "zoe", carries="calls\ta\tb\tc\ncalls\tz\tb\t", calls=[row("b", 5), rest("c")]
    )
    assert await world.left("calls", "zoe") == 5 + 40
    assert await world.left("calls") == 45


async def test_a_row_that_has_expired_meanwhile_makes_the_caller_decide_again(
    world: World,
) -> None:
    await world.create(calls=[row("a", 10), row("z", 10, expires_ms=NOW_MS + HOUR_MS)])
    world.now_ms += HOUR_MS
    before = await world.dump()
    kept = row("z", 10, expires_ms=NOW_MS + HOUR_MS)
    changed = await world.attach(carries="calls\ta\tb\t", calls=[row("b", 5), kept])
    assert changed is Status.STALE
    assert await world.dump() == before


async def test_rollovers_that_are_due_are_settled_first(world: World) -> None:
    await world.create(calls=[hourly("a", 100, roll=":1")])
    world.now_ms += HOUR_MS
    before = await world.dump()
    changed = await world.attach(carries="calls\ta\tb\t", calls=[row("b", 5)])
    assert changed is Status.DUE
    assert await world.dump() == before


@pytest.mark.parametrize("scope", ["", "zoe"])
@pytest.mark.parametrize(
    ("used", "rows", "carried"),
    [
        (120, [row("b", 50), row("d", 500)], [50, 70]),
        (120, [row("b", 50), row("d", 30)], [90, 30]),
        (120, [row("b", 50), row("d", 30, flags="o", floor=5)], [50, 70]),
        (120, [row("b", 50, flags="o"), row("d", 30)], [90, 30]),
        (120, [row("b", 0, flags="u"), row("d", 30)], [120, 0]),
        (40, [row("b", 50), row("d", 500)], [40, 0]),
    ],
)
async def test_what_the_heir_has_no_units_for_is_used_of_others_that_begin(
    world: World, scope: str, used: int, rows: list[Row], carried: list[int]
) -> None:
    await world.create()
    await world.seats("zoe")
    stays = row("c", 90)
    await world.attach(scope, calls=[row("a", 200), stays])
    await world.track("calls", used, scope)
    await world.attach(scope, carries="calls\ta\tb\t", calls=[*rows, stays])
    left, right = carried
    assert await world.used(scope) == {"b": left, "c": 0, "d": right}
    await world.check_ledger()


async def test_what_entities_used_is_used_of_a_row_they_share(world: World) -> None:
    await world.create(calls=[per_entity("a", 50)])
    await world.seats("zoe", "bob")
    for name, units in (("zoe", 40), ("bob", 10)):
        await world.track("calls", units, name)
    await world.attach(carries="calls\ta\tb\t", calls=[row("b", 200)])
    assert await world.used() == {"b": 50}
    assert [await world.left("calls", name) for name in ("zoe", "")] == [150, 150]
    await world.check_ledger()


@pytest.mark.parametrize(
    ("used", "slots"),
    [(20, [20, 0]), (45, [30, 15]), (70, [40, 30]), (-5, [-5, 0])],
)
async def test_what_all_shared_is_used_of_the_slots_of_first_created_entities_first(
    world: World, used: int, slots: list[int]
) -> None:
    await world.create(calls=[row("a", 100)])
    await world.seats("zoe", "bob")
    await world.track("calls", used, mode="overflow")
    await world.attach(carries="calls\ta\tb\t", calls=[per_entity("b", 30)])
    assert await world.used() == {"b": used}
    assert [(await world.used(name))["b"] for name in ("zoe", "bob")] == slots
    await world.check_ledger()


async def test_a_debt_of_what_all_shared_is_used_of_slots(world: World) -> None:
    await world.create(calls=[row("a", 50)])
    await world.seats("zoe", "bob")
    await world.track("calls", 60, mode="overflow")
    await world.attach(carries="calls\ta\tb\tc", calls=[per_entity("b", 30), rest("c")])
    assert [await world.left("calls", name) for name in ("zoe", "bob", "")] == [20, 30, 50]
    await world.check_ledger()


async def test_without_entities_there_are_no_slots_to_use(world: World) -> None:
    await world.create(calls=[row("a", 50)])
    await world.track("calls", 20)
    await world.attach(carries="calls\ta\tb\t", calls=[per_entity("b", 30)])
    assert await world.used() == {"b": 0}
    await world.check_ledger()
