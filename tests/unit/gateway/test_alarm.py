"""A pause lasts its time, or until the alarm is set."""

from __future__ import annotations

import asyncio

import pytest

from gateway.alarm import Alarm
from tests.waiting import one_turn

LONG = 3_600.0


async def resting(alarm: Alarm, seconds: float = LONG) -> asyncio.Task[None]:
    task = asyncio.create_task(alarm.rest(seconds))
    await one_turn()
    return task


async def test_a_pause_ends_after_its_time() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await Alarm().rest(0.01)
    assert loop.time() - began >= 0.009


async def test_all_who_rest_go_on_when_it_is_set() -> None:
    alarm = Alarm()
    pauses = [await resting(alarm) for _ in range(3)]
    assert not any(one.done() for one in pauses)
    alarm.set()
    await asyncio.wait_for(asyncio.gather(*pauses), 10)


async def test_nobody_rests_while_it_is_set() -> None:
    alarm = Alarm()
    assert not alarm.is_set()
    alarm.set()
    assert alarm.is_set()
    await asyncio.wait_for(alarm.rest(LONG), 10)
    alarm.clear()
    assert not alarm.is_set()
    pause = await resting(alarm)
    assert not pause.done()
    alarm.set()
    await asyncio.wait_for(pause, 10)


async def test_it_may_be_set_as_a_pause_ends_and_again() -> None:
    alarm = Alarm()
    pause = await resting(alarm, 0)
    alarm.set()
    alarm.set()
    await asyncio.wait_for(pause, 10)


async def test_who_is_cancelled_leaves_the_others_resting() -> None:
    alarm = Alarm()
    leaving, staying = await resting(alarm), await resting(alarm)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert not staying.done()
    alarm.set()
    await asyncio.wait_for(staying, 10)
