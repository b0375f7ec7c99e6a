"""What each part of the writer's way costs, batches of a thousand entries carried one by one.

Entries are like those of ``track``, over a thousand customers, so that a batch changes a thousand
of each row: nothing is coalesced.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from gateway.keys import partition_of
from gateway.outbox import decode, join
from gateway.rows import Kind, Row, encode_row
from gateway.tasks import WRITER_CACHE_MIB
from persistence import merge, store
from persistence.database import EngineOptions, make_engine
from persistence.fold import fold
from persistence.intake import Received

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

    def clear(self) -> None:
        """Count from here."""
        self._spent.clear()

    def stages(self) -> list[Stage]:
        """Return what was counted."""
        return [
            Stage(self._sql, name, int(rows), seconds, cpu / rows * 1e6)
            for name, (rows, seconds, cpu) in self._spent.items()
        ]


def measure_stages(name: str, url: str, entries: int) -> list[Stage]:
    """Carry batches one after the other, and time each part; the first two are not counted."""
    engine = make_engine(url, EngineOptions(cache_mib=WRITER_CACHE_MIB))
    watch = _Stopwatch(name)
    quick: Any = merge.QUICK_STEPS[name]
    watched = {
        "events/s": [quick["events"].events],
        "upserts/s": [quick["customer_changes"], quick["balance_changes"], *quick["events"].sums],
        "deductions/s": [quick["deductions"]],
    }
    for stage, steps in watched.items():
        for step in steps:
            step.run = partial(watch.time, stage, step.run)
    expected = store.open_cursors(engine, range(PARTITIONS))

    def carry(some_received: list[Received]) -> None:
        entries = watch.time("decode", lambda some: [decode(*one) for one in some], some_received)
        batch = watch.time("fold", fold, entries)
        store.apply(engine, batch, expected=expected, now_ms=BASE_MS)
        expected.update({move.partition: move.stream_id for move in batch.cursors})

    for first in range(0, entries, BATCH):
        if first == 2 * BATCH:  # Those before had the customers, and the tables to make.
            watch.clear()
        watch.time("all together", carry, [received(at) for at in range(first, first + BATCH)])
    for step in (step for steps in watched.values() for step in steps):
        del step.run
    engine.dispose()
    return watch.stages()


def received(number: int) -> Received:
    """Return an entry of the sequence, each customer in turn."""
    customer, turn = number % CUSTOMERS, number // CUSTOMERS
    partition = partition_of("sandbox", f"cus_{customer}", PARTITIONS)
    return Received(partition, f"{BASE_MS + number}-0", track_entry(customer, turn))
