"""The rows an answer shows, with the numbers a script told of them."""

from __future__ import annotations

from typing import NamedTuple

from gateway.amounts import format_units
from gateway.lifecycle.rules import ALONE_LINE

_ALONE = ALONE_LINE.encode()
_LIVE = 6
"""Numbers of a row in a live text."""
COUNTED = 9
"""Which text of a description says what the customer's limits have counted."""

_SEPARATORS = 12
"""Between the texts of a description."""


class Source(NamedTuple):
    """A row: what decides how it is added up, and its forms.

    ``grant`` of an unlimited row is below any use, so that nothing is left of it. ``cap`` is its
    ``max_purchase`` in units, None without one. With ``resets``, the time of the
    next reset is open in both forms: in ``item``, an element of a breakdown, after what remains and
    what was used, in ``deduction`` before the units. ``leftover`` is the form of what rolled over,
    empty for what is an item; ``rolls`` says that a balance with it names what rolled over.
    """

    is_slot: bool
    grant: int
    rank: str
    expires_ms: int
    unlimited: bool
    overage: bool
    is_priced: bool
    cap: int | None
    resets: bool
    item: bytes
    deduction: bytes
    leftover: bytes
    rolls: bool


class Rows(NamedTuple):
    """The rows of one text; whether any of them is per entity, and whether any expires, is
    unlimited, permits overage, has a price or rolls over. ``alone`` is the form of a balance of
    which a single row, or one slot of it, is everything, with its next reset open once more if it
    ``resets``; empty for other rows.
    """

    sources: tuple[Source, ...] = ()
    has_slots: bool = False
    is_special: bool = False
    alone: bytes = b""
    resets: bool = False
    scale: int = 1
    """Units of the amount 1."""

    def written(self, told: tuple[bytes, bytes], due: bytes) -> bytes:
        """Return the balance of a row that is everything, with what is left and used of it."""
        at = b"null" if due == b"0" else due
        return self.alone % ((*told, at, *told, at) if self.resets else (*told, at, *told))


NO_ROWS = Rows()


class Lone(NamedTuple):
    """A row that is everything an answer shows, and which text of the description says how much of
    it was used; which one may say what it likes, if it ends like this: at the entity's level the
    answer shows nothing else of the sums over all entities. The next reset as it is told. And which
    text says what limits have counted, which no answer shows, if there are any.
    """

    rows: Rows
    at: int
    used: bytes
    due: bytes
    loose: int | None = None
    ends: bytes = b""
    counted: int | None = None

    def behind(self, others: int) -> Lone:
        """Return the same where the description stands behind so many others."""
        texts = others * _SEPARATORS
        loose = None if self.loose is None else self.loose + texts
        counted = None if self.counted is None else self.counted + texts
        return self._replace(at=self.at + texts, loose=loose, counted=counted)


Shown = tuple[Source, int, int, int]
"""A source with what was used of it and what is left, and when it resets next (0: never)."""


class Together(NamedTuple):
    """What entities hold themselves, as the customer's level adds it up, and in how many rows."""

    granted: int = 0
    remaining: int = 0
    usage: int = 0
    rows: int = 0


NOTHING = Together()


def number_of(units: int, scale: int) -> bytes:
    """Return units as the number of an answer."""
    whole, fraction = divmod(units, scale)
    if fraction:
        return format_units(units, len(str(scale)) - 1).encode()
    return b"%d" % whole


def left_and_used(grant: int, used: bytes, scale: int) -> tuple[bytes, bytes]:
    """Return what is left of a grant, and what was used of it, as numbers of an answer; the units
    used are given as a script writes them.
    """
    units = int(used)
    left = grant - units if units < grant else 0
    if scale == 1:
        return b"%d" % left, used
    if units % scale or left % scale:
        return number_of(left, scale), number_of(units, scale)
    return b"%d" % (left // scale), b"%d" % (units // scale)


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


def seen_by_entity(
    own: Rows, own_live: bytes, rows: Rows, live: bytes, slots: bytes
) -> list[Shown]:
    """Return what one entity may spend from, in spending order: rows and slots of its own, then
    what the customer holds.
    """
    shown = singles(own.sources, own_live)
    shared = singles(rows.sources, live)
    if rows.has_slots:
        shown += [
            (source, used := int(text), max(0, source.grant - used), due)
            for (source, _, _, due), text in zip(shared, slots.split(), strict=True)
            if source.is_slot and text != b"-"
        ]
        shared = [one for one in shared if not one[0].is_slot]
    if len(shown) > 1:
        shown.sort(key=lambda one: one[0].rank)
    return shown + shared


def together_of(held: bytes) -> Together | None:
    """Return what entities hold; None where some of it is unlimited."""
    if not held:
        return NOTHING
    _, granted, used, over, _, rows, unlimited, _ = map(int, held.split())
    return None if unlimited else Together(granted, granted - used + over, used, rows)


def control_of(*rules: bytes) -> bytes | None:
    """Return what the first rules text with a say in it says of overage, as JSON."""
    for text in rules:
        if text.startswith(b"o\t"):
            return b"true" if text.startswith(b"o\t1") else b"false"
    return None


def is_odd(texts: list[bytes], *, entity_level: bool) -> bool:
    """Whether a description shows more than rows: what rolled over of entities, which the
    customer's level alone shows, or rows of the customer that an entity may not spend from.
    """
    rules, rolled = texts[8], texts[12]
    if entity_level:
        return rules.endswith(_ALONE)
    return bool(rolled) and rolled.split()[5] != b"0"


def on_hold(texts: list[bytes], *, entity_level: bool) -> bytes:
    """Return the units that open locks hold, nothing where there are none; those of all entities
    the customer's level alone shows.
    """
    extras = texts[11] if entity_level else texts[9]
    for line in extras.split(b"\n") if extras else ():
        if line.startswith(b"k\t"):
            return line[2:]
    return b""


def lone_of(texts: list[bytes], own: Rows, rows: Rows, *, entity_level: bool) -> Lone | None:
    """Return the row that is everything a description shows; None where there is more."""
    _, text, live, held, _, own_text, own_live, slots, *_ = texts
    one = rows if text else own
    more = text and own_text if entity_level else held or own_text
    if more or not one.alone or (one.has_slots and (not entity_level or slots == b"-")):
        return None
    used, _, _, _, due, first = (live if text else own_live).split()
    if one.has_slots:
        return Lone(one, 7, slots, due, loose=2, ends=b" %b %b" % (due, first))
    return Lone(one, 2, used, due) if text else Lone(one, 6, used, due, loose=3)
