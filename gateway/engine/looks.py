"""A look at something slow, shared by all who ask for one.

Whoever asks gets a look that begins after that, so it sees all that was there before; looks follow
each other one by one and at a distance, however many ask. It must never let the one who leaves end
what others wait for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

LOOK_SECONDS = 0.1
"""Distance between the beginnings of two looks: so long may one who asks wait for its own, and so
seldom is SQL asked by each process.
"""


class Looks:
    """See the module docstring."""

    def __init__(
        self,
        look: Callable[[], Awaitable[None]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._look = look
        self._monotonic = monotonic
        self._pause = pause
        self._began_at = monotonic() - LOOK_SECONDS
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def another(self) -> None:
        """Return after a look that began later than this call; raise what it raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._begin(), name="look")
        await asyncio.shield(self._next)

    async def _begin(self) -> None:
        async with self._turn:
            await self._pause(self._began_at + LOOK_SECONDS - self._monotonic())
            # Whoever asks from here on may ask for something younger than what is seen now.
            self._next = None
            self._began_at = self._monotonic()
            await self._look()
