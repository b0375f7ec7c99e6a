"""Serve from this process, with no other beside it, until a signal says to stop."""

from __future__ import annotations

import socket
from collections.abc import Callable

from gateway.app import Runtime, started
from gateway.config import Settings
from gateway.processes.deadline import Deadline, stop_seconds
from gateway.processes.first_key import make_first_key
from gateway.processes.running import on_stop
from gateway.processes.serving import HttpServer, serve
from gateway.start_checks import tell_of_redis


async def serve_alone(
    settings: Settings, listener: socket.socket, greet: Callable[[str | None], None]
) -> None:
    """Serve; ``greet`` is given the first key if one was made. Raises ``StartError``."""
    with Deadline(stop_seconds(settings.drain_seconds)) as deadline:
        async with started(Runtime(settings)) as runtime:
            await tell_of_redis(runtime.guard.client)
            made = await make_first_key(runtime.store, settings)

            def begin(server: HttpServer) -> None:
                def stop() -> None:
                    deadline.begin()
                    server.stop()

                on_stop(stop)
                greet(made)

            await serve(runtime, listener, on_start=begin)
