"""An end in time for a process that was told to stop, whatever it waits for.

A thread that waits for SQL cannot be interrupted: a server that hangs, or a file that somebody else
has locked, would keep the process for as long as that lasts. What SQL has not got by then stays in
the outbox, as after a kill, and an embedded server runs until the next start asks it to shut down.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Self

log = logging.getLogger(__name__)

MARGIN_SECONDS = 10.0
"""Beyond a process' own limits, until one that does not end is ended."""


def stop_seconds(drain_seconds: float) -> float:
    """Return how long a process may take to stop: requests and outbox have a drain each."""
    return 2 * drain_seconds + MARGIN_SECONDS


class Deadline:
    """Ends the process a while after ``begin``, unless the block has ended by then."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def begin(self) -> None:
        """Let the time run, from the first call on."""
        if self._timer.ident is None:
            self._timer.start()

    def _end(self) -> None:
        log.critical(
            "not stopped after %g s, for SQL or Redis hangs; what SQL lacks is in the outbox",
            self._seconds,
        )
        os._exit(1)
