"""Work that one does for all who wait: who comes while a round is under way shares the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any


class Rounds:
    """One round after the other."""

    def __init__(self, run: Callable[[], Awaitable[bool]]) -> None:
        self._run = run
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[Any] | None = None

    async def __call__(self) -> bool:
        """Return what a round says that began after this call, or raise what it raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._go())
        return bool(await asyncio.shield(self._next))

    async def _go(self) -> bool:
        async with self._turn:
            self._next = None
            return await self._run()
