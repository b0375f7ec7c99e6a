"""The composition root: every client is made here, checked once at start, and closed here.

``Runtime`` holds the parts; ``create_app`` puts them behind HTTP. Redis is asked without retries:
the engine decides what may be asked twice, for a lost answer is not a lost change. It must never
begin to serve on a server that may evict balances or was set up with another partition count, and
never print a password.

Failure. A start check that fails raises ``StartError`` with one line that says what to do. A writer
that gives up is logged and shown in ``/health``; requests go on until Redis is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from gateway.api.asgi import make_app
from gateway.api.exchange import Exchange
from gateway.api.health import Health, State, WriterHealth
from gateway.api.openapi import package_version
from gateway.api.operation import Services
from gateway.api.operations import OPERATIONS
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
from gateway.webhooks.deliverer import CONNECTIONS_MAX, Deliverer
from gateway.webhooks.sender import Sender
from persistence import store
from persistence.catalog import SqlCatalog
from persistence.database import Database, EngineOptions, make_engine
from persistence.migrate import require_current
from persistence.reader import SqlReader
from persistence.webhooks import SqlWebhooks
from persistence.writer import Writer

log = logging.getLogger(__name__)

REDIS_MAJOR_MIN = 7
"""Functions, which scripts are, came with this version."""

SQL_THREADS = 4
"""Statements one gateway runs at a time; they are for cold customers, the catalog and lists."""

WRITER_TIMEOUT_SECONDS = 30.0
"""Of the writer's own connection, which waits for entries and carries whole batches."""

WRITER_STATEMENT_MS = 60_000
"""Of one statement over a whole batch; a batch that times out would time out for ever."""

_NOEVICTION = "noeviction"


class SystemClock:
    """The time of this machine."""

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        return time.time_ns() // 1_000_000


class WebhookTask:
    """The deliverer of webhooks with what it needs, as a task of this process."""

    def __init__(self, settings: Settings, clock: WallClock) -> None:
        limit_ms = settings.sql_timeout_ms
        self._database = make_database(
            settings, threads=1, answer_ms=limit_ms, statement_ms=limit_ms
        )
        self._sender = Sender(connections_max=CONNECTIONS_MAX)
        self._deliverer = Deliverer(SqlWebhooks(self._database), self._sender, clock)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to deliver."""
        self._task = asyncio.create_task(self._deliverer.run(), name="webhooks")

    async def stop(self) -> None:
        """Finish what is being sent, and close."""
        if self._task is not None:
            self._deliverer.stop()
            # What ended it was logged when it did.
            await asyncio.gather(self._task, return_exceptions=True)
        await self._sender.close()
        await self._database.close()


class WriterTask:
    """The writer with what it needs, as a task of this process, and the deliverer beside it."""

    def __init__(self, settings: Settings, clock: WallClock) -> None:
        self._client = make_redis(settings, timeout_seconds=WRITER_TIMEOUT_SECONDS)
        self._database = make_database(
            settings, threads=1, answer_ms=None, statement_ms=WRITER_STATEMENT_MS
        )
        self._drain_seconds = settings.drain_seconds
        self._writer = Writer(
            self._client,
            self._database,
            partitions=range(settings.partitions),
            clock=clock,
            batch_max=settings.writer_batch_max,
            linger_ms=settings.writer_linger_ms,
            drain_ms=settings.drain_seconds * 1000,
        )
        self._webhooks = WebhookTask(settings, clock)
        self._task: asyncio.Task[None] | None = None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The running task; None before ``start``."""
        return self._task

    def start(self) -> None:
        """Begin to carry entries."""
        self._task = asyncio.create_task(self._writer.run(), name="writer")
        self._webhooks.start()

    async def stop(self) -> None:
        """Carry what is left, for a bounded time, and close."""
        await self._webhooks.stop()
        if self._task is not None:
            await self._writer.stop()
            # What ended it was logged when it did, and stays visible in /health until now.
            await asyncio.gather(self._task, return_exceptions=True)
        await self._client.aclose()
        await self._database.close()


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


async def check_redis(client: Redis, settings: Settings) -> None:
    """Raise ``StartError`` unless Redis answers and is set up to keep balances."""
    try:
        server = await client.info("server")
    except (RedisError, OSError) as error:
        raise StartError(f"Redis cannot be reached at {_address(client)}: {error}") from error
    version = str(server.get("redis_version", "0"))
    if int(version.split(".", maxsplit=1)[0]) < REDIS_MAJOR_MIN:
        raise StartError(f"Redis {version} is too old; {REDIS_MAJOR_MIN} or newer is needed")
    await _check_policy(client)
    found = int(await client.hget(INSTALLATION, "partitions") or settings.partitions)
    if found != settings.partitions:
        raise StartError(
            f"Redis was set up with {found} partitions, not {settings.partitions}; "
            f"set TALLYGATE_PARTITIONS={found}"
        )


async def _check_policy(client: Redis) -> None:
    try:
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy")
    except (NoPermissionError, ResponseError):
        log.warning("Redis does not tell its maxmemory-policy; it must be %s", _NOEVICTION)
        return
    if policy != _NOEVICTION:
        raise StartError(
            f"Redis would evict balances (maxmemory-policy {policy}): "
            f"CONFIG SET maxmemory-policy {_NOEVICTION}"
        )


async def check_sql(settings: Settings, database: Database) -> None:
    """Raise ``StartError`` unless SQL answers, is migrated and has the same partitions."""
    await asyncio.to_thread(require_current, settings.resolved_database_url)
    await database.run(lambda engine: store.claim_installation(engine, settings.partitions))


def _address(client: Redis) -> str:
    arguments = client.connection_pool.connection_kwargs
    return str(arguments.get("path") or f"{arguments.get('host')}:{arguments.get('port', 6379)}")


async def _state(asked: Any) -> State:  # noqa: ANN401 - any awaitable
    try:
        await asked
    except GatewayError:
        return "unavailable"
    return "ok"
