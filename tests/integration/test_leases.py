"""Leases in SQL: who takes what, who hands over, and what a batch of an older epoch may do."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from sqlalchemy import Engine, select, update

from gateway.stream_ids import BEGINNING
from persistence.database import write_transaction
from persistence.models import Cursor, Event, WriterProcess
from persistence.sync import leases, store
from persistence.sync.fold import fold
from persistence.sync.leases import Attendance, Lease, Tenant, Tenure
from persistence.sync.store import CursorMovedError
from tests.unit.persistence.entries import BASE_MS, History, event

_PARTITIONS = range(6)
_LEASE_SECONDS = 3.0


class _World:
    """Writers by name, and a clock that goes on when it is told to."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now = 0.0
        self._tenants: dict[str, Tenant] = {}
        store.open_cursors(engine, _PARTITIONS)

    def attend(self, *names: str, seen: Mapping[int, str] | None = None) -> list[list[int]]:
        """Let writers look in turn, a second after the last ones; return what each holds."""
        self.now += 1.0
        return [sorted(self.look(name, seen).leases) for name in names]

    def look(self, name: str, seen: Mapping[int, str] | None = None) -> Attendance:
        fresh = Tenant(name, _PARTITIONS, lease_seconds=_LEASE_SECONDS)
        tenant = self._tenants.setdefault(name, fresh)
        return tenant.attend(self.engine, seen=seen or {}, now=self.now, now_ms=BASE_MS)

    def leave(self, name: str) -> None:
        self._tenants.pop(name).leave(self.engine)

    def leases(self) -> list[Lease]:
        with self.engine.connect() as connection:
            return leases.read_leases(connection, _PARTITIONS)

    def writers(self) -> list[str]:
        with self.engine.connect() as connection:
            return list(connection.scalars(select(WriterProcess.id).order_by(WriterProcess.id)))


@pytest.fixture
def world(engine: Engine) -> _World:
    return _World(engine)


def _batch(number: int = 1) -> History:
    history = History(1)
    for _ in range(number):
        history.add(event())
    return history


def test_lone_writer_owns_everything_at_once(world: _World) -> None:
    assert world.attend("a") == [[0, 1, 2, 3, 4, 5]]
    assert {(lease.owner, lease.epoch) for lease in world.leases()} == {("a", 1)}
    assert world.attend("a") == [[0, 1, 2, 3, 4, 5]]
    assert {lease.epoch for lease in world.leases()} == {1}


def test_second_writer_gets_its_share_within_two_looks(world: _World) -> None:
    world.attend("a")
    world.attend("b")
    assert world.attend("a", "b") == [[0, 1, 2], [3, 4, 5]]
    assert [lease.epoch for lease in world.leases()] == [1, 1, 1, 2, 2, 2]


def test_silent_writer_loses_its_partitions_after_the_lease_time(world: _World) -> None:
    world.attend("a")
    world.attend("b")
    world.attend("a", "b")
    assert [world.attend("b") for _ in range(2)] == [[[3, 4, 5]]] * 2
    found = world.attend("b")
    assert found == [[0, 1, 2, 3, 4, 5]]
    assert world.writers() == ["b"]


def test_what_is_inherited_is_counted(world: _World) -> None:
    assert world.look("a").inherited == 0
    world.attend("b")
    for _ in range(2):
        world.attend("b")
    world.now += 1.0
    assert world.look("b").inherited == 6


def test_writer_that_was_taken_for_dead_gets_a_share_again(world: _World) -> None:
    world.attend("a")
    while world.attend("b") != [[0, 1, 2, 3, 4, 5]]:
        assert world.now < 20
    world.attend("a")
    assert world.attend("b", "a") == [[0, 1, 2], [3, 4, 5]]


def test_writer_that_leaves_hands_over_at_once(world: _World) -> None:
    world.attend("a")
    world.attend("b")
    world.attend("a", "b")
    world.leave("a")
    assert world.writers() == ["b"]
    assert world.attend("b") == [[0, 1, 2, 3, 4, 5]]


def test_restart_after_a_stop_begins_at_once(world: _World) -> None:
    world.attend("a")
    world.leave("a")
    assert world.attend("b") == [[0, 1, 2, 3, 4, 5]]


