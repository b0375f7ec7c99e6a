"""Find what is left of an event of which somebody took away a half: deductions without their event,
and an event without its deductions.

The writer stores both in one transaction, so one half alone was changed by hand. The first is told
always. The second only where units were moved and none of them can have been credits: what costs
less than half of the smallest unit of a credit system is used without a deduction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    exists,
    func,
    select,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from gateway.audit.records import Drift, Kind, Trail
from persistence.models import Balance, Customer, Deduction, Event, Feature

DRIFTS_MAX = 1_000
"""Events of each kind that are told of some customers; more are all of one cause."""

_OF_EVENTS = "evt_"
"""What the id of an event begins with; a deduction that no event made has another."""

Span = Callable[[ColumnClause[str]], ColumnElement[bool]]
"""Whether a column holds the key of a customer that is looked at."""


def lost_events(connection: Connection, span: Span, given: Mapping[str, Any]) -> Iterator[Drift]:
    """Return the events of some customers that are there by half, the span with what it needs."""
    for row in map(dict, connection.execute(without_event(span), given).mappings()):
        total, count = int(row.pop("total")), row.pop("count")
        trail = Trail(total=total, count=count)
        yield Drift(kind=Kind.EVENT, what="event", events=total, trail=trail, **row)
    for row in map(dict, connection.execute(without_deductions(span), given).mappings()):
        yield Drift(kind=Kind.EVENT, what="deductions", **row)


@cache
def without_event(span: Span) -> Select[*tuple[Any, ...]]:
    """Return the statement that finds deductions whose event is not there, by event and balance."""
    lost = _lost(
        select(Deduction.event_id).where(
            span(Deduction.internal_id),
            Deduction.event_id.startswith(_OF_EVENTS, autoescape=True),
        ),
        select(Event.id).where(span(Event.internal_id)),
    )
    alone = _whole(
        select(
            Deduction.internal_id,
            Deduction.event_id,
            Deduction.feature_id,
            Deduction.balance_id,
            Deduction.entity_id,
            Deduction.delta,
        ).where(span(Deduction.internal_id), Deduction.event_id.in_(lost))
    )
    key = (alone.internal_id, alone.event_id, alone.feature_id, alone.balance_id)
    first, last = func.min(alone.entity_id), func.max(alone.entity_id)
    return (
        select(
            func.coalesce(func.max(Customer.env), "").label("env"),
            func.coalesce(func.max(Customer.id), "").label("customer_id"),
            *key,
            # Of a balance that is spent across entities none is the one.
            case((first == last, first), else_="").label("entity_id"),
            func.sum(alone.delta).label("total"),
            func.count().label("count"),
        )
        .outerjoin(
            Customer,
            and_(Customer.internal_id == alone.internal_id, span(Customer.internal_id)),
        )
        .group_by(*key)
        .order_by(*key)
        .limit(DRIFTS_MAX)
    )


@cache
def without_deductions(span: Span) -> Select[*tuple[Any, ...]]:
    """Return the statement that finds events whose units no deduction moved."""
    lost = _lost(
        select(Event.id).where(span(Event.internal_id), Event.applied != 0),
        select(Deduction.event_id).where(span(Deduction.internal_id)),
    )
    alone = _whole(
        select(
            Event.env,
            Event.customer_id,
            Event.internal_id,
            Event.id.label("event_id"),
            Event.feature_id,
            Event.entity_id,
            Event.applied.label("sql"),
        ).where(span(Event.internal_id), Event.id.in_(lost))
    )
    has_credits = exists().where(
        Balance.internal_id == alone.internal_id,
        span(Balance.internal_id),
        Feature.env == alone.env,
        Feature.id == Balance.feature_id,
        Feature.type == "credit_system",
    )
    return (
        select(*alone)
        .where(~has_credits)
        .order_by(alone.internal_id, alone.event_id)
        .limit(DRIFTS_MAX)
    )


def _lost(these: Select[str], others: Select[str]) -> Select[str]:
    """Return which ids of some are none of others, at the cost of one pass over each: asked for
    each row, SQLite would walk through all others of its customer.
    """
    lost = these.except_(others).cte().prefix_with("MATERIALIZED")
    return select(lost.columns[0])


def _whole(found: Select[*tuple[Any, ...]]) -> ReadOnlyColumnCollection[str, Any]:
    """Return the columns of a part that is carried out for itself. With the bound of the whole in
    mind PostgreSQL would look up each row, where there are hundreds of thousands and none is found.
    """
    return found.cte().prefix_with("MATERIALIZED").columns
