"""The short way of a plain track, which nearly every entry is: from its text to its rows at once.

Plain is an entry of kind ``track`` with an event and one deduction. What is anything else, or not
readable, is left to ``gateway.outbox``, which alone says what is wrong with it. Both ways lead to
the same batch (tests/property/test_tracks.py).
"""

from __future__ import annotations

from functools import cache

from gateway import outbox
from persistence.sync.batch import DeductionRow, EventRow

_new = tuple.__new__

Track = tuple[int, str, EventRow, DeductionRow]
"""Partition and stream id, and the rows: the second as far as the entry alone says."""


def read_entry(partition: int, stream_id: str, payload: bytes) -> Track | outbox.Entry:
    """Return what an entry is. Raises ``OutboxError``."""
    try:
        return _read_track(partition, stream_id, payload)
    except ValueError:
        return outbox.decode(partition, stream_id, payload)


def _read_track(partition: int, stream_id: str, payload: bytes) -> Track:
    """Return a plain track. It is a ``ValueError`` for anything else."""
    head, event, move = payload.decode().split("\n")
    kind, env, customer_id, internal_id, seq_text, at_text, request_id = head.split("\t")
    first, feature_id, name, entity_id, value, applied, timestamp, properties = event.split("\t", 7)
    second, paid_by, balance_id, slot, period, delta, used, total = move.split("\t")
    if (kind, first, second) != ("track", "E", "D"):
        raise ValueError
    event_id = f"evt_{entry_name(partition, stream_id)}"
    seq, at_ms = int(seq_text), int(at_text)
    columns = (
        event_id,
        env,
        internal_id,
        customer_id,
        entity_id,
        feature_id,
        name,
        kind,
        int(value),
        int(applied),
        properties,
        int(timestamp),
        at_ms,
        request_id,
        seq,
    )
    moved = (
        event_id,
        0,
        internal_id,
        balance_id,
        slot,
        paid_by,
        int(period),
        int(delta),
        int(used),
        int(total),
        None,
        at_ms,
        seq,
    )
    return partition, stream_id, _new(EventRow, columns), _new(DeductionRow, moved)


def entry_name(partition: int, stream_id: str) -> str:
    """Return what the ids of the rows of an entry are built on."""
    return _partition_name(partition) + stream_id


@cache
def _partition_name(partition: int) -> str:
    return f"p{partition:02d}_"
