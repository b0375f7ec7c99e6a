"""Carry a batch into SQL: the only module that writes what came through the outbox.

One transaction moves the cursor of every partition in the batch by compare-and-set, on its place,
its owner and its epoch, and then writes the rows, a few statements for each table
(``persistence.sync.merge``). It must never move a cursor without the rows, never let a smaller
``seq`` win, and never read a clock.

Cost: on PostgreSQL one round trip for a batch, however large, with a statement for each list that
has rows: ten for a batch of tracks. A second one finds out that SQL has events of it already.

Failure: Redis gone means nothing here. SQL gone at any point rolls the batch back, and the caller
applies it again from the cursor SQL shows. A crash leaves all of the batch or nothing of it; when
the answer to a commit is lost, the next compare-and-set finds out. A batch SQL refuses for what is
in it raises ``BatchRefusedError``: the fault is in an entry, and no waiting will cure it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from sqlalchemy import Engine, exc, func, select

from gateway.errors import GatewayError, StartError, UnavailableError
from gateway.ids import new_id
from gateway.stream_ids import BEGINNING
from persistence import models
from persistence.cursors import read_cursors
from persistence.database import batch_transaction, read_transaction, reason, write_transaction
from persistence.dialects import INSERTS
from persistence.models import table_of
from persistence.sync.batch import Batch
from persistence.sync.leases import FREE, Tenure
from persistence.sync.merge import QUICK_STEPS, STEPS, CursorRow
from persistence.sync.staging import (
    RowMissedError,
    Runs,
    forgetting_stages,
    is_missed_row,
    send,
)

_CURSORS = table_of(models.Cursor)

# Each merge joins a small table to a large one by its key. PostgreSQL has no statistics of the
# small one, and one plan that walks the large one instead would stall every batch: it is kept, also
# if it was made while the large one was empty.
_PLAN_BY_INDEX = "SELECT " + ", ".join(
    f"set_config('enable_{way}', 'off', true)" for way in ("hashjoin", "mergejoin", "seqscan")
)


class CursorMovedError(GatewayError):
    """A cursor of the batch was moved, taken or fenced; nothing of it was written."""


class BatchRefusedError(GatewayError):
    """SQL refuses a value in the batch; nothing of it was written."""


def apply(
    engine: Engine,
    batch: Batch,
    *,
    expected: Mapping[int, str],
    now_ms: int,
    tenure: Tenure = FREE,
) -> None:
    """Write a batch whose entries follow the ``expected`` cursors, which must be the ``tenure``'s.

    Raises ``CursorMovedError``, ``BatchRefusedError`` or ``UnavailableError``; nothing was written
    then, except that a lost connection leaves it open whether the commit arrived.
    """
    write = partial(_write, engine, batch, _moves(batch, expected, now_ms, tenure))
    with _named_faults():
        try:
            write(QUICK_STEPS[engine.dialect.name])
        except exc.IntegrityError:
            # Nothing was written. SQL may have events of it under an older cursor; what it cannot
            # have is refused again.
            write(STEPS[engine.dialect.name])


def _write(
    engine: Engine,
    batch: Batch,
    moves: Sequence[CursorRow],
    steps: Mapping[str, Runs],
) -> None:
    with batch_transaction(engine) as connection, forgetting_stages(connection):
        if engine.dialect.name == "postgresql":
            send(connection, _PLAN_BY_INDEX)
        steps["cursors"].run(connection, moves)
        for name, step in steps.items():
            if name != "cursors":
                step.run(connection, getattr(batch, name))


def open_cursors(engine: Engine, partitions: Iterable[int]) -> dict[int, str]:
    """Return the last applied stream id of each partition, and make sure that it has a row."""
    free = {"stream_id": BEGINNING, "seen_id": BEGINNING, "owner": "", "epoch": 0}
    rows = [{"partition": at, "updated_at_ms": 0, "applied": 0, **free} for at in partitions]
    statement = INSERTS[engine.dialect.name](_CURSORS).on_conflict_do_nothing()
    with _named_faults(), write_transaction(engine) as connection:
        connection.execute(statement, rows)
        return read_cursors(connection, [row["partition"] for row in rows])


def count_dead_letters(engine: Engine, partitions: Sequence[int]) -> int:
    """Return how many entries of these partitions were ever set aside."""
    letters = table_of(models.DeadLetter)
    statement = select(func.count()).where(letters.c.partition.in_(partitions))
    with _named_faults(), read_transaction(engine) as connection:
        return connection.scalars(statement.select_from(letters)).one()


def claim_installation(engine: Engine, partitions: int) -> None:
    """Keep the partition count at the first start; later raise ``StartError`` if it differs."""
    table = table_of(models.Installation)
    with _named_faults(), write_transaction(engine) as connection:
        claim = INSERTS[engine.dialect.name](table).values(
            id=1, partitions=partitions, identity=new_id("inst"), run_id=""
        )
        connection.execute(claim.on_conflict_do_nothing())
        found = connection.scalars(select(table.c.partitions)).one()
    if found != partitions:
        raise StartError(f"SQL was set up with {found} partitions, not {partitions}")


@contextmanager
def _named_faults() -> Iterator[None]:
    try:
        yield
    except (
        exc.IntegrityError,
        exc.DataError,
        OverflowError,  # SQLite's driver, for an integer above 64 bits.
        RowMissedError,
    ) as error:
        if is_missed_row(error):
            raise CursorMovedError from error
        raise BatchRefusedError(f"SQL refuses the batch: {_first_line(error)}") from error
    except (exc.DBAPIError, exc.TimeoutError) as error:
        raise UnavailableError(f"{reason(error)}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


def _moves(
    batch: Batch, expected: Mapping[int, str], now_ms: int, tenure: Tenure
) -> list[CursorRow]:
    return [
        CursorRow(
            *move,
            expected=expected.get(move.partition, BEGINNING),
            owner=tenure.owner,
            epoch=tenure.epochs.get(move.partition, 0),
            updated_at_ms=now_ms,
        )
        for move in batch.cursors
    ]
