"""What is full or read-only says so in one line, and nothing acknowledged is lost by it."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.commands import refused
from tests.fixtures.gateways import Gateway
from tests.fixtures.redis_processes import MakeRedis
from tests.waiting import wait_until

TRACK = {"customer_id": "ada", "feature_id": "messages"}
SQL_SECONDS = 60.0
FILE_BYTES_MAX = 64 * 1024
"""Less than the database file has at once, and more than the log of the process gets here."""


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """A gateway that is not started yet, with options; it is stopped after the test."""
    made: list[Gateway] = []

    def make(*options: str) -> Gateway:
        made.append(Gateway(tmp_path / "data", *options))
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()


def open_shop(gateway: Gateway) -> None:
    named = {"feature_id": "messages", "name": "Messages", "type": "metered", "consumable": True}
    gateway.call("features.create", **named)
    gateway.call("customers.get_or_create", customer_id="ada")
    gateway.call("balances.create", **TRACK, included_grant=100_000)


def used(gateway: Gateway) -> float:
    return float(gateway.call("balances.check", **TRACK)["balance"]["usage"])


def log_of(gateway: Gateway) -> str:
    return (gateway.folder / "stdout.log").read_text()


def says(response: httpx.Response, *words: str) -> None:
    assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")
    assert response.headers["retry-after"] == "1"
    for word in words:
        assert word in response.json()["message"]


def test_a_full_redis_refuses_changes_answers_checks_and_loses_nothing(
    make_redis: MakeRedis, stopped: Callable[..., Gateway]
) -> None:
    server = make_redis(appendonly="yes")
    gateway = stopped("--redis-url", server.url).start()
    open_shop(gateway)
    for _ in range(20):
        gateway.call("balances.track", **TRACK)
    server.ask("CONFIG", "SET", "maxmemory", 1)
    for operation, body in (
        ("balances.track", TRACK),
        ("balances.create", {**TRACK, "included_grant": 1}),
        ("customers.get_or_create", {"customer_id": "new"}),
    ):
        says(gateway.post(operation, body), "Redis is full (maxmemory)", "nothing was changed")
    assert used(gateway) == 20
    wait_until(lambda: count_events(gateway) == 20, SQL_SECONDS)
    server.ask("CONFIG", "SET", "maxmemory", 0)
    gateway.call("balances.track", **TRACK)
    assert used(gateway) == 21


def test_a_redis_without_its_replicas_says_so_and_answers_checks(
    make_redis: MakeRedis, stopped: Callable[..., Gateway]
) -> None:
    server = make_redis(appendonly="yes")
    gateway = stopped("--redis-url", server.url).start()
    open_shop(gateway)
    server.ask("CONFIG", "SET", "min-replicas-to-write", 1)
    says(gateway.post("balances.track", TRACK), "fewer replicas", "nothing was changed")
    assert used(gateway) == 0
    server.ask("CONFIG", "SET", "min-replicas-to-write", 0)
    gateway.call("balances.track", **TRACK)
    assert used(gateway) == 1


def test_a_full_disk_stops_the_writer_and_nothing_else(stopped: Callable[..., Gateway]) -> None:
    gateway = stopped().start()
    open_shop(gateway)
    gateway.wait_for_writer()
    with files_of_at_most(FILE_BYTES_MAX, gateway):
        for _ in range(300):
            gateway.call("balances.track", **TRACK)
        wait_until(lambda: "SQL cannot write: its disk is full" in log_of(gateway), SQL_SECONDS)
        feature = {"feature_id": "sso", "name": "SSO", "type": "boolean"}
        says(gateway.post("features.create", feature), "SQL cannot write: its disk is full")
        assert used(gateway) == 300
    wait_until(lambda: count_events(gateway) == 300, SQL_SECONDS)
    assert gateway.sql("SELECT count(*) FROM dead_letters") == [(0,)]
    gateway.call("features.create", **feature)


def test_a_read_only_database_stops_the_writer_and_nothing_else(
    stopped: Callable[..., Gateway], migrated_postgres: str
) -> None:
    gateway = stopped("--database-url", migrated_postgres).start()
    open_shop(gateway)
    with read_only(migrated_postgres):
        for _ in range(50):
            gateway.call("balances.track", **TRACK)
        line = "SQL cannot write: the database is read-only"
        wait_until(lambda: line in log_of(gateway), SQL_SECONDS)
        feature = {"feature_id": "sso", "name": "SSO", "type": "boolean"}
        says(gateway.post("features.create", feature), line)
        gateway.call("customers.get_or_create", customer_id="eve")
        assert used(gateway) == 50
    wait_until(lambda: events_in(migrated_postgres) == 50, SQL_SECONDS)
    gateway.call("features.create", **feature)
    gateway.call("balances.track", **TRACK)
    wait_until(lambda: events_in(migrated_postgres) == 51, SQL_SECONDS)
    assert used(gateway) == 51


def test_a_gateway_starts_on_no_read_only_database_and_then_carries_what_waits(
    stopped: Callable[..., Gateway], make_redis: MakeRedis, migrated_postgres: str
) -> None:
    options = ("--redis-url", make_redis(appendonly="yes").url, "--database-url", migrated_postgres)
    gateway = stopped(*options).start()
    open_shop(gateway)
    with read_only(migrated_postgres):
        for _ in range(20):
            gateway.call("balances.track", **TRACK)
        gateway.kill()
        line = refused("serve", *options, TALLYGATE_DATA_DIR=str(gateway.folder))
        assert "SQL cannot write: the database is read-only" in line
    gateway.start()
    wait_until(lambda: events_in(migrated_postgres) == 20, SQL_SECONDS)
    assert used(gateway) == 20


def count_events(gateway: Gateway) -> int:
    return int(gateway.sql("SELECT count(*) FROM events WHERE feature_id = 'messages'")[0][0])


@contextmanager
def files_of_at_most(size: int, gateway: Gateway) -> Iterator[None]:
    """Let no write of the process pass a place in any file, as on a disk without room."""
    _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def read_only(url: str) -> Iterator[None]:
    """Let every session of a database only read, those that are open too."""
    name = url.partition("?")[0].rpartition("/")[2]
    ends = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    administrate(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on", ends)
    try:
        yield
    finally:
        writable = "SET default_transaction_read_only = off"
        administrate(url, writable, f"ALTER DATABASE {name} {writable}", ends)


def administrate(url: str, *statements: str) -> None:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def events_in(url: str) -> int:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM events WHERE feature_id = 'messages'")
        return int(connection.execute(query).scalar_one())
