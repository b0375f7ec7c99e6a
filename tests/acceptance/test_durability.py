"""Each level of durability, with what it claims to survive killed right after the answer."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.gateways import Gateway
from tests.fixtures.redis_processes import MakeRedis, RedisProcess, replica_of
from tests.ports import free_port
from tests.waiting import wait_until

CUSTOMER = {"customer_id": "ada"}
TRACK = {**CUSTOMER, "feature_id": "messages"}
TRACKS = 25

StartGateway = Callable[..., Gateway]


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[StartGateway]:
    """Starts gateways on one data folder; they are killed after the test."""
    started: list[Gateway] = []

    def start(server: RedisProcess, *options: str) -> Gateway:
        started.append(Gateway(tmp_path / "data", "--redis-url", server.url, *options))
        return started[-1].start()

    yield start
    for gateway in started:
        gateway.kill()


def open_shop(gateway: Gateway) -> None:
    named = {"feature_id": "messages", "name": "Messages", "type": "metered", "consumable": True}
    gateway.call("features.create", **named)
    gateway.call("customers.get_or_create", **CUSTOMER)
    gateway.call("balances.create", **TRACK, included_grant=1000)


def track(gateway: Gateway, level: str, count: int = TRACKS) -> None:
    for _ in range(count):
        answer = gateway.post("balances.track", TRACK, **{"x-durability": level})
        assert answer.status_code == 200, answer.text


def used(gateway: Gateway) -> float:
    return float(gateway.call("balances.check", **TRACK)["balance"]["usage"])


def test_memory_survives_a_killed_gateway(
    make_redis: MakeRedis, start_gateway: StartGateway
) -> None:
    server = make_redis()
    gateway = start_gateway(server, "--no-writer")
    open_shop(gateway)
    track(gateway, "memory")
    gateway.kill()
    assert used(gateway.start()) == TRACKS


def test_aof_survives_a_killed_redis_that_flushes_once_a_second(
    make_redis: MakeRedis, start_gateway: StartGateway
) -> None:
    server = make_redis(appendonly="yes", appendfsync="everysec")
    # Without a writer, what comes back can only come from the file.
    gateway = start_gateway(server, "--no-writer")
    open_shop(gateway)
    track(gateway, "aof", count=3)
    server.kill()
    server.start()
    gateway.kill()
    assert used(gateway.start()) == 3


def test_replica_survives_a_killed_primary(
    make_redis: MakeRedis, start_gateway: StartGateway
) -> None:
    port = free_port()
    primary = make_redis(port=port)
    replica = replica_of(primary, make_redis, port)
    gateway = start_gateway(primary, "--no-writer")
    open_shop(gateway)
    track(gateway, "replica")
    primary.kill()
    replica.ask("REPLICAOF", "NO", "ONE")
    gateway.kill()
    assert used(start_gateway(replica, "--no-writer")) == TRACKS


def test_sql_survives_a_killed_redis_whose_folder_is_gone(
    make_redis: MakeRedis, start_gateway: StartGateway
) -> None:
    server = make_redis(appendonly="yes")
    gateway = start_gateway(server)
    open_shop(gateway)
    track(gateway, "sql")
    server.kill()
    gateway.kill()
    shutil.rmtree(server.folder / "appendonlydir")
    ((events, value),) = gateway.sql(
        "SELECT count(*), sum(value) FROM events WHERE feature_id = 'messages'"
    )
    assert (events, value) == (TRACKS, TRACKS * 10**6)
    server.start()
    assert server.ask("DBSIZE") == 0
    gateway.start()
    assert used(gateway) == TRACKS
    track(gateway, "sql", count=1)
    wait_until(lambda: used(gateway) == TRACKS + 1)
