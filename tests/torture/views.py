"""What the gateways show of customers and entities at the end, compared with SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, text

from tests.torture.calls import EXTRA_GRANTED, extra_of
from tests.torture.ledger import Kind, Ledger, Outcome

Json: TypeAlias = dict[str, Any]


class Sums(NamedTuple):
    """What SQL says is used of a live balance, and by whom."""

    customer: str
    owner: str
    per_entity: bool
    feature: str
    used: Decimal
    slots: dict[str, Decimal]


def read_sums(connection: Connection) -> dict[tuple[str, str], Sums]:
    """Return every live balance of SQL by customer and id."""
    sums = {}
    statement = """
        SELECT c.id AS customer, b.id, b.entity_id, b.entity_feature, b.feature_id, b.used, f.scale
        FROM balances b
        JOIN customers c ON c.internal_id = b.internal_id
        JOIN features f ON f.env = c.env AND f.id = b.feature_id
        WHERE b.ended_at IS NULL"""
    for row in connection.execute(text(statement)):
        used = Decimal(row.used) / row.scale
        per_entity = row.entity_feature != ""
        sums[row.customer, row.id] = Sums(
            row.customer, row.entity_id, per_entity, row.feature_id, used, {}
        )
    statement = """
        SELECT c.id AS customer, b.id, s.entity_id, s.used, f.scale
        FROM slots s
        JOIN balances b ON b.internal_id = s.internal_id AND b.id = s.balance_id
        JOIN customers c ON c.internal_id = b.internal_id
        JOIN features f ON f.env = c.env AND f.id = b.feature_id
        WHERE b.ended_at IS NULL AND s.period = b.period"""
    for row in connection.execute(text(statement)):
        sums[row.customer, row.id].slots[row.entity_id] = Decimal(row.used) / row.scale
    return sums


def check_views(
    sums: dict[tuple[str, str], Sums], customer: str, whole: Json, entities: dict[str, Json]
) -> Iterator[str]:
    """Yield where the views of a customer and of its entities differ from SQL, or do not add up."""
    shown = {"": _usage(whole)} | {name: _usage(view) for name, view in entities.items()}
    ours = {row: one for (owner, row), one in sums.items() if owner == customer}
    for row, one in ours.items():
        name = f"balance {row} ({one.feature}) of {customer}"
        used = shown.get(one.owner, {}).get(row)
        if used != one.used:
            yield f"{name}: used {used} as the API says, {one.used} in SQL"
        if one.per_entity:
            parts = {entity: shown[entity].get(row) for entity in entities}
            slots = {entity: one.slots.get(entity, Decimal(0)) for entity in entities}
            if parts != slots:
                yield f"{name}: used {parts} as the API says, {slots} in SQL"
    for owner, usage in shown.items():
        for row in usage.keys() - ours:
            yield f"balance {row} of {customer} {owner} is not in SQL"
    yield from _sum_faults(ours, customer, whole, entities)


def _sum_faults(
    ours: dict[str, Sums], customer: str, whole: Json, entities: dict[str, Json]
) -> Iterator[str]:
    """Yield where a customer's balance is not the sum of its own rows and of its entities'."""
    shared = {row for row, one in ours.items() if not one.owner and not one.per_entity}
    for feature, balance in whole["balances"].items():
        rows = [row for row in balance["breakdown"] if row["id"] in shared]
        for view in entities.values():
            held = view["balances"].get(feature, {"breakdown": []})["breakdown"]
            rows += [row for row in held if row["id"] not in shared]
        for field in ("granted", "usage", "remaining"):
            own = "included_grant" if field == "granted" else field
            parts_sum = sum(_number(row[own]) for row in rows)
            if parts_sum != _number(balance[field]):
                yield f"{field} of {feature} of {customer}: {balance[field]}, parts {parts_sum}"


def _usage(view: Json) -> dict[str, Decimal]:
    """Return what was used of each balance a view shows."""
    return {
        row["id"]: _number(row["usage"])
        for balance in view["balances"].values()
        for row in balance["breakdown"]
    }


def _number(value: float) -> Decimal:
    return Decimal(str(value))


def check_top_ups(ledger: Ledger, customer: str, view: Json) -> Iterator[str]:
    """Yield whether a customer's top-ups were not all applied, each once."""
    outcomes = Counter(one.outcome for one in ledger.of(Kind.TOP_UP) if one.customer == customer)
    least = EXTRA_GRANTED + outcomes[Outcome.ACKNOWLEDGED]
    most = least + outcomes[Outcome.UNKNOWN]
    rows = view["balances"]["extra"]["breakdown"]
    left = [row["remaining"] for row in rows if row["id"] == extra_of(customer)]
    if len(left) != 1 or not least <= left[0] <= most:
        yield f"top-ups of {customer}: {left} left, must be {least}..{most}"
