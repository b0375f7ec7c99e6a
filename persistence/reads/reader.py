"""Read what the writer has carried to SQL: customers that left Redis, lists, events.

Every call is one snapshot in one thread. Nothing here writes, and nothing here is on the path of a
check or a track of a customer that Redis knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select, tuple_

from gateway.ports import (
    DeductionRecord,
    EntityRef,
    EventQuery,
    EventRecord,
    LoadResult,
    Page,
    Usage,
    UsageQuery,
)
from gateway.stream_ids import BEGINNING
from persistence.database import Database, in_thread, read_transaction
from persistence.models import Balance, Cursor, Customer, Deduction, Entity, Event, Lock, of_balance
from persistence.questions import Question
from persistence.reads.aggregates import sum_events
from persistence.reads.balance_list import BalanceLists
from persistence.reads.event_filters import event_filters
from persistence.reads.images import Images, Wanted
from persistence.reads.pages import EventKey
from persistence.reads.subject_lists import SubjectLists, page_of
from persistence.reads.subscriptions import Holders

_NEWEST = (Event.timestamp_ms, Event.id)
"""In what order events are listed, the last first."""

_REACHED = Question(select(Cursor.partition, Cursor.stream_id))


class SqlReader(BalanceLists, Holders, SubjectLists):
    """``gateway.ports.Reader`` on SQL."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._images = Images(database)

    async def load(self, env: str, customer_id: str, partition: int) -> LoadResult:
        """Return a customer and its partition's cursor from one snapshot."""
        return await self._images.load(Wanted(env, customer_id, partition))

    @in_thread
    def find_entity(self, env: str, entity_id: str) -> list[EntityRef]:
        """Return where live entities with this id are, at most two."""
        statement = (
            select(Customer.id, Entity.entity_id)
            .join(Customer, Customer.internal_id == Entity.internal_id)
            .where(
                Entity.env == env,
                Entity.entity_id == entity_id,
                Entity.deleted_at.is_(None),
                Customer.deleted_at.is_(None),
            )
            .order_by(Customer.id)
            .limit(2)
        )
        with read_transaction(self.engine) as connection:
            return [EntityRef(*row) for row in connection.execute(statement)]

    @in_thread
    def find_lock(self, env: str, lock_id: str) -> list[str]:
        """Return the customers that have an open lock with this id, at most two."""
        owners = select(Customer.id).join(Lock, Lock.internal_id == Customer.internal_id)
        statement = owners.where(
            Customer.env == env, Lock.lock_id == lock_id, Lock.ended_at.is_(None)
        )
        with read_transaction(self.engine) as connection:
            return list(connection.scalars(statement.limit(2)))

    @in_thread
    def list_events(self, query: EventQuery) -> Page[EventRecord]:
        """Return events, newest first. Raises ``InvalidCursorError``."""
        statement = select(
            Event.id,
            Event.timestamp_ms,
            func.coalesce(func.nullif(Event.feature_id, ""), Event.event_name).label("feature_id"),
            Event.event_name,
            Event.customer_id,
            Event.entity_id,
            Event.value,
            Event.properties,
            Event.internal_id,
        ).where(*event_filters(query, self.engine.dialect.name))
        with read_transaction(self.engine) as connection:
            rows, following, total = page_of(connection, statement, _NEWEST, EventKey, query)
            deductions = _load_deductions(connection, statement, rows)
        items = [EventRecord._make((*row[:-1], deductions.get(row.id, []))) for row in rows]
        return Page(items, following, total)

    @in_thread
    def sum_events(self, query: UsageQuery) -> Usage:
        """Return what was used within a finite range; empty steps have no cell."""
        return sum_events(query, self.engine)

    @in_thread
    def cursors(self, partitions: Sequence[int]) -> dict[int, str]:
        """Return the last applied stream id of each partition, ``0-0`` if nothing was applied."""
        reached: dict[int, str] = dict(_REACHED.rows(self.engine))
        return {partition: reached.get(partition, BEGINNING) for partition in partitions}

    @in_thread
    def ping(self) -> None:
        """Return when SQL answers."""
        with read_transaction(self.engine) as connection:
            connection.execute(select(1))


def _load_deductions(
    connection: Connection, events: Select[*tuple[Any, ...]], rows: Sequence[Row[*tuple[Any, ...]]]
) -> dict[str, list[DeductionRecord]]:
    """Return the deductions of a page of ``events``, by event.

    The page is read again from its first row on, and not named: a list of pairs makes SQLite walk
    through all deductions, and PostgreSQL plan for longer than it reads.
    """
    if not rows:
        return {}
    begun = events.where(tuple_(*_NEWEST) <= tuple_(rows[0].timestamp_ms, rows[0].id))
    page = begun.order_by(*(one.desc() for one in _NEWEST)).limit(len(rows)).subquery()
    of_page = and_(Deduction.internal_id == page.c.internal_id, Deduction.event_id == page.c.id)
    statement = (
        select(
            Deduction.event_id,
            Deduction.balance_id,
            Deduction.feature_id,
            Balance.plan_id,
            Balance.interval,
            func.coalesce(Balance.interval_count, 1),
            Deduction.resets_at,
            Deduction.delta,
        )
        .select_from(page)
        .join(Deduction, of_page)
        .outerjoin(Balance, of_balance(Deduction))
        .order_by(Deduction.event_id, Deduction.position)
    )
    found = connection.execute(statement)
    return {
        event_id: [DeductionRecord(*row[1:]) for row in group]
        for event_id, group in groupby(found, key=itemgetter(0))
    }
