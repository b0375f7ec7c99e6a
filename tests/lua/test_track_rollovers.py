"""What is left of a row when it resets: made, cut, spent first, and gone when it expires."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.outbox import Reset, RowAdded, RowEnded, RowUpdated
from gateway.rows import Kind, Row, decode_row, decode_rows
from gateway.scripts import Part, Pool, Status
from tests.lua.world import HOUR_MS, NOW_MS, World, hourly, row, rules, slots

DAY_MS = 24 * HOUR_MS


def ms(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


BEGIN_MS = ms(2024, 1, 31)


def monthly(row_id: str, grant: int, roll: str, **columns: object) -> Row:
    """Return a row that resets at each end of month from 31 January 2024 on."""
    return row(row_id, grant, unit="m", every=1, anchor_ms=BEGIN_MS, roll=roll, **columns)


async def test_what_is_left_becomes_a_row_that_is_spent_first(world: World) -> None:
    await world.create(calls=[hourly("a", 400, roll=":1")])
    await world.track("calls", 250)
    await world.entries()
    world.now_ms += HOUR_MS
    assert (await world.track("calls", 20)).applied == [20]
    reset, added, _, move = (await world.entry()).changes
    assert reset == Reset("calls", "a", "", 2, NOW_MS + 2 * HOUR_MS)
    assert isinstance(added, RowAdded)
    made = decode_row(added.row)
    assert (made.grant, made.roll, made.rollover, made.id) == (150, "a", True, move.balance_id)  # type: ignore[union-attr]
    assert await world.left("calls") == 150 + 400 - 20
    assert await world.used() == {made.id: 20, "a": 0}


@pytest.mark.parametrize(
    ("roll", "left"), [(":1", 150), ("100:1", 100), ("0:1", 0), ("150:0", 150), ("900:12", 150)]
)
async def test_no_more_than_the_maximum_rolls_over(world: World, roll: str, left: int) -> None:
    await world.create(calls=[hourly("a", 400, roll=roll)])
    await world.track("calls", 250)
    world.now_ms += HOUR_MS
    assert await world.left("calls") == 400 + left
    assert [one[0] for one in await world.rollovers()] == ([left] if left else [])


async def test_what_was_overdrawn_leaves_nothing(world: World) -> None:
    await world.create(calls=[hourly("a", 400, roll=":1", flags="o")])
    await world.track("calls", 450)
    world.now_ms += HOUR_MS
    assert await world.left("calls") == 400
    assert not await world.rollovers()


async def test_the_maximum_is_for_all_rollovers_and_the_oldest_are_cut(world: World) -> None:
    await world.create(calls=[hourly("a", 100, roll="80:1")])
    await world.track("calls", 50)
    world.now_ms += HOUR_MS
    assert [one[0] for one in await world.rollovers()] == [50]
    await world.entries()
    world.now_ms += HOUR_MS
    assert [one[0] for one in await world.rollovers()] == [80]
    await world.entries()
    await world.track("calls", 30)
    world.now_ms += HOUR_MS
    assert [one[0] for one in await world.rollovers()] == [80]


async def test_a_cut_rollover_keeps_its_id_and_what_was_used_of_it(world: World) -> None:
    await world.create(calls=[hourly("a", 100, roll="110:1")])
    await world.track("calls", 40)
    world.now_ms += HOUR_MS
    await world.track("calls", 40)  # 20 of 60 are left
    world.now_ms += HOUR_MS
    assert [one[:2] for one in await world.rollovers()] == [(10, 40), (100, 0)]
    await world.track("calls", 20)
    await world.entries()
    world.now_ms += HOUR_MS
    await world.settle()
    changes = (await world.entry()).changes
    assert [type(one) for one in changes] == [Reset, RowEnded, RowUpdated, RowAdded]
    assert [one[:2] for one in await world.rollovers()] == [(10, 10), (100, 0)]


@pytest.mark.parametrize(
    ("months", "expires_ms"),
    [(1, ms(2024, 3, 31)), (2, ms(2024, 4, 30)), (12, ms(2025, 2, 28)), (0, 0)],
)
async def test_a_rollover_ends_months_after_the_boundary_counted_from_the_anchor(
    world: World, months: int, expires_ms: int
) -> None:
    world.now_ms = BEGIN_MS
    await world.create(calls=[monthly("a", 100, f":{months}")])
    world.now_ms = ms(2024, 2, 29)
    assert await world.rollovers() == [(100, 0, expires_ms)]


async def test_what_rolls_over_for_a_month_ends_when_the_next_comes(world: World) -> None:
    world.now_ms = BEGIN_MS
    await world.create(calls=[monthly("a", 100, ":1")])
    world.now_ms = ms(2024, 2, 29)
    await world.track("calls", 30)
    assert [one[:2] for one in await world.rollovers()] == [(70, 30)]
    world.now_ms = ms(2024, 3, 31)
    assert [one[:2] for one in await world.rollovers()] == [(100, 0)]
    assert await world.left("calls") == 200


async def test_a_row_that_resets_each_year_hands_on_for_months(world: World) -> None:
    world.now_ms = BEGIN_MS
    yearly = row("a", 100, unit="m", every=12, anchor_ms=BEGIN_MS, roll=":3")
    await world.create(calls=[yearly])
    world.now_ms = ms(2025, 1, 31)
    assert await world.rollovers() == [(100, 0, ms(2025, 4, 30))]
    world.now_ms = ms(2025, 4, 30)
    assert await world.rollovers() == []
    assert await world.left("calls") == 100


async def test_boundaries_nobody_met_leave_one_rollover_of_the_last(world: World) -> None:
    world.now_ms = BEGIN_MS
    await world.create(calls=[monthly("a", 100, ":2")])
    await world.track("calls", 40)
    world.now_ms = ms(2024, 6, 15)
    assert await world.rollovers() == [(60, 0, ms(2024, 7, 31))]


async def test_rollovers_that_expired_give_nothing_and_end_with_the_next_write(
    world: World,
) -> None:
    world.now_ms = BEGIN_MS
    await world.create(calls=[monthly("a", 100, ":1"), row("b", 5)])
    world.now_ms = ms(2024, 2, 29)
    await world.settle()
    await world.attach(calls=[row("b", 5), *await stored(world, rollover=True)])
    await world.entries()
    world.now_ms = ms(2024, 3, 31)
    assert not (await world.check("calls", 6)).allowed
    assert (await world.track("calls", 50)).applied == [5]
    ended, *_ = (await world.entry()).changes
    assert isinstance(ended, RowEnded)


async def stored(world: World, *, rollover: bool) -> list[Row]:
    """Return the customer's rows, or its rollovers."""
    text = (await world.state()).customer["r:calls"]
    return [one for one in decode_rows(text) if one.rollover is rollover]


