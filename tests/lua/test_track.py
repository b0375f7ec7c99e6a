"""``track``: spending and giving back, at both levels, all of it or nothing."""

from __future__ import annotations

import asyncio

import pytest

from gateway.amounts import UNITS_MAX
from gateway.outbox import Deduction, EntryKind, Event, Reset
from gateway.rows import Kind
from gateway.scripts import Status
from tests.lua.world import CUSTOMER, ENV, HOUR_MS, NOW_MS, World, hourly, per_entity, row


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
    assert [seen.feature for seen in reply.descriptions] == ["calls"]
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
    assert [seen.feature for seen in reply.descriptions] == ["calls", "store"]
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
    seen = {reply.descriptions[0].live.split(" ", 1)[0] for reply in replies}
    assert seen == {str(used) for used in range(1, 51)}


# -- rows per entity ---------------------------------------------------------------------------


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
    assert (await world.entry()).changes[1:] == [
        Reset("calls", "b", "", 3, NOW_MS + 2 * HOUR_MS),
        Deduction("calls", "b", "zoe", 3, 1, 1, 1),
    ]


async def test_entities_of_another_feature_have_no_slot(world: World) -> None:
    await world.create(calls=[per_entity("b", 10)])
    await world.seats("zoe")
    await world.seat("den", "rooms")
    assert (await world.track("calls", 1, "den")).applied == [0]
    assert await world.left("calls") == 10


# -- rows entities hold themselves -------------------------------------------------------------


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
        Deduction("calls", "c", "zoe", 6, 10, 10, 10),
        Deduction("calls", "d", "zoe", 7, 10, 10, 10),
        Deduction("calls", "b", "bob", 5, 5, 5, 5),
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
    assert await world.used("zoe") == {"a": -81}
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
    assert (await world.entry()).changes[1:] == [
        Reset("calls", "b", "zoe", 4, NOW_MS + 2 * HOUR_MS),
        Deduction("calls", "b", "zoe", 4, 4, 4, 4),
    ]
    assert await world.left("calls") == 6


async def test_expired_rows_give_nothing(world: World) -> None:
    await world.create(calls=[row("a", 10, expires_ms=NOW_MS + 1), row("b", 5)])
    world.now_ms += 1
    assert (await world.track("calls", 100)).applied == [5]


@pytest.mark.parametrize("scope", ["", "zoe"])
async def test_boolean_rows_hold_no_units(world: World, scope: str) -> None:
    await world.create(sso=[row("a", kind=Kind.FLAG)])
    await world.seats("zoe")
    assert (await world.track("sso", 1, scope)).applied == [0]
