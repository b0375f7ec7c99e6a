"""Engines and the threads that may use them.

Every statement runs in a thread of a bounded pool with a time limit, so that a slow disk or a lost
server never holds the event loop. Nothing here knows a table, and no engine is made elsewhere.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, exc, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.errors import SettingError, UnavailableError
from gateway.stepping import in_task

_Answer = TypeVar("_Answer")
_Given = ParamSpec("_Given")
_Store = TypeVar("_Store", bound="Store")

_FULL = ("53100", "SQLITE_FULL", "SQLITE_IOERR")
_READ_ONLY = ("25006", "SQLITE_READONLY")
_TOO_LONG = ("57014", "SQLITE_INTERRUPT")
_DENIED = ("42501", "SQLITE_PERM")
_TAKEN = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
"""Codes of PostgreSQL and SQLite."""

_SILENT_MIN_MS = 10_000
_PROBE_SECONDS = 5
"""A server of PostgreSQL that left without a word, with its machine or its network, would hold a
thread for a quarter of an hour, for it keeps the limits itself. One that acknowledges nothing is
given up after this time, or the longest that a statement may keep it from reading the next."""

_DEADLINE = "deadline"
_LIMIT_SECONDS = "limit"
_STEPS_BETWEEN_LOOKS = 20_000
"""Of a statement in SQLite between two looks at the time, less than a millisecond apart."""

_LOOKS = 4
"""How often an answer is looked for in its time; a look that is late by as much as lies between two
says that the loop has stood still."""

_SWITCH_PAUSE_SECONDS = 0.01
_CHECKPOINT_PAGES = 4_000
"""16 MiB: what several batches change is carried from the log into the file once. More makes the
batch that does it late."""
_DRIVERS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of an engine. A thread holds one connection, so the pool is as wide as the threads."""

    pool_size: int = 1
    connect_timeout_s: int = 5
    statement_timeout_ms: int = 10_000
    """Of SQLite from the beginning of a statement to the last of its rows."""
    lock_timeout_ms: int = 5_000
    """Of PostgreSQL how long to wait for a row, of SQLite for the file."""
    recycle_s: int = 1_800
    pings: bool = True
    """Whether a connection is asked if it lives before each use, a round trip to PostgreSQL. Who
    tries again after a fault needs none."""
    cache_mib: int = 4
    """Of SQLite, for each connection. A batch that touches more pages than fit writes some of them
    to the log several times."""


def parse_url(text: str) -> URL:
    """Return the SQLAlchemy URL of a setting. Raises ``SettingError``."""
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError) as error:  # the latter for its port
        raise SettingError("the database URL is not readable") from error
    if url.drivername not in _DRIVERS:
        raise SettingError(
            f"the database URL begins with {url.drivername}, not sqlite or postgresql"
        )
    if url.drivername != "sqlite" and "@" in f"{url.host}{url.database}":
        # What a fault says of them would show a part of the password.
        raise SettingError("the database URL is not readable: write @ as %40 and / as %2F")
    has_place = url.host or url.port or url.username or url.password
    if url.drivername == "sqlite" and (has_place or url.database in {None, "", ":memory:"}):
        # In memory each connection would see a database of its own.
        raise SettingError(
            "the SQLite URL names no file, as sqlite:///here.db or sqlite:////srv/t.db"
        )
    return url.set(drivername=_DRIVERS[url.drivername])


def make_engine(text: str, options: EngineOptions) -> Engine:
    """Return an engine; nothing is connected yet."""
    url = parse_url(text)
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=options.pool_size,
        max_overflow=0,
        pool_timeout=options.connect_timeout_s,
        pool_recycle=options.recycle_s,
        pool_pre_ping=options.pings,
        pool_use_lifo=True,
        # A failed statement is told of in logs, and its parameters may be secrets.
        hide_parameters=True,
        # Each feature has a column of it, and a catalog has hundreds: a tenth of json.loads.
        json_deserializer=msgspec.json.decode,
        connect_args=_connect_arguments(url, options),
    )
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, options)
    else:
        _prepare_postgresql(engine)
    return engine


