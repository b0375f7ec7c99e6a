"""The composition root: every client is made here, checked once at start, and closed here.

``Runtime`` holds the parts; ``create_app`` puts them behind HTTP. Redis is asked without retries:
the engine decides what may be asked twice, for a lost answer is not a lost change.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from litestar import Litestar
from redis.exceptions import RedisError

from gateway.api.access import Noted
from gateway.api.asgi import make_app
from gateway.api.exchange import Answers, Exchange
from gateway.api.legacy.operations import OLDER, OWN
from gateway.api.operation import Services
from gateway.api.operations import OPERATIONS
from gateway.api.plain.calls import PlainCalls, PlainParts
from gateway.api.plain.counted import CountedCalls
from gateway.api.rates import Rates
from gateway.background.tasks import WriterTask
from gateway.clients import make_guard, make_redis
from gateway.cluster.client import Cluster
from gateway.config import Settings
from gateway.databases import check_sql, make_database
from gateway.engine import backlog, locks, switches
from gateway.engine.backlog import Backlog
from gateway.engine.catalog import Catalog
from gateway.engine.creation import Parts
from gateway.engine.durability import LEVELS, Durability, Level
from gateway.engine.engine import Engine
from gateway.engine.outage import Outage, Policy
from gateway.engine.replies import Replies
from gateway.engine.spooling import DRAIN_SECONDS, Spooling
from gateway.engine.subject import Subjects
from gateway.engine.sweeper import Sweeper
from gateway.engine.tokens import FOLLOW_SECONDS, Tokens
from gateway.errors import InvalidRequestError, StartError, UnavailableError
from gateway.health_probe import HealthParts, HealthProbe
from gateway.ports import Clock, WallClock
from gateway.scripts import Scripts
from gateway.scripts.barrier import Barrier
from gateway.scripts.breaker import Breaker
from gateway.scripts.packed import Packer
from gateway.scripts.pipes import make_pipe
from gateway.scripts.rates import Limits, limit_of
from gateway.spool import Spool
from gateway.start_checks import check_redis
from gateway.telemetry import make_tracing
from gateway.wall import SystemClock
from persistence.catalog import SqlCatalog
from persistence.fleet import SqlFleet
from persistence.reads.reader import SqlReader
from persistence.tokens import SqlTokens

SQL_THREADS = 4
"""Statements one gateway runs at a time; they are for cold customers, the catalog and lists."""


class Runtime:
    """Everything one gateway process is made of."""

    def __init__(self, settings: Settings, *, clock: WallClock | None = None) -> None:
        if not settings.redis_url:
            raise StartError("no Redis is set; tallygate serve starts one, or set redis_url")
        self.settings = settings
        self.wall: WallClock = clock or SystemClock()
        self.limits = Limits(
            limit_of("key", settings.rate_limit_key),
            limit_of("publishable_key", settings.rate_limit_publishable_key),
            limit_of("customer", settings.rate_limit_customer),
        )
        self.database = make_database(settings, threads=SQL_THREADS)
        self.guard = make_guard(settings, self.database, self.wall)
        self.redis = make_redis(
            settings, timeout_seconds=settings.redis_timeout_ms / 1000, guard=self.guard
        )
        self.store = SqlCatalog(self.database, self.wall)
        self.reader = SqlReader(self.database)
        token_store = SqlTokens(self.database)
        self.pipe = make_pipe(self.redis, timeout_seconds=settings.hot_timeout_ms / 1000)
        one_server = not isinstance(self.redis, Cluster)
        self.breaker = Breaker() if one_server else Breaker(faults_max=math.inf)
        self.guard.on_fence(self.pipe.drop)
        self.scripts = Scripts(self.redis, self.pipe, self.breaker)
        self.scripts.on_replica = self.guard.doubt
        self.tracing = make_tracing(settings.otlp_endpoint) if settings.otlp_endpoint else None
        if self.tracing is not None:
            dialect = self.database.engine.dialect.name
            self.tracing.watch(self.scripts, "redis")
            self.tracing.watch(self.reader, dialect)
            self.tracing.watch(self.store, dialect)
            self.tracing.watch(token_store, dialect)
        self.catalog = Catalog(self.store, self.wall)
        self.tokens = Tokens(token_store, self.catalog, self.wall)
        self.replies = Replies(self.scripts, settings.partitions)
        self.clock: Clock = self.catalog.clock
        self.backlog = Backlog(
            self.scripts,
            self.reader,
            partitions=settings.partitions,
            entries_max=settings.outbox_max,
            lag_seconds_max=settings.lag_seconds_max,
        )
        round_seconds = settings.durability_timeout_ms / 1000
        # A round may take its whole time, and its answer comes after it.
        self.witness = make_redis(settings, timeout_seconds=round_seconds + 1, guard=self.guard)
        self.durability = Durability(
            Barrier(self.witness, settings.durability_timeout_ms),
            self.scripts,
            self.reader,
            level=LEVELS[settings.durability],
            timeout_ms=settings.durability_timeout_ms,
            partitions=settings.partitions,
            trust=self.guard,
        )
        self.engine = self._make_engine()
        self.sweepers: tuple[Sweeper, ...] = (
            Sweeper("looks at the outboxes", self.backlog.look, backlog.LOOK_SECONDS),
            Sweeper("expired locks", self.engine.expire, locks.SWEEP_SECONDS),
            Sweeper("plans that are due", self.engine.switch_due, switches.SWEEP_SECONDS),
            Sweeper("revoked tokens", self.tokens.follow, FOLLOW_SECONDS),
        )
        self.spool: Spool | None = None
        spooling: Spooling | None = None
        if settings.spool:
            self.spool = Spool(Path(settings.data_dir) / "spool", settings.spool_max)
            spooling = Spooling(self.spool, self.engine, self.clock)
            drain = Sweeper("kept tracks", spooling.drain, DRAIN_SECONDS)
            self.sweepers = (*self.sweepers, drain)
        self.services = Services(self.engine, self.catalog, self.replies, self.tokens, spooling)
        self.writer = WriterTask(settings, self.wall, self.guard) if settings.writer else None
        self.probe = self._make_probe()

    def _make_engine(self) -> Engine:
        subjects = Subjects(
            self.scripts,
            self.reader,
            self.clock,
            partitions=self.settings.partitions,
            restore_wait_ms=self.settings.restore_wait_ms,
            restores_max=self.settings.restores_max,
            guard=self.guard,
        )
        parts = Parts(
            self.scripts,
            subjects,
            self.catalog,
            self.reader,
            self.clock,
            Outage(Policy(self.settings.on_outage)),
            self.backlog,
            keeps_overage=self.settings.persist_free_overage,
            repeats=self.settings.idempotency == "replay",
        )
        return Engine(parts)

    def _make_probe(self) -> HealthProbe:
        parts = HealthParts(
            self.redis,
            self.reader,
            SqlFleet(self.database),
            self.catalog,
            self.writer,
        )
        return HealthProbe(parts, partitions=self.settings.partitions)

    async def start(self) -> None:
        """Check what is needed and begin. Raises ``StartError``."""
        try:
            await check_redis(self.guard.client, self.settings)
            await check_sql(self.settings, self.database)
            await self.guard.verify()
            self.scripts.seal = self.guard.identity
            await self.scripts.load()
            await self.durability.require(self.durability.level)
            with contextlib.suppress(RedisError):
                await self.pipe.call("PING")  # so that the first caller does not wait for it
            await self.catalog.start()
            await self.engine.look_ahead()  # before the first call
        except RedisError as error:
            raise StartError(f"Redis refused at start: {error}") from error
        except (InvalidRequestError, UnavailableError) as error:
            raise StartError(str(error)) from error
        self.guard.start()
        for sweeper in self.sweepers:
            sweeper.start()
        self.engine.denials.start()
        if self.writer is not None:
            self.writer.start()

    async def stop(self) -> None:
        """Let the writer finish and close every client; safe after a failed start."""
        for sweeper in self.sweepers:
            await sweeper.stop()
        if self.spool is not None:
            await self.spool.close()
        await self.engine.denials.stop()
        if self.writer is not None:
            await self.writer.stop()
        await self.catalog.stop()
        await self.pipe.close()
        await self.guard.stop()
        await self.redis.aclose()
        await self.witness.aclose()
        await self.database.close()
        if self.tracing is not None:
            await self.tracing.close()


def create_app(settings: Settings) -> Litestar:
    """Return the application for any ASGI server; its lifespan starts and stops the parts."""
    runtime = Runtime(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with started(runtime):
            yield

    return build_app(runtime, lifespan=[lifespan])


def make_answers(runtime: Runtime) -> Noted:
    """Return what answers every request, whatever speaks HTTP around it: traced, and noted."""
    conflict = runtime.settings.idempotency == "conflict"
    exchange = Exchange(
        runtime.services,
        OPERATIONS,
        runtime.clock,
        older=OLDER,
        conflict=conflict,
        durability=runtime.durability,
        backlog=runtime.backlog,
        rates=Rates(runtime.scripts, runtime.limits) if any(runtime.limits) else None,
    )
    answers = exchange if runtime.tracing is None else runtime.tracing.around(exchange)
    return Noted(answers, (*OPERATIONS, *OWN), sample=runtime.settings.access_log_sample)


def make_plain(runtime: Runtime, longer: Noted) -> PlainCalls | None:
    """Return what answers plain calls; None where every call has a span or a level to reach."""
    if runtime.tracing is not None or runtime.durability.level is not Level.MEMORY:
        return None
    parts = PlainParts(
        runtime.engine,
        runtime.catalog,
        runtime.scripts,
        runtime.clock,
        runtime.backlog,
        Packer(
            runtime.scripts.functions,
            runtime.settings.partitions,
            runtime.scripts.counted,
            runtime.limits,
        ),
        conflict=runtime.settings.idempotency == "conflict",
        spools=runtime.settings.spool,
    )
    return (CountedCalls if parts.packer.limits else PlainCalls)(parts, longer)


def build_app(
    runtime: Runtime,
    answers: Answers | None = None,
    *,
    page: Callable[[], Awaitable[bytes]] | None = None,
    lifespan: list[Any] | None = None,
) -> Litestar:
    """Return the application on parts whose life is somebody else's care."""
    if answers is None:
        longer = make_answers(runtime)
        answers = make_plain(runtime, longer) or longer
    return make_app(
        answers,
        OPERATIONS,
        runtime.probe,
        body_bytes_max=runtime.settings.body_bytes_max,
        page=page,
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
