"""What an audit found, as people and programs read it, and what can be done about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from gateway.audit.auditor import Progress
from gateway.audit.comparison import lacks_changes
from gateway.audit.records import Drift, Kind, Move
from gateway.rows import decode_row
from gateway.scripts.residents import Name

LISTED_MAX = 10_000
"""Drifts that are kept to be told, and customers that never stood still; more are counted."""


class Findings(msgspec.Struct, kw_only=True):
    """The result of an audit; ``tallygate verify --json`` prints it."""

    clean: bool = True
    customers: int = 0
    """In SQL, deleted ones included."""
    balances: int = 0
    """In SQL, ended ones included."""
    residents: int = 0
    """Customers in Redis that were compared."""
    drift_count: int = 0
    drifts: list[Drift] = msgspec.field(default_factory=list)
    unsettled: list[Name] = msgspec.field(default_factory=list)
    """Customers that changed whenever they were compared."""

    def add_ledger(self, step: Progress) -> None:
        """Count a page of SQL."""
        self.customers += step.customers
        self.balances += step.balances
        self._add(step)

    def add_redis(self, step: Progress) -> None:
        """Count a customer in Redis."""
        self.residents += step.customers
        self._add(step)

    def _add(self, step: Progress) -> None:
        self.drift_count += len(step.drifts)
        self.drifts += step.drifts[: LISTED_MAX - len(self.drifts)]
        self.unsettled += step.unsettled[: LISTED_MAX - len(self.unsettled)]
        self.clean = self.drift_count == 0


class Plan(NamedTuple):
    """What a repair does: numbers to set in SQL, customers to take out of Redis, and those it
    leaves alone, each with the reason; and the events that it cannot bring back.
    """

    mends: list[Drift]
    evictions: list[Name]
    left_alone: list[tuple[Name, str]]
    lost: Sequence[Drift] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.mends or self.evictions)


def plan(drifts: Iterable[Drift]) -> Plan:
    """Decide what to do. Of a customer that Redis knows more of than SQL nothing is touched: to
    take it out would lose what only Redis has.
    """
    of_customers: dict[Name, list[Drift]] = {}
    lost = []
    for drift in drifts:
        if _is_lost(drift) and not drift.note:
            lost.append(drift)
        else:
            of_customers.setdefault(Name(drift.env, drift.customer_id), []).append(drift)
    made = Plan([], [], [], tuple(lost))
    for name, found in of_customers.items():
        reason = next(filter(None, map(_obstacle, found)), None)
        if reason:
            made.left_alone.append((name, reason))
            continue
        made.mends.extend(drift for drift in found if drift.kind is Kind.EVENTS)
        made.evictions.append(name)
    return made


def _is_lost(drift: Drift) -> bool:
    """Whether an event is not there. No number is wrong for it: the deductions are what counts."""
    return drift.kind is Kind.EVENT and drift.what == "event"


def _obstacle(drift: Drift) -> str | None:
    if drift.note:
        return drift.note
    if drift.kind is Kind.EVENT:
        return f"what {drift.event_id} moved is in no deduction: the others are not all there was"
    if lacks_changes(drift):
        return "SQL lacks changes that Redis has"
    is_row = drift.kind is Kind.REDIS and drift.what == "text" and drift.sql is None
    return f"SQL has no balance {drift.balance_id}, Redis has" if is_row else None


def tell_plan(made: Plan) -> Iterator[str]:
    """Return the plan, a line for each step."""
    for drift in made.mends:
        count = drift.trail.count if drift.trail else 0
        yield (
            f"SQL    set used of {_subject(drift)} from {drift.sql} to {drift.events}, "
            f"what its {count} deductions add up to"
        )
    for name in made.evictions:
        yield f"Redis  take {name.customer_id} ({name.env}) out; it comes back as SQL has it"
    for drift in made.lost:
        yield f"leave  {_subject(drift)}: {drift.event_id} cannot be brought back from deductions"
    for name, reason in made.left_alone:
        yield f"leave  {name.customer_id} ({name.env}) alone: {reason}"


def tell(drift: Drift) -> Iterator[str]:
    """Return a drift and the events behind it, line by line."""
    if drift.kind is Kind.EVENT:
        yield f"{drift.kind:6}  {_subject(drift)}: {drift.event_id}: {_half(drift)}"
        if drift.note:
            yield f"        {drift.note}"
        return
    told = {"SQL": drift.sql, "Redis": drift.redis, "events": drift.events}
    if drift.kind is Kind.REDIS:
        sides = {"SQL": drift.sql, "Redis": drift.redis}
        told = {side: "nothing" if of is None else of for side, of in sides.items()}
        if drift.events is not None:
            told["events"] = drift.events
    numbers = ", ".join(f"{side} {_short(of)}" for side, of in told.items() if of is not None)
    yield f"{drift.kind:6}  {_subject(drift)}: {drift.what}: {numbers}"
    if drift.note:
        yield f"        {drift.note}"
    if drift.trail is None:
        return
    yield f"        {drift.trail.count} deductions add up to {drift.trail.total}; the newest:"
    for move in drift.trail.moves:
        yield f"          {_move(move)}"
    if drift.trail.broken_at is not None:
        yield f"        does not go on from the one before it: {_move(drift.trail.broken_at)}"


def tell_summary(found: Findings) -> str:
    """Return what was looked at, and how it ended."""
    seen = (
        f"{found.customers:,} customers and {found.balances:,} balances in SQL, "
        f"{found.residents:,} customers in Redis"
    )
    if found.drift_count:
        return f"{found.drift_count:,} drifts: {seen}"
    return f"no drift: {seen}"


def _half(drift: Drift) -> str:
    if drift.trail is None:
        return f"the event says that {drift.sql} were used, and there is no deduction of it"
    of_it = f"{drift.trail.count} deductions of it add up to {drift.trail.total}"
    return f"{of_it}, and there is no such event"


def _subject(drift: Drift) -> str:
    parts = [f"{drift.customer_id} ({drift.env})"]
    if drift.feature_id:
        parts.append(drift.feature_id)
    if drift.balance_id:
        parts.append(f"balance {drift.balance_id}")
    if drift.entity_id:
        parts.append(f"entity {drift.entity_id}")
    return " ".join(parts)


def _short(value: int | str) -> str:
    text = str(value)
    if text.count("\t") > 0:
        try:
            row = decode_row(text)
        except (ValueError, IndexError):
            return repr(text)
        return f"{row.kind.name.lower()} of {row.grant}"
    return text


def _move(move: Move) -> str:
    at = datetime.fromtimestamp(move.at_ms / 1000, UTC)
    when = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{move.event_id}  {when}  {move.delta:+d}  left {move.left}"
