"""Entries on the servers of a Redis Cluster: waited for, read and swept where they are."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.guard import streams
from gateway.guard.server_facts import SECTIONS
from gateway.keys import outbox_key, pulse_key, seal_key
from gateway.scripts.barrier import Barrier
from gateway.scripts.pipe import Pipe
from gateway.scripts.pipes import Pipes
from persistence.sync.stream_reader import StreamReader
from tests.fixtures.redis_processes import RedisProcess
from tests.fixtures.sharded import SHARDS, ClusterProcesses
from tests.integration.clustered import EVERY, PARTITIONS, connect
from tests.waiting import until


def places(cluster: ClusterProcesses) -> dict[RedisProcess, list[int]]:
    """Return which partitions each server has."""
    found: dict[RedisProcess, list[int]] = {}
    for at in EVERY:
        found.setdefault(cluster.master_of(seal_key(at)), []).append(at)
    return found


async def test_a_wait_for_the_file_is_for_that_of_the_servers_it_is_about(
    cluster: ClusterProcesses,
) -> None:
    async with connect(cluster) as client:
        barrier = Barrier(client, 5_000)
        first, second, third = places(cluster).items()
        assert await barrier.refusal() is None
        assert await barrier.flushed(first[1]) is True
        pulses = [len(server.ask("KEYS", "tg:*pulse")) for server, _ in (first, second, third)]
        assert pulses == [1, 0, 0]
        assert await barrier.flushed(EVERY) is True
        assert [len(keys) for keys in cluster.everything("KEYS", "tg:*pulse")] == [1] * SHARDS
        second[0].ask("CONFIG", "SET", "appendonly", "no")
        assert "appendonly" in (await barrier.refusal() or "")
        assert await barrier.flushed(EVERY) is False
        assert await barrier.flushed(second[1][:1]) is False
        third[0].kill()
        assert await barrier.flushed([first[1][0], third[1][0]]) is False
        assert await barrier.flushed(first[1]) is True
        assert await barrier.replica_refusal() is None
        second[0].ask("CONFIG", "SET", "appendonly", "yes")
        assert await barrier.refusal() is None


async def test_a_partition_that_has_moved_is_waited_for_where_it_was_written(
    cluster: ClusterProcesses,
) -> None:
    async with connect(cluster) as client:
        barrier = Barrier(client, 5_000)
        (source, held), (target, _), _ = places(cluster).items()
        assert await barrier.flushed(held) is True
        (home,) = {one for one in held if source.ask("EXISTS", pulse_key(one))}
        cluster.move(pulse_key(home), target)
        other = next(one for one in held if one != home)
        assert await barrier.flushed([other]) is False, "the place it knows is not there any more"
        await client.info(*SECTIONS)
        assert await barrier.flushed([other, home]) is True


async def test_a_wait_for_replicas_wants_one_of_every_server_it_is_about(
    replicated_cluster: ClusterProcesses,
) -> None:
    async with connect(replicated_cluster) as client:
        assert await Barrier(client, 5_000).replicated(EVERY) is True
        held = places(replicated_cluster)
        lonely = replicated_cluster.masters[2]
        replicated_cluster.replica_of(lonely).kill()
        for master, partitions in held.items():
            is_there = await Barrier(client, 300).replicated(partitions)
            assert is_there is (master is not lonely)
        assert await Barrier(client, 300).replicated(EVERY) is False


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


async def test_streams_of_a_server_that_is_gone_wait_until_they_were_looked_at(
    cluster: ClusterProcesses,
) -> None:
    async with connect(cluster) as client:
        pipes = Pipes(client, partial(Pipe, timeout_seconds=10))
        reader = StreamReader(client, pipes)
        starts = dict.fromkeys(EVERY, "0-0")
        for at in EVERY:
            await client.xadd(outbox_key(at), {"e": "first"})
        assert {*await reader.inspect(EVERY)} == {*EVERY}
        dead = cluster.master_of(outbox_key(0))
        gone = {at for at in EVERY if cluster.master_of(outbox_key(at)) is dead}
        dead.kill()
        received = await reader.read(starts, entries_max=1_000)
        assert {one.partition for one in received} == {*EVERY} - gone == {*EVERY} - {*reader.away}
        places = {one.partition: one.stream_id for one in received}
        assert await reader.trim(starts | places) == gone
        assert {*await reader.inspect(EVERY)} == {*EVERY} - gone
        assert await reader.oldest_ms(starts) is not None
        assert await reader.now_ms() > 0
        dead.start()
        await until(cluster.is_well)
        assert await reader.read(starts | places, entries_max=1_000) == []
        assert {*await reader.inspect(EVERY)} == {*EVERY}
        received = await reader.read(starts | places, entries_max=1_000)
        assert {one.partition for one in received} == gone
        for server in cluster.alive():
            server.kill()
        for asked in reader.read(starts, entries_max=1_000), reader.inspect(EVERY):
            with pytest.raises(RedisConnectionError):
                await asked
        await pipes.close()


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
