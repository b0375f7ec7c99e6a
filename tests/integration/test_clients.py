"""Clients of Redis: what becomes of their connections while nobody uses them."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.clients import make_redis as make_client
from gateway.config import Settings
from tests.fixtures.redis_processes import MakeRedis
from tests.ports import free_port
from tests.waiting import until


@pytest.mark.parametrize("listens", [True, False], ids=["tcp", "unix"])
async def test_a_connection_the_server_has_closed_is_not_used_again(
    make_redis: MakeRedis, *, listens: bool
) -> None:
    server = make_redis(port=free_port() if listens else 0)
    client = make_client(Settings(redis_url=server.url), timeout_seconds=5)
    pool: Any = client.connection_pool
    async with client:
        assert await client.ping()
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        (idle,) = pool._available_connections  # noqa: SLF001 - no public way to see that it knows
        await until(idle._reader.at_eof)  # noqa: SLF001 - as above
        assert await client.ping()


class Closed:
    """A writer whose transport has been closed, as uvloop words it."""

    def writelines(self, _: object) -> None:
        raise RuntimeError("unable to perform operation; the handler is closed")

    def close(self) -> None:
        """Be closed."""


@pytest.mark.parametrize("listens", [True, False], ids=["tcp", "unix"])
async def test_a_connection_that_is_closed_just_before_it_is_used_is_lost(
    make_redis: MakeRedis, *, listens: bool
) -> None:
    server = make_redis(port=free_port() if listens else 0)
    client = make_client(Settings(redis_url=server.url), timeout_seconds=5)
    pool: Any = client.connection_pool
    async with client:
        assert await client.ping()
        (idle,) = pool._available_connections  # noqa: SLF001 - no public way to be that quick
        open_writer, idle._writer = idle._writer, Closed()  # noqa: SLF001 - as above
        with pytest.raises(RedisConnectionError):
            await client.ping()
        open_writer.close()
        assert await client.ping()
