"""What a process looks at again and again is asked of many partitions with one command."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.keys import ENVIRONMENTS, holds_key, outbox_key
from gateway.scripts import HoldDue, Scripts
from gateway.scripts.pipe import Pipe
from tests.integration.piping import TIMEOUT_SECONDS

PLACES = 150

on_one_server = pytest.mark.redis_kinds("embedded", "debian")


@contextlib.asynccontextmanager
async def looking(url: str, protocol: int) -> AsyncIterator[tuple[Redis, Scripts]]:
    async with Redis.from_url(url, protocol=protocol) as client:
        pipe = Pipe(client.connection_pool, timeout_seconds=TIMEOUT_SECONDS)
        yield client, Scripts(client, pipe)
        await pipe.close()


@on_one_server
@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_first_entry_after_a_place_is_found_in_any_outbox(
    redis_server_url: str, protocol: int
) -> None:
    async with looking(redis_server_url, protocol) as (client, scripts):
        await first_entries_are_found(client, scripts)


async def test_without_a_pipe_each_outbox_is_asked_by_itself(redis_client: Redis) -> None:
    await first_entries_are_found(redis_client, Scripts(redis_client))


async def first_entries_are_found(client: Redis, scripts: Scripts) -> None:
    places = {outbox_key(at): "5-0" for at in range(PLACES)}
    assert await scripts.next_entries(places) == []
    for at, stream_id in ((0, "5-0"), (1, "6-0"), (1, "7-0"), (PLACES - 1, "5-1")):
        await client.xadd(outbox_key(at), {"e": "x"}, id=stream_id)
    assert sorted(await scripts.next_entries(places)) == ["5-1", "6-0"]


@on_one_server
@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_hold_that_is_due_is_found_in_any_place(
    redis_server_url: str, protocol: int
) -> None:
    async with looking(redis_server_url, protocol) as (client, scripts):
        env = ENVIRONMENTS[0]
        places = [holds_key(env, at) for at in range(PLACES)]
        for at, score in ((0, 10), (70, 11), (PLACES - 1, 9)):
            await client.zadd(places[at], {f"{env}\tc{at}\tlock": score})
        due = await scripts.holds_due(PLACES, {env: 10}, 5)
        assert due == [HoldDue(env, "c0", "lock", 10), HoldDue(env, "c149", "lock", 9)]


@on_one_server
async def test_where_nothing_is_held_a_look_is_a_command_for_many_places(
    redis_server_url: str,
) -> None:
    async with looking(redis_server_url, 3) as (client, scripts):
        await client.config_resetstat()
        assert await scripts.holds_due(64, {"live": 10}, 5) == []
        asked = await client.info("commandstats")
        assert asked["cmdstat_exists"]["calls"] == 1
        assert "cmdstat_zrangebyscore" not in asked
