"""The keeper of plans outlives whatever a sweep raises."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gateway.engine import switches
from gateway.engine.switches import PlanKeeper
from gateway.errors import UnavailableError


class Failing:
    """Sweeps that fail as told; ``swept`` is set by the first that does not."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.swept = asyncio.Event()
        self.looked = False

    async def look_ahead(self) -> None:
        self.looked = True

    async def switch_due(self) -> int:
        if self.failures:
            raise self.failures.pop(0)
        self.swept.set()
        return 0


async def test_a_sweep_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switches, "SWEEP_SECONDS", 0.001)
    failing = Failing(UnavailableError(), RuntimeError("a fault"))
    keeper = PlanKeeper(cast("Any", failing))
    await keeper.start()
    assert failing.looked
    await asyncio.wait_for(failing.swept.wait(), 10)
    await keeper.stop()
    assert failing.failures == []
