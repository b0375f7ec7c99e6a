"""When everything Redis has acknowledged so far is on a replica, or in its append-only file.

``WAIT`` and ``WAITAOF`` speak of the last write of their own connection, so a round first makes a
tiny one: replication and the file keep the order of the server, and with it everything before is
covered, whoever wrote it. One connection is enough for a process: while a round is under way, all
who come share the next. Of a Cluster each server has rounds of its own, since a change is on one.

Failure. No answer, a refusal or too few replicas in time: False. Nothing is lost by that, only not
known to be safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import RedisError, ResponseError

from gateway.cluster.client import Cluster
from gateway.keys import pulse_key
from gateway.redis_urls import Address
from gateway.rounds import Rounds
from gateway.scripts.outcomes import unavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

_NEVER = ("unknown command", "WAITAOF")
"""How a server words that it has not got the command, or no append-only file."""

REPLICAS = 1
"""Replicas that must have a change at level ``replica``."""


class Barrier:
    """Rounds of the servers; ``client`` waits longer for an answer than a round may take."""

    def __init__(self, client: Redis, round_ms: int) -> None:
        self._client = client
        self._round_ms = round_ms
        self._rounds: Callable[..., Rounds[bool]] = cache(
            lambda *where: Rounds(partial(self._round, *where))
        )

    async def replicated(self, partitions: Sequence[int]) -> bool:
        """Whether a replica has what some partitions hold."""
        return await self._reached(partitions, "WAIT", REPLICAS)

    async def flushed(self, partitions: Sequence[int]) -> bool:
        """Whether the servers of some partitions have what they hold on their disks."""
        return await self._reached(partitions, "WAITAOF", 1, 0)

    async def refusal(self) -> str | None:
        """Return why this server cannot wait for its file; None when it can.

        Raises ``RedisUnavailableError`` when it does not say.
        """
        try:
            await cast("Any", self._client).execute_command("WAITAOF", 1, 0, 1)
        except RedisError as error:
            if isinstance(error, ResponseError) and str(error).startswith(_NEVER):
                return str(error)
            raise unavailable(error) from error
        return None

    async def replica_refusal(self) -> str | None:
        """Return why this server can never have a replica; None when it may have one.

        Raises ``RedisUnavailableError`` when it does not say.
        """
        try:
            ports = await self._client.config_get("port", "tls-port")
        except ResponseError:  # where settings may not be read, there may be replicas
            return None
        except RedisError as error:
            raise unavailable(error) from error
        # The embedded server is such a one.
        return "this one listens on a unix socket only" if {*ports.values()} == {"0"} else None

    async def _reached(self, partitions: Sequence[int], *words: str | int) -> bool:
        if not isinstance(self._client, Cluster):
            return await self._rounds(None, 0, *words)()
        try:
            homes = await self._client.homes(partitions)
        except RedisError as error:
            log.warning("%s was not asked for: %s", words[0], error)
            return False
        rounds = [self._rounds(*home, *words) for home in homes.items()]
        return all(await asyncio.gather(*(one() for one in rounds)))

    async def _round(self, address: Address | None, home: int, *words: str | int) -> bool:
        try:
            client = self._client
            if address is not None:  # where it was written, whoever has the partition by now
                client = cast("Cluster", client).server(address)
            async with client.pipeline(transaction=False) as pipe:
                pipe.execute_command("SET", pulse_key(home), "")
                pipe.execute_command(*words, self._round_ms)
                _, reply = await pipe.execute()
        except RedisError as error:
            log.warning("%s was not answered: %s", words[0], error)
            return False
        return int(reply[0] if isinstance(reply, list) else reply) >= int(words[1])
