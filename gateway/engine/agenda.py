"""What is known to happen to plans by itself soon: a scheduled plan begins, a plan ends.

Every call looks here first, so that it never meets a plan whose time is over; that costs a look
into a dictionary that is mostly empty. SQL is asked every second for what is due within a minute,
and knows of every process; what this process decides itself it notes at once. It must never be
believed: whoever finds something due here reads the customer and finds out.

Failure. SQL gone: what is due within the minute is known already; what becomes due later waits for
SQL to be back. A crash here costs nothing, since nothing is kept here alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.documents import Subscription, decode_entity, decode_subscription
from gateway.lifecycle.due import first_due
from gateway.ports import CustomerImage

HORIZON_MS = 60_000
"""How far ahead is looked; the reads of that time may fail without anything being late."""

KNOWN_MAX = 100_000
"""Customers the agenda holds; those beyond it are found by the next sweep."""

_MARKS = ('"scheduled"', '"expires_at"', '"pending_at"')
"""Of the many entities a customer may have, only those whose text has one are looked into."""


class Agenda:
    """See the module docstring."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], dict[str, int]] = {}
        """By environment and customer, when something happens in each scope; mostly empty."""

    def note(
        self, env: str, customer_id: str, entity_id: str, due_ms: int | None, now_ms: int
    ) -> None:
        """Remember when something happens next in a scope; None or far ahead forgets it."""
        owner = (env, customer_id)
        if due_ms is None or due_ms > now_ms + HORIZON_MS:
            scopes = self.known.get(owner, {})
            scopes.pop(entity_id, None)
            if not scopes:
                self.known.pop(owner, None)
        elif owner in self.known or len(self.known) < KNOWN_MAX:
            self.known.setdefault(owner, {})[entity_id] = due_ms

    def hear(self, env: str, customer_id: str, entity_id: str, due_ms: int, now_ms: int) -> None:
        """Remember what SQL says of one plan of a scope, unless something is known to happen there
        before: to another of its plans, or to this one and SQL is behind.
        """
        known = self.known.get((env, customer_id), {}).get(entity_id, due_ms)
        self.note(env, customer_id, entity_id, min(due_ms, known), now_ms)

    def forget(self, env: str, customer_id: str) -> None:
        """Forget a customer that is gone."""
        self.known.pop((env, customer_id), None)

    def note_image(self, image: CustomerImage, now_ms: int) -> None:
        """Remember what is due of a customer that comes back from SQL."""
        self._note_scope(image, "", map(decode_subscription, image.subscriptions), now_ms)
        for entity in image.entities:
            if any(mark in entity.document for mark in _MARKS):
                held = decode_entity(entity.document).subscriptions
                self._note_scope(image, entity.entity_id, held, now_ms)

    def due(self, env: str, customer_id: str, now_ms: int) -> list[str]:
        """Return the scopes of a customer in which something is due: entity ids, empty for its
        own.
        """
        scopes = self.known.get((env, customer_id))
        if scopes is None:
            return []
        return [entity_id for entity_id, due_ms in scopes.items() if due_ms <= now_ms]

    def first(self, env: str, customer_id: str, now_ms: int) -> tuple[int, str] | None:
        """Return when and where something is due to a customer first: the time and an entity id,
        empty for its own; None when nothing is yet.
        """
        scopes = self.known.get((env, customer_id), {})
        found = ((due_ms, entity_id) for entity_id, due_ms in scopes.items() if due_ms <= now_ms)
        return min(found, default=None)

    def owners(self, env: str, now_ms: int) -> list[str]:
        """Return the customers of an environment to which something is due."""
        return [
            customer_id
            for (of_env, customer_id), scopes in self.known.items()
            if of_env == env and min(scopes.values()) <= now_ms
        ]

    def _note_scope(
        self,
        image: CustomerImage,
        entity_id: str,
        subscriptions: Iterable[Subscription],
        now_ms: int,
    ) -> None:
        first = first_due(subscriptions)
        due_ms = None if first is None else first.due_at
        self.note(image.env, image.customer_id, entity_id, due_ms, now_ms)
