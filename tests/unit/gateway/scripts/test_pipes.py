"""The pipes to the servers of a Cluster, while some of them are being closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from gateway.redis_urls import Address
from gateway.scripts.faults import PipeUnsentError
from gateway.scripts.pipe import Pipe
from gateway.scripts.pipes import Pipes
from tests.waiting import one_turn

FIRST, SECOND = Address("first", 1), Address("second", 2)


class _Topology:
    owners = (FIRST, SECOND)

    def owner(self, key: bytes) -> Address:
        return FIRST if key == b"{p1}" else SECOND


class _Cluster:
    """Two servers, each known by its address alone."""

    topology = _Topology()
    connection_pool: object = None

    def server(self, _: Address) -> _Cluster:
        return self


class _Closing:
    """A pipe that is closed only when a test says so."""

    def __init__(self) -> None:
        self.may_close = asyncio.Event()
        self.is_closed = False

    def send(self, command: bytes, receiver: Callable[[Any], None]) -> None:
        receiver(command)

    async def close(self) -> None:
        await self.may_close.wait()
        self.is_closed = True


async def test_a_call_for_another_server_while_the_pipes_close_opens_none() -> None:
    made: list[_Closing] = []

    def make(_: object) -> Pipe:
        made.append(_Closing())
        return cast("Pipe", made[-1])

    pipes = Pipes(cast("Any", _Cluster()), make)
    pipes.send(b"GET tg:{p1}:seal", lambda _: None)
    closing = asyncio.create_task(pipes.close())
    await one_turn()
    with pytest.raises(PipeUnsentError, match="closed"):
        pipes.send(b"GET tg:{p2}:seal", lambda _: None)
    made[0].may_close.set()
    await closing
    assert [one.is_closed for one in made] == [True]
