"""Histories carried to SQL, as the writer does."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sqlalchemy import Engine

from gateway.stream_ids import BEGINNING
from persistence.sync import store
from persistence.sync.fold import fold
from tests.unit.persistence.entries import BASE_MS, History


def carry(engine: Engine, *histories: History, cuts: Sequence[int] = ()) -> str:
    """Apply histories behind the cursors SQL has, each in the batches the cuts make; return the
    last cursor.
    """
    cursor = BEGINNING
    for history in histories:
        at = history.partition
        cursor = store.open_cursors(engine, [at])[at]
        for start, end in pairwise([0, *cuts, len(history.entries)]):
            batch = fold(history.entries[start:end])
            store.apply(engine, batch, expected={at: cursor}, now_ms=BASE_MS)
            cursor = batch.cursors[0].stream_id
    return cursor
