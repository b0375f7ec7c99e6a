"""``check``: what a track that rejects would do, without doing it."""

from __future__ import annotations

import pytest

from gateway.rows import Kind
from gateway.scripts import Status
from tests.lua.world import HOUR_MS, NOW_MS, World, hourly, per_entity, row


@pytest.mark.parametrize(
    ("amount", "allowed"), [(-5, True), (0, True), (99, True), (100, True), (101, False)]
)
async def test_what_is_left_is_allowed(world: World, amount: int, *, allowed: bool) -> None:
    await world.create(calls=[row("a", 60), row("b", 40)])
    assert (await world.check("calls", amount)).allowed is allowed
    refused = (await world.track("calls", amount, mode="reject")).status is Status.DENIED
    assert refused is not allowed


async def test_check_writes_nothing(world: World) -> None:
    await world.create(calls=[row("a"), hourly("b")])
    world.now_ms += HOUR_MS
    before = await world.dump()
    for amount in (-1, 0, 1, 1000):
        assert (await world.check("calls", amount)).status is Status.DONE
    assert await world.dump() == before


async def test_check_of_an_unknown_customer_says_so(world: World) -> None:
    assert (await world.check("calls", 1)).status is Status.CUSTOMER_MISSING


async def test_check_of_an_unknown_entity_says_so(world: World) -> None:
    await world.create(calls=[row("a")])
    assert (await world.check("calls", 1, "nobody")).status is Status.ENTITY_MISSING


async def test_a_feature_without_rows_allows_nothing_but_nothing(world: World) -> None:
    await world.create(calls=[row("a")])
    assert not (await world.check("other", 1)).allowed
    assert (await world.check("other", 0)).allowed


async def test_a_due_reset_is_seen_before_it_is_written(world: World) -> None:
    await world.create(calls=[hourly("a", 10)])
    await world.track("calls", 10)
    world.now_ms += HOUR_MS - 1
    assert not (await world.check("calls", 1)).allowed
    world.now_ms += 1
    reply = await world.check("calls", 10)
    assert reply.allowed
    assert reply.descriptions[0].live == f"0 0 0 0 {NOW_MS + 2 * HOUR_MS} 0"
    assert (await world.state()).customer["v:calls"] == f"10 0 0 1 {NOW_MS + HOUR_MS} 0"


async def test_a_due_reset_of_slots_shows_every_slot_full(world: World) -> None:
    await world.create(calls=[hourly("b", 10, kind=Kind.PER_ENTITY, entity_feature="seats")])
    await world.seats("zoe", "bob")
    await world.track("calls", 15)
    world.now_ms += HOUR_MS
    assert (await world.check("calls", 20)).allowed
    assert not (await world.check("calls", 21)).allowed
    assert (await world.check("calls", 10, "zoe")).descriptions[0].slots == "0"


async def test_customer_level_waits_until_rows_of_entities_are_settled(world: World) -> None:
    await world.create()
    await world.seats("zoe")
    await world.attach("zoe", calls=[hourly("b", 10)])
    world.now_ms += HOUR_MS
    assert (await world.check("calls", 1)).status is Status.DUE
    assert (await world.check("calls", 1, "zoe")).status is Status.DONE
    await world.settle()
    assert (await world.check("calls", 10)).allowed


async def test_both_levels_see_what_they_may_spend(world: World) -> None:
    await world.create(calls=[row("a", 50), per_entity("b", 10)])
    await world.seats("zoe", "bob")
    await world.attach("zoe", calls=[row("c", 5)])
    for scope, most in (("", 75), ("zoe", 65), ("bob", 60)):
        assert (await world.check("calls", most, scope)).allowed
        assert not (await world.check("calls", most + 1, scope)).allowed


async def test_overage_counts_where_it_is_paid_for(world: World) -> None:
    await world.create(
        paid=[row("a", 10, flags="o", floor=5)],
        both=[row("d", 10), row("e", 10, flags="o")],
        free=[row("b", 10, flags="af")],
        endless=[row("c", 0, flags="u")],
    )
    assert (await world.check("paid", 15)).allowed
    assert not (await world.check("paid", 16)).allowed
    assert (await world.check("both", 40)).allowed
    assert not (await world.check("free", 11)).allowed
    assert (await world.check("endless", 10**12)).allowed


async def test_an_unlimited_slot_has_no_end(world: World) -> None:
    await world.create(endless=[per_entity("a", 0, flags="u")])
    await world.seats("zoe", "bob")
    for scope in ("zoe", ""):
        assert (await world.check("endless", 10**12, scope)).allowed
    assert (await world.track("endless", 10**12, "zoe")).applied == [10**12]
    assert (await world.check("endless", 10**12, "zoe")).allowed


async def test_description_carries_the_texts_of_the_feature(world: World) -> None:
    await world.create(calls=[row("a", 50), per_entity("b", 10)])
    await world.seats("zoe", "bob")
    await world.track("calls", 4, "zoe")
    top = (await world.check("calls", 1)).descriptions[0]
    assert (top.feature, top.counts, top.slots) == ("calls", "0 2", "- -")
    assert top.live == "0 0 0 1 0 0 4 0 0 2 0 0"
    seen = (await world.check("calls", 1, "zoe")).descriptions[0]
    assert (seen.slots, seen.own_rows, seen.held) == ("- 4", "", "")
