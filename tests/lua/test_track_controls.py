"""``track`` under billing controls: overage that is allowed or forbidden, and spend limits."""

from __future__ import annotations

from typing import Any

from gateway.amounts import UNITS_MAX
from gateway.rows import RowDocument
from gateway.scripts import Part, Pool, Status
from tests.lua.world import World, per_entity, row, rules


async def test_overage_that_is_forbidden_stops_pay_per_use(world: World) -> None:
    await world.create(rules=rules(calls="o\t0"), calls=[row("a", 10, flags="o")])
    assert (await world.track("calls", 15)).applied == [10]
    assert not (await world.check("calls", 1)).allowed


async def test_overage_that_is_allowed_lets_plain_rows_owe(world: World) -> None:
    await world.create(rules=rules(calls="o\t1"), calls=[row("a", 10), row("b", 5)])
    assert (await world.track("calls", 100, mode="reject")).applied == [100]
    assert await world.used() == {"a": 95, "b": 5}


async def test_overage_that_is_allowed_adds_nothing_where_a_row_is_pay_per_use(
    world: World,
) -> None:
    await world.create(
        rules=rules(calls="o\t1"), calls=[row("a", 10), row("b", 5, flags="o", floor=3)]
    )
    assert (await world.track("calls", 100)).applied == [18]
    assert await world.used() == {"a": 10, "b": 8}


async def test_free_continuous_use_that_is_forbidden_stops_too(world: World) -> None:
    await world.create(rules=rules(seats="o\t0"), seats=[row("a", 10, flags="af")])
    assert (await world.track("seats", 15)).applied == [10]


async def test_overage_that_is_allowed_overdraws_nothing_that_entities_hold(world: World) -> None:
    await world.create(rules=rules(calls="o\t1"))
    await world.seats("zoe")
    await world.attach("zoe", calls=[row("a", 10)])
    assert (await world.track("calls", 15)).applied == [10]
    assert (await world.track("calls", 15, "zoe")).applied == [15]


async def test_a_spend_limit_clamps_what_pay_per_use_may_owe(world: World) -> None:
    await world.create(
        rules=rules(calls="s\t25\t0"), calls=[row("a", 1000), row("b", 100, flags="o", floor=300)]
    )
    assert (await world.track("calls", 1120)).applied == [1120]
    assert (await world.check("calls", 5)).allowed
    assert not (await world.check("calls", 6)).allowed
    assert (await world.track("calls", 10)).applied == [5]
    assert await world.used() == {"a": 1000, "b": 125}
    assert (await world.track("calls", 1, mode="reject")).status is Status.DENIED


async def test_a_spend_limit_takes_the_place_of_a_smaller_floor(world: World) -> None:
    await world.create(rules=rules(calls="s\t25\t0"), calls=[row("a", 10, flags="o", floor=3)])
    assert (await world.track("calls", 100)).applied == [35]


async def test_a_spend_limit_alone_permits_nothing(world: World) -> None:
    await world.create(rules=rules(calls="s\t25\t0"), calls=[row("a", 10)])
    assert (await world.track("calls", 100)).applied == [10]


async def test_a_spend_limit_clamps_overflow_too(world: World) -> None:
    await world.create(
        rules=rules(calls="s\t25\t0"), calls=[row("a", 1000), row("b", 100, flags="o")]
    )
    await world.track("calls", 1120)
    assert (await world.track("calls", 10, mode="overflow")).applied == [5]
    assert (await world.track("calls", 10, mode="overflow")).applied == [0]
    assert sum((await world.used()).values()) == 1125


async def test_what_the_limit_leaves_of_an_overflow_is_dropped_not_owed_in_credits(
    world: World,
) -> None:
    await world.create(
        rules=rules(action1="s\t25\t0"), action1=[row("a", 10)], credits=[row("c", 2, flags="o")]
    )
    part = Part("action1", 60, (Pool("credits", 1, 5),))
    assert (await world.use(part, mode="overflow")).applied == [45]
    assert await world.used() == {"a": 35, "c": 2}


async def test_what_an_entity_owes_of_its_own_is_not_in_the_limit_of_the_customer(
    world: World,
) -> None:
    await world.create(rules=rules(calls="s\t25\t0"), calls=[row("a", 10, flags="o")])
    await world.seats("zoe")
    await world.attach("zoe", calls=[row("own", 10, flags="o")])
    assert (await world.track("calls", 100, "zoe")).applied == [45]
    assert (await world.track("calls", 100)).applied == [25]
    assert await world.used() == {"a": 35}


