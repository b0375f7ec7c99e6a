"""Who writes which partition: a row for each writer that runs, owner and epoch on each cursor.

A lease ends when its writer falls silent: its beat stays the same for the whole lease time, by the
clock of whoever watches. No two clocks are compared, so none of them can be wrong. What makes
mistakes harmless is the epoch: it is raised whenever a partition changes hands or is fenced, and
``store.apply`` refuses a batch of an older one.

Failure: a writer that is taken for dead and lives finds its next batch refused, and follows. A
writer that dies between two statements has done all of them or none. SQL gone, nobody beats and
nobody is taken for dead, since only looks that succeed count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine, bindparam, delete, select, tuple_, update

from gateway.stream_ids import place
from persistence import models
from persistence.database import write_transaction
from persistence.dialects import INSERTS, ByDialect
from persistence.models import table_of

NOBODY = ""
"""The owner of a partition that is free."""

_CURSORS = table_of(models.Cursor)
_INSTALLATION = table_of(models.Installation)
_WRITERS = table_of(models.WriterProcess)

# Whoever holds a row for longer has a batch in hand; the next look comes within a second.
_WAIT_BRIEFLY = "SET LOCAL lock_timeout = '1s'"


class Tenure(NamedTuple):
    """What a batch is written under: its writer, and the epoch of each of its partitions."""

    owner: str
    epochs: Mapping[int, int]


FREE = Tenure(NOBODY, {})
"""Of partitions that nobody ever wrote or fenced."""


class Lease(NamedTuple):
    """A cursor with its owner."""

    partition: int
    stream_id: str
    owner: str
    epoch: int
    seen_id: str


# Made once: each writer sends them every second, and to make one costs more than to run it.
_BEATS = ByDialect(
    lambda name: INSERTS[name](_WRITERS).on_conflict_do_update(
        index_elements=["id"], set_={"beat": _WRITERS.c.beat + 1}
    )
)
_READ_BEATS = select(_WRITERS.c.id, _WRITERS.c.beat)
_READ_LEASES = (
    select(*(_CURSORS.c[name] for name in Lease._fields))
    .where(_CURSORS.c.partition.in_(bindparam("partitions", expanding=True)))
    .order_by(_CURSORS.c.partition)
)

_ADMITTED = select(_INSTALLATION.c.run_id)

_NOTE_SEEN = (
    update(_CURSORS)
    .where(_CURSORS.c.partition == bindparam("at"), _CURSORS.c.epoch == bindparam("held"))
    .values(seen_id=bindparam("newest"))
)


def beat(connection: Connection, writer_id: str, now_ms: int) -> None:
    """Show that a writer runs, also one that was taken for dead."""
    row = {"id": writer_id, "beat": 1, "started_at": now_ms}
    connection.execute(_BEATS[connection.dialect.name], row)


def read_beats(connection: Connection) -> dict[str, int]:
    """Return the beat of each writer that has a row."""
    return {row.id: row.beat for row in connection.execute(_READ_BEATS)}


def bury(connection: Connection, beats: Mapping[str, int]) -> None:
    """Remove writers whose beat is still this one."""
    if beats:
        silent = tuple_(_WRITERS.c.id, _WRITERS.c.beat).in_(list(beats.items()))
        connection.execute(delete(_WRITERS).where(silent))


def read_leases(connection: Connection, partitions: Sequence[int]) -> list[Lease]:
    """Return these cursors, in the order of their partitions."""
    found = connection.execute(_READ_LEASES, {"partitions": list(partitions)})
    return [Lease(*row) for row in found]


def take(connection: Connection, writer_id: str, wanted: Iterable[Lease]) -> list[Lease]:
    """Make a writer the owner of partitions that are still as they were seen, where it can."""
    seen = [(lease.partition, lease.epoch) for lease in wanted]
    if not seen:
        return []
    unchanged = tuple_(_CURSORS.c.partition, _CURSORS.c.epoch).in_(seen)
    # Locked in one order, so that two who take at once do not hold up each other.
    locks = select(_CURSORS.c.partition).where(unchanged).order_by(_CURSORS.c.partition)
    mine = list(connection.scalars(locks.with_for_update(skip_locked=True)))
    change = update(_CURSORS).where(_CURSORS.c.partition.in_(mine))
    connection.execute(change.values(owner=writer_id, epoch=_CURSORS.c.epoch + 1))
    return read_leases(connection, mine)


def release(connection: Connection, writer_id: str, partitions: Sequence[int]) -> None:
    """Free those of the partitions that are the writer's."""
    if not partitions:
        return
    mine = [_CURSORS.c.owner == writer_id, _CURSORS.c.partition.in_(partitions)]
    connection.execute(update(_CURSORS).where(*mine).values(owner=NOBODY))


def leave(connection: Connection, writer_id: str) -> None:
    """Free every partition of a writer that ends, and remove its row."""
    mine = update(_CURSORS).where(_CURSORS.c.owner == writer_id)
    connection.execute(mine.values(owner=NOBODY))
    connection.execute(delete(_WRITERS).where(_WRITERS.c.id == writer_id))


def note_seen(connection: Connection, leases: Iterable[Lease], seen: Mapping[int, str]) -> None:
    """Store the newest stream id that was seen, of partitions where it is news."""
    news = []
    for lease in leases:
        newest = seen.get(lease.partition, lease.seen_id)
        if place(newest) > max(place(lease.seen_id), place(lease.stream_id)):
            news.append({"at": lease.partition, "held": lease.epoch, "newest": newest})
    if news:
        connection.execute(_NOTE_SEEN, news)


