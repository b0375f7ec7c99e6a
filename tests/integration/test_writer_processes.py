"""``tallygate writer`` in processes of its own: killed, stopped, and started again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, func, select

from gateway.keys import outbox_key
from gateway.outbox import FIELD
from persistence.models import Cursor, Event, WriterProcess
from tests.forking import Forked
from tests.unit.persistence.entries import event, payload
from tests.waiting import wait_until

pytestmark = pytest.mark.redis_kinds("embedded")

PARTITIONS = 8
START_SECONDS = 60.0
TAKE_OVER_SECONDS = 30.0
"""The lease is three seconds; the rest is for a machine that has much else to do."""


class _Fleet:
    """Writers on one Redis and one SQL."""

    def __init__(self, redis_url: str, database_url: str, engine: Engine, folder: Path) -> None:
        self._urls = ["--redis-url", redis_url, "--database-url", database_url]
        self._engine = engine
        self._folder = folder
        self._client = redis.Redis.from_url(redis_url)
        self._processes = ExitStack()
        self._started = 0
        self._added = 0

    def start(self) -> Forked:
        """Start a writer and wait until it has a row in SQL."""
        before = set(self.owners())
        self._started += 1
        log = self._folder / f"writer-{self._started}.log"
        with log.open("w") as output:
            settings = {"TALLYGATE_PARTITIONS": str(PARTITIONS)}
            process = Forked("writer", *self._urls, output=output, settings=settings)
        self._processes.callback(process.wait, START_SECONDS)
        self._processes.callback(process.kill)
        wait_until(lambda: bool(self.writers() - before), START_SECONDS, log.read_text)
        return process

    def add(self, count: int) -> None:
        for _ in range(count):
            self._added += 1
            entry = {FIELD: payload(event(value=self._added), seq=self._added)}
            self._client.xadd(outbox_key(self._added % PARTITIONS), entry)  # type: ignore[arg-type]

    def owners(self) -> dict[str, int]:
        """Return how many partitions each writer owns."""
        owned = select(Cursor.owner, func.count()).group_by(Cursor.owner)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(owned)}

    def writers(self) -> set[str]:
        with self._engine.connect() as connection:
            return set(connection.scalars(select(WriterProcess.id)))

    def is_shared(self, *shares: int) -> bool:
        owners = self.owners()
        return "" not in owners and sorted(owners.values()) == sorted(shares)

    def has_everything(self) -> bool:
        """Whether each entry that was ever added is an event, and none is there twice."""
        with self._engine.connect() as connection:
            values = sorted(connection.scalars(select(Event.value)))
        assert len(values) == len(set(values))
        return values == list(range(1, self._added + 1))

    def close(self) -> None:
        with closing(self._client):
            self._processes.close()


@pytest.fixture
def fleet(
    redis_server_url: str, database_url: str, engine: Engine, tmp_path: Path
) -> Iterator[_Fleet]:
    made = _Fleet(redis_server_url, database_url, engine, tmp_path)
    yield made
    made.close()


def test_partitions_of_a_killed_writer_are_taken_over(fleet: _Fleet) -> None:
    first = fleet.start()
    fleet.start()
    wait_until(lambda: fleet.is_shared(4, 4), TAKE_OVER_SECONDS)
    fleet.add(200)
    first.kill()
    fleet.add(200)
    wait_until(lambda: fleet.is_shared(8), TAKE_OVER_SECONDS)
    wait_until(fleet.has_everything, TAKE_OVER_SECONDS)


def test_writer_that_is_stopped_leaves_nothing_behind(fleet: _Fleet) -> None:
    first = fleet.start()
    second = fleet.start()
    wait_until(lambda: fleet.is_shared(4, 4), TAKE_OVER_SECONDS)
    fleet.add(100)
    first.send_signal(signal.SIGTERM)
    assert first.wait(START_SECONDS) == 0
    assert len(fleet.writers()) == 1
    wait_until(lambda: fleet.is_shared(8), TAKE_OVER_SECONDS)
    second.send_signal(signal.SIGTERM)
    assert second.wait(START_SECONDS) == 0
    assert fleet.has_everything()
    assert (fleet.writers(), fleet.owners()) == (set(), {"": PARTITIONS})
