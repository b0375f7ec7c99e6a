"""However a stream is cut into batches, SQL ends the same.

A small model of the scripts writes random but possible histories: customers and entities that
come, go and come back, rows that are added, replaced, changed, reset and ended, moves on all of
them, usage windows that count, locks that are made and end, and calls that are denied.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Row, and_, delete, func, select

from gateway.outbox import Denied, Entry, Event
from gateway.rows import Kind, RowDocument
from gateway.stream_ids import BEGINNING
from persistence import models
from persistence.database import EngineOptions, make_engine, write_transaction
from persistence.models import Balance, DailyDenials, DailyTotal, DailyUsage, Deduction
from persistence.models.reports import PART
from persistence.sync import store
from persistence.sync.fold import fold
from persistence.sync.tracks import Track, read_entry
from tests.unit.persistence.entries import (
    BASE_MS,
    DELETED,
    History,
    alert,
    contents,
    customer,
    deduct,
    deleted_entity,
    denied,
    ended,
    entity,
    event,
    lock,
    reset,
    row,
    subscription,
    updated,
    window,
)

_ENTITIES = ("seat_1", "seat_2")
_BALANCES = ("bal_1", "bal_2", "bal_3")
_LOCKS = ("lock_1", "lock_2")
_DELETE_CHANCE = 0.4
_REPLACE_CHANCE = 0.5


class _Held:
    """A balance row, and what it used by owner or slot."""

    def __init__(self, kind: Kind, owner: str, period: int) -> None:
        self.kind = kind
        self.owner = owner
        self.period = period
        self.used: dict[str, int] = {}

    def move(self, balance_id: str, entity_id: str, delta: int) -> str:
        used = self.used[entity_id] = self.used.get(entity_id, 0) + delta
        total = sum(self.used.values())
        return deduct(balance_id, delta, used, total=total, entity=entity_id, period=self.period)


class _Model:
    """One customer id with all its lives."""

    def __init__(self, random: Random, history: History, customer_id: str) -> None:
        self._random = random
        self._history = history
        self._customer_id = customer_id
        self._life = 0
        self._begin()

    def step(self) -> None:
        if not self._alive:
            self._life += 1
            self._begin()
            return
        actions = [self._move] * 6 + [
            *[self._add_row] * 4,
            *[self._update_row] * 2,
            *[self._count] * 2,
            *[self._lock] * 3,
            self._reset,
            self._end_row,
            self._entity,
            self._entity,
            self._subscription,
            self._rename,
            self._deny,
            self._delete,
        ]
        self._random.choice(actions)()

    def _begin(self) -> None:
        self._alive = True
        self._period = self._number = 0
        self._entities: set[str] = set()
        self._rows: dict[str, _Held] = {}
        self._locks: set[str] = set()
        self._write("customer", customer())

    def _write(self, kind: str, *lines: str) -> None:
        internal_id = f"{self._customer_id}_{self._life}"
        self._history.add(*lines, kind=kind, customer_id=self._customer_id, internal_id=internal_id)

    def _move(self) -> None:
        lines = [event(value=self._random.randint(-5, 5))]
        for balance_id, held in self._rows.items():
            delta = self._random.randint(-9, 9)
            if held.kind is Kind.SHARED:
                lines.append(held.move(balance_id, held.owner, delta))
            elif self._entities:
                slot = self._random.choice(sorted(self._entities))
                lines.append(held.move(balance_id, slot, delta))
        self._write("track", *lines)

    def _add_row(self) -> None:
        balance_id = self._random.choice(_BALANCES)
        known = self._rows.get(balance_id)
        if known and known.kind is Kind.SHARED and self._random.random() < _REPLACE_CHANCE:
            held = known  # Replaced within its period, with another used.
        else:
            self._period += 1
            owner = self._random.choice(["", *sorted(self._entities)])
            kind = Kind.SHARED if owner else self._random.choice([Kind.SHARED, Kind.PER_ENTITY])
            held = self._rows[balance_id] = _Held(kind, owner, self._period)
        if held.kind is Kind.SHARED:
            held.used = {held.owner: self._random.choice([0, 0, 7, -3])}
        self._write(
            "plan",
            row(
                balance_id,
                kind=held.kind,
                entity=held.owner,
                used=sum(held.used.values()),
                period=held.period,
                due_ms=self._random.choice([0, BASE_MS + held.period]),
            ),
        )

    def _update_row(self) -> None:
        if not self._rows:
            return
        balance_id = self._random.choice(sorted(self._rows))
        held = self._rows[balance_id]
        lines = [
            updated(
                balance_id,
                kind=held.kind,
                entity=held.owner,
                grant=self._random.randint(0, 9),
                due_ms=self._random.choice([0, BASE_MS - held.period]),
                document=RowDocument(plan_id=self._random.choice([None, "pro"])),
            )
        ]
        if held.kind is Kind.SHARED and self._random.random() < _REPLACE_CHANCE:
            lines.append(held.move(balance_id, held.owner, 2))
        self._write("balance", *lines)

    def _count(self) -> None:
        scope = self._random.choice(["", *sorted(self._entities)])
        key = self._random.choice(["", "0a1b2c3d"])
        used, end_ms = self._random.randint(0, 9), BASE_MS + self._random.randint(0, 9)
        self._write("track", event(), window(used, end_ms, entity=scope, key=key), alert())

    def _lock(self) -> None:
        lock_id = self._random.choice(_LOCKS)
        scope = self._random.choice(["", *sorted(self._entities)])
        at_ms, text = BASE_MS + self._random.randint(0, 9), f"{self._random.random()}\nline"
        state = "open"
        if lock_id in self._locks:
            state = self._random.choice(["confirmed", "released", "expired"])
        self._locks ^= {lock_id}
        line = lock(lock_id, state, self._random.randint(0, 9), at_ms=at_ms, receipt="")
        if state == "open":
            line = lock(lock_id, at_ms=at_ms, entity=scope, receipt=text)
        self._write("lock", line)

    def _reset(self) -> None:
        if not self._rows:
            return
        balance_id = self._random.choice(sorted(self._rows))
        held = self._rows[balance_id]
        self._period += 1
        self._rows[balance_id] = _Held(held.kind, held.owner, self._period)
        self._write("reset", reset(balance_id, self._period, BASE_MS, entity=held.owner))

    def _end_row(self) -> None:
        if self._rows:
            balance_id = self._random.choice(sorted(self._rows))
            del self._rows[balance_id]
            self._write("plan", ended(balance_id))

    def _entity(self) -> None:
        entity_id = self._random.choice(_ENTITIES)
        if entity_id not in self._entities:
            self._entities.add(entity_id)
            self._number += 1
            self._write("entity", event("seats"), entity(entity_id, self._number))
            return
        self._entities.remove(entity_id)
        moves = [
            held.move(balance_id, entity_id, -held.used.get(entity_id, 0))
            for balance_id, held in self._rows.items()
            if held.kind is Kind.PER_ENTITY or held.owner == entity_id
        ]
        left = {key: held for key, held in self._rows.items() if held.owner != entity_id}
        self._rows = left
        self._write("entity_delete", *moves, event("seats", -1), deleted_entity(entity_id))

    def _subscription(self) -> None:
        owner = self._random.choice(["", *sorted(self._entities)])
        status = self._random.choice(["active", "expired"])
        self._write("plan", subscription(f"sub_{owner}", entity=owner, status=status))

    def _rename(self) -> None:
        self._write("customer", customer(f"name {self._random.randint(0, 9)}"))

    def _deny(self) -> None:
        counts = [denied(self._random.randint(1, 9), customer_id=self._customer_id)] * 2
        self._history.add(*counts, kind="denials", internal_id="", seq=0)

    def _delete(self) -> None:
        if self._random.random() < _DELETE_CHANCE:  # Else no life is long enough to be eventful.
            self._alive = False
            self._write("customer_delete", DELETED)


@pytest.fixture(scope="module")
def engines(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Engine]]:
    folder = tmp_path_factory.mktemp("split")
    made = []
    for name in ("whole", "split"):
        path = folder / f"{name}.db"
        shutil.copy(sqlite_template, path)
        made.append(make_engine(f"sqlite:///{path}", EngineOptions()))
    yield made[0], made[1]
    for engine in made:
        engine.dispose()


def _empty(engine: Engine) -> None:
    with write_transaction(engine) as connection:
        for name, table in models.Base.metadata.tables.items():
            if name != "catalog_revision":
                connection.execute(delete(table))
    store.open_cursors(engine, [7])


def _carry(engine: Engine, entries: Sequence[Entry | Track], cuts: list[int]) -> None:
    cursor = BEGINNING
    edges = sorted({0, len(entries), *cuts})
    for start, end in pairwise(edges):
        batch = fold(entries[start:end])
        store.apply(engine, batch, expected={7: cursor}, now_ms=BASE_MS)
        cursor = batch.cursors[0].stream_id


def _read(history: History) -> list[Entry | Track]:
    """Return the entries as the writer reads them, the plain ones by the short way."""
    return [
        read_entry(history.partition, entry.stream_id, text)
        for entry, text in zip(history.entries, history.payloads, strict=True)
    ]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(1, 60), start=st.integers(0, 59))
def test_either_way_of_reading_gives_the_same_batch(seed: int, length: int, start: int) -> None:
    history, random = History(), Random(seed)
    customers = [_Model(random, history, "acme"), _Model(random, history, "umbrella")]
    while len(history.entries) < length:
        random.choice(customers).step()
    # From anywhere on, for what came before is what SQL knows.
    assert fold(_read(history)[start:]) == fold(history.entries[start:])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**32),
    length=st.integers(1, 90),
    cuts=st.lists(st.integers(0, 90), max_size=12),
)
def test_any_split_gives_the_same_sql(
    engines: tuple[Engine, Engine], seed: int, length: int, cuts: list[int]
) -> None:
    history, random = History(), Random(seed)
    customers = [_Model(random, history, "acme"), _Model(random, history, "umbrella")]
    while len(history.entries) < length:
        random.choice(customers).step()
    whole, split = engines
    for engine in engines:
        _empty(engine)
    _carry(whole, history.entries, [])
    _carry(split, _read(history), [cut for cut in cuts if cut < len(history.entries)])
    assert contents(split) == contents(whole)
    assert _unexplained(whole) == []
    lines = [line for entry in history.entries for line in entry.changes]
    events = [line for line in lines if isinstance(line, Event)]
    denials = [line for line in lines if isinstance(line, Denied)]
    with whole.connect() as connection:
        for model in (DailyUsage, DailyTotal):
            high, low = func.sum(model.requested_high), func.sum(model.requested_low)
            counted = connection.execute(select(func.sum(model.events), high * PART + low)).one()
            summed = len(events), sum(line.value for line in events)
            assert tuple(counted) == (summed if events else (None, None))
        times = connection.scalar(select(func.coalesce(func.sum(DailyDenials.denied), 0)))
    assert times == sum(line.denied for line in denials)


def _unexplained(engine: Engine) -> list[Row[str, str, int, int]]:
    """Return balances whose used is not the sum of the moves of their period."""
    moved = func.coalesce(func.sum(Deduction.delta), 0)
    same = and_(
        Deduction.internal_id == Balance.internal_id,
        Deduction.balance_id == Balance.id,
        Deduction.period == Balance.period,
    )
    statement = (
        select(Balance.internal_id, Balance.id, Balance.used, moved)
        .outerjoin(Deduction, same)
        .group_by(Balance.internal_id, Balance.id, Balance.used)
        .having(Balance.used != moved)
    )
    with engine.connect() as connection:
        return list(connection.execute(statement))
