"""Levels over HTTP on real servers: what is waited for, and what an unconfirmed call may be sent
again for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

from gateway.app import Runtime, build_app, started
from gateway.config import Settings
from gateway.errors import RedisUnavailableError, StartError
from gateway.keys import Key, outbox_key
from gateway.rounds import Rounds
from gateway.scripts.barrier import Barrier
from tests.fixtures.app import KEY, Answer, Api
from tests.fixtures.redis_processes import MakeRedis, replica_of
from tests.fixtures.shop import CUSTOMER, done
from tests.ports import free_port
from tests.waiting import PATIENT, until

TRACK = b'{"customer_id": "ada", "feature_id": "messages", "value": 1}'
ROUND_MS = 10_000


class Place(NamedTuple):
    """HTTP on all parts."""

    api: Api
    runtime: Runtime

    async def track(self, level: str, key: str = "") -> Answer:
        headers = {"idempotency_key": key} if key else {}
        return await self.api.send("balances.track", TRACK, x_durability=level, **headers)

    async def used(self) -> float:
        body = {"customer_id": CUSTOMER, "feature_id": "messages"}
        answer = await done(self.api, "balances.check", **body)
        return float(answer["balance"]["usage"])


@asynccontextmanager
async def gateway(redis_url: str, database_url: str, **options: Any) -> AsyncIterator[Place]:  # noqa: ANN401 - any setting
    """HTTP on all parts, with the writer in the process unless told otherwise."""
    chosen = {"partitions": 4, "durability_timeout_ms": ROUND_MS, **PATIENT}
    chosen |= {"drain_seconds": 1}  # where the server is gone there is nothing to wait for
    settings = Settings(redis_url=redis_url, database_url=database_url, **(chosen | options))
    async with started(Runtime(settings)) as runtime:
        await runtime.store.create_key("sandbox", "test", KEY)
        await runtime.catalog.refresh()
        api = Api(build_app(runtime))
        try:
            named = {"feature_id": "messages", "type": "metered", "consumable": True}
            await done(api, "features.create", name="Messages", **named)
            await done(api, "customers.get_or_create", customer_id=CUSTOMER)
            grant = {"customer_id": CUSTOMER, "feature_id": "messages"}
            await done(api, "balances.create", **grant, included_grant=100)
            yield Place(api, runtime)
        finally:
            await api.client.aclose()


async def test_each_level_is_confirmed_where_it_can_be_reached(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    port = free_port()
    primary = make_redis(appendonly="yes", port=port)
    replica_of(primary, make_redis, port)
    async with gateway(primary.url, migrated_sqlite) as place:
        for count, level in enumerate(("memory", "replica", "aof", "sql"), 1):
            answer = await place.track(level)
            assert answer.status == 200, answer.body
            assert await place.used() == count


async def test_the_level_of_the_deployment_holds_for_every_change(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis()
    async with gateway(server.url, migrated_sqlite, durability="sql") as place:
        assert (await place.track("memory")).status == 200
        cursors = await place.runtime.reader.cursors(range(4))
        outboxes = [outbox_key(at) for at in range(4)]
        ends = await place.runtime.scripts.last_entries(outboxes)
        assert all(end in ("0-0", cursors[at]) for at, end in enumerate(ends))


async def test_a_level_that_is_not_reached_is_a_503_and_a_retry_counts_once(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    port = free_port()
    primary = make_redis(port=port)
    async with gateway(primary.url, migrated_sqlite, durability_timeout_ms=200) as place:
        answer = await place.track("replica", "k1")
        assert answer.error == (503, "durability_unconfirmed")
        assert "carried out" in answer.body["message"]
        assert answer.headers["retry-after"] == "1"
        assert await place.used() == 1
    # Now there is a replica, and more time to reach it.
    replica_of(primary, make_redis, port)
    settings = Settings(
        redis_url=primary.url, database_url=migrated_sqlite, partitions=4, **PATIENT
    )
    async with started(Runtime(settings)) as runtime:
        api = Api(build_app(runtime))
        place = Place(api, runtime)
        answer = await place.track("replica", "k1")
        assert answer.status == 200
        assert answer.headers["idempotency-replayed"] == "true"
        assert await place.used() == 1
        await api.client.aclose()


async def test_an_unconfirmed_call_without_a_key_suggests_no_retry(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis(port=free_port())
    async with gateway(server.url, migrated_sqlite, durability_timeout_ms=50) as place:
        answer = await place.track("replica")
        assert answer.error == (503, "durability_unconfirmed")
        assert "retry-after" not in answer.headers


async def test_sql_that_the_writer_never_reaches_is_unconfirmed(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis()
    options = {"writer": False, "durability_timeout_ms": 100}
    async with gateway(server.url, migrated_sqlite, **options) as place:
        assert (await place.track("sql")).error == (503, "durability_unconfirmed")
        assert await place.used() == 1


async def test_sql_does_not_confirm_what_a_flush_took_before_the_writer_had_it(
    make_redis: MakeRedis, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_redis()
    async with gateway(server.url, migrated_sqlite) as place:
        await place.runtime.engine.subjects.caught_up()
        assert place.runtime.writer is not None
        await place.runtime.writer.stop()
        place.runtime.writer = None
        ends = place.runtime.scripts.last_entries

        async def after_a_flush(outboxes: Sequence[Key]) -> list[str]:
            with server.client() as client:
                client.flushall()
            return await ends(outboxes)

        monkeypatch.setattr(place.runtime.scripts, "last_entries", after_a_flush)
        answer = await place.track("sql")
        assert (answer.status, answer.body["code"]) == (503, "durability_unconfirmed")
        monkeypatch.undo()
        assert await place.used() == 0


async def test_a_read_waits_for_no_level(make_redis: MakeRedis, migrated_sqlite: str) -> None:
    server = make_redis()
    body = b'{"customer_id": "ada", "feature_id": "messages"}'
    async with gateway(server.url, migrated_sqlite, writer=False) as place:
        answer = await place.api.send("balances.check", body, x_durability="sql")
        assert answer.status == 200


async def test_a_wrong_level_is_a_400_that_names_the_header_and_changes_nothing(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis()
    async with gateway(server.url, migrated_sqlite) as place:
        answer = await place.track("disk")
        assert answer.error == (400, "invalid_inputs")
        assert answer.body["message"].startswith("x-durability: must be one of memory, replica")
        answer = await place.track("aof")
        assert answer.error == (400, "invalid_request")
        assert "appendonly yes" in answer.body["message"]
        answer = await place.track("replica")
        assert answer.error == (400, "invalid_request")
        assert "listens on a unix socket only" in answer.body["message"]
        assert await place.used() == 0


async def test_a_deployment_whose_redis_has_no_file_does_not_start_with_aof(
    make_redis: MakeRedis, migrated_sqlite: str
) -> None:
    server = make_redis()
    with pytest.raises(StartError, match="durability aof needs Redis"):
        async with gateway(server.url, migrated_sqlite, durability="aof"):
            pass


async def test_a_round_covers_only_those_who_came_before_it_began() -> None:
    begun: list[asyncio.Event] = []

    async def run() -> bool:
        begun.append(asyncio.Event())
        await begun[-1].wait()
        return True

    rounds = Rounds(run)
    first = asyncio.create_task(rounds())
    await until(lambda: len(begun) == 1)
    late = [asyncio.create_task(rounds()) for _ in range(50)]
    begun[0].set()
    assert await first
    await until(lambda: len(begun) == 2)
    assert not any(task.done() for task in late)
    begun[1].set()
    assert all(await asyncio.gather(*late))
    assert len(begun) == 2


async def test_a_server_that_is_gone_confirms_nothing(make_redis: MakeRedis) -> None:
    server = make_redis(appendonly="yes")
    async with Redis(unix_socket_path=str(server.socket)) as client:
        barrier = Barrier(client, ROUND_MS)
        assert await barrier.flushed([0])
        assert await barrier.refusal() is None
        server.kill()
        assert not await barrier.flushed([0])
        with pytest.raises(RedisUnavailableError):
            await barrier.refusal()
        with pytest.raises(RedisUnavailableError):
            await barrier.replica_refusal()


async def test_a_server_without_a_file_says_that_it_never_can(make_redis: MakeRedis) -> None:
    server = make_redis()
    async with Redis(unix_socket_path=str(server.socket)) as client:
        assert "appendonly" in (await Barrier(client, ROUND_MS).refusal() or "")


async def test_only_a_server_that_replicas_can_reach_may_have_one(make_redis: MakeRedis) -> None:
    closed, opened = make_redis(), make_redis(port=free_port())
    async with Redis(unix_socket_path=str(closed.socket)) as client:
        assert "unix socket only" in (await Barrier(client, ROUND_MS).replica_refusal() or "")
    async with Redis(unix_socket_path=str(opened.socket)) as client:
        assert await Barrier(client, ROUND_MS).replica_refusal() is None
        # Where its settings may not be read, nothing is known of it.
        await client.acl_setuser("default", commands=["-config"])
        assert await Barrier(client, ROUND_MS).replica_refusal() is None
