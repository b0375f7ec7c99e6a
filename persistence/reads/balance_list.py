"""``balances.list`` in SQL: balances of an entity, a customer or a whole environment, by keyset.

The order is that of the customers of an environment by age, which an index keeps, and then that of
the balances of each by id: a page costs the customers it passes, wherever it begins, and never more
than the balances of one customer are sorted. Rollovers are no balances of their own here: whoever
shows a balance shows what rolled over to it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from gateway.listing import ACTIVE, EXPIRED, BalancePage, BalanceQuery, BalanceRecord, ListedEntity
from gateway.rows import Kind
from persistence.database import Store, in_thread, read_transaction
from persistence.models import Balance, Customer, Entity, Slot, Subscription, of_balance
from persistence.reads.event_filters import has_id
from persistence.reads.pages import BalanceKey, decode_cursor, encode_cursor

_Number = ColumnElement[int]

_ROLLOVER = "%~%"
"""The id of a rollover is made of that of its balance; no other id has the character."""

_PER_ENTITY = Balance.kind == Kind.PER_ENTITY.value


class BalanceLists(Store):
    """``gateway.listing.BalanceReader`` on SQL."""

    @in_thread
    def list_balances(self, query: BalanceQuery) -> BalancePage:
        """Return balances, newest customers first. Raises ``InvalidCursorError``."""
        after = decode_cursor(query.cursor, BalanceKey) if query.cursor else None
        with read_transaction(self.engine) as connection:
            rows = connection.execute(page_of(query, after)).all()
        items = [BalanceRecord(*row[: len(BalanceRecord._fields)]) for row in rows[: query.limit]]
        if len(rows) <= query.limit:
            return BalancePage(items, None)
        last = rows[query.limit - 1]
        return BalancePage(
            items, encode_cursor(BalanceKey(last.customer_created_at, last.internal_id, last.id))
        )


def page_of(query: BalanceQuery, after: BalanceKey | None) -> Select[*tuple[Any, ...]]:
    """Return the statement of a page, which asks for one row more than the limit."""
    owner = (Customer.created_at, Customer.internal_id)
    # Every balance of the list names its customer.
    named = (Customer.env == query.env, Customer.deleted_at.is_(None), has_id())
    where = [*named, *_balances(query)]
    if query.customer_id is not None:
        where.append(Customer.id == query.customer_id)
    if after is not None:
        place = after[:2]
        where.append(tuple_(*owner) <= tuple_(*place))
        where.append(or_(tuple_(*owner) < tuple_(*place), Balance.id < after.id))
    copies, used, over = _numbers(query.entity)
    return (
        select(
            Customer.id.label("customer_id"),
            Balance.entity_id,
            Balance.feature_id,
            Balance.line,
            case((_active(query.now_ms), ACTIVE), else_=EXPIRED).label("status"),
            copies,
            used,
            over,
            Balance.due_ms,
            Balance.created_at,
            Customer.created_at.label("customer_created_at"),
            Balance.internal_id,
            Balance.id,
        )
        .join(Balance, Balance.internal_id == Customer.internal_id)
        .where(*where)
        .order_by(*(column.desc() for column in (*owner, Balance.id)))
        .limit(query.limit + 1)
    )


def _balances(query: BalanceQuery) -> list[ColumnElement[bool]]:
    found = {ACTIVE: _active(query.now_ms), EXPIRED: _expired(query.now_ms)}
    where = [
        Balance.kind != Kind.FLAG.value,
        Balance.id.not_like(_ROLLOVER),
        or_(*(found[status] for status in query.statuses)),
    ]
    if query.feature_id is not None:
        where.append(Balance.feature_id == query.feature_id)
    if query.standalone:
        where.append(Balance.plan_id.is_(None))
    elif query.plan_id is not None:
        where.append(Balance.plan_id == query.plan_id)
    if query.entity is not None:
        where.append(_of_entity(query.entity))
    return where


def _of_entity(entity: ListedEntity) -> ColumnElement[bool]:
    """Return which balances are an entity's: its own, and those it has a slot of. What ended before
    it began was that of another entity with its id, or nobody's.
    """
    slot = and_(Balance.entity_id == "", _PER_ENTITY, Balance.entity_feature == entity.feature_id)
    return and_(
        or_(Balance.entity_id == entity.entity_id, slot),
        or_(Balance.ended_at.is_(None), Balance.ended_at > entity.created_at),
    )


def _active(now_ms: int) -> ColumnElement[bool]:
    passed = and_(Balance.expires_ms > 0, Balance.expires_ms <= now_ms)
    return and_(Balance.ended_at.is_(None), ~passed)


def _expired(now_ms: int) -> ColumnElement[bool]:
    """Return which balances passed their expiry, or ended with their plan. One that was deleted
    alone did neither.
    """
    end_ms = func.coalesce(Balance.ended_at, now_ms)
    with_plan = exists().where(
        Subscription.internal_id == Balance.internal_id,
        Subscription.id == Balance.subscription_id,
        Subscription.status == EXPIRED,
    )
    return or_(
        and_(Balance.expires_ms > 0, Balance.expires_ms <= end_ms),
        and_(Balance.ended_at.is_not(None), with_plan),
    )


def _numbers(entity: ListedEntity | None) -> list[_Number]:
    """Return how many slots a balance shows, and what they used and owe."""
    slots = (of_balance(Slot), Slot.period == Balance.period)
    if entity is not None:
        slot = select(Slot.used).where(*slots, Slot.entity_id == entity.entity_id)
        used = case((_PER_ENTITY, func.coalesce(slot.scalar_subquery(), 0)), else_=Balance.used)
        return [literal(1).label("copies"), used.label("used"), _beyond(used).label("over")]
    entities = select(func.count()).where(
        Entity.internal_id == Balance.internal_id,
        Entity.feature_id == Balance.entity_feature,
        Entity.deleted_at.is_(None),
    )
    owed = select(func.coalesce(func.sum(_beyond(Slot.used)), 0)).where(*slots)
    return [
        case((_PER_ENTITY, entities.scalar_subquery()), else_=1).label("copies"),
        Balance.used,
        case((_PER_ENTITY, owed.scalar_subquery()), else_=_beyond(Balance.used)).label("over"),
    ]


def _beyond(used: _Number) -> ColumnElement[int]:
    return case((used > Balance.granted, used - Balance.granted), else_=0)
