"""The guard on real servers: what it lets through and what it fences."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.errors import StartError, UnavailableError
from gateway.guard import guard
from gateway.installation import Past
from gateway.keys import INSTALLATION, seal_key
from persistence.incidents import SqlInstallation
from tests.fixtures.redis_processes import RedisProcess
from tests.fixtures.virtual_address import Forwarder
from tests.integration.guarding import CUSTOMERS, PARTITIONS, Shop, shop_on
from tests.waiting import until


@pytest.fixture
async def shop(own_redis: RedisProcess, migrated_sqlite: str) -> AsyncIterator[Shop]:
    """A shop on a server a test may kill."""
    async with shop_on(own_redis.url, migrated_sqlite) as made:
        await made.fill()
        yield made


async def test_a_first_start_labels_redis_and_seals_every_partition(
    shop: Shop, own_redis: RedisProcess
) -> None:
    with own_redis.client() as client:
        label = client.hgetall(INSTALLATION)
        seals = {client.get(seal_key(at)) for at in range(PARTITIONS)}
    identity = shop.runtime.guard.identity.encode()
    assert label == {b"partitions": b"4", b"identity": identity}
    assert seals == {identity}
    assert await shop.incidents() == []


async def test_a_connection_to_another_server_is_refused_before_anything_is_sent(
    forwarder: Forwarder, migrated_sqlite: str, valkey: str
) -> None:
    async with shop_on(forwarder.url, migrated_sqlite) as shop:
        client = shop.runtime.redis
        await client.connection_pool.disconnect()
        guard = shop.runtime.guard
        guard._admitted = frozenset({"another"})  # noqa: SLF001 - as if it had been replaced
        with pytest.raises(RedisConnectionError, match=" connecting to "):
            await client.ping()
        await until(lambda: shop.runtime.guard.is_trusted)
        assert await client.ping()


async def test_redis_of_another_installation_is_refused(
    own_redis: RedisProcess, migrated_sqlite: str, migrated_postgres: str
) -> None:
    async with shop_on(own_redis.url, migrated_sqlite) as first:
        await first.fill()
        await first.caught_up()
    with own_redis.client() as client:
        before = sorted(client.keys())
    with pytest.raises(StartError, match="not the one this Redis belongs to"):
        async with shop_on(own_redis.url, migrated_postgres):
            pass
    with own_redis.client() as client:
        assert sorted(client.keys()) == before


async def test_a_wrong_server_stays_fenced_until_the_right_one_is_back(
    own_redis: RedisProcess,
    other_redis: RedisProcess,
    forwarder: Forwarder,
    migrated_sqlite: str,
    migrated_postgres: str,
) -> None:
    async with shop_on(other_redis.url, migrated_postgres) as other:
        await other.fill()
        await other.caught_up()
    with other_redis.client() as client:
        before = {key: client.dump(key) for key in client.scan_iter()}
    async with shop_on(forwarder.url, migrated_sqlite) as shop:
        await shop.fill()
        await shop.track("ada", 10)
        await shop.caught_up()
        guard = shop.runtime.guard
        forwarder.lead_to(other_redis.port)
        await until(lambda: "Redis URL" in guard.reason)
        track = {"customer_id": "ada", "feature_id": "messages", "value": 1}
        assert (await shop.call("balances.track", **track)).status == 503
        assert await shop.incidents() == [("wrong_server", None)]
        assert shop.rows("ended_at") == [(None,)]
        forwarder.lead_to(own_redis.port)
        await until(lambda: guard.is_trusted)
        assert await shop.left("ada") == 90
        assert shop.rows("ended_at") != [(None,)]
    with other_redis.client() as client:
        assert {key: client.dump(key) for key in client.scan_iter()} == before


async def test_a_replica_behind_the_address_is_fenced_until_it_is_promoted(
    own_redis: RedisProcess, own_replica: RedisProcess, forwarder: Forwarder, migrated_sqlite: str
) -> None:
    async with shop_on(forwarder.url, migrated_sqlite) as shop:
        await shop.fill()
        await shop.track("ada", 10)
        await shop.caught_up()
        forwarder.lead_to(own_replica.port)
        await until(lambda: "not a master" in shop.runtime.guard.reason)
        assert (await shop.call("customers.get", customer_id="ada")).status == 503
        with own_replica.client() as client:
            client.replicaof("NO", "ONE")
        assert await shop.left("ada") == 90
        assert await shop.incidents() == []


async def test_a_master_that_is_demoted_is_fenced_with_the_first_refusal(
    shop: Shop, own_redis: RedisProcess
) -> None:
    await shop.track("ada", 10)
    await shop.caught_up()
    guard = shop.runtime.guard
    generation = guard.generation
    with own_redis.client() as client:
        client.replicaof("127.0.0.1", "1")
        track = {"customer_id": "ada", "feature_id": "messages", "value": 1}
        assert (await shop.call("balances.track", **track)).status == 503
        await until(lambda: "not a master" in guard.reason)
        client.replicaof("NO", "ONE")
    assert await shop.left("ada") == 90
    assert guard.generation > generation


async def test_an_eviction_policy_that_is_set_while_it_runs_fences_redis(
    shop: Shop, own_redis: RedisProcess
) -> None:
    guard = shop.runtime.guard
    with own_redis.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        await until(lambda: "noeviction" in guard.reason)
        client.config_set("maxmemory-policy", "noeviction")
    await until(lambda: guard.is_trusted)
    assert await shop.left("ada") == 100


async def test_a_server_that_was_replaced_is_not_used_any_more(
    own_redis: RedisProcess, own_replica: RedisProcess, forwarder: Forwarder, migrated_sqlite: str
) -> None:
    """Its clients are cut off although they never lost their connections."""
    async with (
        shop_on(own_redis.url, migrated_sqlite) as stays,
        shop_on(forwarder.url, migrated_sqlite) as moves,
    ):
        await moves.fill()
        await moves.track("ada", 10)
        await moves.caught_up()
        with own_replica.client() as client:
            client.replicaof("NO", "ONE")
        forwarder.lead_to(own_replica.port)
        assert await moves.left("ada") == 90
        await until(lambda: "was admitted after this one" in stays.runtime.guard.reason)
        track = {"customer_id": "ada", "feature_id": "messages", "value": 1}
        assert (await stays.call("balances.track", **track)).status == 503
        await moves.track("ada", 1)
        await moves.caught_up()
        assert await moves.left("ada") == 89


async def test_another_database_of_the_same_server_is_another_redis(
    own_redis: RedisProcess, migrated_sqlite: str
) -> None:
    """A mistyped number at the end of a URL must not have two gateways spend the same twice."""
    async with shop_on(own_redis.url, migrated_sqlite) as shop:
        await shop.fill()
        await shop.track("ada", 60)
        await shop.caught_up()
        async with shop_on(f"{own_redis.url}/7", migrated_sqlite) as mistyped:
            await until(lambda: "was admitted after this one" in shop.runtime.guard.reason)
            track = {"customer_id": "ada", "feature_id": "messages", "value": 1}
            assert (await shop.call("balances.track", **track)).status == 503
            await mistyped.track("ada", 10)
            await mistyped.caught_up()
    async with shop_on(own_redis.url, migrated_sqlite) as again:
        assert await again.left("ada") == 30


async def test_a_cluster_that_is_again_what_it_was_is_used_once_that_has_settled(
    valkey_cluster: str, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots moved away and back, which another gateway saw, and this one did not."""
    monkeypatch.setattr(guard, "SETTLED_SECONDS", 600)
    with redis.Redis.from_url(valkey_cluster) as client:
        client.flushall()
    url = valkey_cluster.replace("redis://", "redis+cluster://")
    async with shop_on(url, migrated_sqlite) as shop:
        await shop.fill()
        await shop.caught_up()
        ours = shop.runtime.guard
        installation = SqlInstallation(shop.runtime.database, shop.runtime.wall)
        await installation.fence(range(PARTITIONS), "cluster-moved")
        assert await installation.admit("cluster-moved")
        await until(lambda: "was admitted after this one" in ours.reason)
        monkeypatch.setattr(guard, "SETTLED_SECONDS", 0)
        await until(lambda: ours.is_trusted)
        assert await shop.left("ada") == 100
        assert await shop.incidents() == []


