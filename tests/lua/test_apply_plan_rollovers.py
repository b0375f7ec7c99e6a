"""``apply_plan``: what rolled over of slots goes on in the row that takes their place."""

from __future__ import annotations

from gateway.outbox import RowEnded, RowUpdated
from gateway.rows import Kind, Row, decode_row
from tests.lua.world import HOUR_MS, SEAT, World, hourly, row

_PER_ENTITY = {"kind": Kind.PER_ENTITY, "entity_feature": "seats"}


def slots(row_id: str, roll: str, **columns: object) -> Row:
    return hourly(row_id, 500, roll=roll, **(_PER_ENTITY | columns))


async def _rolled(world: World, scope: str) -> list[tuple[str, int]]:
    """Return whose each rollover of an entity is, and what is left of it, earliest first."""
    own = (await world.settled(scope)).descriptions
    numbers = [int(one) for seen in own for one in seen.own_live.split()[::6]]
    rows = [decode_row(line) for seen in own for line in filter(None, seen.own_rows.split("\n"))]
    return [
        (one.roll, one.grant - used)
        for one, used in zip(rows, numbers, strict=True)
        if one.rollover
    ]


async def _two_hours(world: World, *names: str) -> None:
    """Let every slot roll over twice: 500 units each time."""
    await world.create(calls=[slots("old", "1000:3")])
    await world.seats(*names)
    for _ in range(2):
        world.now_ms += HOUR_MS
        for name in names:
            await world.settled(name)
        await world.track("calls", 0)
    await world.entries()


async def test_rollovers_of_slots_move_on_within_the_new_maximum(world: World) -> None:
    await _two_hours(world, "e1", "e2")
    await world.track("calls", 300, "e2")
    await world.entries()
    await world.attach(calls=[slots("new", "600:3", anchor_ms=world.now_ms)])
    assert await _rolled(world, "e1") == [("new", 100), ("new", 500)]
    assert await _rolled(world, "e2") == [("new", 100), ("new", 500)]
    assert await world.left("calls") == 2 * (600 + 500)
    updates = [one for one in (await world.entry()).changes if isinstance(one, RowUpdated)]
    assert [(one.entity_id, decode_row(one.row).roll) for one in updates] == [
        ("e1", "new"),
        ("e1", "new"),
        ("e2", "new"),
        ("e2", "new"),
    ]


async def test_the_new_maximum_binds_what_rolls_over_next(world: World) -> None:
    await _two_hours(world, "e1")
    new = slots("new", "600:3", anchor_ms=world.now_ms)
    await world.attach(calls=[new])
    world.now_ms += HOUR_MS
    assert sum(units for _, units in await _rolled(world, "e1")) == 600


async def test_rollovers_of_slots_end_with_a_plan_that_has_no_successor(world: World) -> None:
    await _two_hours(world, "e1")
    other = slots("new", "600:3", entity_feature="rooms", anchor_ms=world.now_ms)
    await world.attach(calls=[other])
    assert await _rolled(world, "e1") == []
    assert sum(isinstance(one, RowEnded) for one in (await world.entry()).changes) == 3
    assert (await world.state()).customer["o:calls"].split()[1:] == ["0"] * 7


async def test_rollovers_of_slots_end_with_a_successor_that_never_rolls_over(world: World) -> None:
    await _two_hours(world, "e1")
    await world.attach(calls=[slots("new", "", anchor_ms=world.now_ms)])
    assert await _rolled(world, "e1") == []
    assert await world.left("calls") == 500


async def test_what_an_entity_has_of_its_own_stays_as_it_is(world: World) -> None:
    await _two_hours(world, "e1")
    reply = await world.settled("e1")
    (seen,) = reply.descriptions
    held = [decode_row(line) for line in seen.own_rows.split("\n")]
    await world.attach("e1", calls=[*held, hourly("mine", 7, roll="9:3", anchor_ms=world.now_ms)])
    await world.attach(calls=[slots("new", ":3", anchor_ms=world.now_ms)])
    assert await _rolled(world, "e1") == [("new", 500), ("new", 500)]
    assert await world.left("calls", "e1") == 1000 + 7 + 500


async def test_an_entity_that_a_rollover_counts_is_not_counted_again(world: World) -> None:
    await world.create(seats=[row("a", 9 * SEAT, flags="a")])
    await world.seats("e1")
    await world.attach("e1", seats=[hourly("own", 9 * SEAT, roll=":3")])
    world.now_ms += HOUR_MS
    await world.settled("e1")
    await world.seats("e2")  # counted on what rolled over of the first one's own row
    await world.attach(seats=[row("b", 9 * SEAT, flags="a")])
    state = await world.state()
    assert state.customer["v:seats"].split()[0] == str(SEAT)
    assert state.customer["o:seats"].split()[2] == str(SEAT)
