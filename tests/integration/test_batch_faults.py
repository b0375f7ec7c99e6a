"""What PostgreSQL may do to a batch that travels in one piece: all of it is there, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from gateway.errors import UnavailableError
from persistence.database import EngineOptions, make_engine, write_transaction
from persistence.sync import store
from persistence.sync.fold import fold
from tests.integration.test_store import eventful
from tests.unit.persistence.entries import BASE_MS, contents
from tests.waiting import wait_until

HALF = 4
WAITING = text(
    "SELECT pid FROM pg_locks WHERE NOT granted AND relation = CAST('slots' AS regclass)"
)


LONG_MS = 60_000


@pytest.fixture
def engines(migrated_postgres: str, lock_timeout_ms: int) -> Iterator[tuple[Engine, Engine]]:
    """The writer's, and that of somebody in its way."""
    limits = (
        EngineOptions(statement_timeout_ms=LONG_MS, lock_timeout_ms=lock_timeout_ms),
        EngineOptions(statement_timeout_ms=LONG_MS, pool_size=2),
    )
    made = (make_engine(migrated_postgres, limits[0]), make_engine(migrated_postgres, limits[1]))
    yield made
    for one in made:
        one.dispose()


def time_out(_: Connection) -> None:
    """Let the batch wait for as long as it may."""


def end_the_connection(other: Connection) -> None:
    wait_until(lambda: other.scalar(WAITING) is not None)
    other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": other.scalar(WAITING)})


@pytest.mark.parametrize(
    ("fault", "lock_timeout_ms"), [(time_out, 300), (end_the_connection, LONG_MS)]
)
def test_a_batch_that_fails_on_its_way_leaves_nothing_and_is_taken_again(
    engines: tuple[Engine, Engine], fault: Callable[[Connection], Any]
) -> None:
    engine, others = engines
    history = eventful()
    first, rest = fold(history.entries[:HALF]), fold(history.entries[HALF:])
    cursor = store.open_cursors(engine, [7])[7]
    store.apply(engine, first, expected={7: cursor}, now_ms=BASE_MS)
    cursor = first.cursors[0].stream_id
    before = contents(engine)

    def carry() -> None:
        store.apply(engine, rest, expected={7: cursor}, now_ms=BASE_MS)

    with (
        ThreadPoolExecutor(1) as thread,
        others.connect() as other,
        write_transaction(others) as blocking,
    ):
        blocking.execute(text("LOCK TABLE slots IN EXCLUSIVE MODE"))
        carried = thread.submit(carry)
        fault(other)
        with pytest.raises(UnavailableError):
            carried.result()
    assert contents(engine) == before
    carry()
    assert store.open_cursors(engine, [7]) == {7: rest.cursors[0].stream_id}
