"""Start the embedded server again when it ends unasked: nobody else would.

A thread waits for its end, which costs nothing. The new server has the address of the old one, and
the guard of each process compares it with SQL before anything is asked of it.

Failure. The server does not start: its disk is full, or it is killed for its memory again. Another
one is tried after a pause, longer each time up to a bound, with a line in the log; calls are
answered as without Redis meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time

from gateway.embedded.server import EmbeddedServer
from gateway.errors import StartError

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.1
PAUSE_SECONDS_MAX = 10.0
WELL_SECONDS = 60.0
"""A server that ran so long was well: the next pause is the shortest again."""


class Keeper:
    """Keeps a started server running for the block, and stops it at the end."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.stop()
        self._thread.join()

    def _keep(self) -> None:
        pause = PAUSE_SECONDS
        while True:
            began = time.monotonic()
            code = self._server.wait()
            if time.monotonic() - began > WELL_SECONDS:
                pause = PAUSE_SECONDS
            if self._stopping.is_set():
                return
            if code is not None:
                log.error(
                    "the embedded server ended with %d; another starts in %.1f s", code, pause
                )
            self._stopping.wait(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)
            try:
                if not self._server.revive():
                    return
            except StartError as error:
                log.error("%s; tried again in %.1f s", error, pause)  # noqa: TRY400 - it says it all
