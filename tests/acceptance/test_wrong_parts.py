"""Parts that are not those they should be: each is named in one line, and nothing is written to it.

Also clocks that jump: of the gateway, and of Redis, whose stream ids follow its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from sqlalchemy import create_engine, text

from gateway.app import Runtime, build_app, started
from gateway.config import Settings
from gateway.keys import outbox_key, partition_of
from persistence import migrate
from tests.commands import refused, run
from tests.fixtures.app import KEY as API_KEY
from tests.fixtures.app import Api
from tests.fixtures.gateways import Gateway
from tests.fixtures.redis_processes import KEEPING, RedisProcess, redis_processes
from tests.fixtures.sharded import ClusterProcesses
from tests.ports import free_port
from tests.waiting import PATIENT, until

HOUR_MS = 3_600_000
PARTITIONS = 4


def contents(server: RedisProcess) -> dict[bytes, Any]:
    with server.client() as client:
        return {key: client.dump(key) for key in client.scan_iter(count=1000)}


def tables(path: Path) -> list[Any]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        names = ("customers", "events", "cursors", "balances")
        found = [connection.execute(text(f"SELECT * FROM {name}")).all() for name in names]  # noqa: S608 - ours
    engine.dispose()
    return found


class Pair(NamedTuple):
    """An installation that ran and was stopped, and the server it is on."""

    folder: Path
    redis: RedisProcess


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """What every test here leaves as it found it, so that one will do."""
    with redis_processes() as make:
        server = make(port=free_port(), **KEEPING)
        gateway = Gateway(tmp_path_factory.mktemp("pair") / "data", "--redis-url", server.url)
        try:
            gateway.start()
            gateway.call("customers.get_or_create", customer_id="ada")
            assert gateway.stop() == 0
            yield Pair(gateway.folder, server)
        finally:
            gateway.stop()


def test_a_database_this_redis_does_not_belong_to_is_refused(pair: Pair, tmp_path: Path) -> None:
    before = contents(pair.redis)
    url = f"sqlite:///{tmp_path / 'new.db'}"
    assert run("migrate", "--database-url", url).returncode == 0
    line = refused("serve", "--redis-url", pair.redis.url, "--database-url", url)
    assert "this database is new: the database is not the one this Redis belongs to" in line
    assert contents(pair.redis) == before


def test_a_redis_of_another_installation_is_refused(
    pair: Pair, tmp_path: Path, other_redis: RedisProcess
) -> None:
    other = Gateway(tmp_path / "other_data", "--redis-url", other_redis.url)
    try:
        other.start()
        other.call("customers.get_or_create", customer_id="eve")
        assert other.stop() == 0
    finally:
        other.stop()
    before, rows = contents(other_redis), tables(pair.folder / "tallygate.db")
    line = refused("serve", "--redis-url", other_redis.url, TALLYGATE_DATA_DIR=str(pair.folder))
    assert "the Redis URL or the database URL is wrong" in line
    assert contents(other_redis) == before
    assert tables(pair.folder / "tallygate.db") == rows


def test_a_repair_of_a_wrong_pair_is_refused(pair: Pair, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    assert run("migrate", "--database-url", url).returncode == 0
    before = contents(pair.redis)
    line = refused("repair", "--yes", "--redis-url", pair.redis.url, "--database-url", url)
    assert "the database is not the one this Redis belongs to" in line
    assert contents(pair.redis) == before


def test_a_writer_on_its_own_refuses_a_wrong_redis_too(pair: Pair, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    assert run("migrate", "--database-url", url).returncode == 0
    line = refused("writer", "--redis-url", pair.redis.url, "--database-url", url)
    assert "the database is not the one this Redis belongs to" in line


def test_a_schema_that_is_older_is_refused_and_says_what_to_do(
    tmp_path: Path, own_redis: RedisProcess
) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    migrate.upgrade(url)
    migrate.downgrade(url, "first_tables")
    line = refused("serve", "--redis-url", own_redis.url, "--database-url", url)
    assert "older than" in line
    assert "tallygate migrate" in line
    assert contents(own_redis) == {}


def test_a_schema_that_is_newer_is_refused(tmp_path: Path, own_redis: RedisProcess) -> None:
    url = f"sqlite:///{tmp_path / 'newer.db'}"
    migrate.upgrade(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'of_tomorrow'"))
    engine.dispose()
    line = refused("serve", "--redis-url", own_redis.url, "--database-url", url)
    assert "newer than this release" in line
    assert contents(own_redis) == {}


def test_a_user_who_may_not_run_info_is_refused(tmp_path: Path, own_redis: RedisProcess) -> None:
    with own_redis.client() as client:
        client.acl_setuser(
            "shy",
            enabled=True,
            passwords=["+secret"],
            keys=["*"],
            channels=["*"],
            commands=["+@all", "-info"],
        )
    url = own_redis.url.replace("redis://", "redis://shy:secret@")
    line = refused("serve", "--redis-url", url, TALLYGATE_DATA_DIR=str(tmp_path / "data"))
    assert "ACL SETUSER shy +info" in line
    assert "secret" not in line


def test_a_replica_is_refused(
    tmp_path: Path, own_redis: RedisProcess, own_replica: RedisProcess
) -> None:
    line = refused(
        "serve", "--redis-url", own_replica.url, TALLYGATE_DATA_DIR=str(tmp_path / "data")
    )
    assert "not a master" in line


def test_a_cluster_under_the_name_of_one_server_is_refused(
    tmp_path: Path, valkey_cluster: str
) -> None:
    line = refused(
        "serve", "--redis-url", valkey_cluster, TALLYGATE_DATA_DIR=str(tmp_path / "data")
    )
    assert "Redis is a Cluster: name servers of it as redis+cluster://" in line


@pytest.mark.parametrize("of", ["KEY", "PUBLISHABLE_KEY"])
def test_calls_of_a_key_over_a_whole_cluster_are_refused(
    tmp_path: Path, valkey_cluster: str, of: str
) -> None:
    settings = {f"TALLYGATE_RATE_LIMIT_{of}": "5/second"}
    url = valkey_cluster.replace("redis://", "redis+cluster://")
    line = refused(
        "serve", "--redis-url", url, TALLYGATE_DATA_DIR=str(tmp_path / "data"), **settings
    )
    assert "unset TALLYGATE_RATE_LIMIT_KEY and TALLYGATE_RATE_LIMIT_PUBLISHABLE_KEY" in line


def test_one_server_of_a_cluster_that_evicts_or_a_user_who_may_not_ask_it_is_refused(
    tmp_path: Path, cluster: ClusterProcesses
) -> None:
    cluster.masters[2].ask("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
    line = refused("serve", "--redis-url", cluster.url, TALLYGATE_DATA_DIR=str(tmp_path / "data"))
    assert "CONFIG SET maxmemory-policy noeviction" in line
    for server in cluster.masters:
        server.ask("ACL", "SETUSER", "shy", "on", ">secret", "~*", "+@all", "-cluster")
    url = cluster.url.replace("://", "://shy:secret@")
    line = refused("serve", "--redis-url", url, TALLYGATE_DATA_DIR=str(tmp_path / "data"))
    assert "ACL SETUSER shy +info +cluster|info +cluster|slots" in line
    assert "secret" not in line


def test_a_policy_that_evicts_is_refused(tmp_path: Path, own_redis: RedisProcess) -> None:
    with own_redis.client() as client:
        client.config_set("maxmemory-policy", "volatile-ttl")
    line = refused("serve", "--redis-url", own_redis.url, TALLYGATE_DATA_DIR=str(tmp_path / "data"))
    assert "CONFIG SET maxmemory-policy noeviction" in line


class _JumpingClock:
    """The machine's time, as far ahead as a test says."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


