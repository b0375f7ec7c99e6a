"""``restore_customer`` of many entities: staged in parts, and whole or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import pytest

from gateway.engine.images import restore_groups
from gateway.keys import staged_keys
from gateway.scripts import Status, restores
from gateway.scripts.restores import STAGED_MS, TOGETHER_MAX
from tests.lua.world import KEYS, World, hourly, per_entity, row

SEATS = 700
STAGED = staged_keys(KEYS.customer, "res_1")

Groups = list[list[str | int]]


class Lost(NamedTuple):
    """A customer with many entities that Redis has lost."""

    world: World
    groups: Groups

    async def restore(self) -> Status:
        world = self.world
        return await world.scripts.restore_customer(world.context, world.seen, self.groups)

    async def restore_at_once(self, monkeypatch: pytest.MonkeyPatch) -> Status:
        """Do so in one script."""
        with monkeypatch.context() as patched:
            patched.setattr(restores, "TOGETHER_MAX", 10**6)
            return await self.restore()

    async def staged(self) -> list[bytes]:
        """Return what is left of any restore."""
        return [key for key in await self.world.dump() if b":staged:" in key]


@pytest.fixture
async def lost(world: World) -> Lost:
    await world.create(calls=[per_entity("a", 10)], store=[row("b", 5)])
    await world.seats("zoe", "bob")
    await world.attach("zoe", more=[hourly("c", 7)])
    await world.track("calls", 12)
    await world.entries()
    await world.client.delete(*KEYS[:4])
    image = world.history.image()
    first = image.entities[0]
    others = [first._replace(entity_id=f"seat_{at:04d}", number=at) for at in range(10, 10 + SEATS)]
    groups = restore_groups(
        image._replace(entities=[*image.entities, *others], number_max=10 + SEATS)
    )
    assert sum(map(len, groups[1:4])) > TOGETHER_MAX
    assert all(groups[1:4])
    return Lost(world, groups)


async def test_it_comes_back_as_in_one_script(lost: Lost, monkeypatch: pytest.MonkeyPatch) -> None:
    world = lost.world
    assert await lost.restore_at_once(monkeypatch) is Status.DONE
    at_once = await world.dump()
    await world.client.delete(*KEYS[:4])
    assert await lost.restore() is Status.DONE
    assert await world.dump() == at_once
    assert [await world.client.ttl(key) for key in KEYS[:4]] == [-1] * 4
    assert (await world.track("calls", 20 + 10 * SEATS)).status is Status.DONE
    assert await world.left("calls") == 0


async def test_what_may_not_come_back_is_not_staged(
    lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = lost.world

    async def unexpected(*_: object) -> None:
        raise AssertionError("nothing is to be staged")

    assert await lost.restore_at_once(monkeypatch) is Status.DONE
    monkeypatch.setattr(world.scripts, "_stage", unexpected)
    before = await world.dump()
    assert await lost.restore() is Status.EXISTS
    assert await world.dump() == before
    await world.track("calls", 1)
    await world.client.delete(*KEYS[:4])
    assert await lost.restore() is Status.BUSY
    await world.entries()
    groups = restore_groups(world.history.image())
    again = await world.scripts.restore_customer(world.context, world.seen, groups)
    assert again is Status.DONE


Stage = Callable[[Any, str, Sequence[Any]], Awaitable[None]]


def after_staging(lost: Lost, act: Callable[[], Awaitable[object]]) -> Stage:
    """Return a ``_stage`` after whose last part something happens."""
    stage: Stage = lost.world.scripts._stage  # noqa: SLF001 - where a restore can be met

    async def staging(key: Any, command: str, values: Sequence[Any]) -> None:  # noqa: ANN401 - as it is
        await stage(key, command, values)
        if command == "ZADD":
            await act()

    return staging


async def test_who_came_back_meanwhile_stays_and_nothing_staged_does(
    lost: Lost, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = lost.world

    async def come() -> None:
        assert await lost.restore_at_once(monkeypatch) is Status.DONE
        await world.track("calls", 3)

    before = 8 + 10 * SEATS
    monkeypatch.setattr(world.scripts, "_stage", after_staging(lost, come))
    assert await lost.restore() is Status.EXISTS
    assert await world.left("calls") == before - 3
    assert await lost.staged() == []


@pytest.mark.parametrize("part", [1, 2, 3])
async def test_what_was_staged_and_went_is_not_missed_in_silence(
    lost: Lost, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    client: Any = lost.world.client

    async def lose() -> None:
        (key,) = [one for one in await lost.staged() if f"-{part - 1}:".encode() in one]
        await client.delete(key)

    with monkeypatch.context() as patched:
        patched.setattr(lost.world.scripts, "_stage", after_staging(lost, lose))
        assert await lost.restore() is Status.BUSY
    assert await lost.staged() == []
    assert not await client.exists(*KEYS[:4])
    assert await lost.restore() is Status.DONE


async def test_what_a_process_that_died_has_staged_expires(lost: Lost) -> None:
    for key, command, values in zip(
        STAGED, ("HSET", "HSET", "ZADD"), lost.groups[1:4], strict=True
    ):
        await lost.world.scripts._stage(key, command, values)  # noqa: SLF001 - what is left then
        assert 0 < await lost.world.client.pttl(key) <= STAGED_MS
    assert await lost.restore() is Status.DONE
    await lost.world.client.delete(*STAGED)
