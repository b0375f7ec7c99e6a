"""The loop every process of ours runs on, and the signals it ends on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from gateway.processes.collecting import leave_alone_what_is_there


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on the loop the gateway runs on."""
    leave_alone_what_is_there()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)


def on_stop(stop: Callable[[], None]) -> None:
    """Call something whenever this process is told to stop, instead of ending it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
