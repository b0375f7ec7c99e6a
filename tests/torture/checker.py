"""The end of a run: what the clients were told, what SQL holds and what the gateways answer.

Nothing here uses the writer's or the engine's own sums: the events are counted one by one, and each
balance is added up anew from its deductions.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, text

from tests.torture.ledger import Kind, Ledger, Operation, Outcome

Row: TypeAlias = Any

BALANCES_THAT_DIFFER = """
SELECT b.internal_id, b.id, b.used, COALESCE(SUM(d.delta), 0) AS moved
FROM balances b
LEFT JOIN deductions d
  ON d.internal_id = b.internal_id AND d.balance_id = b.id AND d.period = b.period
WHERE b.ended_at IS NULL
GROUP BY b.internal_id, b.id, b.used
HAVING b.used <> COALESCE(SUM(d.delta), 0)
"""

SLOTS_THAT_DIFFER = """
SELECT s.internal_id, s.balance_id, s.entity_id, s.used, COALESCE(SUM(d.delta), 0) AS moved
FROM slots s
JOIN balances b ON b.internal_id = s.internal_id AND b.id = s.balance_id
LEFT JOIN deductions d
  ON d.internal_id = s.internal_id AND d.balance_id = s.balance_id
 AND d.entity_id = s.entity_id AND d.period = s.period
WHERE b.ended_at IS NULL AND s.period = b.period
GROUP BY s.internal_id, s.balance_id, s.entity_id, s.used
HAVING s.used <> COALESCE(SUM(d.delta), 0)
"""

SLOTS_THAT_DO_NOT_ADD_UP = """
SELECT b.internal_id, b.id, b.used, COALESCE(SUM(s.used), 0) AS of_slots
FROM balances b
LEFT JOIN slots s
  ON s.internal_id = b.internal_id AND s.balance_id = b.id AND s.period = b.period
WHERE b.ended_at IS NULL AND b.entity_feature <> ''
GROUP BY b.internal_id, b.id, b.used
HAVING b.used <> COALESCE(SUM(s.used), 0)
"""

EVENTS_THAT_MOVED_ANOTHER_AMOUNT = """
SELECT e.id, e.applied, COALESCE(SUM(d.delta), 0) AS moved
FROM events e
LEFT JOIN deductions d ON d.internal_id = e.internal_id AND d.event_id = e.id
WHERE e.kind = 'track' AND e.feature_id IN ('messages', 'tokens')
GROUP BY e.id, e.applied
HAVING e.applied <> COALESCE(SUM(d.delta), 0)
"""

RECOUNTS = {
    "balance is not the sum of its deductions": BALANCES_THAT_DIFFER,
    "slot is not the sum of its deductions": SLOTS_THAT_DIFFER,
    "balance is not the sum of its slots": SLOTS_THAT_DO_NOT_ADD_UP,
    "event did not move what it applied": EVENTS_THAT_MOVED_ANOTHER_AMOUNT,
    "entry went to the dead letters": "SELECT partition, stream_id, error FROM dead_letters",
    "incident that lost or reseeded something": """
        SELECT id, kind, partition, from_id, to_id, lost, reseeded, detail FROM incidents
        WHERE lost IS NULL OR lost > 0 OR reseeded > 0""",
}


class Occurrence(NamedTuple):
    """One event, as SQL holds it; ``value`` is what people mean."""

    customer: str
    entity: str
    feature: str
    value: Decimal


class Found(NamedTuple):
    """Everything in SQL that an operation could have left."""

    events: dict[str, list[Occurrence]]
    """By the unique id of the request."""
    seats: dict[tuple[str, str, str], list[Decimal]]
    """Values of the events of the life of an entity, by their kind, customer and entity."""
    customers: Counter[str]
    ended_customers: Counter[str]
    entities: dict[tuple[str, str], list[bool]]
    """Whether each row of this customer and entity has an end."""
    subscriptions: Counter[tuple[str, str]]
    balances: Counter[str]
    locks: dict[str, list[str]]
    """The states of the rows of a lock id."""


def read(connection: Connection) -> Found:
    """Read what there is."""

    def rows(statement: str) -> Iterator[Row]:
        return iter(connection.execute(text(statement)))

    scales = {row.id: row.scale for row in rows("SELECT id, scale FROM features")}
    events: dict[str, list[Occurrence]] = defaultdict(list)
    seats: dict[tuple[str, str, str], list[Decimal]] = defaultdict(list)
    for row in rows(
        "SELECT kind, customer_id, entity_id, feature_id, value, properties FROM events"
    ):
        value = Decimal(row.value) / scales[row.feature_id]
        uid = json.loads(row.properties).get("uid")
        if uid is not None:
            one = Occurrence(row.customer_id, row.entity_id, row.feature_id, value)
            events[uid].append(one)
        else:
            seats[row.kind, row.customer_id, row.entity_id].append(value)
    entities: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in rows(
        "SELECT c.id, e.entity_id, e.deleted_at FROM entities e"
        " JOIN customers c ON c.internal_id = e.internal_id"
    ):
        entities[row.id, row.entity_id].append(row.deleted_at is not None)
    subscriptions = Counter(
        (row.customer, row.entity_id)
        for row in rows(
            "SELECT c.id AS customer, s.entity_id FROM subscriptions s"
            " JOIN customers c ON c.internal_id = s.internal_id"
        )
    )
    locks: dict[str, list[str]] = defaultdict(list)
    for row in rows("SELECT lock_id, state FROM locks"):
        locks[row.lock_id].append(row.state)
    return Found(
        events,
        seats,
        Counter(row.id for row in rows("SELECT id FROM customers")),
        Counter(row.id for row in rows("SELECT id FROM customers WHERE deleted_at IS NOT NULL")),
        entities,
        subscriptions,
        Counter(row.id for row in rows("SELECT id FROM balances")),
        locks,
    )


def check_operations(ledger: Ledger, found: Found) -> Iterator[str]:
    """Yield what differs between what the clients were told and what SQL holds."""
    known = set()
    finalized = {one.target: one for one in ledger.of(Kind.FINALIZE)}
    for one in ledger.operations:
        known.add(one.uid)
        name = f"{one.outcome} {one.kind} {one.uid} of {one.customer} {one.entity}"
        if fault := _CHECKS[one.kind](one, found):
            yield f"{name}: {fault}"
        if one.kind is Kind.HOLD and one.is_done:
            yield from _lock_faults(name, one, finalized.get(one.target), found)
    yield from _churn_faults(ledger, found)
    for uid in found.events.keys() - known:
        yield f"an event in SQL of the request {uid}, which nobody sent"


def _churn_faults(ledger: Ledger, found: Found) -> Iterator[str]:
    """Yield whether a customer was not ended by each of its deletes, and by nothing else."""
    ends = list(ledger.of(Kind.CUSTOMER_END))
    for customer in sorted({one.customer for one in ends}):
        outcomes = Counter(one.outcome for one in ends if one.customer == customer)
        least = outcomes[Outcome.ACKNOWLEDGED]
        most = least + outcomes[Outcome.UNKNOWN]
        there = found.ended_customers[customer]
        if not least <= there <= most:
            yield f"{customer} was deleted {least}..{most} times, and has {there} ends in SQL"


def _counted(one: Operation, count: int, most: int = 1) -> str | None:
    """Judge how often something is there that the operation leaves once."""
    expected = {
        Outcome.ACKNOWLEDGED: range(most, most + 1),
        Outcome.REFUSED: range(1),
        Outcome.UNKNOWN: range(most + 1),
    }[one.outcome]
    return None if count in expected else f"there {count} times in SQL"


def _used(one: Operation, found: Found) -> str | None:
    """Judge the events with the request's id: all of them or none, and of the right amount."""
    there = found.events.get(one.uid, [])
    if fault := _counted(one, len(there), len(one.uses)):
        return fault
    if not there:
        return None
    expected = sorted(
        Occurrence(one.customer, one.entity, use.feature, Decimal(use.value)) for use in one.uses
    )
    return None if sorted(there) == expected else f"{there} in SQL, asked were {one.uses}"


