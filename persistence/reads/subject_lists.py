"""``customers.list`` and ``entities.list`` in SQL: pages of ids by keyset, which an index keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    exists,
    false,
    func,
    or_,
    select,
    tuple_,
)

from gateway.ports import EventQuery, ListQuery, Page
from persistence.database import Store, in_thread, read_transaction
from persistence.models import Customer, Entity, Subscription
from persistence.reads.event_filters import has_id
from persistence.reads.pages import (
    CustomerKey,
    EntityKey,
    Key,
    OldestCustomerKey,
    decode_cursor,
    encode_cursor,
)
from persistence.reads.subscriptions import plans_held

_NOBODY = false()
"""Who has a payment processor: the gateway knows none."""


class SubjectLists(Store):
    """The lists of customers and entities of ``gateway.ports.Reader`` on SQL."""

    @in_thread
    def list_customers(self, query: ListQuery) -> Page[tuple[str, str]]:
        """Return (customer_id, "") pairs. Raises ``InvalidCursorError``."""
        where = [Customer.env == query.env, Customer.deleted_at.is_(None)]
        if query.customer_id is not None:
            where.append(Customer.id == query.customer_id)
        if query.search is not None:
            by_id = and_(has_id(), _mentions(query.search, Customer.id))
            where.append(or_(by_id, _mentions(query.search, Customer.name, Customer.email)))
        if query.plans or query.status:
            held = Subscription.internal_id == Customer.internal_id
            where.append(exists().where(held, *plans_held(query)))
        first_ms, last_ms = query.created
        if first_ms is not None:
            where.append(Customer.created_at >= first_ms)
        if last_ms is not None:
            where.append(Customer.created_at <= last_ms)
        if query.processors:
            where.append(_NOBODY)
        key = (Customer.created_at, Customer.internal_id)
        statement = select(Customer.id, *key).where(*where)
        kind: type[CustomerKey | OldestCustomerKey]
        kind = OldestCustomerKey if query.oldest_first else CustomerKey
        with read_transaction(self.engine) as connection:
            rows, following, total = page_of(
                connection, statement, key, kind, query, oldest_first=query.oldest_first
            )
        return Page([(row.id, "") for row in rows], following, total)

    @in_thread
    def list_entities(self, query: ListQuery) -> Page[tuple[str, str]]:
        """Return (customer_id, entity_id) pairs, newest first. Raises ``InvalidCursorError``."""
        where = [
            Entity.env == query.env,
            Entity.deleted_at.is_(None),
            Customer.deleted_at.is_(None),
        ]
        if query.customer_id is not None:
            where.append(Customer.id == query.customer_id)
        if query.search is not None:
            where.append(_mentions(query.search, Entity.entity_id, Entity.name))
        if query.plans or query.status:
            held = Subscription.internal_id == Entity.internal_id
            # What its customer holds too.
            shown = Subscription.entity_id.in_((Entity.entity_id, ""))
            where.append(exists().where(held, shown, *plans_held(query)))
        if query.processors:
            where.append(_NOBODY)
        key = (Entity.created_at, Entity.internal_id, Entity.number)
        statement = (
            select(Customer.id, Entity.entity_id, *key)
            .join(Customer, Customer.internal_id == Entity.internal_id)
            .where(*where)
        )
        with read_transaction(self.engine) as connection:
            rows, following, total = page_of(connection, statement, key, EntityKey, query)
        return Page([(row.id, row.entity_id) for row in rows], following, total)


def _mentions(search: str, *columns: Any) -> ColumnElement[bool]:  # noqa: ANN401 - mapped columns
    return or_(*(column.icontains(search, autoescape=True) for column in columns))


def page_of(
    connection: Connection,
    statement: Select[*tuple[Any, ...]],
    key: Sequence[ColumnClause[Any]],
    kind: type[Key],
    query: ListQuery | EventQuery,
    *,
    oldest_first: bool = False,
) -> tuple[Sequence[Row[*tuple[Any, ...]]], str | None, int | None]:
    """Return the rows of a page in the order of their key, the cursor of the next page and, for a
    page by offset, how many match. Raises ``InvalidCursorError``.
    """
    after = decode_cursor(query.cursor, kind) if query.cursor else None
    total = None
    if query.offset is not None:
        total = connection.scalars(select(func.count()).select_from(statement.subquery())).one()
    ordered = statement.order_by(*(key if oldest_first else (one.desc() for one in key)))
    if after:
        place, end = tuple_(*key), tuple_(*after[: len(key)])
        ordered = ordered.where(place > end if oldest_first else place < end)
    found = connection.execute(ordered.limit(query.limit + 1).offset(query.offset or 0)).all()
    rows, following = found[: query.limit], None
    if len(found) > query.limit:
        following = encode_cursor(kind(*(getattr(rows[-1], one.key) for one in key)))
    return rows, following, total
