"""When everything Redis has acknowledged so far is on a replica, or in its append-only file.

``WAIT`` and ``WAITAOF`` speak of the last write of their own connection, so a round first makes a
tiny one: replication and the file keep the order of the server, and with it everything before is
covered, whoever wrote it. One connection (to each server of a Cluster) is enough for a process:
while a round is under way, all who come share the next.

Failure. No answer, a refusal or too few replicas in time: False. Nothing is lost by that, only not
known to be safe.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import RedisError, ResponseError

from gateway.cluster.client import Cluster
from gateway.keys import pulse_key
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
    """Rounds of one server; ``client`` waits longer for an answer than a round may take."""

    def __init__(self, client: Redis, round_ms: int) -> None:
        self._client = client
        self.replicated = Rounds(lambda: self._round("WAIT", REPLICAS, round_ms))
        """Whether a replica has it."""
        self.flushed = Rounds(lambda: self._round("WAITAOF", 1, 0, round_ms))
        """Whether the server's own file has it on disk."""

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

    async def _round(self, *words: str | int) -> bool:
        try:
            client = self._client
            homes = await client.homes() if isinstance(client, Cluster) else (0,)
            async with client.pipeline(transaction=False) as pipe:
                for partition in homes:
                    pipe.execute_command("SET", pulse_key(partition), "")
                pipe.execute_command(*words)
                *_, reply = await pipe.execute()
        except RedisError as error:
            log.warning("%s was not answered: %s", words[0], error)
            return False
        return int(reply[0] if isinstance(reply, list) else reply) >= int(words[1])
