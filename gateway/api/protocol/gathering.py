"""What is written to a connection in one turn of the loop leaves together, behind the turn.

Uvicorn writes the head of an answer and its body one after the other, and each write is a way
through the kernel that wakes the client up. Gathered it is half as many; and since those of all
connections follow one another, neither Python nor the kernel has to begin cold between them: for 64
connections that is worth a tenth of what a track costs.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from gateway.api.protocol.intake import Intake


class Gathering(Intake):
    """Uvicorn's protocol on a transport that gathers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of a narrower one
        """Take a connection."""
        super().connection_made(cast("Any", _Gathered(transport, self.loop)))


class _Gathered:
    """A transport that keeps what is written until the turn is over; all else is its own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._soon = loop.call_soon
        self._kept = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._kept:
            self._soon(self._flush)
        self._kept += data

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        kept, self._kept = self._kept, b""
        if kept and not self.is_closing():
            self._transport.write(kept)
