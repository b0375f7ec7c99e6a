"""What time does to the balances of one holder: expiry, reset, and what rolls over (hot-path 5)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta
from msgspec import structs

from gateway.cycles import last_boundary, next_boundary
from gateway.rows import Flag, Kind, Row
from tests.property.balances import Balance

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = 10**13


def expiry_of(row: Row, now_ms: int) -> int:
    """Return when what is left of a row now expires; 0 for never."""
    months = int(row.roll.split(":")[1])
    if not months:
        return 0
    boundary_ms = last_boundary(row.anchor_ms, row.unit, row.every, now_ms)
    start, end = (_EPOCH + timedelta(milliseconds=ms) for ms in (row.anchor_ms, boundary_ms))
    if row.unit == "m":
        months += (end.year - start.year) * 12 + end.month - start.month
        end = start
    return (end + relativedelta(months=months) - _EPOCH) // timedelta(milliseconds=1)


def rollover(row: Row, left: int, row_id: str, expires_ms: int, due_ms: int) -> Balance:
    """Return what was left of a row at its reset, due then, as a balance of its own."""
    return Balance(
        Row(
            id=row_id,
            kind=Kind.SHARED,
            grant=left,
            flags=Flag.ROLLOVER,
            expires_ms=expires_ms,
            rank=f"!{expires_ms or _NEVER:014d}{due_ms:014d}{row.rank}",
            roll=row.id,
        ),
        0,
    )


def due(balance: Balance, now_ms: int) -> bool:
    return 0 < balance.due_ms <= now_ms


def leftover(balance: Balance, name: str) -> int:
    """Return what a row, or one slot of it, hands on when it resets."""
    if not balance.row.roll or balance.row.rollover or balance.row.unlimited:
        return 0
    return max(0, balance.row.grant - balance.of(name))


def reset(balance: Balance, now_ms: int) -> None:
    """Begin a new period; what was used beyond the grant stays where the row says so, and a grant
    that was set by hand does not.
    """
    row = balance.row
    keeps = Flag.KEEPS_OVERAGE in row.flags
    over = {name: max(0, used - row.grant) for name, used in balance.used.items() if keeps}
    balance.used = {name: used for name, used in over.items() if used}
    balance.due_ms = next_boundary(row.anchor_ms, row.unit, row.every, now_ms)
    balance.period += 1
    if row.document.planned is not None:
        document = structs.replace(row.document, included=row.planned, planned=None)
        grant = row.planned + row.document.prepaid
        balance.row = structs.replace(row, grant=grant, document=document)


def with_rollovers(held: list[Balance], made: Iterable[Balance], parents: Iterable[Row]) -> None:
    """Add rollovers to what their holder has; then cut those of each parent to its maximum, and
    end those of them that have nothing left.
    """
    held += made
    for parent in parents:
        most = parent.roll.split(":")[0]
        of_parent = [one for one in held if one.row.rollover and one.row.roll == parent.id]
        of_parent.sort(key=lambda one: one.row.rank)
        beyond = sum(left(one) for one in of_parent) - int(most) if most else 0
        for one in of_parent:
            cut = min(left(one), max(0, beyond))
            one.resize(one.row.grant - cut)
            beyond -= cut
        held[:] = [one for one in held if one not in of_parent or left(one)]
    held.sort(key=lambda one: (not one.row.rollover, one.row.rank if one.row.rollover else ""))


def left(balance: Balance) -> int:
    return max(0, balance.row.grant - balance.of(""))
