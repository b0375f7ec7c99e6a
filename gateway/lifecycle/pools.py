"""Pooled plan items: what plans of entities give to their customer. Pure.

All plans of a customer's entities that give units of one feature with one reset give them to one
row of the customer, which everybody of it spends from. Each subscription says what it gives, in
its own document, so what the row grants is the sum of that over the subscriptions that are active.
A change of plans moves it by what the scope gives more or less than before: nobody has to look at
the other entities. What was used stays used; the row ends with the last subscription that gives.
One that is paused gives nothing meanwhile, and the row stays for it, with what was used.

A pooled item of a plan that the customer holds itself is an item like any other: its row is the
customer's anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.cycles import next_boundary, span
from gateway.documents import ACTIVE, PAUSED, PooledGrant, Subscription
from gateway.ids import ROW_PREFIX
from gateway.lifecycle.order import arrange, rank
from gateway.lifecycle.plan_rows import RowMaker
from gateway.messages.plans import PlanDocument, PlanItem
from gateway.rows import Flag, Kind, Row, RowDocument

_POSITION = 900
"""Place in the spending order, of rows that began together: after the items of any plan."""


class PooledRows(NamedTuple):
    """Rows of a customer as a change of an entity's plans leaves them, of features that change."""

    rows: Mapping[str, list[Row]] = {}
    dues: Mapping[str, int] = {}
    """Row id -> first reset, for rows that are new; 0 for never."""


def is_pooled(item: PlanItem, entity_id: str) -> bool:
    """Whether an item of a plan in a scope gives to a pooled row."""
    return item.pooled and bool(entity_id)


def pooled_grants(maker: RowMaker, document: PlanDocument) -> list[PooledGrant]:
    """Return what a subscription gives to pooled rows."""
    return [
        _grant_of(item.feature_id, maker.row(item, 0))
        for item in document.items
        if is_pooled(item, maker.entity_id)
    ]


def pooled_features(*held: Iterable[Subscription]) -> set[str]:
    """Return the features of which subscriptions give to pooled rows."""
    return {grant.feature_id for subscriptions in held for _, grant in _given(subscriptions)}


def pooled_rows(
    rows: Mapping[str, Sequence[Row]],
    before: Iterable[Subscription],
    after: Iterable[Subscription],
    *,
    now_ms: int,
    make_id: Callable[[str], str],
) -> PooledRows:
    """Return what becomes of a customer's rows when an entity holds other subscriptions."""
    units: Counter[PooledGrant] = Counter()
    givers: Counter[PooledGrant] = Counter()
    for _, grant in _given(before):
        units[_pool_of(grant)] -= grant.units
        givers[_pool_of(grant)] -= 1
    firsts: dict[PooledGrant, Subscription] = {}
    for subscription, grant in _given(after):
        units[_pool_of(grant)] += grant.units
        givers[_pool_of(grant)] += 1
        firsts.setdefault(_pool_of(grant), subscription)
    changed: dict[str, list[Row]] = {}
    dues: dict[str, int] = {}
    for pool in units:
        if not units[pool] and not givers[pool]:
            continue
        feature = pool.feature_id
        held = changed.get(feature, list(rows.get(feature, ())))
        old = next((row for row in held if row.pooled and _grant_of(feature, row, 0) == pool), None)
        if old is None and givers[pool] <= 0:  # it has ended already
            continue
        new = old or _new_row(pool, firsts[pool], make_id(ROW_PREFIX))
        if old is None:
            begun_ms = max(now_ms, firsts[pool].started_at)
            dues[new.id] = next_boundary(new.anchor_ms, new.unit, new.every, begun_ms)
        new = _moved(new, units[pool], givers[pool])
        kept = [row for row in held if row is not old]
        changed[feature] = arrange([*kept, new] if new.pooled else kept)
    return PooledRows(changed, dues)


def _given(subscriptions: Iterable[Subscription]) -> list[tuple[Subscription, PooledGrant]]:
    given = [(one, grant) for one in subscriptions for grant in one.pooled]
    return [
        (one, grant if one.status == ACTIVE else _pool_of(grant))
        for one, grant in given
        if one.status in (ACTIVE, PAUSED)
    ]


def _pool_of(grant: PooledGrant) -> PooledGrant:
    return msgspec.structs.replace(grant, units=0)


def _grant_of(feature_id: str, row: Row, units: int | None = None) -> PooledGrant:
    return PooledGrant(
        feature_id=feature_id,
        units=row.grant if units is None else units,
        flags=row.flags,
        interval=row.document.interval,
        interval_count=row.document.interval_count,
    )


def _new_row(pool: PooledGrant, giver: Subscription, row_id: str) -> Row:
    """Return a row that nothing is given to yet; its cycles are those of the first giver."""
    unit, every = span(pool.interval or "", pool.interval_count)
    return Row(
        id=row_id,
        kind=Kind.SHARED,
        flags=pool.flags,
        unit=unit,
        every=every,
        anchor_ms=giver.anchor_ms,
        rank=rank(
            created_ms=giver.started_at,
            position=_POSITION,
            unlimited=Flag.UNLIMITED in pool.flags,
            unit=unit,
            every=every,
        ),
        document=RowDocument(interval=pool.interval, interval_count=pool.interval_count),
    )


def _moved(row: Row, units: int, givers: int) -> Row:
    grant = max(0, row.grant + units)
    document = msgspec.structs.replace(
        row.document, included=grant, givers=max(0, row.document.givers + givers)
    )
    return msgspec.structs.replace(row, grant=grant, document=document)
