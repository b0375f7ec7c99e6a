"""Clients that go where the Sentinels say the master is."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError

from gateway.clients import make_redis as make_client
from gateway.config import Settings
from tests.fixtures.redis_processes import HOST
from tests.fixtures.watched import SENTINEL_PASSWORD, SERVICE, Watched, url_of
from tests.waiting import until


async def test_a_client_goes_to_the_master_and_with_it(watched: Watched) -> None:
    for server in watched.master, watched.replica:
        server.ask("ACL", "SETUSER", "me", "on", ">p@ss", "~*", "&*", "+@all")
    # Nobody listens at the first address.
    url = watched.url.replace("://", f"://me:p%40ss@{HOST}:1,").replace("?", "/3?client_name=us&")
    async with make_client(Settings(redis_url=url), timeout_seconds=5) as client:
        assert await client.set("key", "one")
        assert await client.wait(1, 5000) == 1
        watched.lose_master()
        await until(watched.is_moved)
        assert await client.get("key") == b"one"
        told = await client.client_info()
        there = f"{HOST}:{watched.replica.port}"
        assert (told["laddr"], told["user"], told["db"], told["name"]) == (there, "me", 3, "us")
        # Of a call that a demoted master refuses it is known that it changed nothing.
        watched.replica.ask("REPLICAOF", HOST, 1)
        with pytest.raises(ReadOnlyError):
            await client.set("key", "two")


async def test_whom_the_sentinels_do_not_know_or_let_in_is_told_why(watched: Watched) -> None:
    port = watched.sentinels[0].port
    for url, reason in (
        (url_of(port).replace(SERVICE, "other"), "knows no other"),
        (url_of(1), "Error 111 connecting to"),
        (watched.url.replace(SENTINEL_PASSWORD, "wr0ng"), "invalid username-password"),
    ):
        async with make_client(Settings(redis_url=url), timeout_seconds=5) as client:
            with pytest.raises(RedisConnectionError, match=f"no Sentinel names .*{reason}") as told:
                await client.ping()
            assert "wr0ng" not in str(told.value)
