"""What becomes of calls on the shared connection that get no reply.

Faults that one event caused carry the same ``event``, so that they count as one.
"""

from __future__ import annotations

from typing import TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


class PipeUnsentError(RedisConnectionError):
    """The call never left this process; ``event`` is what it has in common with others."""

    event: object = None


class PipeLostError(RedisConnectionError):
    """The connection was lost while the call was in flight."""

    event: object = None


class PipeLateError(RedisTimeoutError):
    """The server has not answered anything for as long as the call may take."""

    event: object = None


_Fault = TypeVar("_Fault", PipeUnsentError, PipeLostError, PipeLateError)


def fault_of(error: _Fault, event: object) -> _Fault:
    """Return a fault with what caused it."""
    error.event = event
    return error
