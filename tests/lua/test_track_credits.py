"""``track`` where credit systems pay: what they cost, in which order, all of it or nothing."""

from __future__ import annotations

import pytest

from gateway.amounts import UNITS_MAX
from gateway.lifecycle.rules import Window
from gateway.outbox import Deduction, Event
from gateway.scripts import Part, Pool, Status
from tests.lua.world import HOUR_MS, NOW_MS, World, per_entity, row, rules

FIFTH = (Pool("credits", 1, 5),)
"""One unit costs 0.2 credits."""

DEAR = (Pool("credits", 3, 5),)


async def spent(world: World) -> list[str]:
    """Return the rows of the last entry in the order they gave."""
    changes = (await world.entries())[-1].changes
    return [change.balance_id for change in changes if isinstance(change, Deduction)]


async def test_credits_pay_what_the_feature_has_not_got(world: World) -> None:
    await world.create(action1=[row("a", 10000)], credits=[row("c", 20000)])
    await world.use(Part("action1", 4050, FIFTH))
    assert await world.used() == {"a": 4050, "c": 0}
    await world.entries()
    reply = await world.use(Part("action1", 8000, FIFTH))
    assert reply.applied == [8000]
    assert [(move.feature, move.delta) for move in reply.moves[0]] == [
        ("action1", 5950),
        ("credits", 410),
    ]
    assert [seen.feature for seen in reply.descriptions[0]] == ["action1", "credits"]
    assert await world.used() == {"a": 10000, "c": 410}
    assert (await world.entry()).changes == [
        Event("action1", "", "", 8000, 8000, NOW_MS, '{"a":1}'),
        Deduction("action1", "a", "", 1, 5950, 10000, 10000),
        Deduction("credits", "c", "", 2, 410, 410, 410),
    ]


@pytest.mark.parametrize(
    ("units", "cost"), [(0, 0), (1, 0), (2, 0), (3, 1), (5, 1), (7, 1), (8, 2), (12, 2), (13, 3)]
)
async def test_an_amount_is_converted_once_and_rounded_half_up(
    world: World, units: int, cost: int
) -> None:
    await world.create(credits=[row("c", 20000)])
    assert (await world.use(Part("action1", units, FIFTH))).applied == [units]
    assert await world.used() == {"c": cost}


async def test_an_exact_half_is_rounded_up(world: World) -> None:
    await world.create(credits=[row("c", 100)])
    await world.use(Part("action1", 1, (Pool("credits", 1, 2),)))
    assert await world.used() == {"c": 1}


async def test_rows_of_one_pool_share_one_conversion(world: World) -> None:
    await world.create(credits=[row("a", 1), row("b", 1), row("c", 100)])
    assert (await world.use(Part("action1", 13, FIFTH))).applied == [13]
    assert await world.used() == {"a": 1, "b": 1, "c": 1}


async def test_a_pool_that_runs_dry_covers_whole_units_only(world: World) -> None:
    await world.create(credits=[row("c", 5)])
    assert (await world.use(Part("action1", 100, DEAR))).applied == [8]  # 5 / 0.6 = 8.33
    assert await world.used() == {"c": 5}


async def test_the_next_pool_pays_what_the_first_one_could_not(world: World) -> None:
    await world.create(action1=[row("a", 10)], gold=[row("g", 3)], iron=[row("i", 1000)])
    pools = (Pool("gold", 1, 5), Pool("iron", 7, 1))
    assert (await world.use(Part("action1", 30, pools))).applied == [30]
    assert await world.used() == {"a": 10, "g": 3, "i": 35}


@pytest.mark.parametrize("scope", ["", "zoe"])
async def test_credits_of_several_pools_are_spent_by_rank_whichever_pool_they_are_of(
    world: World, scope: str
) -> None:
    await world.create(
        action1=[row("z", 10)],
        gold=[row("a", 1), row("c", 1), per_entity("h", 1)],
        iron=[row("b", 10), row("d", 10), per_entity("g", 10)],
    )
    await world.seats("zoe")
    await world.attach("zoe", gold=[row("f", 1)], iron=[row("e", 10)])
    pools = (Pool("gold", 1, 10), Pool("iron", 1, 1))
    assert (await world.use(Part("action1", 90, pools), scope=scope)).applied == [90]
    assert "".join(await spent(world)) == ("efghzabcd" if scope else "zabcdghfe")


async def test_what_costs_nothing_is_not_paid_where_nothing_may_be_used(world: World) -> None:
    await world.create(
        rules=rules(credits=Window("", 0, "f", HOUR_MS, NOW_MS, "{}").line),
        credits=[row("c", 100)],
        gold=[row("g", 100)],
    )
    reply = await world.use(Part("action1", 2, (*FIFTH, Pool("gold", 1, 1))))
    assert reply.applied == [2]
    assert await world.used() == {"c": 0, "g": 2}


async def test_what_does_not_fit_is_dropped_or_refused(world: World) -> None:
    await world.create(action1=[row("a", 10)], credits=[row("c", 2)])
    refused = await world.use(Part("action1", 23, FIFTH), mode="reject")
    assert (refused.status, refused.applied, refused.moves) == (Status.DENIED, [], [])
    assert [seen.feature for seen in refused.descriptions[0]] == ["action1", "credits"]
    assert (await world.use(Part("action1", 20, FIFTH), mode="reject")).applied == [20]
    assert (await world.use(Part("action1", 1, FIFTH))).applied == [0]


