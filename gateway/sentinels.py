"""Connections to whichever server the Sentinels name as the master when they are opened.

User and password of their URL (``gateway.redis_urls``) are for the servers, ``sentinel_username``
and ``sentinel_password`` among the options for the Sentinels.

A connection is redis-py's, which learns its address first. Its own connections for Sentinels say of
a call that a replica refuses (READONLY) that the connection was lost, after which nobody knows that
nothing was changed; and two questions at the same time may drop a Sentinel from its list.

Failure. A Sentinel that does not answer within its share of the time to connect, refuses, or knows
no such master is passed over, and asked last from then on. If nobody names a master, that is the
error of the connection. What they name may be wrong for a moment: who answers there is looked at by
the guard, for whom then another Sentinel is asked first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from gateway.redis_urls import Address

SECONDS_MAX = 0.5
"""How long a Sentinel may take: one that is up answers at once, and there are others."""

_FOR_BOTH = ("retry", "maint_notifications_config")
"""What a connection to a Sentinel has in common with one to a server, beside all of TLS."""


class Sentinels:
    """Those of one deployment, in the order in which they are asked."""

    def __init__(self, service: str, addresses: list[Address]) -> None:
        """Keep what the URL says; ``service`` is the name under which they watch the master."""
        self._service = service
        self._order = addresses
        self._options: dict[str, Any] = {}
        self._connection_class = Connection

    def __str__(self) -> str:
        return f"{self._service} of the Sentinels {', '.join(map(str, sorted(self._order)))}"

    def lead(self, pool: BlockingConnectionPool) -> None:
        """Have the connections of a pool made to the master."""
        options = pool.connection_kwargs
        for name in ("username", "password"):
            self._options[name] = options.pop(f"sentinel_{name}", None)
        for name, value in options.items():
            if name in _FOR_BOTH or name.startswith("ssl_"):
                self._options[name] = value
        if pool.connection_class is SSLConnection:
            self._connection_class = SSLConnection
            pool.connection_class = _TlsMasterConnection
        else:
            pool.connection_class = _MasterConnection
        options["sentinels"] = self

    def ask_another(self) -> None:
        """Ask the next one first from now on; those that said nothing lately stand behind it."""
        self._order[:2] = reversed(self._order[:2])

    async def master(self, seconds: float) -> Address:
        """Return where the master is, as the first who knows says. Each may take an equal share of
        the time to connect, the server too.
        """
        share = min(SECONDS_MAX, seconds / (len(self._order) + 1))
        faults: list[str] = []
        for sentinel in tuple(self._order):
            # Asked last next time, also when the caller gives up before it has answered.
            self._order.remove(sentinel)
            self._order.append(sentinel)
            try:
                async with asyncio.timeout(share):
                    master = await self._ask(sentinel, share)
            except (RedisError, OSError, TimeoutError) as error:
                faults.append(f"{sentinel}: {str(error) or 'no answer in time'}")
                continue
            if master is not None:
                self._order.remove(sentinel)
                self._order.insert(0, sentinel)
                return master
            faults.append(f"{sentinel}: knows no {self._service}")
        told = "; ".join(faults)
        raise RedisConnectionError(
            f"Error connecting to Redis: no Sentinel names a master ({told})"
        )

    async def _ask(self, sentinel: Address, seconds: float) -> Address | None:
        connection = self._connection_class(
            host=sentinel.host,
            port=sentinel.port,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            protocol=2,  # which begins without a question
            driver_info=None,
            decode_responses=True,
            **self._options,
        )
        try:
            await cast("Any", connection).connect()
            words = "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service
            await connection.send_command(*words, check_health=False)
            found = await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)
        return None if found is None else Address(found[0], int(found[1]))


class _MasterConnection(Connection):
    """A connection to the master of the moment when it is opened."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:  # noqa: ANN401 - redis-py's own
        super().__init__(**options)
        self._sentinels = sentinels

    async def _connect(self) -> None:
        seconds = cast("float", self.socket_connect_timeout)
        async with asyncio.timeout(seconds):
            self.host, self.port = await self._sentinels.master(seconds)
            await super()._connect()  # type: ignore[no-untyped-call]


class _TlsMasterConnection(_MasterConnection, SSLConnection):
    """The same, with TLS."""


@cache
def sentinels_of(service: str, hosts: Sequence[Address]) -> Sentinels:
    """Return the Sentinels a URL names: the same for all clients of a process, so that what one
    learns of them is known to all.
    """
    return Sentinels(service, list(hosts))
