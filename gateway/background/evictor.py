"""Idle customers leave Redis, so that it holds those that are in use; SQL brings them back.

A walk over all keys, a step at a time, asks how long each customer was not used. One that was idle
for long enough, of which SQL has every change, is taken out by a script that looks once more; any
other stays for the next walk. Customers of which the dead letters hold something stay for good:
Redis is the only place that has it. So do those that differ from SQL in partitions of which SQL has
lost entries: a later change makes SQL count as many of them as Redis, and lack what it lost all the
same. Open locks stay in force meanwhile.

Failure: Redis or SQL gone, the walk begins anew a while later. Several processes may walk at once.
"""

from __future__ import annotations

import asyncio
import logging

from gateway import metrics
from gateway.alarm import Alarm
from gateway.audit.auditor import Auditor
from gateway.audit.records import Ledger
from gateway.errors import GatewayError
from gateway.scripts import Scripts, Status
from gateway.scripts.residents import Name, Residents

log = logging.getLogger(__name__)

STEP_SECONDS = 0.1
"""Between two steps of a walk: ten thousand keys a second, a hundredth of one core of Redis."""

WALK_SECONDS_MIN = 10.0
WALK_SECONDS_MAX = 600.0
"""Between two walks: a tenth of the idle time, within these."""

EVICTED_MAX = 100
"""Customers that leave in one go; more of them wait for the next step."""


class Evictor:
    """Takes idle customers out of Redis."""

    def __init__(
        self,
        scripts: Scripts,
        residents: Residents,
        ledger: Ledger,
        auditor: Auditor,
        *,
        idle_seconds: int,
        step_seconds: float = STEP_SECONDS,
    ) -> None:
        """Keep the parts; ``idle_seconds`` is how long a customer must not have been used, and
        ``step_seconds`` the pause between two steps of a walk.
        """
        self._scripts = scripts
        self._residents = residents
        self._ledger = ledger
        self._auditor = auditor
        self._idle_seconds = idle_seconds
        self._step_seconds = step_seconds
        self._pause_seconds = min(max(WALK_SECONDS_MIN, idle_seconds / 10), WALK_SECONDS_MAX)
        self._stopping = Alarm()

    async def run(self) -> None:
        """Walk again and again, until ``stop``."""
        while not self._stopping.is_set():
            try:
                count = await self.walk()
            except GatewayError as error:
                log.warning("eviction waits: %s", error)
            except Exception:  # a fault of ours would end it for as long as the process runs
                log.exception("eviction waits")
            else:
                if count:
                    log.info("%d idle customers left Redis", count)
            await self._stopping.rest(self._pause_seconds)

    def stop(self) -> None:
        """End ``run`` after the step in hand."""
        self._stopping.set()

    async def walk(self) -> int:
        """Look at every customer once; return how many left. Raises ``UnavailableError``."""
        cursor = count = 0
        while not self._stopping.is_set():
            cursor, names = await self._residents.scan(cursor)
            seconds = await self._residents.idle_seconds(names) if names else []
            idle = [
                name
                for name, idle_for in zip(names, seconds, strict=True)
                if idle_for >= self._idle_seconds
            ]
            for at in range(0, len(idle), EVICTED_MAX):
                count += await self._evict(idle[at : at + EVICTED_MAX])
                await self._stopping.rest(self._step_seconds)
            if cursor == 0:
                break
            await self._stopping.rest(self._step_seconds)
        return count

    async def _evict(self, names: list[Name]) -> int:
        known = await self._ledger.applied(names)
        # Asked after it, so that of all changes it counts it is told what was set aside or lost.
        aside = await self._ledger.set_aside()
        lossy = await self._ledger.lossy_partitions()
        doubtful = [
            name
            for name in names
            if self._residents.partition_of(name) in lossy and not await self._is_in_sql(name)
        ]
        replies = await asyncio.gather(
            *(
                self._scripts.evict_customer(
                    self._residents.keys_of(name),
                    "\t".join(name),
                    "",
                    known[name].internal_id,
                    known[name].seq,
                )
                for name in names
                if name in known and name not in aside and name not in doubtful
            )
        )
        count = replies.count(Status.DONE)
        metrics.evictions.inc(count)
        return count

    async def _is_in_sql(self, name: Name) -> bool:
        found = await self._auditor.compare(name)
        return found.is_settled and not found.drifts
