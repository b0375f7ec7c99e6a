"""Waiting for a condition, bounded: the only place where a test's clock is the wall's.

No test sleeps for a time it hopes is enough; it names what must become true.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

POLL_SECONDS = 0.01
WAIT_SECONDS = 60.0

PATIENT: dict[str, Any] = dict.fromkeys(
    ("hot_timeout_ms", "redis_timeout_ms", "restore_wait_ms"), 10_000
)
"""Settings of a gateway: a machine that runs many tests may stand still for longer than callers
should wait.
"""


def wait_until(
    condition: Callable[[], bool],
    seconds: float = WAIT_SECONDS,
    explain: Callable[[], str] = str,
) -> None:
    """Return once a condition holds; fail with an explanation after a bounded time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(POLL_SECONDS)


async def until(condition: Callable[[], bool | Awaitable[object]]) -> None:
    """Return once a condition holds, while the loop runs on; fail after a bounded time."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(POLL_SECONDS)


async def one_turn() -> None:
    """Let everything else of the loop run once."""
    await asyncio.sleep(0)
