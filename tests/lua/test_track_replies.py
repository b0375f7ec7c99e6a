"""``track`` with an idempotency key: the first reply is kept and given again, whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.keys import reply_key
from gateway.rows import RowDocument
from gateway.scripts import Idempotency, Part, Pool, Status, TrackReply
from tests.lua.world import CUSTOMER, ENV, PARTITION, World, per_entity, row

KEY = reply_key(ENV, CUSTOMER, PARTITION, "key of the caller")
KEPT = Idempotency(KEY, "f1", 60_000)


async def use(
    world: World,
    *parts: Part,
    kept: Idempotency = KEPT,
    **more: Any,  # noqa: ANN401 - fields of Use
) -> TrackReply:
    return await world.use(*parts, idempotency=kept, **more)


def answers(reply: TrackReply) -> Sequence[object]:
    """Return all of a reply but its status."""
    return tuple(reply[1:])


async def test_a_repeated_call_gets_the_first_reply_and_changes_nothing(world: World) -> None:
    await world.create(
        calls=[row("a", 10, document=RowDocument(plan_id="pro")), per_entity("b", 10)],
        credits=[row("c", 100)],
    )
    await world.seats("zoe")
    parts = (Part("calls", 35, (Pool("credits", 1, 5),)), Part("credits", 3))
    first = await use(world, *parts, scope="zoe")
    assert first.status is Status.DONE
    await world.track("credits", 50)
    before = await world.dump()
    again = await use(world, *parts, scope="zoe")
    assert again.status is Status.REPLAYED
    assert answers(again) == answers(first)
    assert await world.dump() == before


async def test_a_reply_of_nothing_at_all_is_kept_too(world: World) -> None:
    await world.create(calls=[row("a", 0)])
    first = await use(world, Part("calls", 5))
    assert first.applied == [0]
    assert answers(await use(world, Part("calls", 5))) == answers(first)


async def test_text_of_any_language_comes_back_as_it_was(world: World) -> None:
    document = RowDocument(plan_id="Größe \u2028 \x01\x02\n\t")
    await world.create(calls=[row("a", 10, document=document)])
    first = await use(world, Part("calls", 5))
    assert answers(await use(world, Part("calls", 5))) == answers(first)


async def test_of_many_calls_at_once_one_is_applied(world: World) -> None:
    await world.create(calls=[row("a", 100)])
    replies = await asyncio.gather(*(use(world, Part("calls", 7)) for _ in range(10)))
    assert sorted(reply.status for reply in replies) == [Status.DONE, *[Status.REPLAYED] * 9]
    assert len({answers(reply)[0][0] for reply in replies}) == 1  # type: ignore[index]
    assert await world.left("calls") == 93


async def test_another_call_under_the_key_is_told_apart(world: World) -> None:
    await world.create(calls=[row("a", 100)])
    await use(world, Part("calls", 7))
    before = await world.dump()
    for fingerprint in ("f2", "f", "f11", ""):
        kept = KEPT._replace(fingerprint=fingerprint or "f1\n")
        reply = await use(world, Part("calls", 7), kept=kept)
        assert (reply.status, reply.moves) == (Status.MISMATCH, [])
    assert await world.dump() == before


async def test_another_key_is_another_call(world: World) -> None:
    await world.create(calls=[row("a", 100)])
    await use(world, Part("calls", 7))
    other = KEPT._replace(key=reply_key(ENV, CUSTOMER, PARTITION, "other"))
    assert (await use(world, Part("calls", 7), kept=other)).status is Status.DONE
    assert await world.left("calls") == 86


async def test_what_was_not_done_is_not_kept(world: World) -> None:
    assert (await use(world, Part("calls", 7))).status is Status.CUSTOMER_MISSING
    await world.create(calls=[row("a", 5)])
    for more in ({"mode": "reject"}, {"scope": "nobody"}, {"dry": True}):
        await use(world, Part("calls", 7), **more)
        assert KEY not in (await world.state()).names
    assert (await use(world, Part("calls", 5), mode="reject")).status is Status.DONE


async def test_a_reply_is_kept_for_its_time(world: World) -> None:
    await world.create(calls=[row("a", 100)])
    await use(world, Part("calls", 7))
    assert 0 < await world.client.pttl(KEY) <= KEPT.keep_ms
