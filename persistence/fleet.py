"""Read what SQL knows of the installation as a whole: revision, who writes what, incidents.

It is what ``/health`` shows beside the state of one process, so it shows no customer and no detail
that could name one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, String, func, literal_column, select, table

from gateway.installation import IncidentHealth, IncidentsHealth
from persistence.database import Store, in_thread, read_transaction
from persistence.models.fleet import Cursor, Incident

INCIDENTS_MAX = 10
"""Incidents that are shown; all of them are rows of ``incidents``."""

_OPEN = Incident.ended_at.is_(None)
_REVISION = select(literal_column("version_num", String)).select_from(table("alembic_version"))


class Fleet(NamedTuple):
    """The installation in one snapshot."""

    revision: str
    """Of the SQL schema."""
    owned: dict[str, int]
    """How many partitions each writer owns; an empty name stands for nobody."""
    incidents: IncidentsHealth


class SqlFleet(Store):
    """The installation, on SQL."""

    @in_thread
    def read(self) -> Fleet:
        """Return the installation as it is. Raises ``UnavailableError``."""
        counted = select(Cursor.owner, func.count().label("partitions"))
        owned = counted.group_by(Cursor.owner).order_by(Cursor.owner)
        with read_transaction(self.engine) as connection:
            return Fleet(
                revision=connection.scalars(_REVISION).first() or "",
                owned={row.owner: row.partitions for row in connection.execute(owned)},
                incidents=_incidents(connection),
            )


def _incidents(connection: Connection) -> IncidentsHealth:
    shown = [getattr(Incident, name) for name in IncidentHealth.__struct_fields__]
    newest = select(*shown).order_by(Incident.at_ms.desc(), Incident.id.desc())

    def found(statement: Select[Any], limit: int) -> list[IncidentHealth]:
        rows = connection.execute(statement.limit(limit)).mappings() if limit else ()
        return [IncidentHealth(**row) for row in rows]

    still_open = found(newest.where(_OPEN), INCIDENTS_MAX)
    ended = found(newest.where(~_OPEN), INCIDENTS_MAX - len(still_open))
    count = connection.scalars(select(func.count()).where(_OPEN)).one()
    return IncidentsHealth(open=count, newest=still_open + ended)
