"""What must be true of Redis before a process begins to serve, and of Redis and SQL together.

Failure. A check that fails raises ``StartError`` with one line that says what to do. It must never
print a password, nor begin on a server that may evict balances.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, NoPermissionError, RedisError

from gateway.cluster.client import Cluster
from gateway.config import Settings
from gateway.errors import StartError
from gateway.guard.judgement import ForeignError, expects_seals, foreign, judge
from gateway.guard.server_facts import NOEVICTION, SECTIONS, facts_of
from gateway.guard.streams import read_facts, read_label, read_streams
from gateway.keys import INSTALLATION
from gateway.wall import SystemClock
from persistence.database import Database
from persistence.incidents import SqlInstallation

log = logging.getLogger(__name__)

REDIS_MAJOR_MIN = 7
"""Functions, which scripts are, came with this version."""

LOADING_SECONDS_MAX = 60.0
"""How long a start waits for a Redis that reads its file, after which it is refused."""

LOADING_LOOK_SECONDS = 0.1

ALONE_LOOKS = 10
ALONE_LOOK_SECONDS = 0.1

TOLD = ("server", "persistence")
"""Sections of INFO with what is told of, but forbids nothing."""

SKEW_MS_MAX = 5_000
"""How far the clocks of Redis' machine and of this one may be apart without a word."""


async def check_redis(client: Redis, settings: Settings) -> None:
    """Raise ``StartError`` unless Redis answers and is set up to keep balances."""
    with _reached(client):
        try:
            server = await client.info(*SECTIONS)
        except NoPermissionError as error:
            needed = "+info"
            if isinstance(client, Cluster):
                needed += " +cluster|info +cluster|slots"
            raise StartError(
                "Redis does not let this user ask by what a lost or a wrong Redis is recognised: "
                f"ACL SETUSER {_user(client)} {needed}"
            ) from error
    version = str(server.get("redis_version", "0"))
    if int(version.split(".", maxsplit=1)[0]) < REDIS_MAJOR_MIN:
        raise StartError(f"Redis {version} is too old; {REDIS_MAJOR_MIN} or newer is needed")
    facts = facts_of(server)
    if facts.fault:
        raise StartError(facts.fault)
    is_cluster = "cluster" in {server.get("redis_mode"), server.get("server_mode")}
    if is_cluster and not isinstance(client, Cluster):  # the second one is Valkey's
        raise StartError(
            "Redis is a Cluster: name servers of it as redis+cluster://host:port,host:port"
        )
    limits = settings.rate_limit_key or settings.rate_limit_publishable_key
    if limits and isinstance(client, Cluster):
        raise StartError(
            "calls of an API key are about customers on any server of a Cluster, so no script can "
            "count them: unset TALLYGATE_RATE_LIMIT_KEY and TALLYGATE_RATE_LIMIT_PUBLISHABLE_KEY, "
            "or use one server with its replicas"
        )
    if not facts.policy:
        log.warning("Redis does not tell its maxmemory-policy; it must be %s", NOEVICTION)
    found = int(await _kept_partitions(client) or settings.partitions)
    if found != settings.partitions:
        raise StartError(
            f"Redis was set up with {found} partitions, not {settings.partitions}; "
            f"set TALLYGATE_PARTITIONS={found}"
        )


async def tell_of_redis(client: Redis) -> None:
    """Log what does not forbid to start, but should be known; nothing where Redis is gone again."""
    with contextlib.suppress(RedisError, OSError):
        told = [await client.info(*TOLD)]
        if isinstance(client, Cluster):  # whose servers have a clock each
            told += filter(None, await client.serving())
        now_ms = SystemClock().now_ms()
        for warning in dict.fromkeys(one for server in told for one in warnings_of(server, now_ms)):
            log.warning("%s", warning)