def test_writer_whose_row_was_buried_goes_on_while_nobody_took_its_partitions(
    world: _World, engine: Engine
) -> None:
    world.attend("a")
    with write_transaction(engine) as connection:
        leases.bury(connection, {"a": 1})
    assert world.writers() == []
    assert world.attend("a") == [[0, 1, 2, 3, 4, 5]]
    assert world.writers() == ["a"]
    assert {lease.epoch for lease in world.leases()} == {1}


def test_writer_that_beat_again_is_not_buried(world: _World, engine: Engine) -> None:
    world.attend("a")
    world.attend("a")
    with write_transaction(engine) as connection:
        leases.bury(connection, {"a": 1})
    assert world.writers() == ["a"]


def test_partition_that_changed_hands_since_is_not_taken(world: _World, engine: Engine) -> None:
    before = world.leases()
    world.attend("a")
    with write_transaction(engine) as connection:
        assert leases.take(connection, "b", before) == []
    assert {lease.owner for lease in world.leases()} == {"a"}


def test_beat_during_a_long_batch_counts(world: _World, engine: Engine) -> None:
    tenant = Tenant("a", _PARTITIONS, lease_seconds=_LEASE_SECONDS)
    tenant.attend(engine, seen={}, now=0.0, now_ms=BASE_MS)
    for _ in range(6):
        world.attend("b")
        tenant.beat(engine)
    assert world.writers() == ["a", "b"]


def test_batch_of_an_older_epoch_is_refused(world: _World, engine: Engine) -> None:
    world.attend("a")
    batch = fold(_batch().entries)
    for tenure in (Tenure("a", {1: 0}), Tenure("b", {1: 1}), leases.FREE):
        with pytest.raises(CursorMovedError):
            store.apply(engine, batch, expected={1: BEGINNING}, now_ms=BASE_MS, tenure=tenure)
    with engine.connect() as connection:
        assert connection.scalars(select(Event.id)).all() == []
    store.apply(engine, batch, expected={1: BEGINNING}, now_ms=BASE_MS, tenure=Tenure("a", {1: 1}))
    assert world.leases()[1].stream_id == batch.cursors[0].stream_id


def test_fence_refuses_what_is_on_its_way_and_frees_the_partitions(
    world: _World, engine: Engine
) -> None:
    world.attend("a")
    with write_transaction(engine) as connection:
        leases.fence(connection, [1, 2])
    with pytest.raises(CursorMovedError):
        store.apply(
            engine,
            fold(_batch().entries),
            expected={1: BEGINNING},
            now_ms=BASE_MS,
            tenure=Tenure("a", {1: 1}),
        )
    assert [lease.epoch for lease in world.leases()] == [1, 2, 2, 1, 1, 1]
    assert world.attend("a") == [[0, 1, 2, 3, 4, 5]]
    assert [lease.epoch for lease in world.leases()] == [1, 3, 3, 1, 1, 1]


def test_newest_id_that_was_seen_is_kept(world: _World, engine: Engine) -> None:
    world.attend("a")
    world.attend("a", seen={0: "9-1", 1: "10-0"})
    world.attend("a", seen={0: "10-0", 1: "9-9", 2: BEGINNING})
    assert [lease.seen_id for lease in world.leases()[:3]] == ["10-0", "10-0", BEGINNING]


def test_seen_id_that_is_applied_already_is_no_news(world: _World, engine: Engine) -> None:
    world.attend("a")
    with write_transaction(engine) as connection:
        connection.execute(update(Cursor).values(stream_id="20-0"))
    world.attend("a", seen={0: "20-0", 1: "19-0", 2: "21-0"})
    assert [lease.seen_id for lease in world.leases()[:3]] == [BEGINNING, BEGINNING, "21-0"]


def test_what_a_writer_saw_of_a_partition_it_lost_is_not_kept(
    world: _World, engine: Engine
) -> None:
    world.attend("a")
    with write_transaction(engine) as connection:
        leases.fence(connection, _PARTITIONS)
        leases.take(connection, "b", leases.read_leases(connection, _PARTITIONS))
        leases.beat(connection, "b", BASE_MS)
    assert world.attend("a", seen={0: "9-9"}) == [[]]
    assert world.leases()[0].seen_id == BEGINNING
