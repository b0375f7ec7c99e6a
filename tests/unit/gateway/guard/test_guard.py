"""How a connection that breaks while it is greeted is told of."""

from __future__ import annotations

from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.guard import Greeting, Guard


class Closed:
    """A connection that is closed as soon as it is open, the way redis-py has it then."""

    is_closed = False

    async def on_connect(self) -> None:
        raise AttributeError("'NoneType' object has no attribute 'writelines'")

    async def disconnect(self, *, nowait: bool) -> None:
        self.is_closed = nowait


async def test_a_connection_that_closes_while_it_is_greeted_is_a_fault_of_the_connection() -> None:
    greetings: list[Greeting] = []

    def connect(greeting: Greeting) -> Redis:
        greetings.append(greeting)
        return Redis()

    Guard(connect, cast("Any", None), partitions=1)
    connection = Closed()
    with pytest.raises(RedisConnectionError, match="closed while it was greeted"):
        await greetings[0](connection)
    assert connection.is_closed
