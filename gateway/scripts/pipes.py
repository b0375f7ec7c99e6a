"""One pipe to each server of a Redis Cluster, used as one pipe is.

A call goes to whoever had its key when the Cluster was looked at last; one that is refused because
the key has moved has changed nothing, and is an error like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.exceptions import ClusterDownError

from gateway.cluster.client import Cluster
from gateway.keys import INSTALLATION
from gateway.redis_urls import Address
from gateway.scripts.asking import Asking
from gateway.scripts.faults import PipeUnsentError
from gateway.scripts.pipe import Pipe, Receiver

_TAG, _END = b"{p", b"}"
"""Around the number of the partition in the first key of a command."""


class Pipes(Asking):
    """The pipes; each is opened by its first call."""

    keys_together = 1
    """A Cluster refuses a command that names keys of several partitions."""

    def __init__(self, cluster: Cluster, make: Callable[[ConnectionPool], Pipe]) -> None:
        self._cluster = cluster
        self._make = make
        self._pipes: dict[Address, Pipe] = {}
        self._routes: dict[bytes, Pipe] = {}
        self._owners: tuple[Address | None, ...] = ()
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection to any server, as far as this end knows."""
        return any(pipe.is_open for pipe in self._pipes.values())

    @property
    def in_flight(self) -> int:
        """Calls that wait to leave or for a reply."""
        return sum(pipe.in_flight for pipe in self._pipes.values())

    def send(self, command: bytes, receiver: Receiver) -> None:
        """Ask, as ``Pipe.send`` does."""
        owners = self._cluster.topology.owners
        if owners is not self._owners:
            self._owners, self._routes = owners, {}
        begin = command.find(_TAG)
        tag = b"" if begin < 0 else command[begin : command.find(_END, begin)] + _END
        pipe = self._routes.get(tag)
        if pipe is None:
            if not tag:  # a look at the clock: to a server that is there, as far as is known
                pipe = next((one for one in self._pipes.values() if one.is_open), None)
                (pipe or self._pipe(INSTALLATION)).send(command, receiver)
                return
            pipe = self._routes[tag] = self._pipe(tag)
        pipe.send(command, receiver)

    def _pipe(self, key: str | bytes) -> Pipe:
        try:
            address = self._cluster.topology.owner(key)
        except ClusterDownError as error:
            raise PipeUnsentError(str(error)) from error
        if address not in self._pipes:
            if self._is_closed:
                raise PipeUnsentError("the connection is closed")
            self._pipes[address] = self._make(self._cluster.server(address).connection_pool)
        return self._pipes[address]

    def _send_all(self, commands: list[bytes], receiver: Receiver) -> None:
        replies: list[Any] = [None] * len(commands)
        left = len(commands)

        def take(at: int, reply: object) -> None:
            nonlocal left
            replies[at] = reply
            left -= 1
            if not left:
                receiver(replies)

        for at, command in enumerate(commands):
            try:
                self.send(command, partial(take, at))
            except PipeUnsentError as error:
                take(at, error)

    async def close(self) -> None:
        """Fail what waits, and close."""
        self._is_closed = True
        for pipe in self._pipes.values():
            await pipe.close()

    def drop(self) -> None:
        """Close the connections; calls in flight fail, the next ones open others. Nothing is kept
        of servers that have left.
        """
        for address, pipe in [*self._pipes.items()]:
            pipe.drop()
            if address not in self._cluster.topology.servers:
                del self._pipes[address]


def make_pipe(client: Redis, *, timeout_seconds: float) -> Pipe | Pipes:
    """Return what calls may share of a client."""
    make = partial(Pipe, timeout_seconds=timeout_seconds)
    return Pipes(client, make) if isinstance(client, Cluster) else make(client.connection_pool)
