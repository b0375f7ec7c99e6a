"""Work that nobody asks for, done again and again as long as the process runs."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence

from gateway.alarm import Alarm
from gateway.errors import GatewayError

log = logging.getLogger(__name__)

TELL_SECONDS = 60.0
"""Between two lines about one outage: each process sweeps several times a second."""


class Reminder:
    """Says why work waits when that is news, and now and then while it goes on."""

    def __init__(self, work: str) -> None:
        self._work = work
        self._told_at = -math.inf

    def note(self, errors: Sequence[GatewayError]) -> None:
        """Say the first of what some of the work met; with none of it, it waits no more."""
        now = asyncio.get_running_loop().time()
        if not errors:
            self._told_at = -math.inf
        elif now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            log.warning("%s wait: %s", self._work, errors[0])


class Sweeper:
    """Does one kind of work; several processes may do the same at once, and a sweep that fails is
    not the last.
    """

    def __init__(self, work: str, sweep: Callable[[], Awaitable[object]], seconds: float) -> None:
        """Keep the parts; ``work`` is what waits when a sweep fails, ``seconds`` the pause after
        each.
        """
        self._work = work
        self._sweep = sweep
        self._seconds = seconds
        self._reminder = Reminder(work)
        self._stopping = Alarm()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=self._work)

    async def stop(self) -> None:
        """Stop once the sweep that is under way has ended; its calls have time limits."""
        self._stopping.set()
        if self._task is not None:
            await self._task
            self._task = None

    async def once(self) -> None:
        """Sweep once; whatever it meets is told to the log alone."""
        try:
            await self._sweep()
            self._reminder.note(())
        except GatewayError as error:
            self._reminder.note([error])
        except Exception:  # a fault of ours would end the work for as long as the process runs
            log.exception("%s wait", self._work)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self.once()
            await self._stopping.rest(self._seconds)
