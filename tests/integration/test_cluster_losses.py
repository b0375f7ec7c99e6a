"""What is about one server of a Redis Cluster, and goes on for the others when it is gone."""

from __future__ import annotations

import asyncio
import gc
from functools import partial
from weakref import WeakSet

import pytest
from redis.asyncio import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import Engine

from gateway.errors import UnavailableError
from gateway.guard.server_facts import SECTIONS, facts_of
from gateway.keys import holds_key, locks_key, outbox_key, pulse_key, seal_key
from gateway.scripts import Scripts
from gateway.scripts.barrier import Barrier
from gateway.scripts.pipe import Pipe
from gateway.scripts.pipes import Pipes
from gateway.scripts.residents import Name, Residents
from persistence.database import Database
from persistence.sync.stream_reader import StreamReader
from persistence.sync.writer import Writer
from tests.fixtures.redis_processes import HOST, START_SECONDS, RedisProcess
from tests.fixtures.sharded import SHARDS, ClusterProcesses
from tests.integration.test_cluster import EVERY, PARTITIONS, connect, fill
from tests.integration.writing import add_events, event_values, running
from tests.ports import free_port
from tests.unit.persistence.entries import StillClock
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
            is_there = await Barrier(client, 300 if master is lonely else 5_000).replicated(
                partitions
            )
            assert is_there is (master is not lonely)
        assert await Barrier(client, 300).replicated(EVERY) is False


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
        await until(lambda: reader.away_seconds > 0)
        assert {*await reader.inspect(EVERY)} == {*EVERY} - gone
        assert await reader.oldest_ms(starts) is not None
        assert await reader.now_ms() > 0
        dead.start()
        await until(cluster.is_well)
        assert await reader.read(starts | places, entries_max=1_000) == []
        assert {*await reader.inspect(EVERY)} == {*EVERY}
        assert reader.away_seconds == 0
        received = await reader.read(starts | places, entries_max=1_000)
        assert {one.partition for one in received} == gone
        for server in cluster.alive():
            server.kill()
        for asked in reader.read(starts, entries_max=1_000), reader.inspect(EVERY):
            with pytest.raises(RedisConnectionError):
                await asked
        await pipes.close()


async def test_what_one_writer_cannot_reach_another_one_carries(
    cluster: ClusterProcesses, engine: Engine
) -> None:
    async with connect(cluster) as client:
        every = range(8)
        lacking = cluster.master_of(outbox_key(0))
        nowhere = ConnectionPool.from_url(f"redis://{HOST}:{free_port()}")

        def make(pool: ConnectionPool) -> Pipe:
            lacks = pool.connection_kwargs["port"] == lacking.port
            return Pipe(nowhere if lacks else pool, timeout_seconds=1)

        makes = make, partial(Pipe, timeout_seconds=1)
        pipes = [Pipes(client, one) for one in makes]
        databases = [Database(engine, threads=1, answer_ms=None) for _ in makes]
        some, all_ = (
            Writer(
                client,
                database,
                partitions=every,
                clock=StillClock(),
                lease_seconds=0.5,
                beat_seconds=0.1,
                pipe=pipe,
            )
            for database, pipe in zip(databases, pipes, strict=True)
        )
        its = [at for at in every if cluster.master_of(outbox_key(at)) is lacking]
        assert len(its) < len(every)
        for at in every:
            await add_events(client, 1, at, start=at)
        async with running(some):
            others = [at for at in every if at not in its]
            await until(lambda: event_values(engine) == others)
            async with running(all_):
                await until(lambda: event_values(engine) == [*every])
                for at in every:
                    await add_events(client, 1, at, start=10 + at)
                await until(lambda: event_values(engine) == [*every, *(10 + at for at in every)])
            assert not some.state.cursors.keys() & {*its}
        await asyncio.gather(*(one.close() for one in pipes))
        await asyncio.gather(*(one.close() for one in databases))


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
        cluster.hurry()
        await until(cluster.is_well)
        await client.info(*SECTIONS)
        await client.connection_pool.disconnect()
        pipes.drop()
        after = {client.topology.owner(seal_key(at)) for at in EVERY}
        assert len(before & after) == SHARDS - 1
        kept = {address for address, one in clients.items() if client.server(address) is one}
        assert kept == before & after
        await pipes.call_all(commands)
        await until(lambda: gc.collect() >= 0 and len(made) == SHARDS)  # held by a last timer
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
        lengths = await scripts.outbox_lengths(PARTITIONS)
        assert [at for at in EVERY if lengths[at]] == here
        found = await scripts.next_entries({outbox_key(at): "0-0" for at in EVERY})
        assert len(found) == len(here)
        holds = await scripts.holds_due(PARTITIONS, {"live": 1}, 9)
        assert [int(one.lock_id) for one in holds] == here
        assert await scripts.now_ms() > 0
        with pytest.raises(UnavailableError):
            await scripts.receipts([locks_key(at) for at in EVERY], "live", "any")
        await client.set(outbox_key(here[0]), "no stream")
        with pytest.raises(UnavailableError, match="WRONGTYPE"):
            await scripts.outbox_lengths(PARTITIONS)
        for server in cluster.alive():
            server.kill()
        with pytest.raises(UnavailableError):
            await scripts.outbox_lengths(PARTITIONS)
        await pipes.close()


async def test_only_upkeep_walks_past_a_server_that_is_gone(cluster: ClusterProcesses) -> None:
    async with connect(cluster) as client:
        names = [Name("live", f"cus_{number}") for number in range(30)]
        residents = Residents(client, PARTITIONS)
        for name in names:
            await client.hset(residents.keys_of(name).customer, "id", "1")
        servers = {name: cluster.master_of(residents.keys_of(name).customer) for name in names}
        dead = servers[names[0]]
        dead.kill()
        with pytest.raises(UnavailableError):
            await walked(residents)
        residents.leaves_out = True
        assert await walked(residents) == {name for name in names if servers[name] is not dead}


async def walked(residents: Residents) -> set[Name]:
    found: set[Name] = set()
    cursor = 0
    while True:
        cursor, names = await residents.scan(cursor)
        found |= {*names}
        if cursor == 0:
            return found


async def test_nobody_waits_for_a_server_that_stands_still_once_another_has_its_place(
    replicated_cluster: ClusterProcesses,
) -> None:
    cluster = replicated_cluster
    async with connect(cluster, timeout_seconds=600) as client:
        before = facts_of(await client.info(*SECTIONS))
        asked_first = min(cluster.masters, key=lambda one: (HOST, one.port))
        cluster.hurry()
        with asked_first.frozen():
            async with asyncio.timeout(START_SECONDS):
                after = facts_of(await client.info(*SECTIONS))
        assert after.fault == ""
        assert len(before.run_ids & after.run_ids) == SHARDS - 1
