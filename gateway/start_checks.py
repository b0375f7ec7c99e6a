"""What must be true of Redis and SQL before a process begins to serve.

Failure. A check that fails raises ``StartError`` with one line that says what to do. It must never
print a password, nor begin on a server that may evict balances.
"""

from __future__ import annotations

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from gateway.config import Settings
from gateway.errors import StartError
from gateway.keys import INSTALLATION
from persistence import store
from persistence.database import Database
from persistence.migrate import require_current

log = logging.getLogger(__name__)

REDIS_MAJOR_MIN = 7
"""Functions, which scripts are, came with this version."""

_NOEVICTION = "noeviction"


async def check_redis(client: Redis, settings: Settings) -> None:
    """Raise ``StartError`` unless Redis answers and is set up to keep balances."""
    try:
        server = await client.info("server")
    except (RedisError, OSError) as error:
        raise StartError(f"Redis cannot be reached at {_address(client)}: {error}") from error
    version = str(server.get("redis_version", "0"))
    if int(version.split(".", maxsplit=1)[0]) < REDIS_MAJOR_MIN:
        raise StartError(f"Redis {version} is too old; {REDIS_MAJOR_MIN} or newer is needed")
    await _check_policy(client)
    found = int(await client.hget(INSTALLATION, "partitions") or settings.partitions)
    if found != settings.partitions:
        raise StartError(
            f"Redis was set up with {found} partitions, not {settings.partitions}; "
            f"set TALLYGATE_PARTITIONS={found}"
        )


async def _check_policy(client: Redis) -> None:
    try:
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy")
    except (NoPermissionError, ResponseError):
        log.warning("Redis does not tell its maxmemory-policy; it must be %s", _NOEVICTION)
        return
    if policy != _NOEVICTION:
        raise StartError(
            f"Redis would evict balances (maxmemory-policy {policy}): "
            f"CONFIG SET maxmemory-policy {_NOEVICTION}"
        )


async def check_sql(settings: Settings, database: Database) -> None:
    """Raise ``StartError`` unless SQL answers, is migrated and has the same partitions."""
    await asyncio.to_thread(require_current, settings.resolved_database_url)
    await database.run(lambda engine: store.claim_installation(engine, settings.partitions))


def _address(client: Redis) -> str:
    arguments = client.connection_pool.connection_kwargs
    return str(arguments.get("path") or f"{arguments.get('host')}:{arguments.get('port', 6379)}")
