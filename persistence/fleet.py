"""Read what SQL knows of the installation as a whole: revision, who writes what, incidents.

It is what ``/health`` shows beside the state of one process, so it shows no customer and no detail
that could name one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Select, String, func, literal_column, select, table

from persistence.database import Database, read_transaction
from persistence.models.fleet import Cursor, Incident

INCIDENTS_MAX = 10
"""Incidents that are shown; all of them are rows of ``incidents``."""

_OPEN = Incident.ended_at.is_(None)
_REVISION = select(literal_column("version_num", String)).select_from(table("alembic_version"))


class IncidentRecord(NamedTuple):
    """One time when Redis was not what SQL knows of it; see ``persistence.models.fleet``."""

    id: str
    kind: str
    partition: int | None
    from_id: str
    to_id: str
    lost: int | None
    reseeded: int
    at_ms: int
    ended_at: int | None


class Fleet(NamedTuple):
    """The installation in one snapshot."""

    revision: str
    """Of the SQL schema."""
    owned: dict[str, int]
    """How many partitions each writer owns; an empty name stands for nobody."""
    open_incidents: int
    incidents: list[IncidentRecord]
    """At most ``INCIDENTS_MAX``: open ones first, then the newest that have ended."""


class SqlFleet:
    """The installation, on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> Fleet:
        """Return the installation as it is. Raises ``UnavailableError``."""
        return await self._database.run(_read)


def _read(engine: Engine) -> Fleet:
    counted = select(Cursor.owner, func.count().label("partitions"))
    owned = counted.group_by(Cursor.owner).order_by(Cursor.owner)
    with read_transaction(engine) as connection:
        return Fleet(
            revision=connection.scalars(_REVISION).first() or "",
            owned={row.owner: row.partitions for row in connection.execute(owned)},
            open_incidents=connection.scalars(select(func.count()).where(_OPEN)).one(),
            incidents=_incidents(connection),
        )


def _incidents(connection: Connection) -> list[IncidentRecord]:
    shown = [getattr(Incident, name) for name in IncidentRecord._fields]
    newest = select(*shown).order_by(Incident.at_ms.desc(), Incident.id.desc())

    def found(statement: Select[Any], limit: int) -> list[IncidentRecord]:
        rows = connection.execute(statement.limit(limit)) if limit else ()
        return [IncidentRecord(*row) for row in rows]

    still_open = found(newest.where(_OPEN), INCIDENTS_MAX)
    return still_open + found(newest.where(~_OPEN), INCIDENTS_MAX - len(still_open))
