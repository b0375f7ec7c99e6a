"""How long the writer waits between two reads, so that batches are worth what they cost.

A batch costs SQL and Redis much whatever is in it: the same rows of a customer, the same pages of
the same tables, a call over all streams. Few entries are carried soon after they came. The more
come, the longer the next read waits, and the fewer batches take processor time from what writes
those entries; a batch that is full is followed at once.
"""

from __future__ import annotations

_CALM_RATE = 2_500
"""Entries a second up to which a read waits no longer than it has to."""

_LONGEST = 5
"""How many times as long it waits at most. Flat out SQL is later by that: 150 ms at the median,
where batches one after another made it 94. Eight times took as much processor time."""


class Lingering:
    """When the next read is due."""

    def __init__(self, seconds: float, batch_max: int) -> None:
        self._seconds = seconds
        self._batch_max = batch_max
        self._read_at = 0.0
        self._until = 0.0

    def left(self, now: float) -> float:
        """Return the seconds until the next read, counted from the last one; 0 if it is due."""
        return max(0.0, self._until - now)

    def note(self, entries: int, now: float) -> None:
        """Take note of what a read gave. After nothing, and after a full batch, none waits."""
        since, self._read_at = now - self._read_at, now
        if 0 < entries < self._batch_max and self._seconds:
            # A read that came sooner, as after a wait for an entry, says nothing of a second.
            rate = entries / max(since, self._seconds)
            self._until = now + self._seconds * min(max(1.0, rate / _CALM_RATE), _LONGEST)
