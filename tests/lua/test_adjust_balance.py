"""``adjust_balance``: rows one by one, and what is left or used of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.lifecycle.order import rank
from gateway.outbox import Deduction, EntryKind, RowAdded, RowEnded, RowUpdated
from gateway.rows import Kind, Row, encode_row
from gateway.scripts import RowEdit, Status, Target
from tests.lua.world import HOUR_MS, NOW_MS, SEAT, World, hourly, per_entity, row

UNITS_MAX = 2**53 - 1


def put(made: Row, due_ms: int | str = 0) -> RowEdit:
    """Return the edit that adds a row, or gives one that is there another text."""
    return RowEdit(made.id, str(due_ms), encode_row(made))


def change(made: Row) -> RowEdit:
    """Return the edit that gives a row another text and leaves its reset."""
    return put(made, "")


def end(row_id: str) -> RowEdit:
    return RowEdit(row_id, "", "")


async def adjust(
    world: World,
    *edits: RowEdit,
    scope: str = "",
    feature: str = "calls",
    target: Target = Target.NONE,
    amount: int = 0,
    rows: str = "",
    claim: str = "",
    revision: str | None = None,
    rules: str = "",
) -> Status:
    return await world.scripts.adjust_balance(
        world.context,
        revision or await world.revision(),
        scope,
        feature,
        SEAT,
        claim,
        target,
        amount,
        rows,
        rules,
        edits,
    )


def remaining(units: int, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - options of adjust
    return {"target": Target.REMAINING, "amount": units, **options}


def usage(units: int, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    return {"target": Target.USAGE, "amount": units, **options}


async def test_a_row_comes_in_its_place_and_the_others_keep_their_numbers(world: World) -> None:
    await world.create(calls=[row("b"), per_entity("a")])
    await world.track("calls", 30)
    await world.entries()
    new = hourly("c", 50, rank="a0")
    assert await adjust(world, put(new, NOW_MS + HOUR_MS)) is Status.DONE
    assert list((await world.used()).items()) == [("c", 0), ("b", 30), ("a", 0)]
    entry = await world.entry()
    assert entry.kind is EntryKind.BALANCE
    assert entry.changes == [RowAdded("calls", "", 0, 3, NOW_MS + HOUR_MS, encode_row(new))]


async def test_an_id_is_given_once_and_is_free_when_its_row_has_ended(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    assert await adjust(world, put(row("gift")), claim="gift") is Status.DONE
    before = await world.dump()
    for scope, feature in (("", "calls"), ("", "mails"), ("zoe", "calls")):
        status = await adjust(world, put(row("gift")), claim="gift", scope=scope, feature=feature)
        assert status is Status.EXISTS
    assert await world.dump() == before
    assert await adjust(world, end("gift")) is Status.DONE
    assert await adjust(world, put(row("gift")), claim="gift", scope="zoe") is Status.DONE
    assert await world.left("calls", "zoe") == 100


async def test_of_several_at_once_with_one_id_one_is_given(world: World) -> None:
    await world.create()
    revision = await world.revision()
    statuses = await asyncio.gather(
        *(adjust(world, put(row("gift")), claim="gift", revision=revision) for _ in range(6))
    )
    assert sorted(statuses) == [Status.DONE, *[Status.STALE] * 5]
    assert await world.used() == {"gift": 0}


async def test_a_row_of_an_entity_is_its_own(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await world.seats("zoe", "bob")
    assert await adjust(world, put(row("b", 20)), scope="zoe") is Status.DONE
    assert [await world.left("calls", scope) for scope in ("", "zoe", "bob")] == [30, 30, 10]
    assert await adjust(world, change(row("b", 25)), scope="zoe") is Status.DONE
    assert [await world.left("calls", scope) for scope in ("", "zoe", "bob")] == [35, 35, 10]
    assert await adjust(world, end("b"), scope="zoe") is Status.DONE
    assert [await world.left("calls", scope) for scope in ("", "zoe", "bob")] == [10, 10, 10]


async def test_another_text_keeps_what_was_used(world: World) -> None:
    await world.create(calls=[row("a", 100)])
    await world.track("calls", 30)
    await world.entries()
    assert await adjust(world, change(row("a", 150)), **remaining(80)) is Status.DONE
    assert await world.used() == {"a": 70}
    assert await world.left("calls") == 80
    period = 1
    assert (await world.entry()).changes == [
        RowUpdated("calls", "", 0, encode_row(row("a", 150))),
        Deduction("calls", "a", "", period, 40, 70, 70),
    ]


async def test_another_reset_is_the_next_one(world: World) -> None:
    await world.create(calls=[hourly("a")])
    await world.track("calls", 30)
    await world.entries()
    later = hourly("a", anchor_ms=NOW_MS + 5)
    assert await adjust(world, put(later, NOW_MS + 5)) is Status.DONE
    assert (await world.entry()).changes == [RowUpdated("calls", "", NOW_MS + 5, encode_row(later))]
    assert await world.left("calls") == 70
    world.now_ms = NOW_MS + 5
    assert await world.left("calls") == 100
    await world.track("calls", 1)
    world.now_ms = NOW_MS + 5 + HOUR_MS - 1
    assert await world.left("calls") == 99


async def test_a_reset_that_is_due_comes_before_the_change(world: World) -> None:
    await world.create(calls=[hourly("a")])
    await world.track("calls", 30)
    world.now_ms = NOW_MS + HOUR_MS
    kept = row("a", 0)
    assert await adjust(world, put(kept)) is Status.DONE
    assert await world.used() == {"a": 0}


@pytest.mark.parametrize(
    ("target", "used"),
    [
        (remaining(80), {"a": 20, "b": 0}),
        (remaining(0), {"a": 100, "b": 0}),
        (remaining(120), {"a": -20, "b": 0}),
        (remaining(-30), {"a": 130, "b": 0}),
        (usage(130), {"a": 130, "b": 0}),
        (usage(-20), {"a": -20, "b": 0}),
        (usage(0), {"a": 0, "b": 0}),
    ],
)
async def test_the_target_of_one_row_is_reached_whatever_it_permits(
    world: World, target: dict[str, Any], used: dict[str, int]
) -> None:
    await world.create(calls=[row("a"), row("b")])
    await world.track("calls", 50)
    assert await adjust(world, rows="a", **target) is Status.DONE
    assert await world.used() == used


async def test_without_names_all_rows_reach_the_target_together(world: World) -> None:
    await world.create(calls=[row("a"), row("b")])
    await adjust(world, **usage(150))
    assert await world.used() == {"a": 100, "b": 50}
    await adjust(world, **remaining(150))
    assert await world.left("calls") == 150
    await adjust(world, target=Target.ADD, amount=-160)
    assert await world.used() == {"a": 110, "b": 100}
    await adjust(world, target=Target.ADD, amount=20)
    assert await world.used() == {"a": 90, "b": 100}
    await adjust(world, **usage(0))
    assert await world.used() == {"a": -100, "b": 100}


async def test_slots_reach_the_target_one_after_another(world: World) -> None:
    await world.create(calls=[per_entity("a")])
    await world.seats("zoe", "bob", "eve")
    await adjust(world, **remaining(150))
    assert [await world.left("calls", name) for name in ("zoe", "bob", "eve")] == [0, 50, 100]
    await adjust(world, scope="zoe", **remaining(-50))
    assert (await world.used("zoe"), await world.left("calls")) == ({"a": 150}, 150)


async def test_what_entities_hold_counts_for_the_customer(world: World) -> None:
    await world.create(calls=[row("a")])
    await world.seats("zoe")
    await adjust(world, put(row("b")), scope="zoe")
    await adjust(world, **usage(150))
    assert await world.left("calls") == 50
    await adjust(world, **usage(10, rows="a"))
    assert await world.used("zoe") == {"b": 50, "a": 10}


async def test_use_of_an_unlimited_row_is_set(world: World) -> None:
    await world.create(calls=[row("a"), row("b", 0, flags="u")])
    await world.seats("zoe")
    await adjust(world, **usage(42))
    assert await world.used() == {"a": 0, "b": 42}
    await adjust(world, put(row("c", 0, flags="u")), scope="zoe")
    await adjust(world, **usage(50))
    state = await world.used()
    held = int((await world.state()).customer["h:calls"].split()[7])
    assert state["b"] + held == 50


async def test_rollovers_are_left_alone(world: World) -> None:
    await world.create(calls=[hourly("a", roll=":1")])
    await world.track("calls", 40)
    world.now_ms = NOW_MS + HOUR_MS
    assert await world.left("calls") == 160
    await adjust(world, **remaining(70))
    assert await world.left("calls") == 130
    used = await world.used()
    assert used.pop("a") == 30
    assert list(used.values()) == [0]


async def test_what_was_used_of_a_row_that_ends_moves_on(world: World) -> None:
    await world.create(calls=[row("a"), row("b", 200)])
    await world.track("calls", 40)
    await world.entries()
    assert await adjust(world, end("a"), target=Target.CARRY) is Status.DONE
    assert await world.used() == {"b": 40}
    assert (await world.entry()).changes == [
        RowEnded("calls", "a"),
        Deduction("calls", "b", "", 2, 40, 40, 40),
    ]


async def test_what_was_used_beyond_the_grant_moves_on_too(world: World) -> None:
    await world.create(calls=[row("a"), row("b", 200)])
    await adjust(world, **usage(130, rows="a"))
    await adjust(world, end("a"), target=Target.CARRY)
    assert await world.used() == {"b": 130}


async def test_continuous_use_moves_on_once(world: World) -> None:
    await world.create(seats=[row("a", flags="a"), row("b", 200, flags="a")])
    await world.track("seats", 40)
    await adjust(world, end("a"), feature="seats", target=Target.CARRY)
    assert await world.used() == {"b": 40}


async def test_a_row_that_ends_takes_its_use_along(world: World) -> None:
    await world.create(calls=[row("a"), row("b", 200)])
    await world.track("calls", 40)
    await adjust(world, end("a"))
    assert await world.used() == {"b": 0}
    await adjust(world, end("b"))
    assert await world.used() == {}


async def test_a_row_without_a_grant_carries_what_was_used(world: World) -> None:
    await world.create(calls=[hourly("a")])
    await world.track("calls", 40)
    assert await adjust(world, put(row("a", 0)), target=Target.CARRY) is Status.DONE
    assert (await world.used(), await world.left("calls")) == ({"a": 40}, 0)
    world.now_ms = NOW_MS + 2 * HOUR_MS
    assert await world.used() == {"a": 40}


async def test_entities_count_on_a_row_that_comes_later(world: World) -> None:
    await world.create()
    await world.seats("zoe", "bob")
    await adjust(world, put(row("a", 5 * SEAT, flags="af")), feature="seats")
    assert await world.used() == {"a": 2 * SEAT}


async def test_a_flag_comes_and_goes(world: World) -> None:
    await world.create()
    flag = Row(id="f", kind=Kind.FLAG, rank="3")
    assert await adjust(world, put(flag), feature="sso") is Status.DONE
    (seen,) = (await world.read()).descriptions
    assert seen.rows == encode_row(flag)
    assert await adjust(world, end("f"), feature="sso") is Status.DONE


async def test_rows_stand_in_spending_order(world: World) -> None:
    def ranked(row_id: str, **columns: int) -> Row:
        given = {"every": 0, "expires_ms": 0, **columns}
        order = rank(
            unlimited=False,
            unit="f" if given["every"] else "",
            add_on=False,
            overage=False,
            created_ms=NOW_MS,
            position=0,
            **given,
        )
        return row(row_id, rank=order)

    await world.create()
    for made in (
        ranked("late"),
        ranked("early", expires_ms=NOW_MS + HOUR_MS),
        ranked("hourly", every=HOUR_MS),
    ):
        await adjust(world, put(made))
    assert list(await world.used()) == ["hourly", "early", "late"]


@pytest.mark.parametrize(
    "target",
    [
        remaining(-UNITS_MAX),
        {"target": Target.ADD, "amount": -UNITS_MAX},
        {"target": Target.ADD, "amount": UNITS_MAX},
    ],
)
async def test_a_target_beyond_the_exact_range_writes_nothing(
    world: World, target: dict[str, Any]
) -> None:
    await world.create(calls=[row("a")])
    await adjust(world, **usage(-1 if target["amount"] > 0 else 1))
    before = await world.dump()
    for edits in ([], [put(row("b"))]):
        assert await adjust(world, *edits, rows="a", **target) is Status.OUT_OF_RANGE
    assert await world.dump() == before


@pytest.mark.parametrize("feature", ["calls", "mails"])
async def test_an_expired_row_gives_its_id_back_once_its_end_is_written(
    world: World, feature: str
) -> None:
    await world.create()
    await adjust(world, put(row("a", expires_ms=NOW_MS + 1)), claim="a", feature=feature)
    assert await adjust(world, put(row("a")), claim="a") is Status.EXISTS
    world.now_ms = NOW_MS + 1
    assert await adjust(world, put(row("a")), claim="a") is Status.DUE
    await world.settle()
    assert await adjust(world, put(row("a")), claim="a") is Status.DONE
    assert await world.used() == {"a": 0}


async def test_an_entity_that_goes_gives_the_ids_of_its_rows_back(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await adjust(world, put(row("a")), claim="a", scope="zoe")
    await world.leave("zoe")
    assert await adjust(world, put(row("a")), claim="a") is Status.DONE


async def test_use_and_corrections_at_once_add_up(world: World) -> None:
    await world.create(calls=[row("a")])
    uses = [world.track("calls", 1) for _ in range(3)]
    await asyncio.gather(uses[0], adjust(world, **usage(50)), *uses[1:])
    assert await world.left("calls") + (await world.used())["a"] == 100
    assert (await world.used())["a"] in range(50, 54)


async def test_a_change_decided_on_other_rows_writes_nothing(world: World) -> None:
    await world.create(calls=[row("a")])
    before = await world.dump()
    assert await adjust(world, put(row("b")), revision="9") is Status.STALE
    assert await adjust(world, revision="9", **usage(1)) is Status.STALE
    assert await world.dump() == before


async def test_an_unknown_customer_or_entity_writes_nothing(world: World) -> None:
    assert await adjust(world, put(row("a"))) is Status.CUSTOMER_MISSING
    await world.create()
    before = await world.dump()
    assert await adjust(world, put(row("a")), scope="nobody") is Status.ENTITY_MISSING
    assert await world.dump() == before


async def test_rows_of_entities_that_are_due_are_settled_first(world: World) -> None:
    await world.create(calls=[row("a")])
    await world.seats("zoe")
    await adjust(world, put(hourly("b"), NOW_MS + HOUR_MS), scope="zoe")
    await world.entries()
    world.now_ms = NOW_MS + HOUR_MS
    before = await world.dump()
    assert await adjust(world, **usage(5)) is Status.DUE
    assert await world.dump() == before
    await world.settle()
    assert await adjust(world, **usage(5)) is Status.DONE
