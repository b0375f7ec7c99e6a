"""What SQL remembers of Redis: which installation it belongs to, which server was last admitted,
how far each stream had come, and the times it was not what SQL knows of it.

The guard compares by it; ``persistence.incidents`` keeps it. Every method of the protocol may raise
``gateway.errors.UnavailableError``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from gateway.stream_ids import BEGINNING


class Reached(NamedTuple):
    """How far a partition had come: the entry SQL has, and the newest any process has seen."""

    cursor: str = BEGINNING
    seen: str = BEGINNING


class Past(NamedTuple):
    """What SQL knows; partitions that were never written are not in ``reached``."""

    identity: str
    run_id: str
    """Of the server that was admitted last, or is being admitted; empty if none ever was."""
    reached: Mapping[int, Reached]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever carried to SQL, nor seen on its way."""
        return all(one == Reached() for one in self.reached.values())


class IncidentKind(StrEnum):
    """What was wrong."""

    REDIS_BEHIND = "redis_behind"
    """Redis is older than SQL: an older file, or a replica that had not got everything."""
    REDIS_FLUSHED = "redis_flushed"
    """Redis lost everything it had of a partition."""
    ENTRIES_LOST = "entries_lost"
    """Redis lost entries that SQL had not got either."""
    SQL_BEHIND = "sql_behind"
    """SQL is older than Redis: entries it had not got were trimmed from the stream."""
    WRONG_SERVER = "wrong_server"
    """The server belongs to another installation than SQL."""


class Incident(NamedTuple):
    """One row of ``incidents``; see ``persistence.models.fleet``."""

    kind: IncidentKind
    partition: int | None
    from_id: str
    to_id: str
    lost: int | None
    reseeded: int
    run_id: str
    detail: str


class IncidentHealth(msgspec.Struct, kw_only=True):
    """A time when Redis was not what SQL knows of it: a row of ``incidents``."""

    id: str
    kind: str
    partition: int | None
    """Null when it concerns the whole installation."""
    from_id: str
    to_id: str
    """The entries in question are those after ``from_id`` up to ``to_id``."""
    lost: int | None
    """Entries that are in neither store; null when nobody can tell."""
    reseeded: int
    """Customers that came back from SQL."""
    at_ms: int
    ended_at: int | None
    """Null while it is open."""


class IncidentsHealth(msgspec.Struct, kw_only=True):
    """How many incidents are open, and the newest ones, the open ones first."""

    open: int
    newest: list[IncidentHealth]


class Touched(NamedTuple):
    """A customer, deleted ones included, and the time of the newest entry SQL has of it."""

    applied_ms: int
    internal_id: str
    env: str
    customer_id: str
    email: str | None = None


class Hold(NamedTuple):
    """A lock that is open in SQL, and when it expires."""

    internal_id: str
    lock_id: str
    env: str
    customer_id: str
    expires_ms: int


class Installation(Protocol):
    """Where the guard keeps what it knows."""

    async def past(self) -> Past:
        """Return everything, from one snapshot."""

    async def admitted(self) -> str:
        """Return the run id of the server that was admitted last, or is being admitted."""

    async def fence(self, partitions: Sequence[int], run_id: str) -> Past:
        """Take the partitions from their writers, so that no batch on its way is applied, and set
        the server that is being admitted, so that nobody goes on with another one meanwhile; return
        what is known from then on.
        """

    async def touched(self, since_ms: int, after: Touched | None, limit: int) -> Sequence[Touched]:
        """Return customers SQL has entries of from that time on, in order, after a place."""

    async def holds(self, after: Hold | None, limit: int) -> Sequence[Hold]:
        """Return open locks, in order, after a place."""

    async def report(self, incidents: Sequence[Incident], seen: Mapping[int, str]) -> int:
        """Keep incidents that are not known yet, and set what was seen of some partitions, for what
        lay beyond is now reported as lost. Return how many incidents were new.
        """

    async def admit(self, run_id: str) -> bool:
        """End open incidents; False when another server has been set since ``fence``."""
