"""A Redis Cluster used as one server is."""

from __future__ import annotations

import asyncio
import gc
from functools import partial
from typing import Any
from weakref import WeakSet

import pytest
from redis.asyncio import ConnectionPool
from redis.exceptions import ClusterCrossSlotError, MovedError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.errors import UnavailableError
from gateway.guard.server_facts import SECTIONS, facts_of
from gateway.keys import SCAN_ALL, holds_key, locks_key, outbox_key, seal_key
from gateway.scripts import Scripts
from gateway.scripts.pipe import Pipe
from gateway.scripts.pipes import Pipes
from tests.fixtures.redis_processes import HOST, START_SECONDS
from tests.fixtures.sharded import SHARDS, ClusterProcesses
from tests.integration.clustered import EVERY, PARTITIONS, connect, fill
from tests.waiting import until


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


async def test_nothing_is_kept_of_a_server_that_has_left(
    replicated_cluster: ClusterProcesses,
) -> None:
    cluster = replicated_cluster
    made: WeakSet[Pipe] = WeakSet()

    def make(pool: ConnectionPool) -> Pipe:
        pipe = Pipe(pool, timeout_seconds=10)
        made.add(pipe)
        return pipe

    async with connect(cluster) as client:
        await fill(client)
        pipes = Pipes(client, make)
        commands = [("GET", seal_key(at)) for at in EVERY]
        await pipes.call_all(commands)
        dead = cluster.master_of(seal_key(0))
        before = {client.topology.owner(seal_key(at)) for at in EVERY}
        clients = {address: client.server(address) for address in before}
        dead.kill()
        await until(cluster.is_well)
        await client.info(*SECTIONS)
        await client.connection_pool.disconnect()
        pipes.drop()
        after = {client.topology.owner(seal_key(at)) for at in EVERY}
        assert len(before & after) == SHARDS - 1
        kept = {address for address, one in clients.items() if client.server(address) is one}
        assert kept == before & after
        await pipes.call_all(commands)
        gc.collect()
        assert len(made) == SHARDS
        await pipes.close()


async def test_one_server_that_is_gone_fails_what_is_for_it_alone(
    cluster: ClusterProcesses,
) -> None:
    async with connect(cluster) as client:
        await fill(client)
        dead = cluster.master_of(seal_key(0))
        dead.kill()
        answers = await asyncio.gather(
            *(client.get(seal_key(at)) for at in EVERY), return_exceptions=True
        )
        owner = client.topology.owner
        for at, answer in zip(EVERY, answers, strict=True):
            is_gone = owner(seal_key(at)).port == dead.port
            assert isinstance(answer, Exception) is is_gone, (at, answer)
        with pytest.raises(RedisConnectionError):
            await client.info(*SECTIONS)
        pipes = Pipes(client, partial(Pipe, timeout_seconds=10))
        scripts = Scripts(client, pipes)
        here = [at for at in EVERY if owner(seal_key(at)).port != dead.port]
        for at in here:
            await client.xadd(outbox_key(at), {"e": ""})
            await client.zadd(holds_key("live", at), {f"live\tc\t{at}": 1})
        lengths = await scripts.outbox_lengths([outbox_key(at) for at in EVERY])
        assert [at for at in EVERY if lengths[at]] == here
        found = await scripts.next_entries({outbox_key(at): "0-0" for at in EVERY})
        assert len(found) == len(here)
        holds = await scripts.holds_due([holds_key("live", at) for at in EVERY], 1, 9)
        assert [int(one.lock_id) for one in holds] == here
        assert await scripts.now_ms() > 0
        with pytest.raises(UnavailableError):
            await scripts.receipts([locks_key(at) for at in EVERY], "live", "any")
        await client.set(outbox_key(here[0]), "no stream")
        with pytest.raises(UnavailableError, match="WRONGTYPE"):
            await scripts.outbox_lengths([outbox_key(at) for at in EVERY])
        for server in cluster.alive():
            server.kill()
        with pytest.raises(UnavailableError):
            await scripts.outbox_lengths([outbox_key(at) for at in EVERY])
        await pipes.close()


async def test_nobody_waits_for_a_server_that_stands_still_once_another_has_its_place(
    replicated_cluster: ClusterProcesses,
) -> None:
    cluster = replicated_cluster
    async with connect(cluster, timeout_seconds=600) as client:
        before = facts_of(await client.info(*SECTIONS))
        asked_first = min(cluster.masters, key=lambda one: (HOST, one.port))
        with asked_first.frozen():
            async with asyncio.timeout(START_SECONDS):
                after = facts_of(await client.info(*SECTIONS))
        assert after.fault == ""
        assert len(before.run_ids & after.run_ids) == SHARDS - 1
