"""Clients of Redis and SQL, every limit explicit; they are made here and nowhere else."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.config import Settings
from persistence.database import Database, EngineOptions, make_engine


def make_redis(settings: Settings, *, timeout_seconds: float) -> Redis:
    """Return a client with every limit explicit and no retries."""
    pool = BlockingConnectionPool.from_url(
        settings.redis_url,
        max_connections=settings.redis_connections_max,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
    )
    return Redis.from_pool(pool)


def make_database(
    settings: Settings, *, threads: int, answer_ms: int | None, statement_ms: int
) -> Database:
    """Return SQL with its threads; the writer's waits as long as a statement may take."""
    options = EngineOptions(
        pool_size=threads,
        statement_timeout_ms=statement_ms,
        lock_timeout_ms=statement_ms,
    )
    engine = make_engine(settings.resolved_database_url, options)
    return Database(engine, threads=threads, answer_ms=answer_ms)
