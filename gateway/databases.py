"""Clients of SQL, every limit explicit, and what must be true of SQL before they are used."""

from __future__ import annotations

import asyncio

from gateway.config import Settings
from persistence.database import Database, EngineOptions, make_engine
from persistence.migrate import require_current
from persistence.sync import store


def make_database(
    settings: Settings,
    *,
    threads: int = 1,
    statement_ms: int | None = None,
    cache_mib: int = 4,
    pings: bool = True,
) -> Database:
    """Return SQL with its threads. A statement takes and an answer comes within what the settings
    say; who names another limit waits for as long as its statement takes.
    """
    answer_ms = settings.sql_timeout_ms if statement_ms is None else None
    limit_ms = settings.sql_timeout_ms if statement_ms is None else statement_ms
    options = EngineOptions(
        pool_size=threads,
        statement_timeout_ms=limit_ms,
        lock_timeout_ms=limit_ms,
        cache_mib=cache_mib,
        pings=pings,
    )
    engine = make_engine(settings.resolved_database_url, options)
    return Database(engine, threads=threads, answer_ms=answer_ms)


async def check_schema(settings: Settings) -> None:
    """Raise ``StartError`` unless SQL answers and is migrated; nothing is written."""
    await asyncio.to_thread(require_current, settings.resolved_database_url)


async def check_sql(settings: Settings, database: Database) -> None:
    """Raise ``StartError`` unless SQL answers, is migrated and has the same partitions."""
    await check_schema(settings)
    await database.run(lambda engine: store.claim_installation(engine, settings.partitions))
