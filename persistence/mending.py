"""Set a number in SQL to what the deductions behind it add up to: ``tallygate repair``.

It is the only writer of balances and slots beside ``persistence.sync.store``, and it makes up
nothing: what it writes is in the ledger. The row is locked before the ledger is added up, so that a
batch of the writer comes as a whole before or after.

Failure: SQL gone rolls back; the caller may try again.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from gateway.audit.records import Drift
from gateway.errors import GatewayError
from gateway.rows import Kind
from persistence.database import write_transaction
from persistence.models import Balance, Deduction, Slot

_Row = Row[*tuple[Any, ...]]


def mend(drift: Drift, engine: Engine) -> bool:
    """Set ``used`` of a balance, or of one of its slots, from the deductions of its period.

    The row is locked before they are added up, so that a batch of the writer comes before or after.
    """
    of_balance = [Balance.internal_id == drift.internal_id, Balance.id == drift.balance_id]
    with write_transaction(engine) as connection:
        balance = connection.execute(
            select(Balance.kind, Balance.period, Balance.feature_id, Balance.seq)
            .where(*of_balance)
            .with_for_update()
        ).one_or_none()
        if balance is None:
            raise GatewayError(f"SQL has no balance {drift.balance_id} of {drift.customer_id}")
        moved = [
            Deduction.internal_id == drift.internal_id,
            Deduction.balance_id == drift.balance_id,
            Deduction.period == balance.period,
        ]
        added_up = select(func.coalesce(func.sum(Deduction.delta), 0))
        if drift.entity_id and balance.kind == Kind.PER_ENTITY.value:
            moved.append(Deduction.entity_id == drift.entity_id)
            used = int(connection.scalars(added_up.where(*moved)).one())
            return _set_slot(connection, drift, balance, used)
        used = int(connection.scalars(added_up.where(*moved)).one())
        change = update(Balance).where(*of_balance, Balance.used != used).values(used=used)
        return connection.execute(change).rowcount > 0


def _set_slot(connection: Connection, drift: Drift, balance: _Row, used: int) -> bool:
    of_slot = [
        Slot.internal_id == drift.internal_id,
        Slot.entity_id == drift.entity_id,
        Slot.balance_id == drift.balance_id,
    ]
    now = {"period": balance.period, "used": used}
    found = connection.execute(select(Slot.period, Slot.used).where(*of_slot)).one_or_none()
    if found is not None:
        connection.execute(update(Slot).where(*of_slot).values(now))
        return tuple(found) != (balance.period, used)
    connection.execute(
        insert(Slot).values(
            internal_id=drift.internal_id,
            entity_id=drift.entity_id,
            balance_id=drift.balance_id,
            feature_id=balance.feature_id,
            seq=balance.seq,
            **now,
        )
    )
    return True
