"""URLs, limits and snapshots of the engines."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from gateway.errors import SettingError, UnavailableError
from persistence import database as database_module
from persistence.database import (
    Database,
    EngineOptions,
    make_engine,
    parse_url,
    read_transaction,
    write_transaction,
)
from persistence.models import CatalogRevision
from tests.waiting import one_turn, wait_until


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgres_urls_name_the_driver(scheme: str) -> None:
    url = parse_url(f"{scheme}://me:secret@db.example:5433/usage?sslmode=require")
    assert url.drivername == "postgresql+psycopg"
    assert (url.host, url.port, url.database) == ("db.example", 5433, "usage")


@pytest.mark.parametrize(
    "text_",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://here.db",
        "sqlite://./here.db",
        "sqlite://me@/here.db",
        "mysql://db/x",
        "no url",
    ],
)
def test_other_urls_are_refused(text_: str) -> None:
    with pytest.raises(SettingError):
        parse_url(text_)


def test_refusal_does_not_show_the_password() -> None:
    with pytest.raises(SettingError) as refusal:
        parse_url("mysql://me:secret@db/x")
    assert "secret" not in refusal.value.message


@pytest.mark.parametrize("password", ["sec@ret", "s/ec@ret", "s/ec@re/t"])
def test_a_password_that_ends_too_early_is_refused_and_no_part_of_it_shown(password: str) -> None:
    with pytest.raises(SettingError, match="write @ as %40") as refusal:
        parse_url(f"postgresql://me:{password}@db/x")
    assert "ret" not in refusal.value.message


def test_a_password_may_hold_anything_that_is_escaped() -> None:
    assert parse_url("postgresql://me%40here:s%40%2Fc@db/x").password == "s@/c"


def test_sqlite_is_durable_and_patient(migrated_sqlite: str) -> None:
    engine = make_engine(migrated_sqlite, EngineOptions(lock_timeout_ms=1234))
    with engine.connect() as connection:
        found = {
            name: connection.scalars(text(f"PRAGMA {name}")).one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    engine.dispose()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL: a commit is on the disk
        "busy_timeout": 1234,
        "foreign_keys": 1,
    }


def test_a_sqlite_that_cannot_be_prepared_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE kept (line TEXT)")
    # Who pauses raises ValueError.
    monkeypatch.setattr(database_module, "_SWITCH_PAUSE_SECONDS", -1)
    engine = make_engine(f"sqlite:///file:{path}?mode=ro&uri=true", EngineOptions())
    with pytest.raises(DBAPIError, match="readonly"):
        engine.connect()
    engine.dispose()


def test_postgres_ends_a_slow_statement(migrated_postgres: str) -> None:
    engine = make_engine(migrated_postgres, EngineOptions(statement_timeout_ms=1_000))
    with engine.connect() as connection, pytest.raises(Exception, match="statement timeout"):
        connection.execute(text("SELECT pg_sleep(30)"))
    engine.dispose()


_ENDLESS = text(
    "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n"
)


async def test_a_statement_that_takes_too_long_ends_and_says_so(database_url: str) -> None:
    engine = make_engine(database_url, EngineOptions(statement_timeout_ms=1_000))
    database = Database(engine, threads=1, answer_ms=None)

    def search(engine: Engine) -> None:
        with write_transaction(engine) as connection:
            connection.execute(text("UPDATE catalog_revision SET revision = 99"))
            connection.execute(_ENDLESS)

    def revision(engine: Engine) -> int:
        with read_transaction(engine) as connection:
            return connection.scalars(select(CatalogRevision.revision)).one()

    with pytest.raises(UnavailableError, match="SQL took longer than a statement may; try again"):
        await database.run(search)
    assert await database.run(revision) == 0
    await database.close()


def test_a_statement_has_its_time_anew_on_a_connection_used_before(
    migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(database_module, "time", SimpleNamespace(monotonic=lambda: now))
    engine = make_engine(migrated_sqlite, EngineOptions(statement_timeout_ms=1_500))
    some = text(f"{_ENDLESS}".replace("FROM n)", "FROM n WHERE n < 50000)"))
    with engine.connect() as connection:
        for _ in range(3):
            assert connection.scalars(some).one() == 50_000
            now += 1
    engine.dispose()


@pytest.mark.parametrize(("statement_ms", "silent_ms"), [(5_000, 10_000), (60_000, 60_000)])
def test_a_postgres_that_left_without_a_word_is_given_up(
    migrated_postgres: str, statement_ms: int, silent_ms: int
) -> None:
    engine = make_engine(migrated_postgres, EngineOptions(statement_timeout_ms=statement_ms))
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        kept = driver.info.get_parameters()
    engine.dispose()
    assert kept["tcp_user_timeout"] == str(silent_ms)
    assert (kept["keepalives_idle"], kept["keepalives_interval"]) == ("5", "5")


def test_read_sees_one_snapshot(engine: Engine) -> None:
    with read_transaction(engine) as reading:
        before = reading.scalars(select(CatalogRevision.revision)).one()
        with write_transaction(engine) as writing:
            writing.execute(text("UPDATE catalog_revision SET revision = revision + 1"))
        assert reading.scalars(select(CatalogRevision.revision)).one() == before
    with read_transaction(engine) as reading:
        assert reading.scalars(select(CatalogRevision.revision)).one() == before + 1


def test_failed_write_leaves_nothing(engine: Engine) -> None:
    def fail() -> None:
        with write_transaction(engine) as connection:
            connection.execute(text("UPDATE catalog_revision SET revision = 99"))
            connection.execute(text("UPDATE nothing SET revision = 99"))

    with pytest.raises(DBAPIError):
        fail()
    with read_transaction(engine) as connection:
        assert connection.scalars(select(CatalogRevision.revision)).one() == 0


def test_a_failed_statement_does_not_show_its_values(engine: Engine) -> None:
    with pytest.raises(DBAPIError) as failure, engine.connect() as connection:
        connection.execute(text("SELECT * FROM nowhere WHERE secret = :it"), {"it": "whsec_abc"})

    assert "nowhere" in str(failure.value)
    assert "whsec_abc" not in str(failure.value)


async def test_a_thread_works_for_the_request_that_asked(migrated_sqlite: str) -> None:
    database = Database(make_engine(migrated_sqlite, EngineOptions()), threads=1, answer_ms=None)
    whose = ContextVar("whose", default="nobody")
    try:
        whose.set("mine")
        assert await database.run(lambda _: whose.get()) == "mine"
    finally:
        await database.close()


async def test_slow_call_is_unavailable(migrated_sqlite: str) -> None:
    database = Database(make_engine(migrated_sqlite, EngineOptions()), threads=1, answer_ms=10)
    release = threading.Event()
    with pytest.raises(UnavailableError, match="in time"):
        await database.run(lambda _engine: release.wait())
    release.set()
    await database.close()


async def test_an_answer_that_came_while_the_loop_stood_still_is_taken(
    migrated_sqlite: str,
) -> None:
    database = Database(make_engine(migrated_sqlite, EngineOptions()), threads=1, answer_ms=100)
    now = asyncio.get_running_loop().time
    began, may_end, has_ended = now(), threading.Event(), threading.Event()

    def work(_: Engine) -> bool:
        may_end.wait()
        has_ended.set()
        return True

    asked = asyncio.create_task(database.run(work))
    await one_turn()
    wait_until(lambda: now() > began + 1)
    await one_turn()
    may_end.set()
    wait_until(has_ended.is_set)
    assert await asked
    await database.close()


async def test_crowd_is_turned_away(migrated_sqlite: str) -> None:
    engine = make_engine(migrated_sqlite, EngineOptions())
    database = Database(engine, threads=1, answer_ms=None, waiting_max=2)
    release = threading.Event()
    held = [asyncio.create_task(database.run(lambda _engine: release.wait())) for _ in range(2)]
    await asyncio.wait(held, timeout=0)  # lets them begin
    with pytest.raises(UnavailableError, match="too many"):
        await database.run(lambda _engine: True)
    release.set()
    assert await asyncio.gather(*held) == [True, True]
    assert await database.run(lambda _engine: True)
    await database.close()


@pytest.mark.parametrize(
    ("pragma", "message"),
    [
        ("query_only = ON", "SQL cannot write: the database is read-only; try again"),
        ("max_page_count = 1", "SQL cannot write: its disk is full or does not work; try again"),
    ],
)
async def test_sqlite_that_cannot_write_says_why(
    migrated_sqlite: str, pragma: str, message: str
) -> None:
    database = Database(make_engine(migrated_sqlite, EngineOptions()), threads=1, answer_ms=None)

    def work(engine: Engine) -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA {pragma}")
            connection.exec_driver_sql("CREATE TABLE big (line TEXT)")
            connection.exec_driver_sql("INSERT INTO big VALUES (hex(zeroblob(1000000)))")

    with pytest.raises(UnavailableError) as refusal:
        await database.run(work)
    await database.close()
    assert refusal.value.message == message


async def test_a_postgres_that_only_reads_says_so(migrated_postgres: str) -> None:
    database = Database(make_engine(migrated_postgres, EngineOptions()), threads=1, answer_ms=None)

    def work(engine: Engine) -> None:
        with read_transaction(engine) as connection:
            connection.execute(text("CREATE TABLE big (line TEXT)"))

    with pytest.raises(UnavailableError, match="the database is read-only"):
        await database.run(work)
    await database.close()


async def test_a_postgres_user_that_lacks_a_right_is_told(migrated_postgres: str) -> None:
    database = Database(make_engine(migrated_postgres, EngineOptions()), threads=1, answer_ms=None)

    def work(engine: Engine) -> None:
        with engine.connect() as connection:
            connection.execute(text("SET LOCAL ROLE pg_monitor"))
            connection.execute(select(CatalogRevision.revision))

    with pytest.raises(UnavailableError, match="SQL refuses: its user lacks a right; try"):
        await database.run(work)
    await database.close()
