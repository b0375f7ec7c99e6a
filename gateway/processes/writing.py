"""Carry changes to SQL until told to stop: the writer as a process, with what runs beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.background.tasks import WriterTask
from gateway.config import Settings
from gateway.errors import StartError
from gateway.processes.ground import guarded
from gateway.wall import SystemClock


async def write(settings: Settings, stopped: asyncio.Event, on_ready: Callable[[], None]) -> None:
    """Write until ``stopped`` is set. Raises ``StartError`` when the writer gives up."""
    clock = SystemClock()
    async with guarded(settings, clock) as ground:
        task = WriterTask(settings, clock, ground.guard)
        try:
            task.start()
            on_ready()
            waiting = asyncio.create_task(stopped.wait())
            running = [waiting, *([task.task] if task.task else [])]
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if task.task is not None and task.task.done():
                raise StartError(f"the writer has stopped: {task.task.exception()}")
        finally:
            await task.stop()