async def test_rollovers_are_spent_earliest_expiry_first_and_never_refunded(world: World) -> None:
    rows = [row("a", 400), rolled("late", 400, 2), rolled("soon", 100, 1), rolled("ever", 7, None)]
    await world.create(calls=rows)
    await world.track("calls", 150)
    assert await world.used() == {"soon": 100, "late": 50, "ever": 0, "a": 0}
    await world.track("calls", 360)
    assert await world.used() == {"soon": 100, "late": 400, "ever": 7, "a": 3}
    assert (await world.track("calls", -50)).applied == [-3]
    assert (await world.track("calls", -50, mode="overflow")).applied == [-50]
    assert await world.used() == {"soon": 100, "late": 400, "ever": 7, "a": -50}


def rolled(row_id: str, left: int, days: int | None, **columns: object) -> Row:
    """Return what rolled over of row ``a``, for so many days or for ever."""
    expires_ms = 0 if days is None else NOW_MS + days * DAY_MS
    rank = f"!{expires_ms or 10**13:014d}a"
    given = {"flags": "r", "expires_ms": expires_ms, "rank": rank, "roll": "a"}
    return row(row_id, left, **given | columns)


async def test_rollovers_of_all_pools_come_before_any_other_row(world: World) -> None:
    await world.create(
        action1=[row("a", 10), rolled("x", 10, 3)], credits=[row("c", 500), rolled("y", 300, 2)]
    )
    await world.use(Part("action1", 310, (Pool("credits", 1, 1),)))
    assert await world.used() == {"x": 10, "y": 300, "a": 0, "c": 0}


async def test_credits_that_rolled_over_pay_first_whatever_is_tracked(world: World) -> None:
    await world.create(credits=[row("c", 5000), rolled("y", 3000, 2)])
    await world.use(Part("action1", 1000, (Pool("credits", 1, 5),)))
    assert await world.left("credits") == 7800
    await world.use(Part("action2", 4000, (Pool("credits", 3, 5),)))
    await world.use(Part("action1", 5000, (Pool("credits", 1, 5),)))
    assert await world.used() == {"y": 3000, "c": 600}


