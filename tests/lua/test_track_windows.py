"""``track`` under usage limits: windows that count, filter and end, shared or an entity's own."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.lifecycle.rules import Window, filter_key
from gateway.outbox import WindowSet
from gateway.rows import Row, RowDocument
from gateway.scripts import Part, Pool, Status
from tests.lua.world import HOUR_MS, NOW_MS, World, per_entity, row, rules

FIFTH = (Pool("credits", 1, 5),)
CHAT = '{"model":"chat"}'
KEY = filter_key(CHAT)
END_MS = NOW_MS + HOUR_MS


def hourly_limit(limit: int, text: str = "{}") -> str:
    """Return the rule of a window that begins when the world does and lasts an hour."""
    return Window(filter_key(text), limit, "f", HOUR_MS, NOW_MS, text).line


async def counted(world: World) -> list[WindowSet]:
    """Return the windows of the only entry since the outbox was last looked at."""
    return [one for one in (await world.entry()).changes if isinstance(one, WindowSet)]


async def test_a_window_lets_through_what_it_has_room_for(world: World) -> None:
    await world.create(rules=rules(calls=hourly_limit(10)), calls=[row("a", 100)])
    await world.entries()
    assert (await world.track("calls", 7)).applied == [7]
    assert await counted(world) == [WindowSet("calls", "", "", END_MS, 7)]
    assert (await world.track("calls", 4, mode="reject")).status is Status.DENIED
    assert (await world.check("calls", 3)).allowed
    assert not (await world.check("calls", 4)).allowed
    assert (await world.track("calls", 4)).applied == [3]
    assert (await world.track("calls", 4)).applied == [0]
    assert await world.used() == {"a": 10}


async def test_a_window_counts_each_use_that_leaves_it_room(world: World) -> None:
    await world.create(rules=rules(calls=hourly_limit(100)), calls=[row("a", 1000)])
    for amount, units in ((3, 3), (4, 7), (5, 12)):
        await world.entries()
        assert (await world.track("calls", amount)).applied == [amount]
        assert await counted(world) == [WindowSet("calls", "", "", END_MS, units)]
    world.now_ms = END_MS
    await world.entries()
    assert (await world.track("calls", 2)).applied == [2]
    assert await counted(world) == [WindowSet("calls", "", "", END_MS + HOUR_MS, 2)]


async def test_a_window_begins_anew_at_its_boundary(world: World) -> None:
    await world.create(rules=rules(calls=hourly_limit(10)), calls=[row("a", 100)])
    await world.track("calls", 10)
    world.now_ms += HOUR_MS - 1
    assert (await world.track("calls", 5)).applied == [0]
    world.now_ms += 1
    await world.entries()
    assert (await world.track("calls", 5)).applied == [5]
    assert await counted(world) == [WindowSet("calls", "", "", END_MS + HOUR_MS, 5)]


async def test_callers_whose_clocks_differ_count_in_one_window(world: World) -> None:
    await world.create(rules=rules(calls=hourly_limit(10)), calls=[row("a", 100)])
    assert (await world.track("calls", 6)).applied == [6]
    ahead, behind = END_MS + 90_000, END_MS - 90_000
    for now_ms, applied in ((ahead, 7), (behind, 3), (ahead, 0), (behind, 0)):
        world.now_ms = now_ms
        assert (await world.track("calls", 7)).applied == [applied]
    assert await world.used() == {"a": 16}


async def test_a_caller_ahead_ends_no_other_window(world: World) -> None:
    text = "\n".join((hourly_limit(20), hourly_limit(5, CHAT)))
    await world.create(rules=rules(calls=text), calls=[row("a", 100)])
    assert (await world.use(Part("calls", 5), properties=CHAT)).applied == [5]
    world.now_ms = END_MS + 90_000
    assert (await world.track("calls", 1)).applied == [1]
    world.now_ms = END_MS - 90_000
    assert (await world.use(Part("calls", 5), properties=CHAT)).applied == [0]


async def test_giving_back_does_not_free_the_window(world: World) -> None:
    await world.create(rules=rules(calls=hourly_limit(10)), calls=[row("a", 100)])
    await world.track("calls", 10)
    assert (await world.track("calls", -8)).applied == [-8]
    assert (await world.track("calls", 1)).applied == [0]


async def test_overflow_counts_and_is_not_stopped(world: World) -> None:
    await world.create(rules=rules(calls=hourly_limit(5)), calls=[row("a", 100)])
    await world.track("calls", 3)
    await world.entries()
    assert (await world.track("calls", 10, mode="overflow")).applied == [10]
    assert await world.left("calls") == 87
    assert await counted(world) == [WindowSet("calls", "", "", END_MS, 13)]


async def test_what_an_unlimited_row_takes_is_not_counted(world: World) -> None:
    await world.create(rules=rules(calls=hourly_limit(5)), calls=[row("a", 0, flags="u")])
    assert (await world.track("calls", 10, mode="reject")).applied == [10]
    assert "x:calls" not in (await world.state()).customer


async def test_of_several_windows_the_tightest_binds_and_all_count(world: World) -> None:
    text = "\n".join((hourly_limit(20), hourly_limit(5, CHAT)))
    await world.create(rules=rules(calls=text), calls=[row("a", 100)])
    await world.entries()
    assert (await world.use(Part("calls", 10), properties=CHAT)).applied == [5]
    assert await counted(world) == [
        WindowSet("calls", "", "", END_MS, 5),
        WindowSet("calls", "", KEY, END_MS, 5),
    ]
    assert (await world.use(Part("calls", 30))).applied == [15]


@pytest.mark.parametrize(
    ("wanted", "sent", "matches"),
    [
        (CHAT, '{"model":"chat","n":1}', True),
        (CHAT, '{"model":"code"}', False),
        (CHAT, "{}", False),
        ('{"model":["chat","code"]}', '{"model":"code"}', True),
        ('{"model":["chat","code"]}', '{"model":"image"}', False),
        ('{"a":1,"b":true}', '{"a":1,"b":true}', True),
        ('{"a":1,"b":true}', '{"a":1,"b":false}', False),
        ('{"a":1}', '{"a":"1"}', False),
        ('{"a":false}', '{"a":false}', True),
        ('{"a":[]}', '{"a":1}', False),
        ('{"a":"1","b":"true","c":"0.1"}', '{"a":1.0,"b":true,"c":0.1}', True),
        ('{"a":["x","9007199254740993"]}', '{"a":9007199254740993}', True),
        ('{"a":"x"}', '{"a":1}', False),
        ('{"a":"true"}', '{"a":false}', False),
        ('{"a":"1"}', '{"a":null}', False),
        ('{"a":"1"}', '{"a":[1]}', False),
    ],
)
async def test_a_filter_says_which_uses_a_window_is_about(
    world: World, wanted: str, sent: str, *, matches: bool
) -> None:
    await world.create(rules=rules(calls=hourly_limit(5, wanted)), calls=[row("a", 100)])
    assert (await world.use(Part("calls", 7), properties=sent)).applied == [5 if matches else 7]
    reply = await world.look(Part("calls", 1), properties=sent)
    assert reply.allowed is not matches


async def test_entities_share_a_window_of_the_customer(world: World) -> None:
    await world.create(rules=rules(calls=hourly_limit(10)), calls=[per_entity("a", 100)])
    await world.seats("zoe", "bob")
    assert (await world.track("calls", 7, "zoe")).applied == [7]
    assert (await world.track("calls", 7, "bob")).applied == [3]
    assert (await world.track("calls", 1)).applied == [0]


async def test_a_window_of_an_entity_is_its_own_and_not_counted_in_the_shared_one(
    world: World,
) -> None:
    await world.create(rules=rules(calls=hourly_limit(10)), calls=[per_entity("a", 100)])
    await world.seat("zoe", rules=rules(calls=hourly_limit(15)))
    await world.seats("bob")
    await world.entries()
    assert (await world.track("calls", 30, "zoe")).applied == [15]
    assert await counted(world) == [WindowSet("calls", "zoe", "", END_MS, 15)]
    assert (await world.track("calls", 30, "bob")).applied == [10]
    assert (await world.holding("x:calls\tzoe")).endswith("15")


async def test_windows_of_the_customer_with_another_filter_bind_the_entity_too(
    world: World,
) -> None:
    await world.create(rules=rules(calls=hourly_limit(5, CHAT)), calls=[per_entity("a", 100)])
    await world.seat("zoe", rules=rules(calls=hourly_limit(15)))
    reply = await world.use(Part("calls", 30), scope="zoe", properties=CHAT)
    assert reply.applied == [5]
    assert (await world.holding("x:calls\tzoe")).endswith("5")


def cycle(anchor_ms: int, **document: Any) -> dict[str, Any]:  # noqa: ANN401 - of a document
    """Return columns of a row that resets each hour."""
    reset = {"unit": "f", "every": HOUR_MS, "anchor_ms": NOW_MS + anchor_ms}
    return {**reset, "document": RowDocument(**document)}


@pytest.mark.parametrize(
    ("rows", "after_ms"),
    [
        ([], 9),
        ([row("a", **cycle(1)), row("b", **cycle(2, subscription_id="s"))], 2),
        ([row("a", **cycle(1)), row("b", **cycle(2, givers=1))], 2),
        ([row("a", **cycle(1, subscription_id="s", apart=True)), row("b", **cycle(2))], 1),
        ([row("a", **cycle(1, subscription_id="s")), row("b", **cycle(2, subscription_id="s"))], 1),
        ([row("a", **cycle(1), expires_ms=END_MS * 2), row("b")], 9),
        ([per_entity("a", **cycle(3)), row("b", expires_ms=END_MS * 2)], 3),
        ([row("b"), per_entity("a", **cycle(3) | {"entity_feature": "rooms"})], 9),
    ],
)
async def test_a_window_of_an_entity_may_go_along_with_a_balance_of_its_customer(
    world: World, rows: list[Row], after_ms: int
) -> None:
    await world.create(calls=rows)
    window = Window("", 5, "f", HOUR_MS, NOW_MS + 9, "{}", follows=True)
    await world.seat("zoe", rules=rules(calls=window.line))
    await world.attach("zoe", calls=[row("own", 7)])
    world.now_ms += 10
    await world.entries()
    assert (await world.track("calls", 30, "zoe")).applied == [5]
    assert await counted(world) == [WindowSet("calls", "zoe", "", END_MS + after_ms, 5)]


async def test_an_entity_may_be_free_of_a_window_of_the_customer(world: World) -> None:
    limits = f"{hourly_limit(10)}\n{hourly_limit(5, CHAT)}"
    await world.create(rules=rules(calls=limits), calls=[per_entity("a", 100)])
    await world.seat("zoe", rules=rules(calls="h\tw\t"))
    await world.entries()
    assert (await world.track("calls", 30, "zoe")).applied == [30]
    assert await counted(world) == []
    assert (await world.use(Part("calls", 30), scope="zoe", properties=CHAT)).applied == [5]


async def test_a_window_counts_units_whoever_pays_for_them(world: World) -> None:
    await world.create(rules=rules(action1=hourly_limit(10)), credits=[row("a", 1), row("b", 10)])
    assert (await world.use(Part("action1", 15, FIFTH))).applied == [10]
    assert await world.used() == {"a": 1, "b": 1}
    assert (await world.state()).customer["x:action1"].endswith("\t10")


async def test_own_units_and_credits_fill_one_window(world: World) -> None:
    await world.create(
        rules=rules(action1=hourly_limit(80)), action1=[row("a", 50)], credits=[row("c", 1000)]
    )
    assert (await world.use(Part("action1", 100, FIFTH))).applied == [80]
    assert await world.used() == {"a": 50, "c": 6}


async def test_a_window_of_credits_counts_what_leaves_them_for_any_member(world: World) -> None:
    await world.create(rules=rules(credits=hourly_limit(2)), credits=[row("c", 100)])
    assert (await world.use(Part("action1", 5, FIFTH))).applied == [5]
    assert (await world.use(Part("action2", 9, (Pool("credits", 1, 1),)))).applied == [1]
    assert (await world.use(Part("action1", 9, FIFTH))).applied == [0]
    assert await world.used() == {"c": 2}


async def test_a_window_of_credits_does_not_bind_what_the_feature_has_itself(world: World) -> None:
    await world.create(
        rules=rules(credits=hourly_limit(1)), action1=[row("a", 10)], credits=[row("c", 100)]
    )
    assert (await world.use(Part("action1", 40, FIFTH))).applied == [15]
    assert (await world.use(Part("action1", -10, FIFTH))).applied == [-10]
    assert (await world.use(Part("action1", 40, FIFTH))).applied == [10]


async def test_a_window_of_the_feature_does_not_bind_credits_that_are_tracked_themselves(
    world: World,
) -> None:
    await world.create(rules=rules(action1=hourly_limit(5)), credits=[row("c", 100)])
    await world.use(Part("action1", 5, FIFTH))
    assert (await world.use(Part("credits", 50))).applied == [50]


async def test_parts_of_one_call_see_what_the_others_counted(world: World) -> None:
    await world.create(rules=rules(credits=hourly_limit(3)), credits=[row("c", 100)])
    reply = await world.use(Part("action1", 10, FIFTH), Part("action2", 10, FIFTH))
    assert reply.applied == [10, 5]


async def test_a_window_waits_while_a_use_is_refused(world: World) -> None:
    await world.create(rules=rules(calls=hourly_limit(10)), calls=[row("a", 3)])
    before = await world.dump()
    assert (await world.track("calls", 5, mode="reject")).status is Status.DENIED
    assert await world.dump() == before


async def test_the_counters_of_an_entity_go_with_it(world: World) -> None:
    await world.create(calls=[per_entity("a", 100)])
    await world.seat("zoe", rules=rules(calls=hourly_limit(15)))
    await world.track("calls", 30, "zoe")
    await world.leave("zoe")
    assert not [name for name in (await world.state()).holdings if name.endswith("zoe")]
