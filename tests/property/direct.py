"""Redis for tests that ask one thing after the other: each reply is waited for where it is asked.

What a call returns is awaited as with the client of the gateway, but the reply is there by then, so
that no event loop is needed. To start and stop one for each of twenty thousand calls took more time
than the calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import redis
from redis.asyncio import Redis

T = TypeVar("T")


def done(awaitable: Awaitable[T]) -> T:
    """Return what comes of something that waits for nothing but a direct client."""
    try:
        next(awaitable.__await__())
    except StopIteration as end:
        return cast("T", end.value)
    raise AssertionError("it waits for an event loop")


@contextmanager
def direct_client(url: str) -> Iterator[Redis]:
    """Return a client on one connection."""
    with redis.Redis.from_url(url, single_connection_client=True) as client:
        yield cast("Redis", _Client(client))


class _Client:
    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.execute_command = _awaited(client.execute_command)

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        return _awaited(getattr(self._client, name))

    def pipeline(self, *, transaction: bool) -> Any:  # noqa: ANN401 - the client's own
        pipeline: Any = self._client.pipeline(transaction)
        pipeline.execute = _awaited(pipeline.execute)
        return pipeline


def _awaited(call: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def answer(*words: Any, **more: Any) -> Any:  # noqa: ANN401 - as of any command
        return call(*words, **more)

    return answer
