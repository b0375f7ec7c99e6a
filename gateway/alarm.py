"""A pause that something may end early, for work that is done again and again.

Most of that work finds nothing to do, and asyncio's own ways would cost more than the look itself:
``wait_for`` makes a task, and a timeout ends by a cancellation that is caught.
"""

from __future__ import annotations

import asyncio


class Alarm:
    """Set once, or again and again; whoever rests goes on."""

    def __init__(self) -> None:
        self._is_set = False
        self._resting: set[asyncio.Future[None]] = set()

    def is_set(self) -> bool:
        """Whether nobody can rest."""
        return self._is_set

    def set(self) -> None:
        """End every pause, until it is cleared."""
        self._is_set = True
        for pause in self._resting:
            _end(pause)

    def clear(self) -> None:
        """Let pauses last again."""
        self._is_set = False

    async def rest(self, seconds: float) -> None:
        """Return after some seconds, or as soon as it is set."""
        if self._is_set:
            return
        loop = asyncio.get_running_loop()
        pause = loop.create_future()
        timer = loop.call_later(seconds, _end, pause)
        self._resting.add(pause)
        try:
            await pause
        finally:
            timer.cancel()
            self._resting.discard(pause)


def _end(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)