async def test_clocks_that_jump_an_hour_lose_nothing(
    own_redis: RedisProcess, migrated_sqlite: str
) -> None:
    clock = _JumpingClock()
    settings = Settings(
        redis_url=own_redis.url,
        database_url=migrated_sqlite,
        partitions=PARTITIONS,
        **PATIENT,
    )
    async with started(Runtime(settings, clock=clock)) as runtime:
        await runtime.store.create_key("sandbox", "test", API_KEY)
        await runtime.catalog.refresh()
        api = Api(build_app(runtime))
        with closing(redis.Redis.from_url(own_redis.url)) as client:
            await _play(api, clock, client)
        await runtime.engine.subjects.caught_up()
        await api.client.aclose()
    engine = create_engine(migrated_sqlite)
    with engine.connect() as connection:
        used = connection.execute(text("SELECT used FROM balances")).all()
        values = connection.execute(text("SELECT sum(applied), count(*) FROM events")).one()
        letters = connection.execute(text("SELECT count(*) FROM dead_letters")).one()
    engine.dispose()
    assert [tuple(row) for row in used] == [(31_000_000,)]
    assert tuple(values) == (31_000_000, 5)
    assert tuple(letters) == (0,)


async def _play(api: Api, clock: _JumpingClock, client: redis.Redis) -> None:
    """Track 1, 2, 4, 8 and 16 while the clocks of gateway and Redis go ahead and back."""
    name = {"feature_id": "messages", "name": "m", "type": "metered", "consumable": True}
    assert (await api.call("features.create", **name)).status == 200
    assert (await api.call("customers.get_or_create", customer_id="ada")).status == 200
    given = {"customer_id": "ada", "feature_id": "messages"}
    assert (await api.call("balances.create", **given, included_grant=100)).status == 200

    async def track(value: int) -> None:
        async def is_done() -> bool:
            answer = await api.call("balances.track", **given, value=value)
            assert answer.status in {200, 503}, answer.body
            return answer.status == 200

        await until(is_done)

    await track(1)
    clock.ahead_ms = HOUR_MS
    await track(2)
    clock.ahead_ms = -HOUR_MS
    await track(4)
    # Redis was an hour ahead for a moment: the next ids stay there, and so do the cursors.
    outbox = outbox_key(partition_of("sandbox", "ada", PARTITIONS))
    anything: Any = client
    anything.execute_command("XSETID", outbox, f"{time.time_ns() // 1_000_000 + HOUR_MS}-0")
    await track(8)

    async def is_stored() -> bool:
        answer = await api.call("events.list", customer_id="ada")
        return len(answer.body["list"]) == 4

    await until(is_stored)
    # Emptied, its ids would begin at the right time again, an hour below what SQL has.
    client.flushall()
    await track(16)
    answer = await api.call("balances.check", **given)
    assert answer.body["balance"]["usage"] == 31
