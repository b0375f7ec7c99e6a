"""A Redis Cluster used as one server is."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from redis.exceptions import ClusterCrossSlotError, MovedError, ResponseError

from gateway.clients import make_redis as make_client
from gateway.cluster.client import Cluster
from gateway.config import Settings
from gateway.guard import streams
from gateway.guard.server_facts import SECTIONS, facts_of
from gateway.keys import SCAN_ALL, outbox_key, seal_key
from gateway.scripts.pipe import Pipe
from gateway.scripts.pipes import Pipes
from persistence.sync.stream_reader import StreamReader
from tests.fixtures.sharded import SHARDS, ClusterProcesses
from tests.waiting import until

PARTITIONS = 64
EVERY = range(PARTITIONS)


def connect(cluster: ClusterProcesses, timeout_seconds: float = 10) -> Cluster:
    settings = Settings(redis_url=cluster.url, partitions=PARTITIONS)
    client = make_client(settings, timeout_seconds=timeout_seconds)
    assert isinstance(client, Cluster)
    return client


async def fill(client: Cluster) -> None:
    async with client.pipeline(transaction=False) as pipe:
        for at in EVERY:
            pipe.execute_command("SET", seal_key(at), at)
        assert await pipe.execute() == [True] * PARTITIONS


async def test_each_command_goes_to_whoever_has_its_key(cluster: ClusterProcesses) -> None:
    async with connect(cluster) as client:
        await fill(client)
        assert sorted(cluster.everything("DBSIZE")) != [0, 0, PARTITIONS]
        assert sum(cluster.everything("DBSIZE")) == PARTITIONS
        for at in EVERY:
            assert await client.get(seal_key(at)) == b"%d" % at


async def test_a_pipeline_gives_replies_and_errors_in_its_own_order(
    cluster: ClusterProcesses,
) -> None:
    async with connect(cluster) as client:
        await fill(client)
        async with client.pipeline(transaction=False) as pipe:
            for at in EVERY:
                pipe.execute_command("LLEN" if at == 7 else "GET", seal_key(at))
            replies = await pipe.execute(raise_on_error=False)
        assert isinstance(replies.pop(7), ResponseError)
        assert replies == [b"%d" % at for at in EVERY if at != 7]
        async with client.pipeline(transaction=False) as pipe:
            pipe.execute_command("LLEN", seal_key(7))
            with pytest.raises(ResponseError, match=r"^WRONGTYPE"):
                await pipe.execute()


async def test_a_transaction_has_the_keys_of_one_partition(cluster: ClusterProcesses) -> None:
    async with connect(cluster) as client:
        async with client.pipeline(transaction=True) as pipe:
            pipe.execute_command("SET", seal_key(0), "a")
            pipe.execute_command("GET", seal_key(0))
            assert await pipe.execute() == [True, b"a"]
        source = cluster.master_of(seal_key(0))
        beside = next(at for at in EVERY[1:] if cluster.master_of(seal_key(at)) is source)
        async with client.pipeline(transaction=True) as pipe:
            for at in 0, beside:
                pipe.execute_command("SET", seal_key(at), "b")
            with pytest.raises(ClusterCrossSlotError):
                await pipe.execute()
        assert await client.get(seal_key(0)) == b"a"


async def test_a_walk_over_all_keys_meets_each_once_and_ends(cluster: ClusterProcesses) -> None:
    async with connect(cluster) as client:
        await fill(client)
        found: list[bytes] = []
        cursor = 0
        while True:
            cursor, keys = await client.execute_command(
                "SCAN", cursor, "MATCH", SCAN_ALL, "COUNT", 5
            )
            found += keys
            if cursor == 0:
                break
        assert sorted(found) == sorted(seal_key(at).encode() for at in EVERY)


async def test_what_names_no_key_is_asked_of_every_server(cluster: ClusterProcesses) -> None:
    async with connect(cluster) as client:
        await client.function_load("#!lua name=f\nredis.register_function('f', function() end)")
        assert all(cluster.everything("FUNCTION", "LIST"))
        with pytest.raises(ResponseError, match="already exists"):
            await client.function_load("#!lua name=f\nredis.register_function('f', function() end)")
        assert len(await client.client_list(_type="normal")) >= SHARDS
        assert await client.ping()
        seconds, _ = await client.time()
        assert seconds > 0


async def test_info_tells_of_all_as_of_one(cluster: ClusterProcesses) -> None:
    async with connect(cluster) as client:
        facts = facts_of(await client.info(*SECTIONS))
        ids = {one["run_id"] for one in cluster.everything("INFO")}
        assert facts.fault == ""
        assert {one.partition("-")[0] for one in facts.run_ids} == ids
        key = seal_key(3)
        source = cluster.master_of(key)
        cluster.move(key, next(one for one in cluster.masters if one is not source))
        assert facts_of(await client.info(*SECTIONS)).run_id != facts.run_id


async def test_a_key_that_has_moved_is_an_error_until_the_servers_are_looked_at(
    cluster: ClusterProcesses,
) -> None:
    key = seal_key(3)
    async with connect(cluster) as client:
        await fill(client)
        source = cluster.master_of(key)
        cluster.move(key, next(one for one in cluster.masters if one is not source))
        with pytest.raises(MovedError):
            await client.set(key, "lost")
        await client.info(*SECTIONS)
        assert await client.get(key) == b"3"


async def test_streams_on_several_servers_are_read_looked_at_and_trimmed(
    cluster: ClusterProcesses,
) -> None:
    async with connect(cluster) as client:
        reader = StreamReader(client)
        places = dict.fromkeys(EVERY, "0-0")
        waiting = asyncio.ensure_future(reader.read(places, entries_max=1_000, block_ms=30_000))
        await until(lambda: not waiting.done())
        async with client.pipeline(transaction=False) as pipe:
            for at in EVERY:
                for number in 1, 2, 3:
                    pipe.execute_command("XADD", outbox_key(at), f"{number}-1", "e", f"{at}")
            await pipe.execute()
        received = await waiting
        received += await reader.read(
            places | {one.partition: one.stream_id for one in received}, entries_max=1_000
        )
        assert sorted((one.partition, one.stream_id) for one in received) == [
            (at, f"{number}-1") for at in EVERY for number in (1, 2, 3)
        ]
        assert all(one.payload == b"%d" % one.partition for one in received)
        await reader.trim(dict.fromkeys(EVERY, "2-1"))
        looked = await reader.inspect(EVERY)
        assert {(one.length, one.first, one.last) for one in looked.values()} == {(2, "2-1", "3-1")}
        assert await reader.oldest_ms(dict.fromkeys(EVERY, "2-1")) == 3
        assert await reader.now_ms() > 0
        looks = xreads(cluster)
        assert await reader.read(dict.fromkeys(EVERY, "3-1"), entries_max=9, block_ms=1_000) == []
        assert xreads(cluster) - looks <= 15 * PARTITIONS  # where nothing comes, fewer and fewer


async def test_partitions_that_lost_their_streams_are_swept_on_every_server(
    cluster: ClusterProcesses,
) -> None:
    async with connect(cluster) as client:
        await streams.write_seals(client, EVERY, "us")
        async with client.pipeline(transaction=False) as pipe:
            for at in EVERY:
                for number in range(3):
                    pipe.execute_command("SET", f"tg:{{p{at:02d}}}:live:customer:c{number}", "")
            for at in range(0, PARTITIONS, 2):
                pipe.execute_command("XADD", outbox_key(at), "1-1", "e", "")
            await pipe.execute()
        gone = await streams.sweep(client, EVERY)
        assert gone == dict.fromkeys(range(1, PARTITIONS, 2), 3)
        left = cluster.everything("KEYS", "tg:*customer*")
        assert sum(map(len, left)) == 3 * PARTITIONS // 2


def xreads(cluster: ClusterProcesses) -> int:
    told = cluster.everything("INFO", "commandstats")
    return sum(one["cmdstat_xread"]["calls"] for one in told)


class Told:
    """Takes replies."""

    def __init__(self) -> None:
        self.replies: dict[int, Any] = {}

    def take(self, at: int, reply: object) -> None:
        self.replies[at] = reply


def packed(*words: str) -> bytes:
    parts = [b"$%d\r\n%b\r\n" % (len(word.encode()), word.encode()) for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(parts)


async def test_each_call_gets_its_own_reply_through_the_pipe_of_its_server(
    cluster: ClusterProcesses,
) -> None:
    async with connect(cluster) as client:
        await fill(client)
        pipes = Pipes(client, partial(Pipe, timeout_seconds=10))
        told = Told()
        for at in EVERY:
            pipes.send(packed("GET", seal_key(at)), partial(told.take, at))
        assert await pipes.call_all([("GET", seal_key(at)) for at in EVERY]) == [
            b"%d" % at for at in EVERY
        ]
        assert told.replies == {at: b"%d" % at for at in EVERY}
        assert await pipes.call("PING") == b"PONG"
        assert await pipes.call_all([]) == []
        with pytest.raises(ResponseError):
            await pipes.call_all([("GET", seal_key(0)), ("LLEN", seal_key(1))])
        pipes.drop()
        assert await pipes.call("GET", seal_key(5)) == b"5"
        await pipes.close()


async def test_a_pipe_follows_a_slot_as_soon_as_the_servers_were_looked_at(
    cluster: ClusterProcesses,
) -> None:
    key = seal_key(3)
    async with connect(cluster) as client:
        await fill(client)
        pipes = Pipes(client, partial(Pipe, timeout_seconds=10))
        assert await pipes.call("GET", key) == b"3"
        source = cluster.master_of(key)
        cluster.move(key, next(one for one in cluster.masters if one is not source))
        with pytest.raises(MovedError):
            await pipes.call("GET", key)
        await client.info(*SECTIONS)
        assert await pipes.call("GET", key) == b"3"
        await pipes.close()
