"""What must be in SQL in the end, kept beside the entries while they are made.

It knows nothing of batches: each entry adds its event, its moves and its counts once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sqlalchemy import Connection, Engine, Executable, func, select

from persistence.database import read_transaction
from persistence.models import Balance, Cursor, Customer, DeadLetter, Deduction, Entity, Event
from persistence.models.reports import PART, DailyTotal
from tests.unit.persistence.entries import customer, deduct, entity, event, payload, reset, row

POISON_CHANCE = 0.04
RESET_CHANCE = 0.1
ENTITY_CHANCE = 0.1


@dataclass
class Account:
    """One customer with one balance."""

    internal_id: str
    partition: int
    seq: int = 0
    period: int = 1
    used: int = 0
    entities: int = 0


@dataclass
class Ledger:
    """Everything that was acknowledged."""

    events: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By customer and seq."""
    moves: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    """By customer, period and delta."""
    used: dict[str, int] = field(default_factory=dict)
    entities: dict[str, int] = field(default_factory=dict)
    entries: Counter[int] = field(default_factory=Counter)
    """By partition."""
    poison: int = 0
    amount: int = 0


class Producer:
    """Makes entries as the scripts would, and keeps the ledger."""

    def __init__(self, random: Random, partitions: int, customers: int) -> None:
        self._random = random
        self.ledger = Ledger()
        self._accounts = [
            Account(f"cus_{number}", random.randrange(partitions)) for number in range(customers)
        ]

    def next_entry(self) -> tuple[int, bytes]:
        """Return the partition and the text of the next entry."""
        account = self._random.choice(self._accounts)
        self.ledger.entries[account.partition] += 1
        if self._random.random() < POISON_CHANCE:
            self.ledger.poison += 1
            return account.partition, b"poison"
        account.seq += 1
        lines = self._lines(account)
        names = {"customer_id": account.internal_id, "internal_id": account.internal_id}
        return account.partition, payload(*lines, **names, seq=account.seq)  # type: ignore[arg-type]

    def _lines(self, account: Account) -> list[str]:
        name = account.internal_id
        if account.seq == 1:
            self.ledger.used[name] = 0
            return [customer(), row(f"bal_{name}")]
        if self._random.random() < ENTITY_CHANCE:
            account.entities += 1
            self.ledger.entities[name] = account.entities
            return [entity(f"seat_{account.entities}", account.entities)]
        lines = []
        if self._random.random() < RESET_CHANCE:
            account.period += 1
            account.used = 0
            lines.append(reset(f"bal_{name}", account.period))
        delta = self._random.randint(1, 9)
        account.used += delta
        self.ledger.used[name] = account.used
        self.ledger.events[name, account.seq] += 1
        self.ledger.moves[name, account.period, delta] += 1
        self.ledger.amount += delta
        move = deduct(f"bal_{name}", delta, account.used, period=account.period)
        return [*lines, event(value=delta), move]


def read_ledger(engine: Engine) -> Ledger:
    """Return what SQL holds, in the ledger's terms."""
    found = Ledger()
    with read_transaction(engine) as connection:
        found.events.update(
            (row.internal_id, row.seq)
            for row in connection.execute(select(Event.internal_id, Event.seq))
        )
        found.moves.update(
            (row.internal_id, row.period, row.delta)
            for row in connection.execute(
                select(Deduction.internal_id, Deduction.period, Deduction.delta)
            )
        )
        found.used = _pairs(connection, select(Balance.internal_id, Balance.used))
        entities = select(Entity.internal_id, func.count()).group_by(Entity.internal_id)
        found.entities = _pairs(connection, entities)
        applied = select(Cursor.partition, Cursor.applied).where(Cursor.applied > 0)
        found.entries.update(_pairs(connection, applied))
        found.poison = connection.scalars(select(func.count()).select_from(DeadLetter)).one()
        amount = func.sum(DailyTotal.applied_high * PART + DailyTotal.applied_low)
        found.amount = connection.scalars(select(func.coalesce(amount, 0))).one()
        assert set(found.used) == set(connection.scalars(select(Customer.internal_id)))
    return found


def _pairs(connection: Connection, statement: Executable) -> dict[Any, int]:
    return {key: value for key, value in connection.execute(statement)}  # noqa: C416
