"""How far SQL is behind Redis, and when that is too far to take more.

What SQL has not got lies in the outboxes, in Redis' memory. Before that memory decides, changes are
refused: past a number of entries, or past the age of the oldest. One look a second for a process,
so a bound is passed by at most what a second brings. Reads and checks that use nothing go on.

Failure. SQL does not answer: the cursors known last still hold, for nothing moves them. Redis does
not answer: what was decided last stays, and calls fail for a reason of their own.
"""

from __future__ import annotations

import contextlib
import logging

from gateway import metrics
from gateway.errors import BacklogError, UnavailableError
from gateway.keys import outbox_key
from gateway.ports import Reader
from gateway.scripts import Scripts
from gateway.stream_ids import BEGINNING

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Backlog:
    """Looks at the outboxes; ``is_full`` is all a call looks at."""

    def __init__(
        self,
        scripts: Scripts,
        reader: Reader,
        *,
        partitions: int,
        entries_max: int,
        lag_seconds_max: int,
    ) -> None:
        """Keep the parts; a bound of 0 is none."""
        self._scripts = scripts
        self._reader = reader
        self._outboxes = [outbox_key(one) for one in range(partitions)]
        self._cursors = dict.fromkeys(self._outboxes, BEGINNING)
        self._entries_max = entries_max
        self._lag_ms_max = lag_seconds_max * 1000
        self._waited = False
        self.is_full = False

    def admit(self) -> None:
        """Raise ``BacklogError`` while there is no room for another change."""
        if self.is_full:
            metrics.refused.labels("backlog").inc()
            raise BacklogError

    async def look(self) -> None:
        """Decide anew. Raises ``UnavailableError`` when Redis does not answer."""
        # What waited is mostly carried by now; where nothing did, SQL is asked once something does.
        if self._waited or await self._scripts.next_entries(self._cursors):
            with contextlib.suppress(UnavailableError):
                reached = await self._reader.cursors(range(len(self._outboxes)))
                self._cursors = {self._outboxes[at]: cursor for at, cursor in reached.items()}
            waiting = await self._scripts.next_entries(self._cursors)
        else:
            waiting = []
        self._waited = bool(waiting)
        entries = sum(await self._scripts.outbox_lengths(len(self._outboxes))) if waiting else 0
        lag_ms = await self._lag_ms(waiting)
        was_full, self.is_full = self.is_full, self._is_too_much(entries, lag_ms)
        if self.is_full and not was_full:
            log.warning(
                "changes are refused: SQL is %d s behind, %d entries wait for it",
                lag_ms // 1000,
                entries,
            )
        elif was_full and not self.is_full:
            log.warning("changes are taken again: SQL has caught up")

    def _is_too_much(self, entries: int, lag_ms: int) -> bool:
        return bool(
            (self._entries_max and entries > self._entries_max)
            or (self._lag_ms_max and lag_ms > self._lag_ms_max)
        )

    async def _lag_ms(self, waiting: list[str]) -> int:
        """Return the age of the oldest of some entries."""
        if not self._lag_ms_max or not waiting:
            return 0
        oldest = min(int(one.partition("-")[0]) for one in waiting)
        # By the clock that gave the entries their ids: this machine's may differ by any bound.
        return max(0, await self._scripts.now_ms() - oldest)
