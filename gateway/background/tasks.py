"""The writer and the deliverer of webhooks as tasks of a process, each with clients of its own.

Failure. A writer that gives up is logged and shown in ``/health``; requests go on until Redis is
full.
"""

from __future__ import annotations

import asyncio

from gateway.background.upkeep import UpkeepTask
from gateway.clients import make_redis
from gateway.cluster.client import BRIEF_SECONDS, Cluster
from gateway.config import Settings
from gateway.databases import make_database
from gateway.errors import StartError
from gateway.guard import Guard
from gateway.guard.streams import read_streams
from gateway.ports import WallClock
from gateway.scripts.pipes import make_pipe
from gateway.stream_ids import place
from gateway.webhooks.deliverer import CONNECTIONS_MAX, Deliverer
from gateway.webhooks.sender import Sender
from persistence.sync.writer import Writer
from persistence.webhooks import SqlWebhooks

WRITER_TIMEOUT_SECONDS = 30.0
"""Of the writer's own connection, which waits for entries and carries whole batches."""

WRITER_STATEMENT_MS = 60_000
"""Of one statement over a whole batch; a batch that times out would time out for ever."""

PATIENCE_SECONDS = 10.0
LOOK_SECONDS = 0.05
"""How long everything may stand still that is to be carried, and between two looks at it."""

WRITER_CACHE_MIB = 16
"""Of SQLite: a batch of thousands of customers changes as many pages of several tables. More makes
no batch faster, and the process larger."""


class WriterParts:
    """A writer on clients of its own."""

    def __init__(self, settings: Settings, clock: WallClock, guard: Guard | None) -> None:
        self._client = make_redis(settings, timeout_seconds=WRITER_TIMEOUT_SECONDS, guard=guard)
        # Of one server everything waits for the answer; of several, others are carried meanwhile.
        timeout_s = BRIEF_SECONDS if isinstance(self._client, Cluster) else WRITER_TIMEOUT_SECONDS
        self._pipe = make_pipe(self._client, timeout_seconds=timeout_s)
        if guard is not None:
            guard.on_fence(self._pipe.drop)
        # The second thread beats while the first is in a long batch.
        self._database = make_database(
            settings,
            threads=2,
            statement_ms=WRITER_STATEMENT_MS,
            cache_mib=WRITER_CACHE_MIB,
            pings=False,
        )
        self.writer = Writer(
            self._client,
            self._database,
            partitions=range(settings.partitions),
            clock=clock,
            batch_max=settings.writer_batch_max,
            linger_ms=settings.writer_linger_ms,
            drain_ms=settings.drain_seconds * 1000,
            lease_seconds=settings.writer_lease_seconds,
            guard=guard,
            pipe=self._pipe,
        )

    async def close(self) -> None:
        """Close the clients."""
        await self._pipe.close()
        await self._client.aclose()
        await self._database.close()


async def carry_everything(settings: Settings, clock: WallClock, guard: Guard) -> None:
    """Bring SQL up to the end of every stream, as the only writer there is, and leave. Raises
    ``StartError`` when it does not get there.
    """
    parts = WriterParts(settings, clock, guard)
    writer = parts.writer
    running = asyncio.create_task(writer.run(), name="writer")
    try:
        await _carried(writer, running, guard, settings)
    finally:
        await writer.stop()
        await asyncio.gather(running, return_exceptions=True)
        await parts.close()


async def _carried(
    writer: Writer, running: asyncio.Task[None], guard: Guard, settings: Settings
) -> None:
    loop = asyncio.get_running_loop()
    # One that died is taken for dead after a lease, and what is taken over is looked at after that.
    patience = 3 * settings.writer_lease_seconds + PATIENCE_SECONDS
    before, until = None, loop.time() + patience
    streams = await read_streams(guard.client, range(settings.partitions))
    while True:
        cursors = dict(writer.state.cursors)
        if all(
            at in cursors and place(cursors[at]) >= place(stream.last)
            for at, stream in streams.items()
        ):
            return
        if running.done() or loop.time() > until:
            fault = writer.state.last_error
            told = f": {fault}" if fault else "; stop every gateway and writer first"
            raise StartError(f"the outbox cannot be carried to SQL{told}")
        if cursors != before:
            before, until = cursors, loop.time() + patience
        await asyncio.sleep(LOOK_SECONDS)


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
            await self._task
        await self._sender.close()
        await self._database.close()


class WriterTask:
    """The writer with what it needs, as a task of this process; the deliverer and the upkeep beside
    it.
    """

    def __init__(self, settings: Settings, clock: WallClock, guard: Guard | None = None) -> None:
        self._parts = WriterParts(settings, clock, guard)
        self._webhooks = WebhookTask(settings, clock)
        self._upkeep = UpkeepTask(settings, clock, guard)
        self._task: asyncio.Task[None] | None = None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The running task; None before ``start``."""
        return self._task

    def start(self) -> None:
        """Begin to carry entries."""
        self._task = asyncio.create_task(self._parts.writer.run(), name="writer")
        self._webhooks.start()
        self._upkeep.start()

    async def stop(self) -> None:
        """Carry what is left, for a bounded time, and close."""
        await self._upkeep.stop()
        await self._webhooks.stop()
        if self._task is not None:
            await self._parts.writer.stop()
            # What ended it was logged when it did, and stays visible in /health until now.
            await asyncio.gather(self._task, return_exceptions=True)
        await self._parts.close()
