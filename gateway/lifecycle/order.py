"""Spending order of balance rows, decided once when rows change and stored with them (hot-path
section 3.2).
"""

from __future__ import annotations

from gateway.rows import Kind, Row

_NEVER = 10**13
_MONTH_SECONDS = 30 * 86_400


def rank(
    *,
    created_ms: int,
    position: int,
    unlimited: bool = False,
    unit: str = "",
    every: int = 0,
    expires_ms: int = 0,
    add_on: bool = False,
    overage: bool = False,
) -> str:
    """Return a text whose alphabetical order is the spending order.

    Unlimited first; rows that reset before rows that never do; shorter interval; earlier expiry;
    base plan before add-on; included and prepaid before pay-per-use; older first; then the position
    in the plan, so that no two rows of one feature are equal.
    """
    lasts = _lasts(unit, every, expires_ms)
    return f"{0 if unlimited else 1}{lasts}{add_on:d}{overage:d}{created_ms:014d}{position:03d}"


def rerank(rank_text: str, *, unit: str, every: int, expires_ms: int) -> str:
    """Return the rank of a row whose reset or expiry has changed; the rest of it stays."""
    if not rank_text.startswith(("0", "1")):  # of a flag: nothing is spent from it
        return rank_text
    lasts = _lasts(unit, every, expires_ms)
    return rank_text[0] + lasts + rank_text[1 + len(lasts) :]


def _lasts(unit: str, every: int, expires_ms: int) -> str:
    seconds = every // 1000 if unit == "f" else every * _MONTH_SECONDS
    return f"{0 if unit else 1}{seconds:010d}{(expires_ms or _NEVER):014d}"


def arrange(rows: list[Row]) -> list[Row]:
    """Return the customer's rows of a feature in order: shared ones first, per-entity ones last."""
    return sorted(rows, key=lambda row: (row.kind is Kind.PER_ENTITY, row.rank))
