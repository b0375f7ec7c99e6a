"""Counts what was answered with no: in memory on the way of a call, then in the outbox.

A denial costs its call one step in a dict. Once a second the counts of each partition go into the
outbox as one entry, which the writer adds up by customer, feature and day; never is there an entry
for each call. A count that may or may not have arrived is sent again under its number, and the
script takes a number once.

Failure: with Redis gone, or one server of a Cluster, its counts wait here, at most ``KINDS_MAX``
kinds of them; what is beyond is counted as lost and logged. A crash loses the counts of its last
second: they are a report, and nothing is decided by them.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from gateway import metrics
from gateway.cycles import DAY_MS
from gateway.engine.sweeper import Sweeper
from gateway.errors import GatewayError
from gateway.ids import new_id
from gateway.keys import denials_key, outbox_key, partition_of
from gateway.outbox import Denied, EntryKind, join
from gateway.ports import Clock
from gateway.scripts import Scripts

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
"""How often counts go into the outbox."""

KINDS_MAX = 20_000
"""Customers times features times operations counted at a time; a few megabytes."""

LINES_MAX = 1_000
"""Kinds in one outbox entry, less than the largest entries other operations write."""

KEEP_MS = DAY_MS
"""How long Redis knows the last count of a process; one that waited longer may count twice."""


class _Count(NamedTuple):
    number: int
    partition: int
    lines: list[str]


class Denials:
    """The counts of one process."""

    def __init__(self, scripts: Scripts, clock: Clock, partitions: int) -> None:
        """Keep the parts; nothing is sent before ``start``."""
        self._scripts = scripts
        self._clock = clock
        self._partitions = partitions
        self._process = new_id("den")
        self._number = 0
        self._denied: dict[tuple[str, str, str, str, int], int] = {}
        self._waiting: list[_Count] = []
        self._lost = 0
        self._sweeper = Sweeper("counts of denials", self.flush, FLUSH_SECONDS)

    def count(self, env: str, customer_id: str, feature_id: str, operation: str) -> None:
        """Count one denial of an operation, ``check`` or ``track``."""
        now_ms = self._clock.now_ms(env)
        kind = (env, customer_id, feature_id, operation, now_ms - now_ms % DAY_MS)
        denied = self._denied
        if kind in denied or len(denied) < KINDS_MAX:
            denied[kind] = denied.get(kind, 0) + 1
        else:
            self._lost += 1

    def start(self) -> None:
        """Begin to send."""
        self._sweeper.start()

    async def stop(self) -> None:
        """Send what there is, once, and end."""
        await self._sweeper.stop()
        await self._sweeper.once()

    async def flush(self) -> None:
        """Send every count, those of a partition in order. Raises what the script raised last; the
        rest of its partition waits then, and holds no other up.
        """
        stuck: dict[int, GatewayError] = {}
        await self._send_all(stuck)  # what could not be sent before
        self._take()
        await self._send_all(stuck)
        if stuck:
            raise stuck.popitem()[1]

    async def _send_all(self, stuck: dict[int, GatewayError]) -> None:
        """Send what waits, but of partitions that are ``stuck``; more of them may be so then."""
        for one in [*self._waiting]:
            if one.partition not in stuck:
                try:
                    await self._send(one)
                    self._waiting.remove(one)
                except GatewayError as error:
                    stuck[one.partition] = error

    async def _send(self, one: _Count) -> None:
        number, partition, lines = one
        header = (EntryKind.DENIALS, "", "", "", 0, self._clock.now_ms("live"), self._process)
        await self._scripts.count_denials(
            outbox_key(partition),
            denials_key(partition, self._process),
            number,
            KEEP_MS,
            "\n".join(("\t".join(map(str, header)), *lines)),
        )

    def _take(self) -> None:
        """Turn what was counted into entries, where none wait: counted on, they take no room."""
        taken = {one.partition for one in self._waiting}
        counted, self._denied = self._denied, {}
        parts: dict[int, list[str]] = {}
        for kind, denied in counted.items():
            partition = partition_of(*kind[:2], self._partitions)
            if partition in taken:
                self._denied[kind] = denied
            else:
                parts.setdefault(partition, []).append(join("Q", *Denied(*kind, denied)))
        for partition, lines in parts.items():
            for at in range(0, len(lines), LINES_MAX):
                self._number += 1
                self._waiting.append(_Count(self._number, partition, lines[at : at + LINES_MAX]))
        metrics.denials.inc(sum(counted.values()) - sum(self._denied.values()) + self._lost)
        if self._lost:
            log.warning("%d denials are in no report: more than %d kinds", self._lost, KINDS_MAX)
            self._lost = 0
