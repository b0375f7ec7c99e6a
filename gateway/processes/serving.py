"""Serve HTTP until told to stop: the one way of it, alone or as one of several workers.

Uvicorn is run from here rather than by its own command so that the process starts and stops
everything in order, and leaves connections as it should.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from math import ceil
from typing import Any

import uvicorn

from gateway.api.exchange import Answers
from gateway.api.operations import OPERATIONS
from gateway.api.plain.calls import PlainCalls
from gateway.api.protocol.gathering import Gathering
from gateway.api.protocol.lane import make_lane
from gateway.api.protocol.leaving import leave
from gateway.app import Runtime, build_app, make_answers, make_plain
from gateway.config import Settings
from gateway.processes.listening import BACKLOG

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open: longer than clients keep theirs, so that none sends a
request into one that is just being closed.
"""

POLL_SECONDS = 0.05
"""Between two looks at whether connections that are being left have all ended."""


class HttpServer(uvicorn.Server):
    """Uvicorn that leaves the process alone, and says when it serves."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._is_replaced = False
        self._told = asyncio.Event()

    def stop(self) -> None:
        """Serve no more: answer what is under way and close; asked again, do not wait either."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._told.set()

    def leave(self) -> None:
        """Serve no more, since others do: see ``gateway.api.protocol.leaving``."""
        self._is_replaced = True
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        """Serve until told otherwise; uvicorn's own looks ten times a second whether it was."""
        await self.on_tick(0)
        await self._told.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Uvicorn's own would raise the signal again after serving, before the outbox is flushed.
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End connections: politely for at most half the time there is, where others serve on."""
        if self._is_replaced:
            limit = float(self.config.timeout_graceful_shutdown or 0)
            loop = asyncio.get_running_loop()
            began = loop.time()
            await self._leave_connections(sockets or [], began + limit / 2)
            left = limit - (loop.time() - began)
            self.config.timeout_graceful_shutdown = max(0, ceil(left))
        await super().shutdown(sockets)

    async def _leave_connections(self, sockets: list[socket.socket], until: float) -> None:
        for server in self.servers:
            server.close()
        for each in sockets:
            each.close()
        connections: set[Any] = self.server_state.connections
        for connection in list(connections):
            leave(connection)
        loop = asyncio.get_running_loop()
        # As uvicorn's own waiting: no event tells that a set has become empty.
        while connections and loop.time() < until and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)


def _nobody() -> None:
    """Have nobody told."""


async def serve(
    runtime: Runtime,
    listener: socket.socket,
    *,
    on_start: Callable[[HttpServer], None],
    on_ready: Callable[[], None] = _nobody,
    page: Callable[[], Awaitable[bytes]] | None = None,
) -> None:
    """Serve on a socket until the server that ``on_start`` is given is told to stop or to leave."""
    settings = runtime.settings
    await runtime.catalog.refresh()
    longer = make_answers(runtime)
    plain = make_plain(runtime, longer)
    application: Any = build_app(runtime, plain or longer, page=page)
    config = uvicorn.Config(
        application,
        loop="none",
        http=_http_protocol(settings, longer, plain),
        ws="none",
        lifespan="off",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        log_config=None,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    server = HttpServer(config, on_ready)
    on_start(server)
    await server.serve(sockets=[listener])


def _http_protocol(settings: Settings, longer: Answers, plain: PlainCalls | None) -> Any:  # noqa: ANN401 - one of uvicorn's
    if not settings.fast_lane:
        return Gathering
    return make_lane(longer, OPERATIONS, plain=plain, body_bytes_max=settings.body_bytes_max)
