"""Which events a query is about, as conditions on the table of events; lists and sums share them.

Every condition but that on properties is answered by an index that ends in the time of the event;
properties are looked at one event after another, within what the others leave.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ColumnElement, Text, and_, case, cast, func, select

from gateway.ids import NAMELESS
from gateway.ports import EventFilter
from persistence.models import Customer, Deduction, Event

_JSON_BOOLEANS = ("true", "false")


def event_filters(query: EventFilter, dialect: str) -> list[ColumnElement[bool]]:
    """Return the conditions of a query on ``Event``."""
    if query.customer_id is None:
        where = [Event.env == query.env]
    else:
        # Not by name: whoever gets the id of a deleted customer must not see its events. And not by
        # env as well, for SQLite would then go through those of everybody.
        live = select(Customer.internal_id).where(*live_customer(query.env, query.customer_id))
        where = [Event.internal_id == live.scalar_subquery()]
    if query.entity_id is not None:
        where.append(Event.entity_id == query.entity_id)
    if query.feature_ids:
        where.append(Event.feature_id.in_(query.feature_ids))
    if query.start_ms is not None:
        where.append(Event.timestamp_ms >= query.start_ms)
    if query.end_ms is not None:
        where.append(Event.timestamp_ms < query.end_ms)
    where += [property_text(name, dialect) == text for name, text in query.properties]
    return where


def live_customer(env: str, customer_id: str) -> list[ColumnElement[bool]]:
    """Return the conditions on ``Customer`` that leave the one that has this id now."""
    return [Customer.env == env, Customer.id == customer_id, Customer.deleted_at.is_(None)]


def of_event() -> ColumnElement[bool]:
    """Return what joins ``Deduction`` to its ``Event``: by the customer too, as the key begins."""
    return and_(Deduction.internal_id == Event.internal_id, Deduction.event_id == Event.id)


def has_id() -> ColumnElement[bool]:
    """Return the condition on ``Customer`` that leaves those whose id is not a reserved one."""
    return ~Customer.id.startswith(NAMELESS)


def property_text(name: str, dialect: str) -> ColumnElement[Any]:
    """Return a property of an event as text, null without one: a string as it is, anything else as
    JSON spells it, a number in the spelling of the database.
    """
    if dialect == "postgresql":
        return cast(Event.properties, JSON).op("->>")(name)
    # Not by path: a path cannot name every property, and compares escaped names as they are spelt.
    each = func.json_each(Event.properties).table_valued("key", "value", "type")
    text = case((each.c.type.in_(_JSON_BOOLEANS), each.c.type), else_=cast(each.c.value, Text))
    return select(text).where(each.c.key == name).limit(1).scalar_subquery()
