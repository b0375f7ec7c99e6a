"""Entities this process has created lately, which SQL may not have yet.

Who asks for an entity without naming its customer is answered from SQL; here it is known when SQL
has to be waited for, because another customer has got an entity of that id since. What other
processes create is seen once SQL has it.
"""

from __future__ import annotations

KEPT_MAX = 10_000
"""Ids remembered; more than any writer is behind while it keeps up."""


class Newcomers:
    """See the module docstring."""

    def __init__(self) -> None:
        self._customers: dict[tuple[str, str], frozenset[str]] = {}

    def note(self, env: str, entity_id: str, customer_id: str) -> None:
        """Remember that a customer has got an entity."""
        customers = self._customers.pop((env, entity_id), frozenset())
        if len(self._customers) >= KEPT_MAX:
            del self._customers[next(iter(self._customers))]
        self._customers[env, entity_id] = customers | {customer_id}

    def customers(self, env: str, entity_id: str) -> frozenset[str]:
        """Return the customers that got an entity of this id."""
        return self._customers.get((env, entity_id), frozenset())

    def forget(self, env: str, entity_id: str, customers: frozenset[str]) -> None:
        """Forget customers of which SQL knows by now what became of the entity."""
        left = self._customers.pop((env, entity_id), frozenset()) - customers
        if left:
            self._customers[env, entity_id] = left
