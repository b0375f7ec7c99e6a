"""Errors by which a server says that it does not do something at the moment, or by its silence."""

from __future__ import annotations

from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

_NOT_NOW = ("LOADING", "MASTERDOWN", "READONLY", "NOREPLICAS", "BUSY", "MISCONF", "OOM")
"""How replies begin with which the server refuses a command before it runs."""

REFUSALS = (
    AskError,  # and MovedError, which is one
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
"""Such replies that redis-py has classes for, and takes the first word from."""


def is_refusal(error: Exception) -> bool:
    """Whether the server answered that it does not carry out the command."""
    return isinstance(error, ResponseError) and (
        isinstance(error, REFUSALS) or str(error).startswith(_NOT_NOW)
    )


def is_away(reply: object) -> bool:
    """Whether what came instead of a reply tells of the server alone: it does not answer, or does
    not serve the key now. Where others of a Cluster do, nobody is to wait for it.
    """
    return isinstance(reply, RedisError) and (
        is_refusal(reply) or not isinstance(reply, ResponseError)
    )
