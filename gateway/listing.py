"""What ``balances.list`` asks of SQL: which balances there are, in a fixed order.

A page names balances; what the active ones have left is read where it is kept. Of those that have
expired nothing moves any more, so their records have the numbers too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

ACTIVE = "active"
EXPIRED = "expired"
STATUSES = (ACTIVE, EXPIRED)


class ListedEntity(NamedTuple):
    """The entity a list is about; ``feature_id`` is what it is an entity of."""

    entity_id: str
    feature_id: str
    created_at: int


class BalanceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of ``balances.list`` at ``now_ms``.

    With an entity: what it holds itself, and its slots of per-entity balances. ``standalone`` asks
    for what no plan gave; without it a ``plan_id`` of None is any plan, and none.
    """

    env: str
    now_ms: int
    limit: int
    cursor: str = ""
    customer_id: str | None = None
    entity: ListedEntity | None = None
    feature_id: str | None = None
    plan_id: str | None = None
    standalone: bool = False
    statuses: Sequence[str] = (ACTIVE,)


class BalanceRecord(NamedTuple):
    """A balance of a page.

    ``line`` is that of ``gateway.rows``; ``copies`` counts the slots it shows, ``used`` and
    ``over`` are what they used and owe together.
    """

    customer_id: str
    entity_id: str
    feature_id: str
    line: str
    status: str
    copies: int
    used: int
    over: int
    due_ms: int
    created_at: int


class BalancePage(NamedTuple):
    """One page of balances; ``next_cursor`` is None on the last one."""

    items: list[BalanceRecord]
    next_cursor: str | None


class BalanceReader(Protocol):
    """Lists of balances from SQL."""

    async def list_balances(self, query: BalanceQuery) -> BalancePage:
        """Return balances: newest customers first. Raises ``InvalidCursorError``."""