async def test_rollovers_fill_no_window_of_the_credits(world: World) -> None:
    limit = f"w\t\t5\tf\t{HOUR_MS}\t{NOW_MS}\t{{}}"
    await world.create(rules=rules(credits=limit), credits=[row("c", 50), rolled("y", 30, 2)])
    reply = await world.use(Part("action1", 100, (Pool("credits", 1, 1),)))
    assert reply.applied == [35]
    assert (await world.state()).customer["x:credits"].endswith("\t5")


async def test_what_is_left_of_slots_is_held_by_each_entity(world: World) -> None:
    names = ["zoe", "bob", "eve"]
    await world.create(calls=[slots("a", 400, roll="500:1")])
    await world.seats(*names)
    await world.track("calls", 300, "zoe")
    world.now_ms += HOUR_MS
    for call in (world.check, world.track):
        assert (await call("calls", 1)).status is Status.DUE
        assert (await call("calls", 1, "zoe")).status is Status.DUE
    assert await world.settle() == (Status.DONE, 3)
    assert [await world.left("calls", name) for name in names] == [500, 800, 800]
    assert await world.left("calls") == 2100
    seen = (await world.check("calls", 0)).descriptions[0]
    assert [int(number) for number in seen.rolled.split()[1:4]] == [900, 0, 0]


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
async def test_slots_roll_over_in_bounded_steps_and_each_once(world: World, limit: int) -> None:
    names = [f"seat_{number}" for number in range(5)]
    await world.create(
        calls=[slots("a", 10, roll=":1"), slots("b", 10, roll=":1"), hourly("c", 10)]
    )
    await world.seats(*names)
    await world.track("calls", 4, names[2])
    await world.track("calls", 13)
    world.now_ms += HOUR_MS
    while (await world.settle(limit))[1] == limit:
        assert (await world.check("calls", 1)).status is Status.DUE
    assert await world.left("calls", names[0]) == 10 + 20 + 7 + 10
    assert await world.left("calls", names[2]) == 10 + 20 + 6 + 10
    assert await world.settle(limit) == (Status.DONE, 0)
    reply = await world.track("calls", 1, names[2])
    assert reply.moves[0][0].line.endswith("{}")


async def test_entities_that_came_with_the_new_period_have_nothing_to_hand_on(
    world: World,
) -> None:
    await world.create(calls=[slots("a", 10, roll=":1")])
    await world.seats("zoe")
    world.now_ms += HOUR_MS
    reply = await world.scripts.create_entity(
        world.context, "new", "seats", f'{{"created_at":{world.now_ms}}}', 100, 1000
    )
    assert reply is Status.DONE
    assert await world.left("calls", "new") == 10
    assert await world.left("calls", "zoe") == 20


async def test_an_entity_spends_what_rolled_over_before_its_slot(world: World) -> None:
    await world.create(calls=[slots("a", 10, roll=":1"), row("c", 10)])
    await world.seats("zoe", "bob")
    await world.track("calls", 4, "zoe")
    world.now_ms += HOUR_MS
    await world.settle()
    await world.track("calls", 8, "zoe")
    assert sorted((await world.used("zoe")).values()) == [0, 2, 6]
    assert await world.left("calls") == 10 + 10 + 8 + 10


async def test_the_customer_spends_what_entities_hold_rolled_over_before_all_else(
    world: World,
) -> None:
    await world.create(calls=[slots("a", 10, roll=":1"), row("c", 10)])
    await world.seats("zoe", "bob")
    world.now_ms += HOUR_MS
    await world.settle()
    assert (await world.track("calls", 15)).applied == [15]
    assert [await world.left("calls", name) for name in ("zoe", "bob")] == [20, 25]
    assert (await world.track("calls", 100)).applied == [35]
    assert (await world.track("calls", -100)).applied == [-30]


async def test_rollovers_an_entity_holds_end_when_they_expire(world: World) -> None:
    begin = monthly("a", 100, ":1", kind=Kind.PER_ENTITY, entity_feature="seats")
    world.now_ms = BEGIN_MS
    await world.create(calls=[begin])
    await world.seats("zoe", "bob")
    world.now_ms = ms(2024, 2, 29)
    assert await world.left("calls") == 400
    await world.track("calls", 150)
    world.now_ms = ms(2024, 3, 31)
    assert await world.left("calls") == 400
    assert [one[:2] for one in await world.rollovers("zoe")] == [(100, 0)]


