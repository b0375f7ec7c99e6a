"""How far SQL has come: for each partition the last entry of its stream that was applied."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from persistence.models import Cursor, table_of

_CURSORS = table_of(Cursor).c


def read_cursors(connection: Connection, partitions: Sequence[object]) -> dict[int, str]:
    """Return the cursors that have a row."""
    statement = select(_CURSORS.partition, _CURSORS.stream_id)
    found = connection.execute(statement.where(_CURSORS.partition.in_(partitions)))
    return {row.partition: row.stream_id for row in found}