async def test_nothing_is_carried_from_a_server_after_another_was_compared(
    own_redis: RedisProcess,
    own_replica: RedisProcess,
    forwarder: Forwarder,
    migrated_sqlite: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both answer as masters for a moment, and each gateway has its writer."""
    async with (
        shop_on(forwarder.url, migrated_sqlite) as moves,
        shop_on(own_redis.url, migrated_sqlite) as stays,
    ):
        await moves.fill()
        columns = "owner", "cursors", "partition"
        await until(lambda: len(set(moves.rows(*columns))) == 2)
        await moves.caught_up()
        fence = SqlInstallation.fence

        async def fence_and_wait(self: SqlInstallation, *arguments: Any) -> Past:  # noqa: ANN401 - its own
            past = await fence(self, *arguments)
            # Meanwhile the other one changes customers, and its writer takes what is free.
            for customer_id in CUSTOMERS:
                request = {"customer_id": customer_id, "feature_id": "messages", "value": 7}
                await stays.call("balances.track", **request)
            guard = stays.runtime.guard
            await until(lambda: not guard.is_trusted or bool(moves.rows("id", "events")))
            return past

        monkeypatch.setattr(SqlInstallation, "fence", fence_and_wait)
        with own_replica.client() as client:
            client.replicaof("NO", "ONE")
        forwarder.lead_to(own_replica.port)
        assert [await moves.left(one) for one in CUSTOMERS] == [100] * len(CUSTOMERS)
        for customer_id in CUSTOMERS:
            await moves.track(customer_id, 1)
        # The leases of a writer that has no server end with its silence.
        await moves.caught_up()
        assert set(moves.rows("used", "balances")) == {(10**6,)}
        assert set(moves.rows("applied", "events")) == {(10**6,)}


async def test_verify_says_why_while_redis_is_gone(shop: Shop, own_redis: RedisProcess) -> None:
    own_redis.kill()
    with pytest.raises(UnavailableError, match="Redis cannot be compared with SQL"):
        await shop.runtime.guard.verify()
    own_redis.start()
    await shop.runtime.guard.verify()