async def test_overflow_goes_to_the_feature_and_not_to_the_credits(world: World) -> None:
    await world.create(action1=[row("a", 10)], credits=[row("c", 2)])
    assert (await world.use(Part("action1", 50, FIFTH), mode="overflow")).applied == [50]
    assert await world.used() == {"a": 40, "c": 2}


async def test_an_entity_spends_what_is_its_own_of_all_pools_first(world: World) -> None:
    await world.create(
        action1=[row("a", 10), per_entity("b", 10)], credits=[row("c", 10), per_entity("d", 10)]
    )
    await world.seats("zoe", "bob")
    reply = await world.use(Part("action1", 200, (Pool("credits", 1, 1),)), scope="zoe")
    assert reply.applied == [40]
    assert await spent(world) == ["b", "d", "a", "c"]


async def test_the_customer_spends_slots_and_what_entities_hold_after_all_that_is_its_own(
    world: World,
) -> None:
    await world.create(
        action1=[row("a", 10), per_entity("b", 10)], credits=[row("c", 10), per_entity("d", 10)]
    )
    await world.seats("zoe")
    await world.attach("zoe", action1=[row("e", 10)], credits=[row("f", 10)])
    reply = await world.use(Part("action1", 60, (Pool("credits", 1, 1),)))
    assert reply.applied == [60]
    assert await spent(world) == ["a", "c", "b", "d", "e", "f"]


async def test_unlimited_credits_pay_all_of_it_and_spare_the_feature(world: World) -> None:
    await world.create(action1=[row("a", 100)], credits=[row("c", 0, flags="u")])
    assert (await world.use(Part("action1", 5, FIFTH), mode="reject")).applied == [5]
    assert await world.used() == {"a": 0, "c": 1}
    assert (await world.use(Part("action1", -10, FIFTH))).applied == [-10]
    assert await world.used() == {"a": 0, "c": -1}


async def test_giving_back_pays_debts_of_any_pool_before_it_fills(world: World) -> None:
    await world.create(action1=[row("a", 10)], credits=[row("c", 2, flags="o")])
    await world.use(Part("action1", 30, FIFTH))
    assert await world.used() == {"a": 10, "c": 4}
    assert (await world.use(Part("action1", -15, FIFTH))).applied == [-15]
    assert await world.used() == {"a": 5, "c": 2}
    assert (await world.use(Part("action1", -100, FIFTH))).applied == [-15]
    assert await world.used() == {"a": 0, "c": 0}


async def test_features_that_share_credits_are_paid_together_or_not_at_all(world: World) -> None:
    await world.create(credits=[row("c", 10)])
    parts = (Part("action1", 25, FIFTH), Part("action2", 10, DEAR))
    before = await world.dump()
    refused = await world.use(*parts, mode="reject")  # 5 and 6 of 10
    assert refused.status is Status.DENIED
    assert await world.dump() == before
    assert (await world.use(*parts)).applied == [25, 8]
    assert await world.used() == {"c": 10}
    await world.entries()
    assert [event.applied for event in world.history.events] == [25, 8]


async def test_features_that_share_credits_see_what_all_of_them_left(world: World) -> None:
    await world.create(credits=[row("c", 11)])
    reply = await world.use(Part("action1", 25, FIFTH), Part("action2", 10, DEAR), mode="reject")
    assert [move.delta for part in reply.moves for move in part] == [5, 6]
    assert [part[1].live.split()[0] for part in reply.descriptions] == ["11", "11"]


async def test_credits_that_would_leave_the_exact_range_are_refused(world: World) -> None:
    await world.create(credits=[row("c", 0, flags="u")])
    pool = (Pool("credits", 10**6, 1),)
    before = await world.dump()
    refused = await world.use(Part("action1", UNITS_MAX, pool))
    assert refused.status is Status.OUT_OF_RANGE
    assert await world.dump() == before


async def test_check_names_the_balance_that_answers(world: World) -> None:
    await world.create(action1=[row("a", 10)], credits=[row("c", 2)])
    for amount, answering, required, allowed in (
        (10, 0, 10, True),
        (15, 1, 3, True),
        (22, 1, 4, True),  # the 12 that credits pay cost 2.4, which is 2
        (23, 1, 5, False),
    ):
        reply = await world.look(Part("action1", amount, FIFTH))
        assert (reply.answering, reply.required, reply.allowed) == (answering, required, allowed)


async def test_credits_alone_answer_for_a_feature_without_rows(world: World) -> None:
    await world.create(credits=[row("c", 2)])
    reply = await world.look(Part("action1", 13, FIFTH))
    assert (reply.answering, reply.required, reply.allowed) == (1, 3, False)


async def test_a_limit_on_a_feature_without_rows_binds_what_credits_pay(world: World) -> None:
    window = Window("", 10, "f", HOUR_MS, NOW_MS, "{}")
    await world.create(rules=rules(action1=window.line), credits=[row("c", 100)])
    assert (await world.use(Part("action1", 25, FIFTH))).applied == [10]
    assert await world.used() == {"c": 2}


async def test_an_amount_that_costs_nothing_takes_nothing_of_a_row(world: World) -> None:
    await world.create(credits=[row("c", 100)])
    reply = await world.use(Part("action1", 2, FIFTH))
    assert (reply.applied, reply.moves) == ([2], [[]])
    assert await spent(world) == []
    assert (await world.look(Part("action1", 2, FIFTH))).required == 0
