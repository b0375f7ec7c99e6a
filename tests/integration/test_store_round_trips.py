"""How often a batch asks PostgreSQL and waits, as libpq itself tells it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from psycopg.pq import Trace
from sqlalchemy import Engine

from persistence.database import EngineOptions, make_engine
from persistence.sync import merge, store
from persistence.sync.fold import fold
from persistence.sync.store import CursorMovedError
from tests.integration.carrying import carry
from tests.integration.test_store import eventful
from tests.unit.persistence.entries import BASE_MS, History, customer, deduct, event, row

WAITED_FOR = {"Query", "Sync", "CopyDone"}
"""Messages after which an answer is waited for."""


@pytest.fixture
def engine(migrated_postgres: str) -> Iterator[Engine]:
    made = make_engine(migrated_postgres, EngineOptions(pings=False))
    yield made
    made.dispose()


@contextlib.contextmanager
def messages(engine: Engine, path: Path) -> Iterator[list[str]]:
    """Have the names of the messages the block sends, once it has ended."""
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
    sent: list[str] = []
    with path.open("w") as trace:
        driver.pgconn.trace(trace.fileno())
        driver.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield sent
        finally:
            driver.pgconn.untrace()
    lines = (line.split("\t") for line in path.read_text().splitlines())
    sent += [line[2] for line in lines if line[0] == "F"]


def waits(sent: Sequence[str]) -> int:
    return sum(name in WAITED_FOR for name in sent)


def tracks(customers: int) -> History:
    """Return what makes customers, then a track of each."""
    history = History()
    for at in range(customers):
        history.add(customer(), row(), internal_id=f"cus_{at}", customer_id=f"c{at}")
    for at in range(customers):
        history.add(event(), deduct(), internal_id=f"cus_{at}", customer_id=f"c{at}")
    return history


def test_a_batch_of_tracks_takes_one_round_trip_however_large(
    engine: Engine, tmp_path: Path
) -> None:
    history = tracks(300)
    cursor = store.open_cursors(engine, [7])[7]
    asked = []
    for first, after in ((0, 300), (300, 310), (310, 600)):
        batch = fold(history.entries[first:after])
        with messages(engine, tmp_path / "trace") as sent:
            store.apply(engine, batch, expected={7: cursor}, now_ms=BASE_MS)
        cursor = batch.cursors[0].stream_id
        asked.append((waits(sent), sent.count("Execute")))
    # BEGIN, the planner's settings, cursors, customers, balances, the moves that open them, COMMIT;
    # then events and their two sums as well.
    assert asked == [(1, statements) for statements in (7, 10, 10)]


def test_a_batch_of_everything_takes_one_too(engine: Engine, tmp_path: Path) -> None:
    history = eventful()
    cursor = store.open_cursors(engine, [7])[7]
    with messages(engine, tmp_path / "trace") as sent:
        store.apply(engine, fold(history.entries), expected={7: cursor}, now_ms=BASE_MS)
    assert waits(sent) == 1
    assert sent.count("Execute") <= len(merge.STEPS["postgresql"]) + 5


def test_a_batch_whose_cursor_moved_is_rolled_back(engine: Engine, tmp_path: Path) -> None:
    history = eventful()
    cursor = carry(engine, history)
    with messages(engine, tmp_path / "trace") as sent, pytest.raises(CursorMovedError):
        store.apply(engine, fold(history.entries), expected={7: "5-5"}, now_ms=BASE_MS)
    assert "Execute" in sent
    assert waits(sent) <= 3  # What was left out, and the rollback.
    assert store.open_cursors(engine, [7]) == {7: cursor}
