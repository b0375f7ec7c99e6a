"""How far SQL has come: for each partition the last entry of its stream that was applied."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select, update

from gateway.stream_ids import BEGINNING, following
from persistence.models import Cursor, table_of

_TABLE = table_of(Cursor)
_CURSORS = _TABLE.c


def read_cursors(connection: Connection, partitions: Sequence[object]) -> dict[int, str]:
    """Return the cursors that have a row."""
    statement = select(_CURSORS.partition, _CURSORS.stream_id)
    found = connection.execute(statement.where(_CURSORS.partition.in_(partitions)))
    return {row.partition: row.stream_id for row in found}


def raise_cursors(connection: Connection) -> dict[int, str]:
    """Move every cursor that has moved before by one entry with nothing in it; return them."""
    found = connection.execute(select(_CURSORS.partition, _CURSORS.stream_id))
    raised = {at: following(cursor) for at, cursor in found if cursor != BEGINNING}
    moved = update(_TABLE).where(_CURSORS.partition == bindparam("at"))
    if raised:
        values = [{"at": at, "end": end} for at, end in raised.items()]
        connection.execute(moved.values(stream_id=bindparam("end")), values)
    return raised
