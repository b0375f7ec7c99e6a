"""What a customer and an entity may cost in Redis; ``python -m bench memory`` says it of many."""

from __future__ import annotations

from bench.memory import CUSTOMER_BYTES_MAX, ENTITY_BYTES_MAX, measure

ENTITIES = 140
"""More than lists hold: hashes and sets are tables by then."""
USED_BYTES_MAX = 350
"""An entity that has used its balance, once there are many: a second field and a mark."""


async def test_customers_and_entities_stay_within_their_budgets() -> None:
    line, _ = await measure("embedded", ENTITIES, copies=1_000)
    assert line.customer <= CUSTOMER_BYTES_MAX
    assert line.given_out <= CUSTOMER_BYTES_MAX
    assert line.few_used <= ENTITY_BYTES_MAX
    assert line.many_full <= ENTITY_BYTES_MAX
    assert line.many_used <= USED_BYTES_MAX
