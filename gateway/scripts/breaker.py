"""Whether it is worth asking Redis at all: after some faults in a row nobody waits for the next.

Closed, every call goes through. ``FAULTS_MAX`` faults in a row open it: calls are refused at once,
for a pause that doubles from ``PAUSE_SECONDS`` to ``PAUSE_SECONDS_MAX``. After each pause one call
is let through to try (half open); its success closes the breaker for all, its fault begins the next
pause. So a Redis that is back is used again within a second, and one that is not costs one call its
time limit a second, whatever the load. However many calls one event fails, a lost connection above
all, it is one fault: Redis may well answer on the next. Of a Cluster a fault is that of one server,
and no reason to refuse what is for others: there it stays closed. Pure but for the clock and the
metric.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway import metrics

FAULTS_MAX = 5
"""Faults in a row; fewer would let one slow fork of the server refuse calls it could answer."""

PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 1.0


class Breaker:
    """See the module docstring. ``is_open`` and ``faults``, those in a row, are all the hot path
    looks at.
    """

    __slots__ = ("_event", "_faults_max", "_monotonic", "_pause", "_retry_at", "faults", "is_open")

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        faults_max: float = FAULTS_MAX,
    ) -> None:
        self._monotonic = monotonic
        self._faults_max = faults_max
        self.faults = 0
        self._event: object = None
        self._pause = PAUSE_SECONDS
        self._retry_at = 0.0
        self.is_open = False

    def admits(self) -> bool:
        """Whether a call may try; while open, one for each pause."""
        if not self.is_open:
            return True
        now = self._monotonic()
        if now < self._retry_at:
            return False
        # Nobody else tries beside it; should its end never be told, the next pause lets one in.
        self._retry_at = now + self._pause
        return True

    def succeeded(self) -> None:
        """Redis answered; need not be told where there was no fault before."""
        self.faults = 0
        if self.is_open:
            self.is_open = False
            self._pause = PAUSE_SECONDS
            metrics.breaker_open.set(0)

    def failed(self, event: object = None) -> None:
        """Redis did not answer, or not in time, because of an ``event`` where that is known."""
        if event is not None and event is self._event:
            return
        self._event = event
        self.faults += 1
        if self.is_open:
            self._pause = min(2 * self._pause, PAUSE_SECONDS_MAX)
        elif self.faults < self._faults_max:
            return
        self.is_open = True
        self._retry_at = self._monotonic() + self._pause
        metrics.breaker_open.set(1)
