"""What SQL remembers of Redis, and the times it was not what SQL knows of it.

``gateway.installation.Installation`` on SQL: the guard compares by it. Every statement is one short
transaction and none waits for Redis. Fencing goes through ``persistence.sync.leases``, which knows
what makes a writer stop.

Failure. SQL gone raises ``UnavailableError`` and leaves everything as it was. An incident is known
by what it is about, so one that is reported again, after a crash or by another process, stays one
row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from sqlalchemy import Connection, select, tuple_, update

from gateway.cycles import HOUR_MS
from gateway.installation import Hold, Incident, IncidentKind, Past, Reached, Touched
from gateway.ports import WallClock
from persistence import models
from persistence.database import Database, Store, in_thread, read_transaction, write_transaction
from persistence.dialects import INSERTS
from persistence.models import table_of
from persistence.questions import Question
from persistence.sync import leases

_INSTALLATION = table_of(models.Installation)
_CURSORS = table_of(models.Cursor)
_CUSTOMERS = table_of(models.Customer)
_INCIDENTS = table_of(models.Incident)
_LOCKS = table_of(models.Lock)

_RUN_ID = Question(select(_INSTALLATION.c.run_id))

_ID_DIGITS = 26


class SqlInstallation(Store):
    """The protocol on SQL."""

    def __init__(self, database: Database, clock: WallClock) -> None:
        super().__init__(database)
        self._clock = clock

    @in_thread
    def past(self) -> Past:
        """Return everything, from one snapshot."""
        with read_transaction(self.engine) as connection:
            return _read_past(connection)

    @in_thread
    def admitted(self) -> str:
        """Return the run id of the server that was admitted last, or is being admitted."""
        ((run_id,),) = _RUN_ID.rows(self.engine)
        return str(run_id)

    @in_thread
    def fence(self, partitions: Sequence[int], run_id: str) -> Past:
        """Take the partitions from their writers and set the server; return what is known from
        then on.
        """
        rows = select(_CURSORS.c.partition).where(_CURSORS.c.partition.in_(partitions))
        with write_transaction(self.engine) as connection:
            # Locked in the order in which writers lock them, so that neither waits for the other.
            connection.execute(rows.order_by(_CURSORS.c.partition).with_for_update())
            leases.fence(connection, partitions)
            connection.execute(update(_INSTALLATION).values(run_id=run_id))
            return _read_past(connection)

    @in_thread
    def touched(self, since_ms: int, after: Touched | None, limit: int) -> Sequence[Touched]:
        """Return customers SQL has entries of from that time on, by the hour, after a place."""
        columns = _CUSTOMERS.c
        order = (columns.applied_hour, columns.internal_id)
        named = (columns.env, columns.id, columns.email)
        statement = select(columns.applied_ms, columns.internal_id, *named).where(
            columns.applied_hour >= since_ms // HOUR_MS, columns.applied_ms >= since_ms
        )
        if after is not None:
            reached = tuple_(after.applied_ms // HOUR_MS, after.internal_id)
            statement = statement.where(tuple_(*order) > reached)
        with read_transaction(self.engine) as connection:
            return [
                Touched(*row) for row in connection.execute(statement.order_by(*order).limit(limit))
            ]

    @in_thread
    def holds(self, after: Hold | None, limit: int) -> Sequence[Hold]:
        """Return open locks in the order of their customers, after a place."""
        order = (_LOCKS.c.internal_id, _LOCKS.c.lock_id)
        columns = (*order, _CUSTOMERS.c.env, _CUSTOMERS.c.id, _LOCKS.c.expires_at)
        statement = (
            select(*columns)
            .join(_CUSTOMERS, _CUSTOMERS.c.internal_id == _LOCKS.c.internal_id)
            .where(_LOCKS.c.ended_at.is_(None))
            .order_by(*order)
        )
        if after is not None:
            statement = statement.where(tuple_(*order) > (after.internal_id, after.lock_id))
        with read_transaction(self.engine) as connection:
            return [Hold(*row) for row in connection.execute(statement.limit(limit))]

    @in_thread
    def report(self, incidents: Sequence[Incident], seen: Mapping[int, str]) -> int:
        """Keep incidents that are not known yet and set what was seen of some partitions; return
        how many incidents were new.
        """
        now_ms = self._clock.now_ms()
        with write_transaction(self.engine) as connection:
            new = 0
            for incident in incidents:
                row = incident._asdict() | {"kind": incident.kind.value, "at_ms": now_ms}
                insert = INSERTS[self.engine.dialect.name](_INCIDENTS).values(
                    id=_id_of(incident), ended_at=None, **row
                )
                inserted = insert.on_conflict_do_nothing().returning(_INCIDENTS.c.id)
                new += len(connection.execute(inserted).all())
            for at, newest in sorted(seen.items()):
                one = update(_CURSORS).where(_CURSORS.c.partition == at)
                connection.execute(one.values(seen_id=newest))
            return new

    @in_thread
    def admit(self, run_id: str) -> bool:
        """End open incidents; False when another server has been set since ``fence``."""
        still_open = _INCIDENTS.c.ended_at.is_(None)
        with read_transaction(self.engine) as connection:
            if connection.scalars(select(_INSTALLATION.c.run_id)).one() != run_id:
                return False
            found = select(_INCIDENTS.c.id).where(still_open).limit(1)
            if connection.scalars(found).first() is None:
                return True
        is_ours = select(_INSTALLATION.c.run_id).where(_INSTALLATION.c.run_id == run_id)
        with write_transaction(self.engine) as connection:
            if connection.scalars(is_ours.with_for_update()).first() is None:
                return False
            ended = update(_INCIDENTS).where(still_open).values(ended_at=self._clock.now_ms())
            connection.execute(ended)
            return True


def _read_past(connection: Connection) -> Past:
    kept = select(_INSTALLATION.c.identity, _INSTALLATION.c.run_id)
    identity, run_id = connection.execute(kept).one()
    cursors = select(_CURSORS.c.partition, _CURSORS.c.stream_id, _CURSORS.c.seen_id)
    found = connection.execute(cursors.order_by(_CURSORS.c.partition))
    return Past(identity, run_id, {at: Reached(cursor, seen) for at, cursor, seen in found})


def _id_of(incident: Incident) -> str:
    """Return an id by where an incident began; a repair that begins again finds the same."""
    about = [incident.kind, incident.partition, incident.from_id, incident.run_id]
    if incident.kind is IncidentKind.REDIS_FLUSHED:
        # One server may be emptied twice, and each time loses all from the beginning: what tells
        # them apart is how far SQL had come.
        about.append(incident.detail)
    digest = sha256("\t".join(map(str, about)).encode()).hexdigest()
    return f"inc_{digest[:_ID_DIGITS]}"
