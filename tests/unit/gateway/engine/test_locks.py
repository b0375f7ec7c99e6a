"""The keeper of locks outlives whatever a sweep raises."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gateway.engine import locks
from gateway.engine.locks import LockKeeper
from gateway.errors import UnavailableError


class Failing:
    """Locks whose sweeps fail as told; ``swept`` is set by the first that does not."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.swept = asyncio.Event()

    async def expire(self) -> int:
        if self.failures:
            raise self.failures.pop(0)
        self.swept.set()
        return 0


async def test_a_sweep_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SWEEP_SECONDS", 0.001)
    failing = Failing(UnavailableError(), RuntimeError("a fault"))
    keeper = LockKeeper(cast("Any", failing))
    keeper.start()
    await asyncio.wait_for(failing.swept.wait(), 10)
    await keeper.stop()
    assert failing.failures == []
