"""``track``: spending and giving back, at both levels, all of it or nothing."""

from __future__ import annotations

import asyncio

import pytest

from gateway.amounts import UNITS_MAX
from gateway.outbox import Deduction, EntryKind, Event, Reset
from gateway.rows import Kind, decode_rows
from gateway.scripts import Part, Status
from tests.lua.world import CUSTOMER, ENV, HOUR_MS, NOW_MS, World, hourly, row


async def test_track_says_what_it_took_and_writes_it_to_the_outbox(world: World) -> None:
    await world.create(calls=[row("a", 10), row("b", 10)])
    await world.entries()
    reply = await world.track("calls", 12)
    assert (reply.status, reply.applied) == (Status.DONE, [12])
    assert [(move.line[:1], move.delta) for move in reply.moves[0]] == [("a", 10), ("b", 2)]
    entry = await world.entry()
    assert (entry.kind, entry.env, entry.customer_id) == (EntryKind.TRACK, ENV, CUSTOMER)
    assert (entry.seq, entry.at_ms, entry.request_id) == (2, NOW_MS, "req_1")
    assert entry.changes == [
        Event("calls", "", "", 12, 12, NOW_MS, '{"a":1}'),
        Deduction("calls", "a", "", 1, 10, 10, 10),
        Deduction("calls", "b", "", 2, 2, 2, 2),
    ]


async def test_track_of_an_unknown_customer_writes_nothing(world: World) -> None:
    assert (await world.track("calls", 1)).status is Status.CUSTOMER_MISSING
    assert await world.dump() == {}


async def test_track_of_an_unknown_entity_writes_nothing(world: World) -> None:
    await world.create(calls=[row("a")])
    before = await world.dump()
    assert (await world.track("calls", 1, "nobody")).status is Status.ENTITY_MISSING
    assert await world.dump() == before