async def test_an_entity_that_is_deleted_takes_its_rollovers_along(world: World) -> None:
    await world.create(calls=[slots("a", 10, roll=":1")])
    await world.seats("zoe", "bob")
    world.now_ms += HOUR_MS
    await world.settle()
    assert await world.leave("zoe") is Status.DONE
    assert await world.left("calls") == 20
    assert (await world.state()).customer["o:calls"].split()[1:] == ["10", *"000100"]


async def test_rows_of_an_entity_roll_over_too(world: World) -> None:
    await world.create()
    await world.seats("zoe", "bob")
    await world.attach("zoe", calls=[hourly("a", 10, roll=":1")])
    await world.track("calls", 4, "zoe")
    world.now_ms += HOUR_MS
    assert (await world.track("calls", 7, "zoe")).applied == [7]
    assert [one[:2] for one in await world.rollovers("zoe")] == [(0, 6)]
    assert await world.left("calls") == 9
    assert await world.left("calls", "bob") == 0


async def test_shared_rows_and_slots_of_one_feature_roll_over_together(world: World) -> None:
    await world.create(calls=[hourly("c", 50, roll=":1"), slots("a", 10, roll=":1")])
    await world.seats("zoe")
    await world.track("calls", 20)
    world.now_ms += HOUR_MS
    assert await world.left("calls") == 50 + 10 + 30 + 10
    assert await world.left("calls", "zoe") == 50 + 10 + 30 + 10


async def test_overage_that_is_kept_is_the_first_use_of_the_new_period(world: World) -> None:
    await world.create(calls=[hourly("a", 100, flags="ok")])
    await world.track("calls", 150)
    world.now_ms += HOUR_MS
    assert (await world.check("calls", 50)).status is Status.DONE
    assert await world.left("calls") == 50
    assert (await world.track("calls", 10)).applied == [10]
    assert await world.used() == {"a": 60}
    await world.track("calls", 140)
    world.now_ms += HOUR_MS
    assert await world.used() == {"a": 100}


async def test_overage_of_slots_is_kept_slot_by_slot(world: World) -> None:
    await world.create(calls=[slots("a", 200, roll="", flags="ok")])
    await world.seats("zoe", "bob", "eve")
    await world.track("calls", 400, "zoe")
    await world.track("calls", 250, "bob")
    await world.track("calls", 20, "eve")
    world.now_ms += HOUR_MS
    assert (await world.check("calls", 1)).status is Status.DUE
    assert [await world.left("calls", name) for name in ("zoe", "bob", "eve")] == [0, 150, 200]
    world.now_ms += HOUR_MS
    assert await world.left("calls") == 600


async def test_a_row_that_expired_leaves_nothing_behind(world: World) -> None:
    ending = hourly("a", 10, roll=":1", expires_ms=NOW_MS + HOUR_MS)
    slotted = slots("b", 10, roll=":1", expires_ms=NOW_MS + HOUR_MS)
    await world.create(calls=[ending, slotted, row("c", 5)])
    await world.seats("zoe")
    await world.track("calls", 3, "zoe")
    world.now_ms += HOUR_MS
    await world.settle()
    assert await world.left("calls") == 5
    assert (await world.track("calls", 7)).applied == [5]
    assert await world.used() == {"c": 5}


async def test_overage_of_slots_ends_with_a_row_that_expires_while_another_rolls_over(
    world: World,
) -> None:
    ending = slots("a", 10, roll="", flags="ok", expires_ms=NOW_MS + HOUR_MS)
    await world.create(calls=[ending, hourly("b", 5, roll=":1")])
    await world.seats("zoe")
    await world.track("calls", 40, "zoe")
    world.now_ms += HOUR_MS
    await world.settle()
    assert await world.used() == {"b": 0}
    assert await world.left("calls") == 5
    await world.check_ledger()


async def test_an_unlimited_row_has_nothing_to_hand_on(world: World) -> None:
    await world.create(calls=[hourly("a", 0, flags="u", roll=":1")])
    await world.track("calls", -5)
    world.now_ms += HOUR_MS
    assert await world.rollovers() == []
