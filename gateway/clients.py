"""Clients of Redis, every limit explicit; they are made here and nowhere else."""

from __future__ import annotations

import re
from functools import cache, partial
from typing import Any, cast
from urllib.parse import urlsplit

import redis
from redis import DriverInfo
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.maint_notifications import MaintNotificationsConfig

from gateway.cluster.client import Cluster
from gateway.cluster.topology import topology_of
from gateway.config import Settings
from gateway.errors import StartError
from gateway.guard import Greeting, Guard
from gateway.ports import WallClock
from gateway.redis_urls import read_url
from gateway.sentinels import Sentinels, sentinels_of
from gateway.stepping import in_task
from persistence.database import Database
from persistence.incidents import SqlInstallation

_NUMBER = re.compile(r"/?[0-9]*")
"""Which of its databases the URL of a server names."""

_DRIVER = DriverInfo(lib_version=redis.__version__)
"""Told to the server; redis-py would read it from its package's metadata for each connection."""

_NO_NOTICES = MaintNotificationsConfig(enabled=False)
"""With notices of maintenance redis-py does not look whether a server has closed a connection while
it was not used, and the next call would be lost on it."""

GUARD_CONNECTIONS = 8
"""Of the guard alone; it needs them only while it repairs."""

GUARD_TIMEOUT_SECONDS = 10.0
"""Of its calls, none of which a request waits for longer than its own limits."""


def make_redis(settings: Settings, *, timeout_seconds: float, guard: Guard | None = None) -> Redis:
    """Return a client with every limit explicit and no retries.

    With a ``guard`` it has connections to the trusted server only.
    """
    connections_max = settings.redis_connections_max
    greeting = None if guard is None else guard.admit
    client = _client(settings, timeout_seconds, connections_max, greeting)
    if guard is not None:
        guard.cover(client)
    return client


def make_guard(settings: Settings, database: Database, clock: WallClock) -> Guard:
    """Return the guard of a process, with a client of its own."""
    connect = partial(_client, settings, GUARD_TIMEOUT_SECONDS, GUARD_CONNECTIONS)
    installation = SqlInstallation(database, clock)
    return Guard(connect, installation, partitions=settings.partitions)


class _Sending(AbstractConnection):
    """What a connection does when it sends."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: ANN401, FBT001, FBT002 - redis-py's own
        """Send. Raises ``ConnectionError`` also where the server has closed just before, of which
        uvloop tells by an error of its own that redis-py does not know.
        """
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisConnectionError(f"the connection to Redis was lost: {error}") from error


@cache
def _sending(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    return type(kind.__name__, (_Sending, kind), {})


class _Pool(BlockingConnectionPool):
    """Connections for tasks: to wait for one with a time limit, asyncio needs to know which."""

    def make_connection(self) -> AbstractConnection:
        """Return a connection that is not open yet."""
        return _sending(cast("Any", self.connection_class))(**self.connection_kwargs)

    async def get_connection(self, *words: Any, **options: Any) -> AbstractConnection:  # noqa: ANN401 - redis-py's own
        """Return a connection that is open and nobody else's."""
        await in_task()
        pool = cast("Any", super())
        return cast("AbstractConnection", await pool.get_connection(*words, **options))

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's own
        """Close connections; whoever closes all of them has a doubt about where they lead."""
        sentinels: Sentinels | None = self.connection_kwargs.get("sentinels")
        if sentinels is not None and inuse_connections:
            sentinels.ask_another()
        await super().disconnect(inuse_connections)


def _client(
    settings: Settings, timeout_seconds: float, connections_max: int, greeting: Greeting | None
) -> Redis:
    try:
        named = read_url(settings.redis_url)
        _check_number(named.plain)
        make_pool = partial(
            _Pool.from_url,
            named.plain,
            max_connections=connections_max,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            decode_responses=False,
            redis_connect_func=greeting,
            driver_info=_DRIVER,
            maint_notifications_config=_NO_NOTICES,
        )
        pool = make_pool()
        if named.service:
            sentinels_of(named.service, named.hosts).lead(pool)
        pool.connection_class(**pool.connection_kwargs)  # which alone knows its options
    except (TypeError, ValueError) as error:
        # The error may show a part of a password.
        raise StartError(
            "the Redis URL is not readable: look at host, port, database and options"
        ) from error
    if named.hosts and not named.service:
        return Cluster(
            topology_of(named.hosts),
            lambda address: make_pool(host=address.host, port=address.port),
            partitions=settings.partitions,
        )
    return Redis.from_pool(pool)


def _check_number(url: str) -> None:
    """Raise ``ValueError`` for a database that is no number: redis-py would take the first one."""
    parts = urlsplit(url)
    if parts.scheme != "unix" and _NUMBER.fullmatch(parts.path) is None:
        raise ValueError(parts.path)
