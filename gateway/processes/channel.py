"""What a supervisor and its workers tell each other, over a socket each worker inherits.

A message is its length and MessagePack, which unlike JSON has numbers that are none. The end of the
channel is the end of the other side: a worker whose supervisor is gone stops by itself.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec

from gateway.config import Settings
from gateway.processes.tallies import Family

_LENGTH_BYTES = 4


class Order(msgspec.Struct, frozen=True, tag=True):
    """What a worker is to be; the first message it gets."""

    settings: Settings
    listener: int | None
    """Number of the inherited socket to serve on; without one, write."""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Another serves in its place: finish, and fail nobody's request on the way."""


class Page(msgspec.Struct, frozen=True, tag=True):
    """The metrics of all workers, as asked for."""

    text: bytes


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The worker does what it is for."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The worker cannot start, and ends."""

    reason: str


class Counts(msgspec.Struct, frozen=True, tag=True):
    """What a worker has counted so far."""

    families: list[Family]
    asks_for_page: bool = False


ToWorker = Order | Leave | Page
ToSupervisor = Ready | Failed | Counts


class Channel:
    """One end."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        kinds: Any,  # noqa: ANN401 - a union
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = msgspec.msgpack.Decoder(kinds)

    @classmethod
    async def over(cls, end: socket.socket, kinds: Any) -> Channel:  # noqa: ANN401 - a union
        """Open one end; ``kinds`` are the messages that may arrive there."""
        end.settimeout(0)
        return cls(*await asyncio.open_unix_connection(sock=end), kinds)

    def tell(self, message: ToWorker | ToSupervisor) -> None:
        """Send a message; to nobody, when the other side is gone."""
        if not self._writer.is_closing():
            data = msgspec.msgpack.encode(message)
            self._writer.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)

    @property
    def is_read(self) -> bool:
        """Whether the other side has taken everything so far."""
        return not self._writer.transport.get_write_buffer_size()

    async def hear(self) -> Any:  # noqa: ANN401 - one of the kinds
        """Return the next message; None when the other side is gone."""
        try:
            length = await self._reader.readexactly(_LENGTH_BYTES)
            data = await self._reader.readexactly(int.from_bytes(length, "big"))
        except (OSError, asyncio.IncompleteReadError):
            return None
        return self._decoder.decode(data)

    async def close(self) -> None:
        """Send what is left, and close."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return
