"""What runs beside the writer to keep Redis small and honest: the evictor and the drift watch.

They share clients of their own, so that neither the writer nor a request ever waits for them.
"""

from __future__ import annotations

import asyncio

from gateway.audit.auditor import Auditor
from gateway.audit.drift import DriftWatch
from gateway.background.evictor import Evictor
from gateway.clients import make_redis
from gateway.config import Settings
from gateway.databases import make_database
from gateway.guard import Guard
from gateway.ports import WallClock
from gateway.scripts import Scripts
from gateway.scripts.residents import Residents
from persistence.audit import SqlLedger
from persistence.reads.reader import SqlReader

STATEMENT_MS = 600_000
"""Of one statement of a command that adds up the deductions of some customers."""

WATCH_STATEMENT_MS = 10_000
"""The same of a task: to stop a process must not wait longer."""

TIMEOUT_SECONDS = 30.0
"""Of a Redis call of an audit."""

WAIT_MS = 10_000
"""How long the comparison of a customer waits for the writer."""


class AuditParts:
    """What an audit needs, on clients of its own."""

    def __init__(
        self,
        settings: Settings,
        clock: WallClock,
        guard: Guard | None = None,
        *,
        statement_ms: int = STATEMENT_MS,
    ) -> None:
        self.client = make_redis(settings, timeout_seconds=TIMEOUT_SECONDS, guard=guard)
        self.database = make_database(settings, statement_ms=statement_ms)
        self.scripts = Scripts(self.client)
        self.residents = Residents(self.client, settings.partitions)
        self.ledger = SqlLedger(self.database)
        self.auditor = Auditor(
            self.scripts,
            self.residents,
            SqlReader(self.database),
            self.ledger,
            clock,
            partitions=settings.partitions,
            wait_ms=WAIT_MS,
        )

    async def close(self) -> None:
        """Close the clients."""
        await self.client.aclose()
        await self.database.close()


class UpkeepTask:
    """The evictor and the drift watch as tasks of this process; a setting of 0 leaves one out."""

    def __init__(self, settings: Settings, clock: WallClock, guard: Guard | None = None) -> None:
        self._parts = parts = AuditParts(settings, clock, guard, statement_ms=WATCH_STATEMENT_MS)
        parts.residents.leaves_out = True
        self._workers: list[Evictor | DriftWatch] = []
        idle_seconds = settings.evict_idle_seconds
        if idle_seconds:
            evictor = Evictor(
                parts.scripts,
                parts.residents,
                parts.ledger,
                parts.auditor,
                idle_seconds=idle_seconds,
            )
            self._workers.append(evictor)
        if settings.drift_per_second:
            watch = DriftWatch(
                parts.auditor,
                parts.residents,
                parts.ledger,
                clock,
                per_second=settings.drift_per_second,
                idle_seconds=idle_seconds,
            )
            self._workers.append(watch)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [
            asyncio.create_task(worker.run(), name=type(worker).__name__.lower())
            for worker in self._workers
        ]

    async def stop(self) -> None:
        """Leave what is in hand, which nobody waits for, and close."""
        for worker in self._workers:
            worker.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._parts.close()
