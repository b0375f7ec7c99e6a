"""The writer on real servers: every entry reaches SQL once, whatever dies when."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy import Connection, Engine, func, select, text
from sqlalchemy import event as sa_event
from sqlalchemy.exc import OperationalError

from gateway.keys import outbox_key
from gateway.stream_ids import place
from persistence.database import Database, EngineOptions, make_engine, write_transaction
from persistence.models import Balance, DeadLetter, Event
from persistence.sync.intake import DeadLetterLimitError, Intake
from persistence.sync.stream_reader import StreamReader
from tests.integration.writing import (
    PARTITIONS,
    add_entry,
    add_events,
    count_rows,
    event_values,
    lengths,
    make_writer,
    read_entries,
    running,
)
from tests.unit.persistence.entries import (
    StillClock,
    customer,
    deduct,
    event,
    payload,
    row,
)
from tests.waiting import until

pytestmark = pytest.mark.redis_kinds("embedded")


@pytest.fixture
async def database(engine: Engine) -> AsyncIterator[Database]:
    made = Database(engine, threads=1, answer_ms=None)
    yield made
    await made.close()


async def test_entries_of_every_partition_arrive_and_the_last_one_stays(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    for partition in PARTITIONS:
        await add_events(redis_client, 3, partition, start=10 * partition)
    writer = make_writer(redis_client, database)
    async with running(writer):
        await until(lambda: writer.state.applied == 12)
    assert event_values(engine) == [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32]
    assert await lengths(redis_client) == [1, 1, 1, 1]


async def test_entries_added_while_it_runs_arrive(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    writer = make_writer(redis_client, database)
    async with running(writer):
        await until(lambda: bool(writer.state.cursors))
        (last,) = await add_events(redis_client, 1)
        await until(lambda: writer.state.cursors[1] == last)
        await until(lambda: writer.state.pending == 0)
    assert event_values(engine) == [1]
    assert writer.state.last_error is None
    assert not writer.state.running


async def test_stop_drains_what_is_there(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    await add_events(redis_client, 50)
    writer = make_writer(redis_client, database, batch_max=8, drain_ms=60_000)
    await writer.stop()
    await writer.run()
    assert event_values(engine) == list(range(1, 51))
    assert await lengths(redis_client) == [0, 1, 0, 0]


async def test_stop_does_not_wait_for_a_read_that_waits(
    redis_client: Redis, database: Database, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.sync.writer._BLOCK_MAX_MS", 600_000)
    writer = make_writer(redis_client, database, beat_seconds=600, lease_seconds=1_000)
    async with running(writer):
        await until(lambda: writer.state.cursors != {})
        await add_events(redis_client, 1)
        await until(lambda: writer.state.applied == 1)
        await until(lambda: writer.state.pending == 0)
    assert event_values(engine) == [1]


async def test_stop_of_a_writer_that_never_ran_returns(
    redis_client: Redis, database: Database
) -> None:
    await make_writer(redis_client, database).stop()


async def test_crash_between_apply_and_trim_counts_nothing_twice(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    ids = await add_events(redis_client, 5)
    before = await read_entries(redis_client, 1)
    writer = make_writer(redis_client, database)
    async with running(writer):
        await until(lambda: writer.state.applied == 5)
    await redis_client.delete(outbox_key(1))
    for stream_id, text_ in before:  # As if the trim had never come.
        await add_entry(redis_client, 1, text_, stream_id)
    await add_events(redis_client, 1, start=6)
    writer = make_writer(redis_client, database)
    async with running(writer):
        await until(lambda: writer.state.applied == 1)
    assert event_values(engine) == [1, 2, 3, 4, 5, 6]
    assert await lengths(redis_client) == [0, 1, 0, 0]
    assert place(writer.state.cursors[1]) > place(ids[-1])


async def test_balances_follow_their_entries(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    await add_entry(redis_client, 1, payload(customer(), row(), seq=1))
    for used in range(1, 30):
        await add_entry(redis_client, 1, payload(event(), deduct(used=used), seq=used + 1))
    writer = make_writer(redis_client, database, batch_max=4)
    async with running(writer):
        await until(lambda: writer.state.applied == 30)
    with engine.connect() as connection:
        assert connection.scalars(select(Balance.used)).all() == [29]


async def test_poison_entries_are_set_aside_and_the_rest_arrives(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    poison = [
        b"",
        b"\xff\xfe",
        b"track\tsandbox",
        payload("Q\tno such line"),
        payload("C\tnot json"),
        payload(event(value=2**63)),
    ]
    for number, junk in enumerate(poison, 1):
        await add_entry(redis_client, 1, junk)
        await add_events(redis_client, 1, start=number)
    await redis_client.xadd(outbox_key(2), {"other": "field"})
    writer = make_writer(redis_client, database)
    async with running(writer):
        await until(lambda: writer.state.applied == 13)
    assert event_values(engine) == [1, 2, 3, 4, 5, 6]
    with engine.connect() as connection:
        kept = connection.scalars(select(DeadLetter.payload).where(DeadLetter.partition == 1))
        assert sorted(kept) == sorted(poison)
    assert writer.state.dead_letters == 7
    assert await lengths(redis_client) == [0, 1, 1, 0]


async def test_too_much_poison_stops_the_writer_and_loses_nothing(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    await add_events(redis_client, 1)
    for _ in range(4):
        await add_entry(redis_client, 1, b"poison")
    writer = make_writer(
        redis_client, database, intake=Intake(StillClock(), letters_max=3, letters_window=10)
    )
    with pytest.raises(DeadLetterLimitError):
        await writer.run()
    assert not writer.state.running
    assert writer.state.last_error is not None
    await writer.stop()
    assert await redis_client.xlen(outbox_key(1)) == 5
    assert count_rows(engine, DeadLetter) == 0


async def test_too_much_hidden_poison_stops_after_what_is_allowed(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    for _ in range(5):
        await add_entry(redis_client, 1, payload("C\tnot json"))
    intake = Intake(StillClock(), letters_max=3, letters_window=10)
    with pytest.raises(DeadLetterLimitError):
        await make_writer(redis_client, database, intake=intake).run()
    assert count_rows(engine, DeadLetter) == 3
    assert await redis_client.xlen(outbox_key(1)) == 5


async def test_writer_outlives_sql_faults(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    writer = make_writer(redis_client, database)
    async with running(writer):
        await until(lambda: bool(writer.state.cursors))
        with write_transaction(engine) as connection:
            connection.execute(text("ALTER TABLE events RENAME TO events_away"))
        await add_events(redis_client, 3)
        await until(lambda: writer.state.last_error is not None)
        with write_transaction(engine) as connection:
            connection.execute(text("ALTER TABLE events_away RENAME TO events"))
        await until(lambda: writer.state.applied == 3 and writer.state.last_error is None)
    assert event_values(engine) == [1, 2, 3]


async def test_lag_shows_while_sql_is_gone(redis_client: Redis) -> None:
    engine = make_engine("postgres://nobody@127.0.0.1:1/nothing", EngineOptions())
    database = Database(engine, threads=1, answer_ms=None)
    at_ms = await StreamReader(redis_client).now_ms() - 4_000
    await add_entry(redis_client, 1, payload(event()), stream_id=f"{at_ms}-0")
    # Its own clock stands still, in another year than that of the server.
    writer = make_writer(redis_client, database, drain_ms=1)
    async with running(writer):
        await until(lambda: writer.state.pending == 1)
    late_ms = await StreamReader(redis_client).now_ms() - at_ms
    assert 4.0 <= writer.state.lag_seconds <= late_ms / 1000
    assert writer.state.last_error is not None
    assert "SQL is unavailable" in writer.state.last_error
    await database.close()


async def test_writer_outlives_redis_faults(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    writer = make_writer(redis_client, database)
    async with running(writer):
        await until(lambda: bool(writer.state.cursors))
        # A key of another type fails every read of the streams until it is gone.
        await redis_client.set(outbox_key(1), "not a stream")
        await until(lambda: writer.state.last_error is not None)
        await redis_client.delete(outbox_key(1))
        await redis_client.client_kill_filter(_type="normal", skipme=True)
        await add_events(redis_client, 3)
        await until(lambda: writer.state.applied == 3)
    assert event_values(engine) == [1, 2, 3]


async def test_commit_whose_answer_was_lost_is_not_repeated(
    redis_client: Redis, database: Database, engine: Engine
) -> None:
    lost: list[Connection] = []

    @sa_event.listens_for(engine, "commit")
    def lose_the_answer(connection: Connection) -> None:
        if not lost and connection.scalars(select(func.count()).select_from(Event)).one():
            lost.append(connection)
            connection.exec_driver_sql("COMMIT")
            raise OperationalError("COMMIT", {}, ConnectionResetError("the answer was lost"))

    await add_events(redis_client, 3)
    writer = make_writer(redis_client, database)
    async with running(writer):
        await until(lambda: bool(lost) and writer.state.last_error is None)
    assert event_values(engine) == [1, 2, 3]
    assert await lengths(redis_client) == [0, 1, 0, 0]


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("legacy", [True, False])
async def test_every_reply_form_is_understood(
    redis_server_url: str, database: Database, engine: Engine, *, protocol: int, legacy: bool
) -> None:
    client = Redis.from_url(redis_server_url, protocol=protocol, legacy_responses=legacy)
    async with client:
        await add_events(client, 2)
        writer = make_writer(client, database)
        async with running(writer):
            await until(lambda: writer.state.applied == 2)
    assert event_values(engine) == [1, 2]
