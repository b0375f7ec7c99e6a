"""Redis and SQL under a process that serves nobody itself: checked, guarded, closed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from gateway.clients import make_guard
from gateway.config import Settings
from gateway.databases import check_sql, make_database
from gateway.guard import Guard
from gateway.ports import WallClock
from gateway.start_checks import check_redis, tell_of_redis
from persistence.database import Database


class Ground(NamedTuple):
    """Redis and SQL, found to be what they must be."""

    guard: Guard
    database: Database


@contextlib.asynccontextmanager
async def guarded(settings: Settings, clock: WallClock) -> AsyncIterator[Ground]:
    """Check what is needed, and guard Redis for the block. Raises ``StartError``."""
    database = make_database(settings)
    guard = make_guard(settings, database, clock)
    try:
        await check_redis(guard.client, settings)
        await check_sql(settings, database)
        await guard.verify()
        await tell_of_redis(guard.client)
        guard.start()
        yield Ground(guard, database)
    finally:
        await guard.stop()
        await database.close()
