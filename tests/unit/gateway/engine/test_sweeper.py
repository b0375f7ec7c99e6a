"""A sweeper outlives whatever a sweep raises, and stops between two of them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.engine.sweeper import Sweeper
from gateway.errors import UnavailableError
from tests.waiting import one_turn


class Failing:
    """Sweeps that fail as told, or do not; the first beyond says that it has begun, and waits."""

    def __init__(self, *failures: Exception | None) -> None:
        self.failures = list(failures)
        self.begun = asyncio.Event()
        self.released = asyncio.Event()
        self.ended = False

    async def sweep(self) -> None:
        if self.failures:
            failure = self.failures.pop(0)
            if failure is None:
                return
            raise failure
        self.begun.set()
        await self.released.wait()
        self.ended = True


async def test_a_sweep_that_fails_is_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    failing = Failing(UnavailableError(), RuntimeError("a fault"))
    sweeper = Sweeper("things", failing.sweep, 0.001)
    sweeper.start()
    await asyncio.wait_for(failing.begun.wait(), 10)
    failing.released.set()
    await sweeper.stop()
    assert failing.failures == []
    assert [line.getMessage().split(":")[0] for line in caplog.records] == ["things wait"] * 2


@pytest.mark.parametrize(("seconds", "lines"), [(60.0, 1), (0.0, 5)])
async def test_an_outage_is_told_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, seconds: float, lines: int
) -> None:
    monkeypatch.setattr("gateway.engine.sweeper.TELL_SECONDS", seconds)
    failing = Failing(*(UnavailableError() for _ in range(5)))
    await swept(failing)
    assert len(caplog.records) == lines


async def test_each_outage_is_told(caplog: pytest.LogCaptureFixture) -> None:
    await swept(Failing(UnavailableError(), None, UnavailableError()))
    assert len(caplog.records) == 2


async def swept(failing: Failing) -> None:
    """Sweep until nothing fails any more."""
    failing.released.set()
    sweeper = Sweeper("things", failing.sweep, 0.001)
    sweeper.start()
    await asyncio.wait_for(failing.begun.wait(), 10)
    await sweeper.stop()


async def test_a_sweep_that_has_begun_is_ended_before_it_stops() -> None:
    failing = Failing()
    sweeper = Sweeper("things", failing.sweep, 3_600)
    sweeper.start()
    await asyncio.wait_for(failing.begun.wait(), 10)
    stopping = asyncio.create_task(sweeper.stop())
    await one_turn()
    assert not stopping.done()
    failing.released.set()
    await asyncio.wait_for(stopping, 10)
    assert failing.ended
