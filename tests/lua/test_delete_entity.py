"""``delete_entity``: what an entity used leaves with it, and its seat comes back."""

from __future__ import annotations

import pytest

from gateway.outbox import Deduction, EntityDeleted, EntryKind, Event, RowUpdated
from gateway.rows import Kind, encode_row
from gateway.scripts import PooledGroups, Status
from tests.lua.world import HOUR_MS, NOW_MS, SEAT, World, groups, hourly, per_entity, row


async def test_a_deleted_entity_gives_its_seat_back_and_takes_its_use_along(world: World) -> None:
    await world.create(calls=[row("a", 50), per_entity("b", 10)], seats=[row("c", 3 * SEAT)])
    await world.seats("zoe", "bob")
    await world.attach("zoe", calls=[row("d", 5)])
    await world.track("calls", 20, "zoe")
    await world.track("calls", 4, "bob")
    await world.entries()
    assert await world.left("calls") == 50 - 5 + 6
    assert await world.leave("zoe") is Status.DONE
    assert await world.left("calls") == 50 - 5 + 6
    assert await world.used() == {"a": 5, "b": 4, "c": SEAT}
    entry = await world.entry()
    assert entry.kind is EntryKind.ENTITY_DELETE
    assert entry.changes == [
        Deduction("calls", "b", "zoe", 2, -10, 0, 4),
        Deduction("calls", "d", "zoe", 5, -5, 0, 0),
        Event("seats", "", "zoe", -SEAT, -SEAT, NOW_MS, "{}"),
        Deduction("seats", "c", "", 3, -SEAT, SEAT, SEAT),
        EntityDeleted("zoe"),
    ]
    state = await world.state()
    assert not [field for field in state.holdings if field.endswith("zoe")]
    assert list(state.entity_index.names.values()) == ["bob"]


async def test_an_unknown_entity_writes_nothing(world: World) -> None:
    await world.create(seats=[row("a")])
    before = await world.dump()
    assert await world.leave("nobody") is Status.ENTITY_MISSING
    assert await world.dump() == before


async def test_an_unknown_customer_writes_nothing(world: World) -> None:
    assert await world.leave("zoe") is Status.CUSTOMER_MISSING
    assert await world.dump() == {}


async def test_a_seat_goes_back_when_rows_of_entities_are_settled(world: World) -> None:
    await world.create(seats=[row("a", 300)])
    await world.seats("zoe", "bob")
    await world.attach("zoe", seats=[hourly("b", 300)])
    world.now_ms += HOUR_MS
    before = await world.dump()
    assert await world.leave("bob") is Status.DUE
    assert await world.dump() == before
    await world.settle()
    assert await world.leave("bob") is Status.DONE


async def test_an_entity_that_comes_again_is_a_new_one_at_the_end(world: World) -> None:
    await world.create(calls=[per_entity("a", 10)])
    await world.seats("zoe", "bob")
    await world.track("calls", 10, "zoe")
    await world.leave("zoe")
    await world.seats("zoe")
    assert await world.left("calls", "zoe") == 10
    await world.track("calls", 12)
    assert await world.left("calls", "bob") == 0
    assert await world.left("calls", "zoe") == 8


async def test_debts_and_credits_leave_with_the_entity(world: World) -> None:
    await world.create(calls=[per_entity("a", 10, flags="o", floor=20)])
    await world.seats("zoe", "bob")
    await world.attach("bob", calls=[row("b", 5, flags="o")])
    await world.track("calls", 30, "zoe")
    await world.track("calls", 50, "bob")
    await world.leave("zoe")
    await world.leave("bob")
    state = await world.state()
    assert state.customer["v:calls"].split()[:3] == ["0", "0", "0"]
    assert state.customer["h:calls"].split()[1:] == ["0"] * 7
    assert not state.marks


@pytest.mark.parametrize("way", ["expires", "resets"])
async def test_slots_of_a_row_that_ended_or_is_due_leave_the_sums_too(
    world: World, way: str
) -> None:
    made = per_entity("a", 10, expires_ms=NOW_MS + HOUR_MS)
    if way == "resets":
        made = hourly("a", 10, kind=Kind.PER_ENTITY, entity_feature="seats")
    await world.create(calls=[made])
    await world.seats("zoe", "bob")
    await world.track("calls", 13)
    world.now_ms += HOUR_MS
    assert await world.leave("zoe") is Status.DONE
    state = await world.state()
    assert state.customer["v:calls"].split()[0] == "3"


async def test_slots_of_rows_that_are_gone_do_not_outlive_the_entity(world: World) -> None:
    await world.create(calls=[per_entity("a", 10)])
    await world.seats("zoe")
    await world.track("calls", 5)
    await world.attach(calls=[])
    assert await world.holding("p:calls\tzoe") != ""
    await world.leave("zoe")
    assert not (await world.state()).holdings


async def test_unlimited_use_leaves_with_the_entity(world: World) -> None:
    await world.create(calls=[per_entity("a", 0, flags="u")])
    await world.seats("zoe", "bob")
    await world.attach("bob", calls=[row("A", 0, flags="u")])
    await world.track("calls", 5, "zoe")
    await world.track("calls", 6, "bob")
    await world.leave("zoe")
    assert await world.used("bob") == {"a": 0, "A": 6}
    await world.leave("bob")
    assert await world.used() == {"a": 0}


async def test_what_it_gave_to_a_pooled_row_leaves_with_it_and_what_was_used_stays(
    world: World,
) -> None:
    await world.create(calls=[row("a", 5)], seats=[row("c", 3 * SEAT)])
    await world.seats("zoe", "bob")
    pool = PooledGroups("", groups({"calls": [row("a", 5), row("p", 20)]}))
    assert await world.attach("zoe", pooled=pool, calls=[row("d", 7)]) is Status.DONE
    await world.track("calls", 14, "bob")
    await world.entries()
    rest = row("p", 10)
    revision = await world.revision()
    assert await world.leave("zoe", revision, calls=[row("a", 5), rest]) is Status.DONE
    assert await world.used() == {"a": 5, "p": 9, "c": SEAT}
    assert await world.left("calls", "bob") == 1
    entry = await world.entry()
    assert entry.changes[-2:] == [
        RowUpdated("calls", "", 0, encode_row(rest)),
        EntityDeleted("zoe"),
    ]
    await world.check_ledger()


async def test_an_entity_that_gives_to_a_pooled_row_is_deleted_as_it_was_read_or_not_at_all(
    world: World,
) -> None:
    await world.create(seats=[row("c", 3 * SEAT)])
    await world.seats("zoe")
    old = await world.revision()
    assert await world.attach("zoe", pooled=PooledGroups()) is Status.DONE
    before = await world.dump()
    assert await world.leave("zoe") is Status.STALE
    assert await world.leave("zoe", old) is Status.STALE
    assert await world.dump() == before
    assert await world.leave("zoe", await world.revision()) is Status.DONE
