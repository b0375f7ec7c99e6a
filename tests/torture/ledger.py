"""What the clients asked for and what they were told: the truth the installation is held to.

An operation is *acknowledged* when a success answered it, *refused* when an answer says that it
changed nothing, and *unknown* when some attempt was never answered and no later one told.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

FAULTS_SHOWN_MAX = 20
FAULTS_KEPT_MAX = 200


class Outcome(StrEnum):
    """What is known of an operation."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """What an operation does."""

    TRACK = "track"
    SPEND = "check with send_event"
    HOLD = "check with lock"
    FINALIZE = "finalize"
    CUSTOMER = "customer"
    CUSTOMER_END = "customer delete"
    CHURN = "life of a churned"
    ENTITY = "entity"
    ENTITY_END = "entity delete"
    ATTACH = "attach"
    GRANT = "balance create"
    TOP_UP = "balance update"


@dataclass(slots=True, frozen=True)
class Use:
    """One event an operation leaves when it is carried out: ``value`` as it was written."""

    feature: str
    value: str


@dataclass(slots=True)
class Operation:
    """One call of a client, however often it was sent.

    ``uid`` is in the properties of its events; ``target`` names what it creates, ends or changes.
    """

    kind: Kind
    uid: str
    customer: str
    entity: str = ""
    target: str = ""
    action: str = ""
    uses: tuple[Use, ...] = ()
    outcome: Outcome = Outcome.UNKNOWN

    @property
    def is_done(self) -> bool:
        """Whether a success answered it."""
        return self.outcome is Outcome.ACKNOWLEDGED


@dataclass(slots=True)
class Ledger:
    """Every operation, and what went wrong on the way."""

    operations: list[Operation] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    outage_seconds: float = 0.0
    """Longest time without any acknowledged operation; ``outage_at`` seconds after ``begin``."""
    outage_at: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _acknowledged_at: float = field(default_factory=time.monotonic)

    def add(self, operation: Operation) -> None:
        """Keep an operation that has ended."""
        self.operations.append(operation)
        if operation.is_done:
            now = time.monotonic()
            if now - self._acknowledged_at > self.outage_seconds:
                self.outage_seconds = now - self._acknowledged_at
                self.outage_at = self._acknowledged_at - self._began
            self._acknowledged_at = now

    def begin(self) -> None:
        """Measure outages from now on."""
        self._began = self._acknowledged_at = time.monotonic()
        self.outage_seconds = 0.0

    def fault(self, text: str) -> None:
        """Keep something that may never happen."""
        if len(self.faults) < FAULTS_KEPT_MAX:
            self.faults.append(text)

    def of(self, *kinds: Kind) -> Iterator[Operation]:
        """Yield the operations of some kinds."""
        return (one for one in self.operations if one.kind in kinds)

    def counts(self) -> Counter[tuple[Kind, Outcome]]:
        """Return how many operations there were of each kind and outcome."""
        return Counter((one.kind, one.outcome) for one in self.operations)

    def totals(self) -> Counter[Outcome]:
        """Return how many operations there were of each outcome."""
        return Counter(one.outcome for one in self.operations)


def shown(faults: Iterable[str]) -> list[str]:
    """Return the first faults, and how many there are more."""
    every = list(faults)
    more = len(every) - FAULTS_SHOWN_MAX
    return every[:FAULTS_SHOWN_MAX] + ([f"and {more} more"] if more > 0 else [])