def warnings_of(server: Mapping[str, object], now_ms: int) -> Iterator[str]:
    """Return what should be known of the fields of INFO."""
    if str(server.get("aof_enabled", "")) == "0":
        yield (
            "Redis keeps no append-only file: what SQL does not have yet is lost with its process; "
            "CONFIG SET appendonly yes"
        )
    server_us = str(server.get("server_time_usec", ""))
    ahead_ms = int(server_us) // 1000 - now_ms if server_us.isdecimal() else 0
    if abs(ahead_ms) > SKEW_MS_MAX:
        how = "ahead of" if ahead_ms > 0 else "behind"
        yield (
            f"the clock of Redis is {abs(ahead_ms) // 1000} seconds {how} this machine's, by which "
            "balances reset and locks expire: let both follow the same time"
        )


async def _kept_partitions(client: Redis) -> bytes | str | None:
    """Return what Redis was set up with; one that was just started may have to read its file."""
    with _reached(client):
        for _ in range(int(LOADING_SECONDS_MAX / LOADING_LOOK_SECONDS)):
            with contextlib.suppress(BusyLoadingError):
                return await client.hget(INSTALLATION, "partitions")
            await asyncio.sleep(LOADING_LOOK_SECONDS)
        return await client.hget(INSTALLATION, "partitions")


async def check_pair(client: Redis, database: Database) -> None:
    """Raise ``StartError`` for a Redis that says it belongs to another installation than SQL."""
    with _reached(client):
        identity = (await read_label(client)).identity
    past = await SqlInstallation(database, SystemClock()).past()
    if identity not in {None, past.identity}:
        raise StartError(foreign(str(identity), past))


async def check_whole(client: Redis, database: Database, partitions: int) -> None:
    """Raise ``StartError`` for a Redis that lacks what SQL has, such as one that is not theirs."""
    past = await SqlInstallation(database, SystemClock()).past()
    with _reached(client):
        label = await read_label(client)
        streams = await read_streams(client, range(partitions))
    try:
        sealed = expects_seals(label, past, streams)
    except ForeignError as error:
        raise StartError(str(error)) from error
    if any(one.needs_repair for one in judge(past, streams, expects_seals=sealed)):
        raise StartError(
            "Redis lacks what SQL has: look whether its URL is that of the gateways; if it is, "
            "start one, which brings back what can be"
        )


async def is_admitted(client: Redis, database: Database) -> bool:
    """Whether this is the Redis that a guard has compared with SQL last."""
    with _reached(client):
        facts = await read_facts(client)
    return facts.run_id == await SqlInstallation(database, SystemClock()).admitted()


@contextlib.contextmanager
def _reached(client: Redis) -> Iterator[None]:
    """Raise what keeps Redis from answering as a ``StartError``."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StartError(f"Redis cannot be reached at {_address(client)}: {error}") from error


async def check_alone(client: Redis, name: str) -> None:
    """Raise ``StartError`` while anybody else may use Redis: a client of another ``name`` that does
    not say what it is, as connections of gateways and writers do not.

    One that ends may still be listed for a moment, and one of ours that begins has no name yet.
    """
    with _reached(client):
        others = await _others(client, name)
    if others:
        raise StartError(f"Redis is in use from {others[0]}: stop every gateway and writer first")


async def _others(client: Redis, name: str) -> list[str]:
    others: list[str] = []
    for _ in range(ALONE_LOOKS):
        try:
            clients = cast("Sequence[dict[str, str]]", await client.client_list(_type="normal"))
        except NoPermissionError as error:
            raise StartError(
                "Redis does not let this user run CLIENT LIST, by which a gateway that runs is "
                f"seen: ACL SETUSER {_user(client)} +client|list"
            ) from error
        others = [one["addr"] for one in clients if one["name"] != name and _may_be_ours(one)]
        if not others:
            break
        await asyncio.sleep(ALONE_LOOK_SECONDS)
    return others


def _may_be_ours(client: Mapping[str, str]) -> bool:
    told = client.get("lib-name") or client["name"]
    return not told or told.startswith("redis-py")


def _user(client: Redis) -> str:
    return str(client.connection_pool.connection_kwargs.get("username") or "default")


def _address(client: Redis) -> str:
    arguments = client.connection_pool.connection_kwargs
    named = arguments.get("path") or arguments.get("sentinels")
    if isinstance(client, Cluster):
        named = "any of " + ", ".join(map(str, client.topology.seeds))
    return str(named or f"{arguments.get('host')}:{arguments.get('port', 6379)}")
