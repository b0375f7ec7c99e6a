"""What an audit finds, and what it needs of SQL.

Amounts are units of 10^-precision of their feature, times Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec


class Kind(StrEnum):
    """Which two of the three disagree."""

    EVENTS = "events"
    """SQL's number is not the sum of the deductions behind it."""
    SUM = "sum"
    """What is used of a per-entity balance is not the sum of its slots."""
    REDIS = "redis"
    """Redis and SQL tell different things of a customer that both know as it is now."""
    EVENT = "event"
    """Of an event and its deductions SQL has only one; ``what`` is the other."""


class Move(msgspec.Struct, frozen=True):
    """Units moved by an event, and the number it left behind."""

    event_id: str
    at_ms: int
    delta: int
    left: int


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """The deductions of a balance, or of one of its slots, in its period."""

    total: int = 0
    """What they add up to."""
    count: int = 0
    moves: Sequence[Move] = ()
    """The newest, oldest first."""
    broken_at: Move | None = None
    """The first of those looked at that does not go on from the one before it."""


class Drift(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is not what it should be. ``what`` names it; of a number that events explain,
    ``events`` is their sum and ``trail`` the newest of them. ``event_id`` is the event it is about.
    """

    kind: Kind
    env: str
    customer_id: str
    internal_id: str
    what: str
    feature_id: str = ""
    balance_id: str = ""
    entity_id: str = ""
    event_id: str = ""
    sql: int | str | None = None
    redis: int | str | None = None
    events: int | None = None
    trail: Trail | None = None
    note: str = ""


class Scope(NamedTuple):
    """Which customers an audit is about; None is all."""

    env: str | None = None
    customer_id: str | None = None


class LedgerPage(NamedTuple):
    """Some customers, one after the other, compared with their deductions; ``last`` is where the
    next page begins, None at the end.
    """

    customers: int
    balances: int
    drifts: list[Drift]
    last: str | None


class Applied(NamedTuple):
    """What SQL has of a live customer; ``applied_ms`` is when its newest change was made."""

    internal_id: str
    seq: int
    applied_ms: int


class Ledger(Protocol):
    """SQL as an audit reads it; ``mend`` alone writes. All may raise ``UnavailableError``."""

    async def count(self, scope: Scope) -> int:
        """Return how many customers there are, deleted ones included."""

    async def page(self, scope: Scope, after: str, limit: int) -> LedgerPage:
        """Compare the next customers with their deductions."""

    async def trail(self, internal_id: str, balance_id: str, entity_id: str | None) -> Trail:
        """Return the deductions of a balance's period; those of one slot if an entity is given."""

    async def applied(self, names: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Applied]:
        """Return what SQL has of live customers, by environment and id."""

    async def set_aside(self) -> Mapping[tuple[str, str], list[str]]:
        """Return the ids of dead letters by customer: what SQL lacks of it."""

    async def lossy_partitions(self) -> frozenset[int]:
        """Return the partitions of which SQL has lost entries, by an older state of its own."""

    async def clock_offset_ms(self) -> int:
        """Return how far the sandbox's clock is ahead of the machine's."""

    async def mend(self, drift: Drift) -> bool:
        """Set a number in SQL to what its deductions add up to; False when it is so already."""
