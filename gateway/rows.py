r"""The text of balance rows as Redis keeps it: what a script can parse in a microsecond.

A *row* is one source of units for one feature: a plan item attached to a customer or to an entity,
or a per-entity item that gives every entity of a feature its own slot. Its static part is one line
of tab-separated columns, written when plans change; its live numbers are six integers, rewritten by
every deduction::

    id kind grant flags unit every anchor_ms expires_ms floor rank entity_feature roll document
    used over credit period due_ms first

Rows of one feature are joined by ``\n`` in spending order, their live numbers by spaces in the
same order.

``used``     units consumed since the last reset; negative after a give-back beyond the grant. Of a
             per-entity row: the sum over its slots. What is left is ``grant - used``.
``over``     of a per-entity row: sum over slots of what they used beyond their grant, else 0.
``credit``   of a per-entity row: sum over slots of what they hold above their grant, else 0.
``period``   a number that changes at each reset. A slot that carries another one is as good as
             new, so a reset touches no slot.
``due_ms``   when the row resets next, 0 for never.
``first``    of a per-entity row: no entity with a smaller number has anything left.

A *rollover row* is what was left of another row when it reset: flag ``r``, kind ``c``, no reset
of its own, ``grant`` the units that were left, ``roll`` the id of the row they came from, ``rank``
a ``!``, its expiry in 14 digits (never sorts last), when the reset was due in 14 digits, and the
rank of that row. The ``roll`` of any other row is empty, or ``max:months`` when what is left at its
reset becomes a rollover row: at most ``max`` units over all its rollovers (empty for no limit), for
``months`` months (0 for ever).

Amounts are units of 10^-precision of the row's feature. Lua reads the same columns in
``lua/include/parse_rows.lua``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec


class Kind(StrEnum):
    """What a row gives, and to whom."""

    SHARED = "c"
    """One number: held by the customer, or by the one entity that owns the row."""
    PER_ENTITY = "p"
    """A slot for each entity of ``entity_feature``."""
    FLAG = "b"
    """A boolean feature; no numbers."""


class Flag(StrEnum):
    """Letters in the ``flags`` column."""

    UNLIMITED = "u"
    OVERAGE = "o"
    """Pay-per-use: may go below zero, down to ``floor``."""
    ALLOCATED = "a"
    """Continuous use: usage survives plan changes."""
    FREE_OVERAGE = "f"
    """May go below zero unless the call rejects it: continuous use without a price."""
    ROLLOVER = "r"
    """The row is what another one had left when it reset."""
    KEEPS_OVERAGE = "k"
    """What was used beyond the grant stays used after a reset."""


class RowDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What responses show of a row, and scripts read where they have time. ``included`` and
    ``prepaid`` are units per slot.
    """

    plan_id: str | None = None
    subscription_id: str | None = None
    included: int = 0
    planned: int | None = None
    """Units included from the next reset on, where what is included now was set by hand."""
    prepaid: int = 0
    interval: str | None = None
    interval_count: int = 1
    price: str | None = None
    """JSON of ``gateway.messages.balances.PriceView``."""
    max_purchase: int | None = None
    givers: int = 0
    """Of a pooled row: how many plans of entities give to it; it ends with the last one."""
    apart: bool = False
    """Whether an add-on or a one-off plan gives it: no part of what percentages are of."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The static part of a balance row."""

    id: str
    kind: Kind
    grant: int = 0
    flags: str = ""
    unit: str = ""
    """How ``every`` counts: ``f`` fixed milliseconds, ``m`` calendar months, empty for never."""
    every: int = 0
    anchor_ms: int = 0
    expires_ms: int = 0
    floor: int | None = None
    """Overage allowed per slot; None is without end."""
    rank: str = ""
    entity_feature: str = ""
    roll: str = ""
    """``max:months`` of a row whose rest rolls over; of a rollover row, the id of that row."""
    document: RowDocument = RowDocument()

    def has_expired(self, now_ms: int) -> bool:
        """Whether the row is there no more at a time."""
        return 0 < self.expires_ms <= now_ms

    @property
    def unlimited(self) -> bool:
        """Whether the row absorbs any amount."""
        return Flag.UNLIMITED in self.flags

    @property
    def overage(self) -> bool:
        """Whether the row is pay-per-use."""
        return Flag.OVERAGE in self.flags

    @property
    def allocated(self) -> bool:
        """Whether the row counts continuous use."""
        return Flag.ALLOCATED in self.flags

    @property
    def pooled(self) -> bool:
        """Whether plans of entities give the row to their customer together."""
        return self.document.givers > 0

    @property
    def planned(self) -> int:
        """What the row includes, whatever was set by hand."""
        document = self.document
        return document.included if document.planned is None else document.planned

    @property
    def rollover(self) -> bool:
        """Whether the row is what another one had left when it reset."""
        return Flag.ROLLOVER in self.flags


class Live(NamedTuple):
    """The live numbers of a row."""

    used: int = 0
    over: int = 0
    credit: int = 0
    period: int = 0
    due_ms: int = 0
    first: int = 0


_encoder = msgspec.json.Encoder()
_document_decoder = msgspec.json.Decoder(RowDocument)
_COLUMNS = 13


def encode_row(row: Row) -> str:
    """Return the line of a row."""
    return "\t".join(
        (
            row.id,
            row.kind,
            str(row.grant),
            row.flags,
            row.unit,
            str(row.every),
            str(row.anchor_ms),
            str(row.expires_ms),
            "" if row.floor is None else str(row.floor),
            row.rank,
            row.entity_feature,
            row.roll,
            _encoder.encode(row.document).decode(),
        ),
    )


def decode_row(line: str) -> Row:
    """Return the row of a line written by ``encode_row``."""
    columns = line.split("\t", _COLUMNS - 1)
    return Row(
        id=columns[0],
        kind=Kind(columns[1]),
        grant=int(columns[2]),
        flags=columns[3],
        unit=columns[4],
        every=int(columns[5]),
        anchor_ms=int(columns[6]),
        expires_ms=int(columns[7]),
        floor=int(columns[8]) if columns[8] else None,
        rank=columns[9],
        entity_feature=columns[10],
        roll=columns[11],
        document=_document_decoder.decode(columns[12]),
    )


def encode_rows(rows: list[Row]) -> str:
    """Return the text of a feature's rows."""
    return "\n".join(map(encode_row, rows))


def decode_rows(text: str) -> list[Row]:
    """Return the rows of a feature's text."""
    return [decode_row(line) for line in text.split("\n")] if text else []


def encode_live(lives: list[Live]) -> str:
    """Return the live text that belongs to rows in the same order."""
    return " ".join(f"{n.used} {n.over} {n.credit} {n.period} {n.due_ms} {n.first}" for n in lives)


def decode_live(text: str) -> list[Live]:
    """Return the live numbers of a feature's text."""
    numbers = [int(number) for number in text.split()]
    return [Live(*numbers[at : at + 6]) for at in range(0, len(numbers), 6)]