def _connect_arguments(url: URL, options: EngineOptions) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"timeout": options.lock_timeout_ms / 1000, "check_same_thread": False}
    limits = {
        "statement_timeout": options.statement_timeout_ms,
        "lock_timeout": options.lock_timeout_ms,
        # A process that hangs inside a transaction must not hold its rows for ever.
        "idle_in_transaction_session_timeout": options.statement_timeout_ms,
    }
    return {
        "connect_timeout": options.connect_timeout_s,
        "application_name": "tallygate",
        "keepalives_idle": _PROBE_SECONDS,
        "keepalives_interval": _PROBE_SECONDS,
        "tcp_user_timeout": max(_SILENT_MIN_MS, options.statement_timeout_ms),
        "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
    }


def _prepare_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "checkin")
    def forget(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's
        # After a reading transaction SQLAlchemy asks for READ WRITE by name, which would write into
        # a database whose owner has set it to read-only.
        if connection is not None:
            connection.read_only = None


def _prepare_sqlite(engine: Engine, options: EngineOptions) -> None:
    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own BEGIN comes too late for a snapshot; ``begin`` below sends it instead.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={options.lock_timeout_ms}")
        _write_ahead(connection, options.lock_timeout_ms / 1000)
        for pragma in (
            # What is committed is acknowledged and leaves Redis: it has to outlive a power cut.
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            f"cache_size=-{options.cache_mib * 1024}",
            f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    _limit_sqlite(engine, options.statement_timeout_ms / 1000)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _limit_sqlite(engine: Engine, seconds: float) -> None:
    """End a statement that takes too long, which SQLite has no setting for."""

    @event.listens_for(engine, "connect")
    def watch(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        info = record.info
        info[_DEADLINE], info[_LIMIT_SECONDS] = math.inf, seconds
        connection.set_progress_handler(
            lambda: time.monotonic() > info[_DEADLINE], _STEPS_BETWEEN_LOOKS
        )

    @event.listens_for(engine, "before_cursor_execute")
    def begin(connection: Connection, *_statement: object) -> None:
        connection.info[_DEADLINE] = time.monotonic() + seconds


def _write_ahead(connection: sqlite3.Connection, seconds: float) -> None:
    """Switch the file to its write-ahead log; two first starts at once do this at one time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            # The busy timeout does not cover this switch, so waiting is up to us.
            if not error.sqlite_errorname.startswith(_TAKEN) or time.monotonic() > deadline:
                raise
            time.sleep(_SWITCH_PAUSE_SECONDS)
        else:
            return


def reason(error: Exception) -> str:
    """Return what an operator has to know of a fault of SQLAlchemy or of a driver, and nothing a
    caller may not.
    """
    driver = getattr(error, "orig", None) or error
    code = str(getattr(driver, "sqlstate", "") or getattr(driver, "sqlite_errorname", ""))
    if code.startswith(_FULL):
        return "SQL cannot write: its disk is full or does not work"
    if code.startswith(_READ_ONLY):
        return "SQL cannot write: the database is read-only"
    if code.startswith(_TOO_LONG):
        return "SQL took longer than a statement may"
    if code.startswith(_DENIED):
        return "SQL refuses: its user lacks a right"
    return "SQL is unavailable"


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """Commit at the end of the block, or roll all of it back."""
    # A deferred transaction that reads first cannot wait for the file when it begins to write.
    with engine.execution_options(sqlite_begin="BEGIN IMMEDIATE").begin() as connection:
        yield connection


@contextmanager
def batch_transaction(engine: Engine) -> Iterator[Connection]:
    """Like ``write_transaction``, for statements nobody needs an answer of.

    PostgreSQL gets all of the block at once, BEGIN and COMMIT included, and is waited for once, at
    its end. What a statement raises may be raised by a later one, or then; the server leaves out
    what was sent after it, so nothing is committed. The driver's errors are raised as SQLAlchemy's.
    """
    if engine.dialect.name != "postgresql":
        with write_transaction(engine) as connection:
            yield connection
        return
    fault: Any = engine.dialect.loaded_dbapi.Error
    # Each BEGIN and COMMIT of the driver's own would be waited for by itself.
    one_by_one = engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with one_by_one.begin() as connection, _pipeline(connection, fault):
            yield connection
    except fault as error:
        raise exc.DBAPIError.instance(None, None, error, fault) from error


@contextmanager
def _pipeline(connection: Connection, fault: type[Exception]) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection
    with driver.pipeline() as pipeline:
        try:
            driver.execute("BEGIN")
            yield
            driver.execute("COMMIT")
        except fault:
            with suppress(fault):  # What comes after the first is no news.
                pipeline.sync()
            raise


@contextmanager
def read_transaction(engine: Engine) -> Iterator[Connection]:
    """Read from one snapshot of all tables."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
    with engine.begin() as connection:
        yield connection


@contextmanager
def driver_connection(engine: Engine) -> Iterator[Any]:
    """Lend a connection of the driver for one statement that only reads. Its errors are raised as
    SQLAlchemy's, and end it.
    """
    fault: Any = engine.dialect.loaded_dbapi.Error
    connection = None
    try:
        connection = engine.raw_connection()
        if _LIMIT_SECONDS in connection.info:
            connection.info[_DEADLINE] = time.monotonic() + connection.info[_LIMIT_SECONDS]
        yield connection.driver_connection
    except fault as error:
        if connection is not None:
            connection.invalidate(error)
        raise exc.DBAPIError.instance(None, None, error, fault) from error
    finally:
        if connection is not None:
            connection.close()


class Database:
    """An engine with its threads; without ``answer_ms`` only the statement limit ends a call."""

    def __init__(
        self, engine: Engine, *, threads: int, answer_ms: int | None, waiting_max: int = 256
    ) -> None:
        self.engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="tallygate-sql")
        self._answer_s = None if answer_ms is None else answer_ms / 1000
        self._waiting = 0
        self._waiting_max = waiting_max

    async def run(self, work: Callable[[Engine], _Answer]) -> _Answer:
        """Return what ``work`` returns, from a thread. Raises ``UnavailableError``."""
        await in_task()
        if self._waiting >= self._waiting_max:
            # Beyond this the callers' timeouts would pass before their turn came.
            raise UnavailableError("too many calls wait for SQL; try again")
        self._waiting += 1
        # The thread works for the request that asked, and its log lines say so.
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(
            self._threads, context.run, work, self.engine
        )
        future.add_done_callback(self._leave)
        await self._wait(future)
        try:
            return future.result()
        except (exc.DBAPIError, exc.TimeoutError) as error:
            raise UnavailableError(f"{reason(error)}; try again") from error

    async def _wait(self, future: asyncio.Future[Any]) -> None:
        """Return when it has ended. Raises ``UnavailableError`` when that takes too long. A part of
        the time in which the loop itself stood still does not count, for so did the thread.
        """
        now = asyncio.get_running_loop().time
        part_s = None if self._answer_s is None else self._answer_s / _LOOKS
        left = _LOOKS
        while left:
            began = now()
            # Not wait_for: it swallows a cancellation that comes as the answer does (Python 3.11).
            done, _ = await asyncio.wait([future], timeout=part_s)
            if done:
                return
            left -= now() < began + 2 * (part_s or 0)
        raise UnavailableError("SQL did not answer in time; try again")

    def _leave(self, future: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # Seen here, since the caller may have left at its timeout.

    async def close(self) -> None:
        """Wait for the threads, then close every connection."""
        await asyncio.to_thread(self._threads.shutdown)
        self.engine.dispose()


class Store:
    """What SQL keeps of something. Its methods that are ``in_thread`` may raise
    ``UnavailableError``.
    """

    def __init__(self, database: Database) -> None:
        """Keep the database; closing it is the caller's."""
        self.database = database
        self.engine = database.engine


def in_thread(
    work: Callable[Concatenate[_Store, _Given], _Answer],
) -> Callable[Concatenate[_Store, _Given], Coroutine[Any, Any, _Answer]]:
    """Make a method of a store a coroutine: it is carried out in a thread that may use SQL."""

    @wraps(work)
    async def carry_out(store: _Store, /, *given: _Given.args, **named: _Given.kwargs) -> _Answer:
        return await store.database.run(lambda _: work(store, *given, **named))

    return carry_out
