"""From the texts of a script's reply to the balance objects of a response. Pure.

Formulas are those of hot-path section 1.1: ``remaining`` is floored at zero row by row, ``usage``
is not, a per-entity row counts once for each entity at customer level, and what entities hold
themselves adds to the totals of the customer but not to its breakdown.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from msgspec import UNSET, Raw, UnsetType

from gateway.cycles import last_boundary, next_boundary
from gateway.lifecycle.rules import is_alone, overage_control
from gateway.messages.balances import (
    Balance,
    Breakdown,
    FlagView,
    LeftoverView,
    PriceView,
    ResetView,
)
from gateway.messages.common import number_of
from gateway.rows import Kind, Live, Row, decode_live, decode_rows
from gateway.scripts import Description

NEVER_MS = 253_402_300_799_000
"""The end of the year 9999: when a rollover that never expires is shown to, since clients require a
number there.
"""


class Part(NamedTuple):
    """A row as one scope sees it: how many slots it shows, and what they used and owe together."""

    row: Row
    copies: int
    used: int
    over: int
    due_ms: int

    @property
    def granted(self) -> int:
        """Units granted over all slots."""
        return self.row.grant * self.copies

    @property
    def remaining(self) -> int:
        """Units left, each slot floored at zero."""
        return self.granted - self.used + self.over


class Held(NamedTuple):
    """Sums over what entities hold themselves; ``sunk`` is the use of their unlimited rows."""

    band: int = 0
    granted: int = 0
    used: int = 0
    over: int = 0
    credit: int = 0
    rows: int = 0
    unlimited: int = 0
    sunk: int = 0

    @property
    def left(self) -> int:
        """Units left, each row floored at zero."""
        return self.granted - self.used + self.over


def parts_of(description: Description, *, entity_level: bool, now_ms: int) -> list[Part]:
    """Return what the scope sees of a feature, in spending order, without expired rows."""
    shared: list[Part] = []
    own = [
        _single(row, live)
        for row, live in zip(
            decode_rows(description.own_rows), decode_live(description.own_live), strict=True
        )
    ]
    texts = zip(
        decode_rows(description.rows),
        decode_live(description.live),
        description.counts.split(),
        description.slots.split(),
        strict=True,
    )
    for row, live, count, slot in texts:
        if row.kind is not Kind.PER_ENTITY:
            shared.append(_single(row, live))
        elif not entity_level:
            shared.append(Part(row, int(count), live.used, live.over, live.due_ms))
        elif slot != "-":
            own.append(Part(row, 1, int(slot), max(0, int(slot) - row.grant), live.due_ms))
    own.sort(key=lambda part: part.row.rank)
    if entity_level and is_alone(description.rules):
        shared = []
    return [part for part in own + shared if not 0 < part.row.expires_ms <= now_ms]


def _single(row: Row, live: Live) -> Part:
    return Part(row, 1, live.used, max(0, live.used - row.grant), live.due_ms)


def flag_of(feature_id: str, parts: list[Part]) -> FlagView | None:
    """Return the flag of a boolean feature, or None when no row turns it on."""
    for part in parts:
        if part.row.kind is Kind.FLAG:
            return FlagView(
                id=part.row.id,
                plan_id=part.row.document.plan_id,
                expires_at=part.row.expires_ms or None,
                feature_id=feature_id,
            )
    return None


def balance_of(
    description: Description, precision: int, *, entity_level: bool, now_ms: int
) -> Balance | None:
    """Return the balance of a feature, or None when the scope has no row of it."""
    parts = parts_of(description, entity_level=entity_level, now_ms=now_ms)
    parts = [part for part in parts if part.row.kind is not Kind.FLAG]
    held, rolled = Held(), Held()
    if not entity_level:
        held, rolled = held_of(description.held), held_of(description.rolled)
    if not parts and held.rows == 0 and rolled.rows == 0:
        return None
    leftovers = [part for part in parts if part.row.rollover]
    parts = [part for part in parts if not part.row.rollover]

    unlimited = held.unlimited > 0 or any(part.row.unlimited for part in parts)
    if unlimited:
        granted = remaining = 0
        usage = held.sunk + sum(part.used for part in parts if part.row.unlimited)
    else:
        sources = parts + leftovers
        granted = held.granted + rolled.granted + sum(part.granted for part in sources)
        remaining = held.left + rolled.left + sum(part.remaining for part in sources)
        usage = held.used + rolled.used + sum(part.used for part in sources)
    cap = _max_purchase(parts)
    return Balance(
        feature_id=description.feature,
        granted=number_of(granted, precision),
        remaining=number_of(remaining, precision),
        usage=number_of(usage, precision),
        unlimited=unlimited,
        overage_allowed=_overage_allowed(description, parts),
        max_purchase=None if cap is None else number_of(cap, precision),
        next_reset_at=min((part.due_ms for part in parts if part.due_ms), default=None),
        held=_on_hold(description, precision, entity_level=entity_level),
        breakdown=[breakdown_of(part, precision) for part in parts],
        rollovers=rollovers_of(leftovers, rolled, parts, precision),
    )


def held_of(text: str) -> Held:
    """Return the sums of a description's ``held`` or ``rolled`` text, zeros when there are none."""
    return Held(*map(int, text.split())) if text else Held()


