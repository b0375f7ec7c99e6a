"""The writer and the deliverer of webhooks as tasks of a process, each with clients of its own.

Failure. A writer that gives up is logged and shown in ``/health``; requests go on until Redis is
full.
"""

from __future__ import annotations

import asyncio

from gateway.background.upkeep import UpkeepTask
from gateway.clients import make_redis
from gateway.config import Settings
from gateway.databases import make_database
from gateway.guard import Guard
from gateway.ports import WallClock
from gateway.webhooks.deliverer import CONNECTIONS_MAX, Deliverer
from gateway.webhooks.sender import Sender
from persistence.sync.writer import Writer
from persistence.webhooks import SqlWebhooks

WRITER_TIMEOUT_SECONDS = 30.0
"""Of the writer's own connection, which waits for entries and carries whole batches."""

WRITER_STATEMENT_MS = 60_000
"""Of one statement over a whole batch; a batch that times out would time out for ever."""

WRITER_CACHE_MIB = 64
"""Of SQLite: a batch of thousands of customers changes as many pages of several tables."""


class WebhookTask:
    """The deliverer of webhooks with what it needs, as a task of this process."""

    def __init__(self, settings: Settings, clock: WallClock) -> None:
        self._database = make_database(settings)
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
    """The writer with what it needs, as a task of this process; the deliverer and the upkeep beside
    it.
    """

    def __init__(self, settings: Settings, clock: WallClock, guard: Guard | None = None) -> None:
        self._client = make_redis(settings, timeout_seconds=WRITER_TIMEOUT_SECONDS, guard=guard)
        # The second thread beats while the first is in a long batch.
        self._database = make_database(
            settings,
            threads=2,
            statement_ms=WRITER_STATEMENT_MS,
            cache_mib=WRITER_CACHE_MIB,
            pings=False,
        )
        self._writer = Writer(
            self._client,
            self._database,
            partitions=range(settings.partitions),
            clock=clock,
            batch_max=settings.writer_batch_max,
            linger_ms=settings.writer_linger_ms,
            drain_ms=settings.drain_seconds * 1000,
            lease_seconds=settings.writer_lease_seconds,
            guard=guard,
        )
        self._webhooks = WebhookTask(settings, clock)
        self._upkeep = UpkeepTask(settings, clock, guard)
        self._task: asyncio.Task[None] | None = None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The running task; None before ``start``."""
        return self._task

    def start(self) -> None:
        """Begin to carry entries."""
        self._task = asyncio.create_task(self._writer.run(), name="writer")
        self._webhooks.start()
        self._upkeep.start()

    async def stop(self) -> None:
        """Carry what is left, for a bounded time, and close."""
        await self._upkeep.stop()
        await self._webhooks.stop()
        if self._task is not None:
            await self._writer.stop()
            # What ended it was logged when it did, and stays visible in /health until now.
            await asyncio.gather(self._task, return_exceptions=True)
        await self._client.aclose()
        await self._database.close()
