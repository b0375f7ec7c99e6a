"""Arithmetic on stream ids (``milliseconds-sequence``), which do not sort as text."""

from __future__ import annotations

BEGINNING = "0-0"
"""Before every entry."""


def following(stream_id: str) -> str:
    """Return the next id, which an entry may be given that has nothing to say."""
    milliseconds, sequence = place(stream_id)
    return f"{milliseconds}-{sequence + 1}"


def place(stream_id: str) -> tuple[int, int]:
    """Return what an id sorts by."""
    milliseconds, _, sequence = stream_id.partition("-")
    return int(milliseconds), int(sequence)