def _on_hold(description: Description, precision: int, *, entity_level: bool) -> Raw | UnsetType:
    """Return the units open locks of the scope hold, left out when there are none."""
    extras = description.own_extras if entity_level else description.extras
    for line in extras.split("\n"):
        if line.startswith("k\t"):
            return number_of(int(line[2:]), precision)
    return UNSET


def rollovers_of(
    leftovers: list[Part], rolled: Held, parts: list[Part], precision: int
) -> list[LeftoverView] | UnsetType:
    """Return what rolled over, earliest expiry first; left out where nothing can roll over. What
    entities hold of it is one item of the customer, which ends when the newest of it does.
    """

    def view(granted: int, left: int, expires_ms: int) -> LeftoverView:
        return LeftoverView(
            granted=number_of(granted, precision),
            balance=number_of(left, precision),
            expires_at=expires_ms or NEVER_MS,
        )

    if not any(part.row.roll for part in parts) and not leftovers and not rolled.rows:
        return UNSET
    views = [view(part.granted, part.remaining, part.row.expires_ms) for part in leftovers]
    if rolled.rows:
        ends = [_rolled_until(part) for part in parts if part.row.roll]
        views.append(view(rolled.granted, rolled.left, max(ends, default=0)))
    return views


def _rolled_until(part: Part) -> int:
    """Return when what rolled over at the last reset of a row expires, as ``roll_over.lua`` does;
    a month's end is that of the day its resets are counted from.
    """
    row = part.row
    months = int(row.roll.rpartition(":")[2])
    if not months:
        return NEVER_MS
    ends = last_boundary(row.anchor_ms, row.unit, row.every, part.due_ms - 1)
    if row.unit == "f":
        return next_boundary(ends, "m", months, ends)
    for _ in range(months):
        ends = next_boundary(row.anchor_ms, "m", 1, ends)
    return ends


def _overage_allowed(description: Description, parts: list[Part]) -> bool:
    """Whether balances may go below zero: as a billing control says, else as any row does."""
    control = overage_control(description.own_rules, description.rules)
    return any(part.row.overage for part in parts) if control is None else control


def _max_purchase(parts: list[Part]) -> int | None:
    priced = [part for part in parts if part.row.document.price is not None]
    if not priced or any(part.row.document.max_purchase is None for part in priced):
        return None
    return sum((part.row.document.max_purchase or 0) * part.copies for part in priced)


def breakdown_of(part: Part, precision: int) -> Breakdown:
    """Return one source as a balance shows it."""
    row, document = part.row, part.row.document

    return Breakdown(
        id=row.id,
        plan_id=document.plan_id,
        included_grant=number_of(document.included * part.copies, precision),
        prepaid_grant=number_of(document.prepaid * part.copies, precision),
        remaining=number_of(0 if row.unlimited else part.remaining, precision),
        usage=number_of(part.used, precision),
        unlimited=row.unlimited,
        reset=reset_of(document.interval, document.interval_count, part.due_ms or None),
        price=None if document.price is None else cast("PriceView", Raw(document.price.encode())),
        expires_at=row.expires_ms or None,
    )


def reset_of(interval: str | None, count: int, resets_at: int | None) -> ResetView | None:
    """Return the reset of a breakdown item or deduction; None where units never expire by use of
    time.
    """
    if interval is None:
        return None
    return ResetView(
        interval=interval, interval_count=UNSET if count == 1 else count, resets_at=resets_at
    )
