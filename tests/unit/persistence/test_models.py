"""What the models say of the columns: which of them hold amounts."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column

from persistence.models import Base
from persistence.models.base import AMOUNTS, Amounts, whole_metadata
from persistence.rescaling import TEXTS

COUNTS = {
    *("attempts", "beat", "counter", "denied", "epoch", "events", "generation", "id", "lost"),
    *("interval_count", "last_status", "number", "number_max", "partition", "partitions", "period"),
    *("position", "precision", "reseeded", "revision", "revocations", "seq", "version"),
    *("cursors.applied", "features.scale"),
}
"""Integers that are no amounts and no times."""

TIMES = ("_at", "_ms", "_hour")

DOCUMENTS = {"document", "line", "receipt", "body", "payload", "properties"}
"""Texts and bytes that have more in them than a name."""

WITHOUT_AMOUNTS = {
    "events.properties": "the caller's own",
    "features.document": "decimals of a credit cost, which stays",
    "plans.document": "decimals, looked at in the catalog",
    "webhook_deliveries.body": "decimals, signed as they are",
    "dead_letters.payload": "as it was written, and carried nowhere",
}


def columns() -> list[tuple[str, Column[object]]]:
    return [
        (f"{table.name}.{column.name}", column)
        for table in whole_metadata().sorted_tables
        for column in table.c
    ]


def test_every_integer_is_an_amount_a_count_or_a_time() -> None:
    """A column that fails here needs ``Field[Units]``, or a place above: ``tallygate rescale`` has
    to know it.
    """
    unknown = [
        name
        for name, column in columns()
        if isinstance(column.type, BigInteger)
        and AMOUNTS not in column.info
        and not column.name.endswith(TIMES)
        and not {name, column.name} & COUNTS
    ]
    assert unknown == []


def test_every_document_is_known_to_hold_amounts_or_none() -> None:
    inside = {name for name, column in columns() if column.info.get(AMOUNTS) is Amounts.INSIDE}
    documents = {name for name, column in columns() if column.name in DOCUMENTS}
    assert documents == inside | WITHOUT_AMOUNTS.keys()
    assert inside == {f"{text.table.name}.{text.column.name}" for text in TEXTS}


def test_a_row_with_amounts_says_of_which_feature_and_whose_they_are() -> None:
    for table in Base.metadata.sorted_tables:
        if any(column.info.get(AMOUNTS) in {Amounts.ONE, Amounts.PART} for column in table.c):
            assert {"feature_id", "internal_id"} <= set(table.c.keys())
