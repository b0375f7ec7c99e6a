"""What each part of the writer's way costs, batches of a thousand entries carried one by one.

Entries are like those of ``track``, over a thousand customers, so that a batch changes a thousand
of each row: nothing is coalesced.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, update

from gateway.background.tasks import WRITER_CACHE_MIB
from gateway.keys import partition_of
from gateway.outbox import Entry, join
from gateway.rows import Kind, Row, encode_row
from persistence import models
from persistence.database import EngineOptions, make_engine, write_transaction
from persistence.sync import merge, store
from persistence.sync.fold import fold
from persistence.sync.intake import Received
from persistence.sync.staging import Rows
from persistence.sync.tracks import Track, read_entry

BASE_MS = 1_795_132_800_000
BATCH = 1_000
CUSTOMERS = 1_000
PARTITIONS = 64


class Stage(msgspec.Struct, frozen=True):
    """What one part of the way costs; ``rows`` are entries, or rows of SQL."""

    sql: str
    name: str
    rows: int
    seconds: float
    cpu_us: float
    """Of this process, for each row; PostgreSQL's own is not in it."""


def track_entry(customer: int, turn: int) -> bytes:
    name, used = f"cus_{customer}", turn + 1
    at_ms = BASE_MS + turn
    lines = [join("E", "messages", "", "", 1, 1, at_ms, '{"region":"eu","model":"small"}')]
    if turn == 0:
        row = encode_row(Row(id=f"bal_{name}", kind=Kind.SHARED, grant=10**9, rank="1"))
        lines[:0] = [
            join("C", f'{{"created_at":{at_ms}}}'),
            join("B", "messages", "", 0, 1, 0, row),
        ]
    lines.append(join("D", "messages", f"bal_{name}", "", 1, 1, used, used))
    header = ("track", "sandbox", name, f"int_{name}", str(used), str(at_ms), f"req_{turn}")
    return "\n".join(("\t".join(header), *lines)).encode()


class _Stopwatch:
    """Rows, seconds and CPU of each stage."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._spent: dict[str, list[float]] = {}

    def time(self, name: str, run: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
        """Run what takes rows as its last argument."""
        began, cpu = time.perf_counter(), time.process_time()
        answer = run(*arguments)
        spent = self._spent.setdefault(name, [0.0, 0.0, 0.0])
        spent[0] += len(arguments[-1])
        spent[1] += time.perf_counter() - began
        spent[2] += time.process_time() - cpu
        return answer

    @contextlib.contextmanager
    def on(self, name: str, *steps: Any) -> Iterator[None]:  # noqa: ANN401 - whatever runs
        """Time steps for the block, each from its rows until it is answered."""
        for step in steps:
            step.run = partial(self._answered, name, step.run)
        try:
            yield
        finally:
            for step in steps:
                del step.run

    def _answered(
        self, name: str, run: Callable[..., None], connection: Connection, rows: Rows
    ) -> None:
        def waiting(rows: Rows) -> None:
            run(connection, rows)
            _wait(connection)

        _wait(connection)
        self.time(name, waiting, rows)

    def stages(self) -> list[Stage]:
        """Return what was counted."""
        return [
            Stage(self._sql, name, int(rows), seconds, cpu / rows * 1e6)
            for name, (rows, seconds, cpu) in self._spent.items()
        ]


def measure_stages(name: str, url: str, entries: int) -> list[Stage]:
    """Carry batches one after the other, whole, then step by step, then those once more.

    The first two are not counted: they have the customers.
    """
    engine = make_engine(url, EngineOptions(cache_mib=WRITER_CACHE_MIB))
    watch = _Stopwatch(name)
    quick: Any = merge.QUICK_STEPS[name]
    expected = store.open_cursors(engine, range(PARTITIONS))

    def write(some_received: list[Received]) -> None:
        batch = fold(_decoded(some_received))
        store.apply(engine, batch, expected=expected, now_ms=BASE_MS)
        expected.update({move.partition: move.stream_id for move in batch.cursors})

    for start in range(0, 2 * BATCH, BATCH):
        write(_received(start))
    for start in range(2 * BATCH, entries, BATCH):
        watch.time("all together", write, _received(start))
    for start in range(2 * BATCH, entries, BATCH):
        found = watch.time("decode", _decoded, _received(start))
        watch.time("fold", fold, found)
    before = dict(expected)
    with (
        watch.on("events/s", quick["events"].events),
        watch.on("upserts/s", quick["customer_changes"], quick["balance_changes"]),
        watch.on("upserts/s", *quick["events"].sums),
        watch.on("deductions/s", quick["deductions"]),
    ):
        for start in range(entries, 2 * entries, BATCH):
            write(_received(start))
    expected.update(before)
    with write_transaction(engine) as connection:
        for partition, stream_id in before.items():
            back = {"stream_id": stream_id}
            cursor = models.table_of(models.Cursor)
            connection.execute(update(cursor).where(cursor.c.partition == partition).values(back))
    with watch.on("events again/s", merge.STEPS[name]["events"]):
        for start in range(entries, 2 * entries, BATCH):
            write(_received(start))
    engine.dispose()
    return watch.stages()


def _wait(connection: Connection) -> None:
    """Have every statement answered that was sent before."""
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        with driver.pipeline() as pipeline:
            pipeline.sync()


def _received(first: int) -> list[Received]:
    return [received(number) for number in range(first, first + BATCH)]


def _decoded(some_received: list[Received]) -> list[Entry | Track]:
    return [read_entry(one.partition, one.stream_id, one.payload or b"") for one in some_received]


def received(number: int) -> Received:
    """Return an entry of the sequence, each customer in turn."""
    customer, turn = number % CUSTOMERS, number // CUSTOMERS
    partition = partition_of("sandbox", f"cus_{customer}", PARTITIONS)
    return Received(partition, f"{BASE_MS + number}-0", track_entry(customer, turn))