async def test_each_entity_has_the_whole_limit_and_the_customer_what_they_left(
    world: World,
) -> None:
    await world.create(
        rules=rules(calls="s\t25\t0"), calls=[per_entity("a", 800, flags="o", floor=300)]
    )
    await world.seats("zoe", "bob")
    for scope in ("zoe", "bob"):
        assert (await world.track("calls", 810, scope)).applied == [810]
    assert (await world.track("calls", 10)).applied == [5]
    assert await world.used() == {"a": 1625}
    await world.track("calls", -1625)
    assert (await world.track("calls", 900, "zoe")).applied == [825]


def given(included: int, **more: Any) -> dict[str, RowDocument]:  # noqa: ANN401 - of a document
    """Return the document of a row that a plan gives."""
    return {"document": RowDocument(subscription_id="sub_1", included=included, **more)}


async def test_a_share_of_what_is_included_counts_once_for_each_entity(world: World) -> None:
    rows = [
        row("a", 50, **given(50)),
        row("b", 200, **given(60, planned=40, prepaid=140)),
        row("c", 1, **given(1, apart=True)),
        row("d", 1, document=RowDocument(included=1)),
        per_entity("e", 100, flags="o", **given(100)),
    ]
    await world.create(rules=rules(calls="s\t100001\t1"), calls=rows)
    await world.seats("zoe", "bob", "eve")
    assert (await world.track("calls", 999, "zoe")).applied == [352 + 19]
    assert (await world.track("calls", 999)).applied == [200 + 39 - 19]


async def test_a_share_is_one_of_what_the_call_may_spend_from(world: World) -> None:
    await world.create(rules=rules(calls="s\t500000\t1"), calls=[row("a", 60, **given(60))])
    await world.seats("zoe", "bob")
    await world.attach("zoe", calls=[row("b", 100, flags="o", **given(100))])
    assert (await world.track("calls", 999, "zoe")).applied == [160 + 80]
    await world.attach("bob", rules=rules(calls="s\t250000\t1"), calls=[row("c", 4, flags="o")])
    assert (await world.track("calls", 999, "bob")).applied == [4 + 15]


async def test_a_share_of_nothing_is_no_limit(world: World) -> None:
    await world.create(rules=rules(calls="s\t500000\t1"), calls=[row("a", 60, flags="o")])
    assert (await world.track("calls", 999)).applied == [999]


async def test_a_share_of_very_much_is_exact(world: World) -> None:
    most = UNITS_MAX // 3
    rows = [row("a", most, flags="o", **given(most))]
    await world.create(rules=rules(calls="s\t1100000\t1"), calls=rows)
    assert (await world.track("calls", UNITS_MAX)).applied == [most + most * 11 // 10]


async def test_of_credits_the_limit_counts_credits(world: World) -> None:
    await world.create(rules=rules(credits="s\t4\t0"), credits=[row("c", 10, flags="o")])
    pools = (Pool("credits", 1, 5),)
    assert (await world.use(Part("action1", 500, pools))).applied == [70]
    assert await world.used() == {"c": 14}


async def test_controls_of_an_entity_take_the_place_of_those_of_the_customer(world: World) -> None:
    await world.create(rules=rules(calls="o\t0\ns\t5\t0"), calls=[per_entity("a", 10, flags="o")])
    assert await world.seat("zoe", rules=rules(calls="o\t1\ns\t8\t0")) is Status.DONE
    await world.seats("bob")
    assert (await world.track("calls", 30, "zoe")).applied == [18]
    assert (await world.track("calls", 30, "bob")).applied == [10]
    assert not (await world.check("calls", 1)).allowed


async def test_each_control_of_the_customer_holds_where_the_entity_has_none(world: World) -> None:
    await world.create(rules=rules(calls="o\t0\ns\t5\t0"), calls=[per_entity("a", 10, flags="o")])
    await world.seat("zoe", rules=rules(calls="o\t1"))
    assert (await world.track("calls", 30, "zoe")).applied == [15]


async def test_an_entity_may_be_free_of_the_spend_limit_of_the_customer(world: World) -> None:
    await world.create(rules=rules(calls="s\t5\t0"), calls=[per_entity("a", 10, flags="o")])
    await world.seat("zoe", rules=rules(calls="h\ts"))
    await world.seats("bob")
    assert (await world.track("calls", 30, "zoe")).applied == [30]
    assert (await world.track("calls", 30, "bob")).applied == [15]


async def test_entities_that_stand_alone_do_not_fall_back_on_the_customer(world: World) -> None:
    await world.create(rules=rules(calls="d\t"), calls=[row("a", 100), per_entity("b", 10)])
    await world.seats("zoe")
    await world.attach("zoe", calls=[row("c", 5)])
    assert (await world.track("calls", 30, "zoe")).applied == [15]
    assert (await world.track("calls", 30)).applied == [30]
    assert await world.used() == {"a": 30, "b": 10}
