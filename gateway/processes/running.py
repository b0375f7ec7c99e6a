"""The loop every process of ours runs on, and the signals it ends on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import uvloop

from gateway.processes.collecting import leave_alone_what_is_there

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""The signals on which a process that goes on until it is told to stop ends in order."""


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on the loop the gateway runs on."""
    leave_alone_what_is_there()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)
