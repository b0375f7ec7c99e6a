"""The numbers of the reference ledger: balances, and the places in them a call may move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import structs

from gateway.cycles import last_boundary
from gateway.rows import Kind, Row

NewRow = tuple[Row, int]
"""A row and its first reset, 0 for never."""


@dataclass
class Balance:
    """A row and what was used of it: of a per-entity row by entity, else under the empty name."""

    row: Row
    due_ms: int
    used: dict[str, int] = field(default_factory=dict)
    period: int = 0
    """How often it was reset."""

    def of(self, name: str) -> int:
        return self.used.get(name, 0)

    def expired(self, now_ms: int) -> bool:
        return 0 < self.row.expires_ms <= now_ms

    def resize(self, grant: int) -> None:
        self.row = structs.replace(self.row, grant=grant)

    def hand_to(self, parent: Row) -> None:
        """Make it a rollover of another row."""
        self.row = structs.replace(self.row, roll=parent.id)

    def has_slots_of(self, other: Balance) -> bool:
        """Whether both give slots to the same entities."""
        return (
            self.row.kind is other.row.kind is Kind.PER_ENTITY
            and self.row.entity_feature == other.row.entity_feature
        )


@dataclass
class Entity:
    """``own`` has the balances of its own plans, feature by feature."""

    feature: str
    own: dict[str, list[Balance]] = field(default_factory=dict)


class Place(NamedTuple):
    """One number a call may move."""

    balance: Balance
    name: str

    @property
    def used(self) -> int:
        return self.balance.of(self.name)

    @property
    def left(self) -> int:
        return max(0, self.balance.row.grant - self.used)

    @property
    def over(self) -> int:
        return max(0, self.used - self.balance.row.grant)

    @property
    def spent(self) -> int:
        """Units that may be given back within the grant."""
        return max(0, self.used)

    def move(self, units: int) -> int:
        """Use units, or give them back when negative; return how many."""
        self.balance.used[self.name] = self.used + units
        return abs(units)


class Source(NamedTuple):
    """Places of one pool that are drained in order before the next source; ``flags`` say what it
    may owe. Units that rolled over are spent first and never come back.
    """

    pool: int
    places: Sequence[Place]
    flags: str
    floor: int | None
    rolled: bool = False
    held: bool = False


def label_of(owner: str, parent: Row, expires_ms: int, now_ms: int) -> str:
    """Return the name of a rollover: whose it is, what it comes from, when it ends, and which
    boundary it was made at, the last one before ``now_ms``.
    """
    boundary_ms = last_boundary(parent.anchor_ms, parent.unit, parent.every, now_ms)
    return f"{owner}~{parent.id}~{expires_ms}~{boundary_ms}"