async def test_denied_track_writes_nothing_and_says_what_there_is(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    before = await world.dump()
    reply = await world.track("calls", 11, mode="reject")
    assert (reply.status, reply.applied, reply.moves) == (Status.DENIED, [], [])
    assert [[seen.feature for seen in part] for part in reply.descriptions] == [["calls"]]
    assert await world.dump() == before


async def test_denied_track_leaves_a_due_reset_to_the_next_call(world: World) -> None:
    await world.create(calls=[hourly("a", 10)])
    await world.track("calls", 10)
    world.now_ms += HOUR_MS
    before = await world.dump()
    assert (await world.track("calls", 11, mode="reject")).status is Status.DENIED
    assert await world.dump() == before


async def test_several_features_are_tracked_together_or_not_at_all(world: World) -> None:
    await world.create(calls=[row("a", 10)], store=[row("b", 1)])
    before = await world.dump()
    refused = await world.track_all([("calls", 5), ("store", 5)], mode="reject")
    assert refused.status is Status.DENIED
    assert await world.dump() == before
    reply = await world.track_all([("calls", 5), ("store", 5)])
    assert reply.applied == [5, 1]
    assert [[seen.feature for seen in part] for part in reply.descriptions] == [
        ["calls"],
        ["store"],
    ]
    await world.entries()
    assert [event.applied for event in world.history.events] == [5, 1]


async def test_resets_of_several_features_get_different_periods(world: World) -> None:
    await world.create(calls=[hourly("a")], store=[hourly("b")])
    await world.entries()
    world.now_ms += HOUR_MS
    await world.track_all([("calls", 1), ("store", 1)])
    changes = (await world.entry()).changes
    assert [one.period for one in changes if isinstance(one, Reset)] == [3, 4]


async def test_cap_drops_what_does_not_fit(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    assert (await world.track("calls", 15)).applied == [10]
    assert (await world.track("calls", 15)).applied == [0]
    assert await world.left("calls") == 0


async def test_overflow_puts_the_rest_on_the_first_row(world: World) -> None:
    await world.create(calls=[row("a", 10), row("b", 10, flags="o")])
    assert (await world.track("calls", 25, mode="overflow")).applied == [25]
    assert await world.used() == {"a": 15, "b": 10}


async def test_a_feature_without_rows_takes_nothing_in_any_mode(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    for mode in ("cap", "overflow"):
        assert (await world.track("other", 5, mode=mode)).applied == [0]
        assert (await world.track("other", -5, mode=mode)).applied == [0]
    assert (await world.track("other", 5, mode="reject")).status is Status.DENIED


async def test_an_unlimited_row_takes_everything_and_spares_the_others(world: World) -> None:
    await world.create(calls=[row("a", 10), row("b", 0, flags="u")])
    assert (await world.track("calls", 1000, mode="reject")).applied == [1000]
    assert (await world.track("calls", -1500)).applied == [-1500]
    assert await world.used() == {"a": 0, "b": -500}


async def test_pay_per_use_goes_down_to_its_floor(world: World) -> None:
    await world.create(calls=[row("a", 10), row("b", 10, flags="o", floor=30)])
    assert (await world.track("calls", 60, mode="reject")).status is Status.DENIED
    assert (await world.track("calls", 60)).applied == [50]
    assert await world.used() == {"a": 10, "b": 40}


async def test_pay_per_use_without_a_floor_has_no_end(world: World) -> None:
    await world.create(calls=[row("a", 0, flags="o")])
    assert (await world.track("calls", 10**9, mode="reject")).applied == [10**9]


async def test_free_continuous_use_may_owe_unless_the_call_rejects(world: World) -> None:
    await world.create(seats=[row("a", 10, flags="af")])
    assert (await world.track("seats", 15, mode="reject")).status is Status.DENIED
    assert (await world.track("seats", 15)).applied == [15]
    assert await world.used() == {"a": 15}


async def test_giving_back_pays_debts_first_and_stops_at_the_grant(world: World) -> None:
    await world.create(calls=[row("a", 100), row("b", 50), row("c", 0, flags="o")])
    await world.track("calls", 180)
    assert (await world.track("calls", -20)).applied == [-20]
    assert await world.used() == {"a": 100, "b": 50, "c": 10}
    assert (await world.track("calls", -20)).applied == [-20]
    assert await world.used() == {"a": 90, "b": 50, "c": 0}
    assert (await world.track("calls", -500)).applied == [-140]
    assert await world.used() == {"a": 0, "b": 0, "c": 0}


async def test_giving_back_with_overflow_goes_above_the_grant(world: World) -> None:
    await world.create(calls=[row("a", 100)])
    await world.track("calls", 30)
    assert (await world.track("calls", -50, mode="overflow")).applied == [-50]
    assert await world.left("calls") == 120


async def test_giving_back_with_overflow_ends_debts_and_puts_the_rest_on_the_first_row(
    world: World,
) -> None:
    await world.create(calls=[row("a", 100), row("b", 50), row("c", 0, flags="o")])
    await world.track("calls", 160)
    assert (await world.track("calls", -130, mode="overflow")).applied == [-130]
    assert await world.used() == {"a": -20, "b": 50, "c": 0}


async def test_a_balance_that_would_leave_the_exact_range_is_refused(world: World) -> None:
    await world.create(calls=[row("a", 0, flags="u")], store=[row("b")])
    await world.track("calls", UNITS_MAX)
    before = await world.dump()
    for amounts in ([("calls", 1)], [("store", 1), ("calls", 1)]):
        assert (await world.track_all(amounts)).status is Status.OUT_OF_RANGE
    assert await world.dump() == before
    assert (await world.track("calls", -1)).applied == [-1]


async def test_five_tracks_at_once_on_a_due_row_reset_it_once(world: World) -> None:
    await world.create(calls=[hourly("a", 100)])
    await world.track("calls", 50)
    await world.entries()
    world.now_ms += HOUR_MS
    replies = await asyncio.gather(*(world.track("calls", 10) for _ in range(5)))
    assert [reply.applied for reply in replies] == [[10]] * 5
    assert await world.left("calls") == 50
    resets = [
        change
        for entry in await world.entries()
        for change in entry.changes
        if isinstance(change, Reset)
    ]
    assert resets == [Reset("calls", "a", "", 2, NOW_MS + 2 * HOUR_MS)]


async def test_boundaries_nobody_used_are_passed_in_one_step(world: World) -> None:
    await world.create(calls=[hourly("a", 100)])
    await world.track("calls", 70)
    world.now_ms += 5 * HOUR_MS + 1
    reply = await world.track("calls", 1)
    assert reply.moves[0][0].due_ms == NOW_MS + 6 * HOUR_MS
    assert await world.left("calls") == 99


async def test_tracks_at_once_see_different_remainders(world: World) -> None:
    await world.create(calls=[row("a", 1000)])
    replies = await asyncio.gather(*(world.track("calls", 1) for _ in range(50)))
    seen = {reply.descriptions[0][0].live.split(" ", 1)[0] for reply in replies}
    assert seen == {str(used) for used in range(1, 51)}


async def test_expired_rows_give_nothing(world: World) -> None:
    await world.create(calls=[row("a", 10, expires_ms=NOW_MS + 1), row("b", 5)])
    world.now_ms += 1
    assert (await world.track("calls", 100)).applied == [5]


@pytest.mark.parametrize("scope", ["", "zoe"])
async def test_boolean_rows_hold_no_units(world: World, scope: str) -> None:
    await world.create(sso=[row("a", kind=Kind.FLAG)])
    await world.seats("zoe")
    assert (await world.track("sso", 1, scope)).applied == [0]


async def test_what_a_reset_moves_is_told_before_any_event(world: World) -> None:
    await world.create(calls=[row("a", 10)], store=[hourly("b", 10, flags="k")])
    await world.use(Part("store", 15), mode="overflow")
    world.now_ms += HOUR_MS
    await world.entries()
    await world.track_all([("calls", 1), ("store", 1)])
    changes = (await world.entry()).changes
    assert [type(one) for one in changes[:2]] == [Reset, Deduction]
    assert [type(one) for one in changes[2:]] == [Event, Deduction, Event, Deduction]


async def test_a_refusal_shows_no_rollover_that_a_newer_one_leaves_no_room_for(
    world: World,
) -> None:
    await world.create(calls=[hourly("a", 400, roll="30:1")])
    world.now_ms += HOUR_MS
    await world.track("calls", 0)
    world.now_ms += HOUR_MS
    refused = await world.track("calls", 1_000, mode="reject")
    assert refused.status is Status.DENIED
    ((seen,),) = refused.descriptions
    rows = decode_rows(seen.rows)
    assert [(one.rollover, one.grant) for one in rows] == [(True, 30), (False, 400)]
    assert len(seen.live.split()) == 6 * len(rows)
    assert len(seen.slots.split()) == len(seen.counts.split()) == len(rows)


async def test_what_was_given_back_beyond_the_grant_is_spent_before_the_next_row(
    world: World,
) -> None:
    await world.create(calls=[row("a", 10), row("b", 10)])
    await world.track("calls", -5, mode="overflow")
    assert (await world.track("calls", 3)).applied == [3]
    assert await world.used() == {"a": -2, "b": 0}


async def test_an_unlimited_row_takes_all_wherever_it_stands(world: World) -> None:
    await world.create(calls=[row("a", 10), row("b", 10), row("c", 0, flags="u")])
    assert (await world.track("calls", 3)).applied == [3]
    assert await world.used() == {"a": 0, "b": 0, "c": 3}
