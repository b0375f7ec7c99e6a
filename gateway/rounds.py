"""Work that one does for all who wait: who comes while a round is under way shares the next.

Whoever asks gets a round that begins after that, so it sees all that was there before. It must
never let the one who leaves end what others wait for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

LOOK_SECONDS = 0.1
"""Distance between the beginnings of two looks at SQL: so long may one who asks wait for its own,
and so seldom is SQL asked by each process.
"""


class Rounds(Generic[Answer]):
    """One round after the other, their beginnings ``apart`` by some seconds, however many ask."""

    def __init__(
        self,
        run: Callable[[], Awaitable[Answer]],
        *,
        apart: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._run = run
        self._apart = apart
        self._monotonic = monotonic
        self._pause = pause
        self._began_at = monotonic() - apart
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[Answer] | None = None

    async def __call__(self) -> Answer:
        """Return what a round says that began after this call, or raise what it raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._go())
        return await asyncio.shield(self._next)

    async def _go(self) -> Answer:
        async with self._turn:
            if self._apart:
                await self._pause(self._began_at + self._apart - self._monotonic())
            # Whoever asks from here on may ask for something younger than what is seen now.
            self._next = None
            self._began_at = self._monotonic()
            return await self._run()
