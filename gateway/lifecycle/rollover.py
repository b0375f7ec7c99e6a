"""How a rollover rule becomes the ``roll`` of a balance row (hot-path section 5). Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal

import msgspec

from gateway.amounts import to_units
from gateway.messages.plans import Rollover
from gateway.rows import Kind, Row


def roll_of(rollover: Rollover | None, grant: int, precision: int, *, field: str) -> str:
    """Return ``max:months`` as ``gateway.rows`` defines it; empty where nothing rolls over.

    A percentage is one of ``grant``, what a row begins with, rounded down to a whole one.
    """
    if rollover is None:
        return ""
    months = 0
    if rollover.expiry_duration_type == "month":
        months = rollover.expiry_duration_length
        if months == 0:  # it would end at the reset it began at
            return ""
    most = ""
    if rollover.max is not None:
        most = str(to_units(Decimal(rollover.max), precision, field=field))
    elif rollover.max_percentage is not None:
        one = 10**precision
        most = str(int(grant * Decimal(rollover.max_percentage) / (100 * one)) * one)
    return f"{most}:{months}"


def _rolls_over(row: Row) -> bool:
    return row.kind is Kind.SHARED and row.roll != "" and not row.rollover


def adopt_rollovers(
    held: Sequence[Row], added: Sequence[Row], inherited: Collection[str] = ()
) -> list[Row]:
    """Return the rows of a feature with rollovers whose own row is gone handed to the first added
    row that is one number and rolls over too; without one they are gone (cold-path section 3.5).
    ``inherited`` are ids of rows that are held elsewhere: what rolled over of them stays theirs.
    """
    parents = {row.id for row in held if not row.rollover} | set(inherited)
    heir = next((row.id for row in added if _rolls_over(row)), None)
    rows: list[Row] = []
    for row in held:
        if not row.rollover or row.roll in parents:
            rows.append(row)
        elif heir is not None:
            rows.append(msgspec.structs.replace(row, roll=heir))
    return rows
