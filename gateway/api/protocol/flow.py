"""What is read of a client and written to it, no faster than it takes its answers, and for how long
a client is kept that takes none.

The kernel asks such a client for ever whether it takes more, and a transport that is closed waits
for that: a few bytes of a request would hold a connection, and an answer in memory, until the
gateway ends. Whether anything was taken is looked at while answers wait and behind a close only, so
a request of a client that reads costs nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl

TAKE_SECONDS: Final = 75.0
"""Between two looks; a client that took nothing in between is left."""


class Flow(FlowControl):
    """Reads no more while requests wait for their turn, or the client does not take its answers."""

    def __init__(
        self, transport: asyncio.Transport, pipeline: Sized, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(transport)
        self._pipeline = pipeline
        self._loop = loop
        self._looking: asyncio.TimerHandle | None = None
        self._left = 0
        """Bytes the client had not taken at the last look; 0 when it has gone on since."""

    def resume_reading(self) -> None:
        """Read on, unless there still is a reason not to."""
        if not self._pipeline and not self.write_paused:
            super().resume_reading()

    def pause_writing(self) -> None:
        """Have nothing more written until the client takes what waits."""
        super().pause_writing()
        self.pause_reading()
        self.watch()

    def resume_writing(self) -> None:
        """Go on: the client took what waited."""
        super().resume_writing()
        self._left = 0
        if not self._transport.is_closing():
            self.resume_reading()

    def watch(self) -> None:
        """End the connection unless the client goes on to take what is left for it, if anything."""
        if self._looking is None:
            self._left = self._transport.get_write_buffer_size()
            if self._left:
                self._looking = self._loop.call_later(TAKE_SECONDS, self._look)

    def end(self) -> None:
        """Look no more: the connection is lost."""
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> None:
        self._looking = None
        left = self._transport.get_write_buffer_size()
        if left and left == self._left:
            self._transport.abort()
        elif self.write_paused or self._transport.is_closing():
            self.watch()
