"""Carry changes to SQL until told to stop: the writer as a process, with what runs beside it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from gateway.clients import make_database, make_guard
from gateway.config import Settings
from gateway.errors import StartError
from gateway.guard import Guard
from gateway.ports import WallClock
from gateway.start_checks import check_redis, check_sql
from gateway.tasks import WriterTask
from gateway.wall import SystemClock
from persistence.database import Database


class Ground(NamedTuple):
    """Redis and SQL, found to be what they must be."""

    guard: Guard
    database: Database


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


@contextlib.asynccontextmanager
async def guarded(settings: Settings, clock: WallClock) -> AsyncIterator[Ground]:
    """Check what is needed, and guard Redis for the block. Raises ``StartError``."""
    database = make_database(
        settings,
        threads=1,
        answer_ms=settings.sql_timeout_ms,
        statement_ms=settings.sql_timeout_ms,
    )
    guard = make_guard(settings, database, clock)
    try:
        await check_redis(guard.client, settings)
        await check_sql(settings, database)
        await guard.verify()
        guard.start()
        yield Ground(guard, database)
    finally:
        await guard.stop()
        await database.close()