def fence(connection: Connection, partitions: Iterable[int]) -> None:
    """Take partitions from whoever has them: every batch that is on its way is refused."""
    fenced = update(_CURSORS).where(_CURSORS.c.partition.in_(list(partitions)))
    connection.execute(fenced.values(owner=NOBODY, epoch=_CURSORS.c.epoch + 1))


class Watch:
    """Tells from beats which writers fell silent, and what others leave; pure, the time is an
    argument.
    """

    def __init__(self, lease_seconds: float) -> None:
        self._lease_s = lease_seconds
        self._watched_s = 0.0
        self._looked_at = 0.0
        self._heard: dict[str, tuple[int, float]] = {}
        self._free: dict[int, float] = {}

    def look(self, beats: Mapping[str, int], now: float) -> dict[str, int]:
        """Return the silent ones with their last beat; ``now`` is in seconds and never goes back.

        A long time without a look says nothing of the others: SQL may have been away from all of
        them. No more than half a lease counts at a time.
        """
        self._watched_s += min(now - self._looked_at, self._lease_s / 2)
        self._looked_at = now
        heard = self._heard
        self._heard = {
            name: heard[name]
            if name in heard and heard[name][0] == count
            else (count, self._watched_s)
            for name, count in beats.items()
        }
        silent = {
            name: count
            for name, (count, since) in self._heard.items()
            if self._watched_s - since >= self._lease_s
        }
        for name in silent:
            del self._heard[name]  # One that comes back begins its count anew.
        return silent

    def left(self, free: Iterable[int]) -> set[int]:
        """Return the partitions that nobody took for the lease time, of those free at this look."""
        self._free = {at: self._free.get(at, self._watched_s) for at in free}
        return {at for at, since in self._free.items() if self._watched_s - since >= self._lease_s}


class Turn(NamedTuple):
    """What a writer does about the leases now."""

    take: list[Lease]
    release: list[int]


def divide(
    leases: Sequence[Lease],
    writer_id: str,
    writers: Iterable[str],
    away: Collection[int] = (),
    left: Collection[int] = (),
) -> Turn:
    """Return what brings a writer to its fair share, as many as the others would have, rounded up.

    A free partition is one without an owner that lives; together the shares cover all of them.
    Those that are ``away`` from this writer are for others to have, and so it has more than its
    share of those that were ``left``.
    """
    live = {*writers, writer_id}
    share = -(-len(leases) // len(live))
    mine = [lease.partition for lease in leases if lease.owner == writer_id]
    held = [at for at in mine if at not in away]
    free = [lease for lease in leases if lease.owner not in live and lease.partition not in away]
    room = max(0, share - len(held))
    more = [lease for lease in free[room:] if lease.partition in left]
    return Turn(free[:room] + more, [*held[share:], *(at for at in mine if at in away)])


class Attendance(NamedTuple):
    """What a look at the leases came to."""

    leases: dict[int, Lease]
    """Those the writer holds now."""
    inherited: int
    """How many it took just now from writers that fell silent."""
    admitted: str
    """The run id of the Redis they are to be read from."""


class Tenant:
    """A writer among those of its installation. It runs in the threads of SQL, a call at a time."""

    def __init__(self, writer_id: str, partitions: Sequence[int], *, lease_seconds: float) -> None:
        self.id = writer_id
        self._partitions = partitions
        self._watch = Watch(lease_seconds)

    def attend(
        self,
        engine: Engine,
        *,
        seen: Mapping[int, str],
        now: float,
        now_ms: int,
        away: Collection[int] = (),
    ) -> Attendance:
        """Beat, bury who fell silent, take what is free and hand over what is too much.

        All in one transaction, which a writer has once a second: ``seen`` are the newest stream
        ids it saw, ``away`` the partitions it could not look at, ``now`` the seconds of a clock
        that never goes back.
        """
        with write_transaction(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(_WAIT_BRIEFLY)
            beat(connection, self.id, now_ms)
            beats = read_beats(connection)
            silent = self._watch.look(beats, now)
            silent.pop(self.id, None)
            bury(connection, silent)
            leases = read_leases(connection, self._partitions)
            left = self._watch.left([one.partition for one in leases if one.owner == NOBODY])
            turn = divide(leases, self.id, beats.keys() - silent.keys(), away, left)
            release(connection, self.id, turn.release)
            taken = take(connection, self.id, turn.take)
            mine = [one for one in leases if one.owner == self.id]
            note_seen(connection, mine, seen)
            # Read last: whoever is given a lease after a fence learns of the server it was for.
            admitted = connection.scalar(_ADMITTED) or ""
        kept = {one.partition: one for one in mine if one.partition not in turn.release}
        orphans = {one.partition for one in turn.take if one.owner != NOBODY}
        inherited = sum(one.partition in orphans for one in taken)
        return Attendance(kept | {one.partition: one for one in taken}, inherited, admitted)

    def beat(self, engine: Engine) -> None:
        """Show that a batch which takes long is in good hands."""
        with write_transaction(engine) as connection:
            raised = update(_WRITERS).where(_WRITERS.c.id == self.id)
            connection.execute(raised.values(beat=_WRITERS.c.beat + 1))

    def leave(self, engine: Engine) -> None:
        """Hand everything over at once."""
        with write_transaction(engine) as connection:
            leave(connection, self.id)
