"""Carry what was read from the streams into SQL: decode, set aside, fold, apply.

It runs in the writer's thread, so that thousands of entries cost the event loop nothing. It never
talks to Redis, and it never drops an entry: one that cannot be applied becomes a dead letter in the
transaction that moves the cursor past it.

Failure: SQL gone leaves entries where they are, for another try from the cursor SQL shows. Too many
dead letters mean that a release, not an entry, is wrong: ``DeadLetterLimitError`` stops the writer
before the first entry too many is set aside, and a repaired release goes on from there.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Engine

from gateway.errors import GatewayError
from gateway.outbox import Entry, OutboxError
from gateway.ports import WallClock
from persistence.sync import store
from persistence.sync.batch import Batch, DeadLetterRow
from persistence.sync.fold import fold
from persistence.sync.leases import Tenure
from persistence.sync.store import BatchRefusedError
from persistence.sync.tracks import Track, read_entry

_log = logging.getLogger(__name__)


class DeadLetterLimitError(GatewayError):
    """Too many outbox entries cannot be applied; the writer has stopped and lost none of them."""


class Received(NamedTuple):
    """A stream entry as it came; ``payload`` is None when it has not the one field it should."""

    partition: int
    stream_id: str
    payload: bytes | None


class Progress(NamedTuple):
    """What a call to ``carry`` achieved."""

    cursors: dict[int, str]
    dead_letters: int


class DeadLetterLimit:
    """More than ``letters_max`` of the last ``window`` entries, or as many in a row, are too many.

    The run needs no count of its own: it lies within the window.
    """

    def __init__(self, letters_max: int, window: int) -> None:
        self._letters_max = letters_max
        self._window = window
        self._seen = 0
        self._letters: deque[int] = deque()

    def check(self, letters: int) -> None:
        """Raise ``DeadLetterLimitError`` if that many more would be too many."""
        while self._letters and self._letters[0] <= self._seen - self._window:
            self._letters.popleft()
        if len(self._letters) + letters > self._letters_max:
            raise DeadLetterLimitError

    def add(self, entries: int, letters: int) -> None:
        """Count entries that are in SQL now, the dead letters among them."""
        self._seen += entries
        self._letters.extend([self._seen] * letters)


class Intake:
    """The way from received entries to SQL."""

    def __init__(
        self, clock: WallClock, *, letters_max: int = 100, letters_window: int = 10_000
    ) -> None:
        self._clock = clock
        self._limit = DeadLetterLimit(letters_max, letters_window)

    def carry(
        self,
        received: Sequence[Received],
        expected: Mapping[int, str],
        tenure: Tenure,
        engine: Engine,
    ) -> Progress:
        """Apply entries that follow the ``expected`` cursors, all in one transaction if possible.

        Raises what ``store.apply`` raises, and ``DeadLetterLimitError``.
        """
        entries, letters = self._decode(received)
        self._limit.check(len(letters))
        try:
            batch = fold(entries, letters)
            self._apply(engine, batch, expected, tenure)
        except (OutboxError, BatchRefusedError):
            return self._carry_singly(received, expected, tenure, engine)
        self._limit.add(len(received), len(letters))
        return Progress(_cursors(batch), len(letters))

    def _carry_singly(
        self,
        received: Sequence[Received],
        expected: Mapping[int, str],
        tenure: Tenure,
        engine: Engine,
    ) -> Progress:
        """Find the entries that spoil a batch: each gets a transaction of its own."""
        cursors, letters = dict(expected), 0
        for one in received:
            try:
                batch = fold(*self._decode([one]))
                self._limit.check(len(batch.dead_letters))
                self._apply(engine, batch, cursors, tenure)
            except (OutboxError, BatchRefusedError) as error:
                batch = fold([], [self._letter(one, error)])
                self._limit.check(1)
                self._apply(engine, batch, cursors, tenure)
            self._limit.add(1, len(batch.dead_letters))
            letters += len(batch.dead_letters)
            cursors |= _cursors(batch)
        return Progress(cursors, letters)

    def _apply(
        self, engine: Engine, batch: Batch, expected: Mapping[int, str], tenure: Tenure
    ) -> None:
        now_ms = self._clock.now_ms()
        store.apply(engine, batch, expected=expected, now_ms=now_ms, tenure=tenure)

    def _decode(
        self, received: Sequence[Received]
    ) -> tuple[list[Entry | Track], list[DeadLetterRow]]:
        entries: list[Entry | Track] = []
        letters: list[DeadLetterRow] = []
        for one in received:
            try:
                # No payload is as good as an empty one: neither has a header.
                entries.append(read_entry(one.partition, one.stream_id, one.payload or b""))
            except OutboxError as error:
                letters.append(self._letter(one, error))
        return entries, letters

    def _letter(self, one: Received, error: GatewayError) -> DeadLetterRow:
        _log.error("entry %s of partition %d: %s", one.stream_id, one.partition, error)
        now_ms = self._clock.now_ms()
        # PostgreSQL takes no NUL in text, and the message quotes what came.
        message = error.message.replace("\0", "\\0")
        return DeadLetterRow(one.partition, one.stream_id, one.payload or b"", message, now_ms)


def _cursors(batch: Batch) -> dict[int, str]:
    return {move.partition: move.stream_id for move in batch.cursors}
