"""Ports for servers of tests, which nobody else takes before they listen, or while they are dead.

The system gives its own to whoever asks for any, or calls out: as soon as a test has let go of one,
a test beside it may have it.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from contextlib import suppress

_FIRST = 20_000
_COUNT = 1_000
_WORKERS = 12
"""Each process of tests has so many of its own, all below those the system gives away."""

_own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
# Not the same ones as those of another run on this machine.
_begins = random.randrange(_COUNT)
_ports = (_FIRST + _COUNT * _own + (_begins + at) % _COUNT for at in itertools.count())


def free_port() -> int:
    """Return a port nobody listens on."""
    while True:
        port = next(_ports)
        with suppress(OSError), socket.socket() as each:
            each.bind(("127.0.0.1", port))
            return port


def free_ports(count: int) -> list[int]:
    """Return so many of them."""
    return [free_port() for _ in range(count)]
