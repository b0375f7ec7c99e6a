"""What tells of a server, and what of a key."""

from __future__ import annotations

import pytest
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.cluster.refusals import is_away


@pytest.mark.parametrize(
    "error",
    [
        RedisConnectionError("gone"),
        RedisTimeoutError("late"),
        BusyLoadingError("loading"),
        ClusterDownError("CLUSTERDOWN"),
        MovedError("7 b:2"),
        AskError("7 b:2"),
        ResponseError("MISCONF no disk"),
    ],
)
def test_a_server_that_does_not_serve_the_key_now_is_away(error: RedisError) -> None:
    assert is_away(error)


@pytest.mark.parametrize("reply", [None, b"", [], ResponseError("no such key"), KeyError("bug")])
def test_what_is_said_of_the_key_is_a_reply(reply: object) -> None:
    assert not is_away(reply)
