"""What SQL knows of subscriptions: who holds a plan, and to which of them something happens when.
Only reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from sqlalchemy import ColumnElement, Integer, and_, bindparam, exists, or_, select

from gateway import documents
from gateway.documents import ACTIVE, EXPIRED, SCHEDULED, decode_subscription
from gateway.holders import PlanDue, PlanFilter
from gateway.ports import ListQuery
from persistence.database import Store, in_thread, read_transaction
from persistence.models import Customer, Subscription
from persistence.questions import Question
from persistence.reads.event_filters import live_customer

_BEFORE = "before_"
"""And an environment: the name of its time in a question."""

_HAS_TRIAL = '"trial_ends_at":'
_HAS_CYCLE = '"cycle_unit":'
"""What the text of a subscription has that has one, mostly."""


class Holders(Store):
    """``gateway.holders.HolderReader`` on SQL."""

    @in_thread
    def plans_due(self, until: Mapping[str, int], limit: int) -> list[PlanDue]:
        """Return what happens to plans before a time of each environment, the earliest first."""
        times = {_BEFORE + env: at_ms for env, at_ms in until.items()}
        question = _due_question(tuple(sorted(until)))
        rows = question.rows(self.engine, **times, latest=max(until.values()), most=limit)
        return [PlanDue(*row) for row in rows]

    @in_thread
    def plan_holders(self, env: str, plan_id: str) -> set[str]:
        """Return the statuses of all subscriptions of a plan there ever were."""
        statement = (
            select(Subscription.status)
            .distinct()
            .join(Customer, Customer.internal_id == Subscription.internal_id)
            .where(Subscription.plan_id == plan_id, Customer.env == env)
        )
        with read_transaction(self.engine) as connection:
            return set(connection.scalars(statement))

    @in_thread
    def has_subscription(self, env: str, customer_id: str, subscription_id: str) -> bool:
        """Whether the customer has, or had, a subscription of this id."""
        owned = Subscription.internal_id == Customer.internal_id
        named = exists().where(
            owned, *live_customer(env, customer_id), Subscription.id == subscription_id
        )
        with read_transaction(self.engine) as connection:
            return bool(connection.scalars(select(named)).one())

    @in_thread
    def tried_plans(self, env: str, customer_id: str, entity_id: str) -> set[str]:
        """Return the plans of which the customer, or its entity, has or had a trial."""
        statement = (
            select(Subscription.plan_id, Subscription.document)
            .join(Customer, Customer.internal_id == Subscription.internal_id)
            .where(
                *live_customer(env, customer_id),
                Subscription.entity_id == entity_id,
                Subscription.document.contains(_HAS_TRIAL, autoescape=True),
            )
        )
        with read_transaction(self.engine) as connection:
            found = connection.execute(statement).all()
        decoded = ((plan_id, decode_subscription(text)) for plan_id, text in found)
        return {plan_id for plan_id, one in decoded if one.trial_ends_at is not None}

    @in_thread
    def entity_plans(self, env: str, customer_id: str, limit: int) -> list[documents.Subscription]:
        """Return active plans of a customer's entities that may have a billing cycle."""
        statement = (
            select(Subscription.document)
            .join(Customer, Customer.internal_id == Subscription.internal_id)
            .where(
                *live_customer(env, customer_id),
                Subscription.entity_id != "",
                Subscription.status == ACTIVE,
                Subscription.document.contains(_HAS_CYCLE, autoescape=True),
            )
            .order_by(Subscription.id)
            .limit(limit)
        )
        with read_transaction(self.engine) as connection:
            return [decode_subscription(text) for text in connection.scalars(statement)]


@cache
def _due_question(envs: tuple[str, ...]) -> Question:
    before = [
        and_(Customer.env == env, Subscription.due_at <= bindparam(_BEFORE + env)) for env in envs
    ]
    return Question(
        select(Customer.env, Customer.id, Subscription.entity_id, Subscription.due_at)
        .join(Customer, Customer.internal_id == Subscription.internal_id)
        .where(
            # The widest of them, which the index can be walked by.
            Subscription.due_at <= bindparam("latest"),
            or_(*before),
            Subscription.status != EXPIRED,
            Customer.deleted_at.is_(None),
        )
        .order_by(Subscription.due_at)
        .limit(bindparam("most", type_=Integer))
    )


def plans_held(query: ListQuery) -> list[ColumnElement[bool]]:
    """Return what a subscription has to be like for whoever has it to be listed."""
    held = (ACTIVE, SCHEDULED) if query.status is None else (query.status,)
    where: list[ColumnElement[bool]] = [Subscription.status.in_(held)]
    if query.plans:
        where.append(or_(*map(_fits, query.plans)))
    return where


def _fits(plan: PlanFilter) -> ColumnElement[bool]:
    named = Subscription.plan_id == plan.plan_id
    if not plan.versions:
        return named
    versions: Sequence[int] = plan.versions
    return and_(named, Subscription.version.in_(versions))
