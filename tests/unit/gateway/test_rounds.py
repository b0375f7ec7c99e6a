"""Rounds are shared, begin after they were asked for, and keep their distance."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import UnavailableError
from gateway.rounds import LOOK_SECONDS, Rounds


class World:
    """Something to look at, with a clock that moves when it is waited on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.state = 0
        self.seen: list[int] = []
        self.gate = asyncio.Event()
        """Closed by a test, it holds up a look that has begun."""
        self.gate.set()
        self.is_down = False
        self.round = Rounds(
            self.look, apart=LOOK_SECONDS, monotonic=lambda: self.now, pause=self.pause
        )

    async def look(self) -> None:
        self.seen.append(self.state)
        await self.gate.wait()
        if self.is_down:
            raise UnavailableError

    async def pause(self, seconds: float) -> None:
        self.now += max(seconds, 0)

    async def ask(self) -> list[int]:
        await self.round()
        return list(self.seen)


@pytest.fixture
def world() -> World:
    return World()


async def test_those_who_ask_together_share_a_look(world: World) -> None:
    await asyncio.gather(*(world.ask() for _ in range(500)))

    assert world.seen == [0]


async def test_looks_keep_their_distance(world: World) -> None:
    for _ in range(50):
        await world.ask()

    assert len(world.seen) == 50
    assert world.now - 100 == pytest.approx(49 * LOOK_SECONDS)


async def test_one_who_asks_during_a_look_gets_the_next(world: World) -> None:
    world.gate.clear()
    first = asyncio.create_task(world.ask())
    while not world.seen:
        await asyncio.wait([first], timeout=0)
    world.state = 1
    later = [asyncio.create_task(world.ask()) for _ in range(20)]
    await asyncio.wait(later, timeout=0)
    assert world.seen == [0]  # one look at a time, however long it takes

    world.gate.set()
    assert {tuple(each) for each in await asyncio.gather(*later)} == {(0, 1)}


async def test_one_who_leaves_does_not_end_the_look_of_others(world: World) -> None:
    world.gate.clear()
    leaving, staying = (asyncio.create_task(world.ask()) for _ in range(2))
    while not world.seen:
        await asyncio.wait([leaving], timeout=0)
    leaving.cancel()
    world.gate.set()

    assert await staying == [0]


async def test_a_look_that_fails_fails_for_all_and_for_nobody_after(world: World) -> None:
    world.is_down = True
    found = await asyncio.gather(*(world.ask() for _ in range(3)), return_exceptions=True)
    world.is_down = False

    assert {type(each) for each in found} == {UnavailableError}
    assert await world.ask() == [0, 0]
