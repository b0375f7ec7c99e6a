"""What SQL knows of subscriptions: who holds a plan, and to which of them something happens when.
Only reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial

from sqlalchemy import ColumnElement, Engine, Integer, and_, bindparam, exists, or_, select

from gateway import documents
from gateway.documents import ACTIVE, EXPIRED, SCHEDULED, decode_subscription
from gateway.holders import PlanDue, PlanFilter
from gateway.ports import ListQuery
from persistence.database import Database, read_transaction
from persistence.models import Customer, Subscription
from persistence.questions import Question
from persistence.reads.event_filters import live_customer

_BEFORE = "before_"
"""And an environment: the name of its time in a question."""

_HAS_CYCLE = '"cycle_unit":'


class Holders:
    """``gateway.holders.HolderReader`` on SQL."""

    def __init__(self, database: Database) -> None:
        """Keep the database; closing it is the caller's."""
        self._database = database

    async def plans_due(self, until: Mapping[str, int], limit: int) -> list[PlanDue]:
        """Return what happens to plans before a time of each environment, the earliest first."""
        return await self._database.run(partial(_plans_due, until, limit))

    async def plan_holders(self, env: str, plan_id: str) -> set[str]:
        """Return the statuses of all subscriptions of a plan there ever were."""
        return await self._database.run(partial(_plan_holders, env, plan_id))

    async def has_subscription(self, env: str, customer_id: str, subscription_id: str) -> bool:
        """Whether the customer has, or had, a subscription of this id."""
        asked = partial(_has_subscription, env, customer_id, subscription_id)
        return await self._database.run(asked)

    async def tried_plans(self, env: str, customer_id: str, entity_id: str) -> set[str]:
        """Return the plans of which the customer, or its entity, has or had a trial."""
        asked = partial(_tried_plans, env, customer_id, entity_id)
        return await self._database.run(asked)

    async def entity_plans(
        self, env: str, customer_id: str, limit: int
    ) -> list[documents.Subscription]:
        """Return active plans of a customer's entities that may have a billing cycle."""
        asked = partial(_entity_plans, env, customer_id, limit)
        return [decode_subscription(text) for text in await self._database.run(asked)]


def _plans_due(until: Mapping[str, int], limit: int, engine: Engine) -> list[PlanDue]:
    """Return what happens to plans before a time of each environment, the earliest first."""
    times = {_BEFORE + env: at_ms for env, at_ms in until.items()}
    question = _due_question(tuple(sorted(until)))
    rows = question.rows(engine, **times, latest=max(until.values()), most=limit)
    return [
        PlanDue(env, customer_id, entity_id, at_ms) for env, customer_id, entity_id, at_ms in rows
    ]


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


def _plan_holders(env: str, plan_id: str, engine: Engine) -> set[str]:
    """Return the statuses of all subscriptions of a plan there ever were."""
    statement = (
        select(Subscription.status)
        .distinct()
        .join(Customer, Customer.internal_id == Subscription.internal_id)
        .where(Subscription.plan_id == plan_id, Customer.env == env)
    )
    with read_transaction(engine) as connection:
        return set(connection.scalars(statement))


def _has_subscription(env: str, customer_id: str, subscription_id: str, engine: Engine) -> bool:
    """Whether the customer has, or had, a subscription of this id."""
    owned = Subscription.internal_id == Customer.internal_id
    named = exists().where(
        owned, *live_customer(env, customer_id), Subscription.id == subscription_id
    )
    with read_transaction(engine) as connection:
        return bool(connection.scalars(select(named)).one())


def _tried_plans(env: str, customer_id: str, entity_id: str, engine: Engine) -> set[str]:
    """Return the plans of such subscriptions; that there was a trial stands in the text, mostly."""
    statement = (
        select(Subscription.plan_id, Subscription.document)
        .join(Customer, Customer.internal_id == Subscription.internal_id)
        .where(
            *live_customer(env, customer_id),
            Subscription.entity_id == entity_id,
            Subscription.document.contains('"trial_ends_at":', autoescape=True),
        )
    )
    with read_transaction(engine) as connection:
        found = connection.execute(statement).all()
    return {
        plan_id for plan_id, text in found if decode_subscription(text).trial_ends_at is not None
    }


def _entity_plans(env: str, customer_id: str, limit: int, engine: Engine) -> list[str]:
    """Return the documents of such plans; which have one stands in the text, mostly."""
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
    with read_transaction(engine) as connection:
        return list(connection.scalars(statement))


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
