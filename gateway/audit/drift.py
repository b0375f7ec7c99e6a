"""Compare customers all the time, a few a second, and show what differs as a gauge.

It walks over the customers in Redis, compares each with SQL and SQL with its deductions, and rests
long enough to take no more than a twentieth of one thread. A customer that differed is told once,
and compared again in each walk until it is mended.

Failure: Redis or SQL gone, or a writer that is behind, it waits and walks again.
"""

from __future__ import annotations

import asyncio
import logging

from gateway import metrics
from gateway.alarm import Alarm
from gateway.audit.auditor import Auditor
from gateway.audit.records import Drift, Ledger, Scope
from gateway.errors import GatewayError
from gateway.ports import WallClock
from gateway.scripts.residents import Name, Residents

log = logging.getLogger(__name__)

FIELDS_MAX = 10_000
"""Fields of the entities of a customer beyond which it is left to ``tallygate verify``: to read it
would be felt by the requests of this process.
"""

KNOWN_MAX = 10_000
"""Customers with drifts that are remembered; beyond this the gauge is alarm enough."""

FAILURES_MAX = 3
"""Customers one after the other that could not be compared: then it is no matter of the customer.
"""

REST = 19
"""How many times as long as a comparison took it rests after it."""

WALK_SECONDS = 10.0
"""Rest between two walks, and after a failure."""


class DriftWatch:
    """Compares customers in rotation."""

    def __init__(
        self,
        auditor: Auditor,
        residents: Residents,
        ledger: Ledger,
        clock: WallClock,
        *,
        per_second: int,
        idle_seconds: int,
    ) -> None:
        """Keep the parts; ``idle_seconds`` 0 is that no customer is ever evicted."""
        self._auditor = auditor
        self._residents = residents
        self._ledger = ledger
        self._clock = clock
        self._pause_seconds = 1 / per_second
        self._idle_ms = idle_seconds * 1000
        self._drifting: dict[Name, int] = {}
        self._failures = 0
        self._stopping = Alarm()

    async def run(self) -> None:
        """Walk again and again, until ``stop``."""
        while not self._stopping.is_set():
            try:
                await self.walk()
            except GatewayError as error:
                log.warning("comparing waits: %s", error)
            except Exception:  # a fault of ours would end it for as long as the process runs
                log.exception("comparing waits")
            await self._stopping.rest(WALK_SECONDS)

    def stop(self) -> None:
        """End ``run`` after the customer in hand."""
        self._stopping.set()

    async def walk(self) -> None:
        """Compare every customer in Redis once, and those that differed. Raises
        ``UnavailableError``.
        """
        for name in list(self._drifting):
            await self._visit(name)
        cursor = 0
        while not self._stopping.is_set():
            cursor, names = await self._residents.scan(cursor)
            for name in await self._fitting(names):
                if self._stopping.is_set():
                    return
                if name not in self._drifting:
                    await self._visit(name)
            if cursor == 0:
                return

    async def _fitting(self, names: list[Name]) -> list[Name]:
        """Leave out, where a look counts as use, whom looks would keep from ever being idle."""
        if not (self._residents.touches and self._idle_ms and names):
            return names
        known = await self._ledger.applied(names)
        since_ms = self._clock.now_ms() - self._idle_ms
        return [name for name in names if name in known and known[name].applied_ms > since_ms]

    async def _visit(self, name: Name) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            drifts = await self._drifts_of(name)
        except GatewayError as error:
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                self._failures = 0
                raise
            log.warning("%s of %s is not compared: %s", name.customer_id, name.env, error)
        except Exception:  # a fault of ours, or data that nobody can read: the others go on
            log.exception("%s of %s cannot be compared", name.customer_id, name.env)
        else:
            self._failures = 0
            if drifts is not None:
                metrics.drift_checked.inc()
                self._note(name, drifts)
        await self._stopping.rest(max(self._pause_seconds, REST * (loop.time() - began)))

    async def _drifts_of(self, name: Name) -> list[Drift] | None:
        """Return what differs; None when it cannot be told now."""
        size = await self._residents.size(name)
        if size > FIELDS_MAX:
            return None
        drifts = []
        async for step in self._auditor.audit_ledger(Scope(*name)):
            drifts += step.drifts
        if size >= 0:
            found = await self._auditor.compare(name)
            if not found.is_settled:
                return None
            drifts += found.drifts
        return drifts

    def _note(self, name: Name, drifts: list[Drift]) -> None:
        known = self._drifting.pop(name, 0)
        if drifts and len(self._drifting) < KNOWN_MAX:
            self._drifting[name] = len(drifts)
        if drifts and not known:
            first = drifts[0]
            log.error(
                "customer %s of %s differs in %d places, first in %s of balance %s: "
                "SQL has %s, Redis %s, the events %s; run tallygate verify",
                *(name.customer_id, name.env, len(drifts)),
                *(f"{first.what} {first.event_id}".rstrip(), first.balance_id or "-"),
                *(first.sql, first.redis, first.events),
            )
        metrics.drift_balances.set(sum(self._drifting.values()))
