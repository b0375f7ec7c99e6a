"""What SQL is asked about who holds plans, and about what happens to them by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from gateway.documents import Subscription


class PlanDue(NamedTuple):
    """When something happens by itself to a plan of a customer or of one of its entities."""

    env: str
    customer_id: str
    entity_id: str
    due_ms: int


class PlanFilter(NamedTuple):
    """A plan; any version of it when none is named."""

    plan_id: str
    versions: tuple[int, ...] = ()


class HolderReader(Protocol):
    """Subscriptions, as far as SQL has them."""

    async def plans_due(self, until: Mapping[str, int], limit: int) -> list[PlanDue]:
        """Return what happens to plans before a time of each environment, the earliest first."""

    async def plan_holders(self, env: str, plan_id: str) -> set[str]:
        """Return the statuses of all subscriptions of a plan there ever were."""

    async def has_subscription(self, env: str, customer_id: str, subscription_id: str) -> bool:
        """Whether the customer has, or had, a subscription of this id."""

    async def tried_plans(self, env: str, customer_id: str, entity_id: str) -> set[str]:
        """Return the plans of which the customer, or its entity, has or had a trial."""

    async def entity_plans(self, env: str, customer_id: str, limit: int) -> list[Subscription]:
        """Return active plans of a customer's entities that may have a billing cycle."""
