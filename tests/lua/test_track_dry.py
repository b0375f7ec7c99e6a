"""``track`` that only says what it would do."""

from __future__ import annotations

import pytest

from gateway.engine.views import balance_of
from gateway.messages.balances import Balance
from gateway.scripts import Hold, Part, Pool, Status, TrackReply
from tests.lua.world import HOUR_MS, NOW_MS, World, hourly, per_entity, row, rules

FIFTH = (Pool("credits", 1, 5),)
HOURLY = {"unit": "f", "every": HOUR_MS, "anchor_ms": NOW_MS}


def seen(world: World, reply: TrackReply, scope: str) -> list[Balance | None]:
    return [
        balance_of(one, 0, entity_level=bool(scope), now_ms=world.now_ms)
        for part in reply.descriptions
        for one in part
    ]


@pytest.mark.parametrize("mode", ["cap", "reject", "overflow"])
@pytest.mark.parametrize("scope", ["", "zoe"])
@pytest.mark.parametrize("amounts", [(13, 4), (150, 200), (-30, -5), (0, 0)])
async def test_the_real_call_answers_what_the_dry_one_said(
    world: World, mode: str, scope: str, amounts: tuple[int, int]
) -> None:
    limit = f"o\t1\nw\t\t60\tf\t{HOUR_MS}\t0\t{{}}"
    await world.create(
        rules=rules(action1=limit),
        action1=[row("a", 20), per_entity("b", 20), hourly("h", 10)],
        credits=[row("c", 9), per_entity("d", 5, flags="o", floor=7)],
    )
    await world.seats("zoe", "bob")
    await world.attach("zoe", credits=[row("e", 6)])
    await world.track("action1", 9, "bob")
    world.now_ms += HOUR_MS
    parts = (Part("action1", amounts[0], FIFTH), Part("action2", amounts[1], FIFTH))
    before = await world.dump()
    dry = await world.use(*parts, scope=scope, mode=mode, dry=True)
    assert await world.dump() == before
    real = await world.use(*parts, scope=scope, mode=mode)
    assert (dry.status, dry.applied) == (real.status, real.applied)
    if real.status is Status.DONE:
        assert seen(world, dry, scope) == seen(world, real, scope)


async def test_slots_that_begin_anew_are_told_apart(world: World) -> None:
    await world.create(
        calls=[per_entity("b", 20, **HOURLY), per_entity("c", 20, **HOURLY)],
        credits=[per_entity("d", 5, **HOURLY), per_entity("e", 5, **HOURLY)],
    )
    await world.seats("zoe")
    await world.track("calls", 25, "zoe")
    world.now_ms += HOUR_MS
    parts = (Part("calls", 31, FIFTH), Part("action2", 30, FIFTH))
    dry = await world.use(*parts, scope="zoe", dry=True)
    real = await world.use(*parts, scope="zoe")
    assert (dry.applied, seen(world, dry, "zoe")) == (real.applied, seen(world, real, "zoe"))
    assert dry.moves == real.moves


@pytest.mark.parametrize("amount", [7, -7])
async def test_what_an_entity_holds_without_a_limit_shows_the_use(
    world: World, amount: int
) -> None:
    await world.create(calls=[row("a", 10)])
    await world.seats("zoe")
    await world.attach("zoe", calls=[row("z", 0, flags="u")])
    await world.track("calls", 3, "zoe")
    dry = await world.use(Part("calls", amount), dry=True)
    real = await world.use(Part("calls", amount))
    assert seen(world, dry, "") == seen(world, real, "")


async def test_rows_say_what_they_would_give(world: World) -> None:
    await world.create(calls=[row("a", 10), per_entity("b", 10)])
    await world.seats("zoe")
    for scope in ("", "zoe"):
        dry = await world.use(Part("calls", 15), scope=scope, dry=True)
        real = await world.use(Part("calls", 15), scope=scope)
        assert dry.moves == real.moves
        await world.track("calls", -15, scope)


@pytest.mark.parametrize("amounts", [(13,), (40,), (-30, 25), (12, -20), (1000,)])
async def test_rows_of_entities_say_what_they_would_give(
    world: World, amounts: tuple[int, ...]
) -> None:
    await world.create(calls=[row("a", 10)])
    await world.seats("zoe", "bob", "ann")
    await world.attach("zoe", calls=[row("z1", 5), row("z2", 6, flags="o")])
    await world.attach("bob", calls=[row("b1", 7)])
    await world.track("calls", 9, "zoe")
    await world.track("calls", 4, "bob")
    for amount in amounts:
        dry = await world.use(Part("calls", amount), mode="overflow", dry=True)
        real = await world.use(Part("calls", amount), mode="overflow")
        assert dry.moves == real.moves
        assert dry.applied == real.applied


async def test_parts_that_share_rows_of_entities_give_them_once(world: World) -> None:
    await world.create(action1=[row("a", 3)], action2=[row("b", 3)])
    await world.seats("zoe", "bob")
    for name in ("zoe", "bob"):
        await world.attach(name, credits=[row(f"{name}_1", 4)])
    parts = (Part("action1", 23, FIFTH), Part("action2", 8, FIFTH))
    dry = await world.use(*parts, dry=True)
    real = await world.use(*parts)
    assert (dry.applied, dry.moves) == (real.applied, real.moves)


async def test_what_would_be_refused_is_refused(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    refused = await world.use(Part("calls", 15), mode="reject", dry=True)
    assert (refused.status, refused.applied, refused.moves) == (Status.DENIED, [], [])
    assert [one.live.split()[0] for one in refused.descriptions[0]] == ["0"]


async def test_a_lock_is_not_made(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    hold = Hold("lock", world.now_ms + HOUR_MS)
    before = await world.dump()
    assert (await world.use(Part("calls", 5), hold=hold, dry=True)).applied == [5]
    assert await world.dump() == before


async def test_an_unknown_customer_stays_unknown(world: World) -> None:
    assert (await world.use(Part("calls", 5), dry=True)).status is Status.CUSTOMER_MISSING
    assert await world.dump() == {}
