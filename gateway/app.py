"""The composition root: every client is made here, checked once at start, and closed here.

``Runtime`` holds the parts; ``create_app`` puts them behind HTTP. Redis is asked without retries:
the engine decides what may be asked twice, for a lost answer is not a lost change.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar
from redis.exceptions import RedisError

from gateway.api.asgi import make_app
from gateway.api.exchange import Exchange
from gateway.api.health import Health, State, WriterHealth
from gateway.api.openapi import package_version
from gateway.api.operation import Services
from gateway.api.operations import OPERATIONS
from gateway.clients import make_database, make_redis
from gateway.config import Settings
from gateway.engine.catalog import Catalog
from gateway.engine.creation import Parts
from gateway.engine.engine import Engine
from gateway.engine.locks import LockKeeper
from gateway.engine.replies import Replies
from gateway.engine.subject import Subjects
from gateway.errors import GatewayError, StartError, UnavailableError
from gateway.keys import INSTALLATION, outbox_key
from gateway.ports import Clock, WallClock
from gateway.scripts import Scripts
from gateway.start_checks import check_redis, check_sql
from gateway.tasks import WriterTask
from gateway.wall import SystemClock
from persistence.catalog import SqlCatalog
from persistence.reader import SqlReader

SQL_THREADS = 4
"""Statements one gateway runs at a time; they are for cold customers, the catalog and lists."""


class Runtime:
    """Everything one gateway process is made of."""

    def __init__(self, settings: Settings, *, clock: WallClock | None = None) -> None:
        if not settings.redis_url:
            raise StartError("no Redis is set; tallygate serve starts one, or set redis_url")
        self.settings = settings
        self.wall: WallClock = clock or SystemClock()
        self.redis = make_redis(settings, timeout_seconds=settings.redis_timeout_ms / 1000)
        self.database = make_database(
            settings,
            threads=SQL_THREADS,
            answer_ms=settings.sql_timeout_ms,
            statement_ms=settings.sql_timeout_ms,
        )
        self.store = SqlCatalog(self.database, self.wall)
        self.reader = SqlReader(self.database)
        self.scripts = Scripts(self.redis)
        self.catalog = Catalog(self.store, self.wall)
        self.replies = Replies(self.scripts, settings.partitions)
        self.clock: Clock = self.catalog.clock
        self.engine = self._make_engine()
        self.keeper = LockKeeper(self.engine)
        self.writer = WriterTask(settings, self.wall) if settings.writer else None

    def _make_engine(self) -> Engine:
        subjects = Subjects(
            self.scripts,
            self.reader,
            self.clock,
            partitions=self.settings.partitions,
            restore_wait_ms=self.settings.restore_wait_ms,
        )
        parts = Parts(
            self.scripts,
            subjects,
            self.catalog,
            self.reader,
            self.clock,
            keeps_overage=self.settings.persist_free_overage,
        )
        return Engine(parts)

    async def start(self) -> None:
        """Check what is needed and begin. Raises ``StartError``."""
        try:
            await check_redis(self.redis, self.settings)
            await check_sql(self.settings, self.database)
            # Last, so that a mistyped setting is not written into a Redis SQL does not belong to.
            await self.redis.hsetnx(INSTALLATION, "partitions", str(self.settings.partitions))
            await self.scripts.load()
            await self.catalog.start()
        except RedisError as error:
            raise StartError(f"Redis refused at start: {error}") from error
        except UnavailableError as error:
            raise StartError(error.message) from error
        self.keeper.start()
        if self.writer is not None:
            self.writer.start()

    async def stop(self) -> None:
        """Let the writer finish and close every client; safe after a failed start."""
        await self.keeper.stop()
        if self.writer is not None:
            await self.writer.stop()
        await self.catalog.stop()
        await self.redis.aclose()
        await self.database.close()

    async def health(self) -> Health:
        """Return the state of every part."""
        redis, sql = await asyncio.gather(_state(self.scripts.ping()), _state(self.reader.ping()))
        catalog: State = "ok" if self.catalog.is_current else "unavailable"
        writer = await self._writer_health()
        is_ok = (redis, sql, catalog) == ("ok", "ok", "ok") and writer.state != "failed"
        return Health(
            status="ok" if is_ok else "degraded",
            version=package_version(),
            redis=redis,
            sql=sql,
            catalog=catalog,
            writer=writer,
        )

    async def _writer_health(self) -> WriterHealth:
        health = WriterHealth(state="apart", lag_seconds=None, partitions_behind=None)
        task = None if self.writer is None else self.writer.task
        if self.writer is not None:
            health.state = "stopped"
        if task is not None:
            health.state = "failed" if task.done() else "running"
        with contextlib.suppress(RedisError, UnavailableError):
            oldest = await self._oldest_waiting()
            late_ms = max(0, self.wall.now_ms() - min(oldest)) if oldest else 0
            health.lag_seconds, health.partitions_behind = late_ms / 1000, len(oldest)
        return health

    async def _oldest_waiting(self) -> list[int]:
        """Return the time of the first entry SQL has not got, for each partition that has one."""
        cursors = await self.reader.cursors(range(self.settings.partitions))
        async with self.redis.pipeline(transaction=False) as pipe:
            for partition, cursor in cursors.items():
                after = f"({cursor}"
                pipe.execute_command("XRANGE", outbox_key(partition), after, "+", "COUNT", 1)
            replies = await pipe.execute()
        return [int(reply[0][0].partition(b"-")[0]) for reply in replies if reply]


def create_app(settings: Settings) -> Litestar:
    """Return the application for any ASGI server; its lifespan starts and stops the parts."""
    runtime = Runtime(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with started(runtime):
            yield

    return build_app(runtime, lifespan=[lifespan])


def build_app(runtime: Runtime, *, lifespan: list[Any] | None = None) -> Litestar:
    """Return the application on parts whose life is somebody else's care."""
    services = Services(runtime.engine, runtime.catalog, runtime.replies)
    conflict = runtime.settings.idempotency == "conflict"
    exchange = Exchange(services, OPERATIONS, runtime.clock, conflict=conflict)
    return make_app(
        exchange,
        OPERATIONS,
        runtime,
        body_bytes_max=runtime.settings.body_bytes_max,
        lifespan=lifespan,
    )


@contextlib.asynccontextmanager
async def started(runtime: Runtime) -> AsyncIterator[Runtime]:
    """Start the parts for the block, and stop them after it whatever happens."""
    try:
        await runtime.start()
        yield runtime
    finally:
        await runtime.stop()


async def _state(asked: Any) -> State:  # noqa: ANN401 - any awaitable
    try:
        await asked
    except GatewayError:
        return "unavailable"
    return "ok"