def _customer(one: Operation, found: Found) -> str | None:
    return _counted(one, found.customers[one.target])


def _entity(one: Operation, found: Found) -> str | None:
    rows = len(found.entities.get((one.customer, one.target), []))
    return _counted(one, rows) or _seated(one, "entity", found, rows)


def _entity_end(one: Operation, found: Found) -> str | None:
    ends = sum(found.entities.get((one.customer, one.target), []))
    return _counted(one, ends) or _seated(one, "entity_delete", found, ends)


def _seated(one: Operation, kind: str, found: Found, times: int) -> str | None:
    """Judge the event that counts the seat."""
    values = found.seats.get((kind, one.customer, one.target), [])
    expected = [Decimal(use.value) for use in one.uses] * times
    return None if values == expected else f"its events are {values}"


def _attached(one: Operation, found: Found) -> str | None:
    return _counted(one, found.subscriptions[one.customer, one.entity])


def _granted(one: Operation, found: Found) -> str | None:
    return _counted(one, found.balances[one.target])


def _seen_together(_one: Operation, _found: Found) -> str | None:
    return None  # in ``check_top_ups``, and with all there is of its customer


_CHECKS = {
    Kind.TRACK: _used,
    Kind.SPEND: _used,
    Kind.HOLD: _used,
    Kind.FINALIZE: _used,
    Kind.CUSTOMER: _customer,
    Kind.ENTITY: _entity,
    Kind.ENTITY_END: _entity_end,
    Kind.ATTACH: _attached,
    Kind.GRANT: _granted,
    Kind.TOP_UP: _seen_together,
    Kind.CHURN: _seen_together,
    Kind.CUSTOMER_END: _seen_together,
}


def _lock_faults(name: str, hold: Operation, end: Operation | None, found: Found) -> Iterator[str]:
    """Yield whether the row of an acknowledged lock is not what its end says."""
    states = found.locks.get(hold.target, [])
    final = "released" if end and end.action == "release" else "confirmed"
    allowed = {"open"} if end is None else {final} if end.is_done else {"open", final}
    if len(states) != 1 or states[0] not in allowed:
        yield f"{name}: its lock is {states} in SQL, not {allowed}"


def recount(connection: Connection) -> Iterator[str]:
    """Yield what does not add up inside SQL."""
    for fault, statement in RECOUNTS.items():
        for row in connection.execute(text(statement)).mappings():
            yield f"{fault}: {dict(row)}"
