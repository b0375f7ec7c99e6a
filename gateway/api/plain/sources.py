"""The rows an answer shows, with the numbers a script told of them."""

from __future__ import annotations

from typing import NamedTuple

_LIVE = 6
"""Numbers of a row in a live text."""


class Source(NamedTuple):
    """A row: what decides how it is added up, and its forms.

    ``cap`` is its ``max_purchase`` in units, None without one. With ``resets``, the time of the
    next reset is open in both forms: in ``item``, an element of a breakdown, after what remains and
    what was used, in ``deduction`` before the units.
    """

    is_slot: bool
    grant: int
    rank: str
    expires_ms: int
    overage: bool
    is_priced: bool
    cap: int | None
    resets: bool
    item: bytes
    deduction: bytes


Shown = tuple[Source, int, int, int]
"""A source with what was used of it and what is left, and when it resets next (0: never)."""


class Together(NamedTuple):
    """What entities hold themselves, as the customer's level adds it up, and in how many rows."""

    granted: int = 0
    remaining: int = 0
    usage: int = 0
    rows: int = 0


NOTHING = Together()


def singles(sources: tuple[Source, ...], live: bytes) -> list[Shown]:
    """Return rows that are one number each."""
    numbers = live.split()
    return [
        (source, used := int(numbers[at]), max(0, source.grant - used), int(numbers[at + 4]))
        for source, at in zip(sources, range(0, len(numbers), _LIVE), strict=True)
    ]


def with_slots(sources: tuple[Source, ...], live: bytes) -> list[Shown]:
    """Return rows of which some are the sum of slots, each of them floored at zero."""
    numbers = live.split()
    return [
        (
            source,
            used := int(numbers[at]),
            source.grant - used + int(numbers[at + 1])
            if source.is_slot
            else max(0, source.grant - used),
            int(numbers[at + 4]),
        )
        for source, at in zip(sources, range(0, len(numbers), _LIVE), strict=True)
    ]


def slots_of(rows: list[Shown], slots: bytes) -> list[Shown]:
    """Return the slots of one entity."""
    return [
        (source, used := int(text), max(0, source.grant - used), due)
        for (source, _, _, due), text in zip(rows, slots.split(), strict=True)
        if source.is_slot and text != b"-"
    ]


def together_of(held: bytes) -> Together | None:
    """Return what entities hold; None where some of it is unlimited."""
    if not held:
        return NOTHING
    _, granted, used, over, _, rows, unlimited, _ = map(int, held.split())
    return None if unlimited else Together(granted, granted - used + over, used, rows)


def is_any_rolled(rolled: bytes) -> bool:
    """Whether entities have anything that rolled over."""
    return bool(rolled) and rolled.split()[5] != b"0"


def rank_of(shown: Shown) -> str:
    """Return what sources are sorted by."""
    return shown[0].rank
