"""Several writers on the same partitions, and a Redis that is not what SQL knows of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import Engine, func, select
from sqlalchemy import event as sa_event

from gateway.errors import UnavailableError
from persistence.database import Database, EngineOptions, make_engine, write_transaction
from persistence.models import Cursor, Event, WriterProcess
from persistence.sync import leases
from persistence.sync.writer import Writer
from tests.integration.writing import (
    PARTITIONS,
    WriterOptions,
    add_entry,
    add_events,
    count_rows,
    event_values,
    lengths,
    make_writer,
    read_entries,
    running,
    set_cursor,
)
from tests.unit.persistence.entries import event, payload
from tests.waiting import until

pytestmark = pytest.mark.redis_kinds("embedded")

_QUICK: WriterOptions = {"lease_seconds": 1.0, "beat_seconds": 0.05, "drain_ms": 200}
_PATIENT: WriterOptions = {"lease_seconds": 60.0, "beat_seconds": 0.05}
"""Nobody is taken for dead, however slow the machine."""

_AHEAD = "99999999999999-5"


@pytest.fixture
async def databases(database_url: str) -> AsyncIterator[Callable[[], Database]]:
    """A database for each writer, as each process has its own."""
    async with contextlib.AsyncExitStack() as stack:

        def make() -> Database:
            made = Database(
                make_engine(database_url, EngineOptions(pool_size=2)), threads=2, answer_ms=None
            )
            stack.push_async_callback(made.close)
            return made

        yield make


def _held(*writers: Writer) -> list[int]:
    return [len(writer.state.cursors) for writer in writers]


def _owners(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(select(Cursor.owner)))


async def test_two_writers_share_the_partitions_and_double_nothing(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    writers = [make_writer(redis_client, databases(), **_PATIENT) for _ in range(2)]
    async with running(writers[0]), running(writers[1]):
        await until(lambda: _held(*writers) == [2, 2])
        for partition in PARTITIONS:
            await add_events(redis_client, 15, partition, start=100 * partition)
        await until(lambda: count_rows(engine, Event) == 60)
    assert [writer.state.applied for writer in writers] == [30, 30]
    assert len(event_values(engine)) == 60
    with engine.connect() as connection:
        assert connection.scalars(select(func.sum(Cursor.applied))).one() == 60


async def test_stop_hands_over_to_the_others(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    first, second = (make_writer(redis_client, databases(), **_PATIENT) for _ in range(2))
    async with running(second):
        async with running(first):
            await until(lambda: _held(first, second) == [2, 2])
        # Long before the lease would have ended.
        await until(lambda: _held(second) == [4])
    assert _owners(engine) == {""}
    with engine.connect() as connection:
        assert connection.scalars(select(WriterProcess.id)).all() == []


async def test_writer_that_falls_silent_is_taken_over_from_and_doubles_nothing(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    database = databases()
    silent = make_writer(redis_client, database, **_QUICK)
    other = make_writer(redis_client, databases(), **_QUICK)
    async with running(silent), running(other):
        await until(lambda: _held(silent, other) == [2, 2])
        with _unreachable(database):
            await until(lambda: _held(other) == [4])
            for partition in PARTITIONS:
                await add_events(redis_client, 5, partition, start=100 * partition)
            await until(lambda: other.state.applied == 20)
        await until(lambda: _held(silent, other) == [2, 2])
        await add_events(redis_client, 1, 3, start=900)
        await until(lambda: count_rows(engine, Event) == 21)
    assert len(event_values(engine)) == 21


async def test_writer_without_redis_does_not_beat(
    redis_server_url: str, databases: Callable[[], Database], engine: Engine
) -> None:
    async with (
        Redis.from_url(redis_server_url) as client,
        _cut_off_user(client) as (name, cut),
        Redis.from_url(redis_server_url, username=name, password=name) as lost,
    ):
        cut_off = make_writer(lost, databases(), **_QUICK)
        other = make_writer(client, databases(), **_QUICK)
        async with running(cut_off), running(other):
            await until(lambda: _held(cut_off, other) == [2, 2])
            await cut()
            await until(lambda: _held(other) == [4])
            await add_events(client, 3)
            await until(lambda: other.state.applied == 3)


async def test_fenced_batch_is_refused_and_carried_under_the_next_epoch(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    writer = make_writer(redis_client, databases())
    async with running(writer):
        await until(lambda: _held(writer) == [4])
        with write_transaction(engine) as connection:
            leases.fence(connection, PARTITIONS)
        await add_events(redis_client, 3)
        await until(lambda: writer.state.applied == 3)
    assert event_values(engine) == [1, 2, 3]
    with engine.connect() as connection:
        assert set(connection.scalars(select(Cursor.epoch))) == {3}


async def test_newest_id_is_kept_in_sql_before_it_is_applied(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    writer = make_writer(redis_client, databases(), **(_QUICK | {"batch_max": 1}))
    async with running(writer):
        await until(lambda: _held(writer) == [4])
        ids = await add_events(redis_client, 300)

        def seen() -> bool:
            with engine.connect() as connection:
                found = select(Cursor.seen_id).where(Cursor.partition == 1)
                return connection.scalars(found).one() == ids[-1]

        await until(seen)
        assert writer.state.applied < 300


async def test_stream_that_is_ahead_is_left_and_trimmed(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    for stream_id in ("5-0", "7-0", "9-0"):
        await add_entry(redis_client, 1, payload(event()), stream_id=stream_id)
    await set_cursor(engine, "7-0")
    writer = make_writer(redis_client, databases())
    async with running(writer):
        await until(lambda: writer.state.applied == 1)
    assert [stream_id for stream_id, _ in await read_entries(redis_client, 1)] == ["9-0"]


class _Guard:
    """Says yes once it may, and does what it is told to before."""

    def __init__(self, client: Redis, partition: int, cursor: str) -> None:
        self.asked = 0
        self.may_pass = False
        self.trusted = ""  # as of an installation that has admitted none yet
        self._stream = (client, partition, cursor)

    async def verify(self) -> None:
        self.asked += 1
        if not self.may_pass:
            raise UnavailableError("Redis is not verified yet")
        client, partition, cursor = self._stream
        if cursor:
            await add_entry(client, partition, b"", cursor)


async def test_stream_that_is_behind_is_the_guards_and_nothing_is_read_before(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    await set_cursor(engine, _AHEAD)
    await add_events(redis_client, 3, 2)
    guard = _Guard(redis_client, 1, _AHEAD)
    writer = make_writer(redis_client, databases(), guard=guard, **_QUICK)
    async with running(writer):
        await until(lambda: guard.asked > 1)
        assert writer.state.last_error == "Redis is not verified yet"
        assert count_rows(engine, Event) == 0
        assert await lengths(redis_client) == [0, 0, 3, 0]
        guard.may_pass = True
        await until(lambda: writer.state.applied == 3)
    assert await lengths(redis_client) == [0, 1, 1, 0]


async def test_guard_that_leaves_a_stream_behind_keeps_the_writer_waiting(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    await set_cursor(engine, _AHEAD)
    await add_events(redis_client, 3, 2)
    guard = _Guard(redis_client, 1, "")
    guard.may_pass = True
    writer = make_writer(redis_client, databases(), guard=guard, **_QUICK)
    async with running(writer):
        await until(lambda: guard.asked > 1)
        assert writer.state.last_error == "Redis is behind SQL in partitions [1]"
    assert count_rows(engine, Event) == 0


async def test_without_a_guard_a_stream_that_is_behind_keeps_the_writer_waiting(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    await set_cursor(engine, _AHEAD)
    writer = make_writer(redis_client, databases(), **_QUICK)
    async with running(writer):
        await until(lambda: writer.state.last_error == "Redis is behind SQL in partitions [1]")
    assert await lengths(redis_client) == [0, 0, 0, 0]


async def test_stream_that_begins_above_its_cursor_is_asked_about_once(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    await set_cursor(engine, "7-0")
    await add_events(redis_client, 2)
    guard = _Guard(redis_client, 1, "")
    guard.may_pass = True
    writer = make_writer(redis_client, databases(), guard=guard, **_QUICK)
    async with running(writer):
        await until(lambda: writer.state.applied == 2)
        (last,) = await add_events(redis_client, 1, start=3)
        await until(lambda: writer.state.cursors[1] == last)
    assert guard.asked == 1


async def test_nothing_is_read_from_another_server_than_the_admitted_one(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    guard = _Guard(redis_client, 1, "")
    guard.trusted = "run_1"
    await add_events(redis_client, 2)
    writer = make_writer(redis_client, databases(), guard=guard, **_QUICK)
    async with running(writer):
        await until(lambda: guard.asked > 1)
        assert count_rows(engine, Event) == 0
        guard.trusted = ""
        await until(lambda: writer.state.applied == 2)


async def test_guard_is_not_asked_about_streams_that_continue(
    redis_client: Redis, databases: Callable[[], Database], engine: Engine
) -> None:
    guard = _Guard(redis_client, 1, "")
    await add_events(redis_client, 2)
    for _ in range(2):
        writer = make_writer(redis_client, databases(), guard=guard, **_QUICK)
        async with running(writer):
            await add_events(redis_client, 2, start=3)
            await until(lambda writer=writer: writer.state.applied >= 2)  # type: ignore[misc]
    assert guard.asked == 0


@contextlib.contextmanager
def _unreachable(database: Database) -> Iterator[None]:
    """Make every statement of one writer fail, as if its way to SQL were cut."""

    def refuse(*_: Any) -> None:  # noqa: ANN401 - the arguments of an event
        raise UnavailableError("the way to SQL is cut")

    sa_event.listen(database.engine, "begin", refuse)
    try:
        yield
    finally:
        sa_event.remove(database.engine, "begin", refuse)


@contextlib.asynccontextmanager
async def _cut_off_user(client: Redis) -> AsyncIterator[tuple[str, Callable[[], Awaitable[Any]]]]:
    """A user of Redis that may do everything until it may do nothing."""
    name = "cut_off"
    await client.acl_setuser(
        name, enabled=True, passwords=[f"+{name}"], keys=["*"], categories=["+@all"]
    )
    try:
        yield name, lambda: client.acl_setuser(name, enabled=True, categories=["-@all"])
    finally:
        await client.acl_deluser(name)
