"""A server that speaks as much of Redis' protocol as a test tells it to, and a pipe to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from redis.asyncio import ConnectionPool

from gateway.scripts.pipe import Pipe
from tests.waiting import until

TIMEOUT_SECONDS = 5.0
PING = b"*1\r\n$4\r\nPING\r\n"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def scripted(folder: Path, answer: Answer, **limits: Any) -> AsyncIterator[Pipe]:  # noqa: ANN401 - arguments of Pipe
    """Serve by ``answer`` once a client has greeted, and give a pipe to that server."""
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        open_now.discard(writer)

    server = await asyncio.start_unix_server(serve, folder / "s")
    pool = ConnectionPool.from_url(
        f"unix://{folder / 's'}", protocol=2, driver_info=None, health_check_interval=0
    )
    made = Pipe(pool, **{"timeout_seconds": TIMEOUT_SECONDS} | limits)
    try:
        yield made
    finally:
        await made.close()
        await until(lambda: not open_now)
        server.close()
        await server.wait_closed()


async def hurried(pipe: Pipe, seconds: float) -> contextlib.AbstractContextManager[object]:
    """Have its calls be late so soon for the block, and its connection open before it: to open one
    may take a machine that stands still any time.
    """
    assert await pipe.call("PING") == b"PONG"
    watch, pipe._watch = pipe._watch, None  # noqa: SLF001 - the next call begins one that is sooner
    assert watch is not None
    watch.cancel()
    return patch.object(pipe, "_timeout_s", seconds)


async def read_ping(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"PING\r\n")


class Slow:
    """A server that notes what it is asked, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self._writer: asyncio.StreamWriter | None = None

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked, self._writer = 0, writer
        while data := await reader.read(1_000_000):
            self.asked += data.count(b"PING")

    def answer(self, count: int) -> None:
        assert self._writer is not None
        self._writer.write(b"+PONG\r\n" * count)

    def leave(self) -> None:
        assert self._writer is not None
        self._writer.close()

    def unread(self) -> int:
        """Return how many calls lie in the socket."""
        assert self._writer is not None
        number = self._writer.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(number)) as copy:
            try:
                return copy.recv(1_000_000, socket.MSG_PEEK | socket.MSG_DONTWAIT).count(b"PING")
            except BlockingIOError:
                return 0
