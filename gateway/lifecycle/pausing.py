"""A paid plan that waits while the trial of another one takes its place, and comes back when that
is over (cold-path section 3.8). Pure.

Its rows rest in its document, what rolled over of them too, so that nothing is spent of them and no
call reads them. They come back as they left: what fell due meanwhile happens then, as of its time,
as to any row nobody asked about. Continuous use goes on in the rows of the trial, and back.
"""

from __future__ import annotations

import msgspec

from gateway.documents import ACTIVE, PAUSED, RestingRow, Subscription
from gateway.lifecycle.carrying import carry, heir_of_use
from gateway.lifecycle.scope import Change, Making, Scope, ended, in_order, rows_without
from gateway.rows import Row, decode_row, encode_row


def pause(scope: Scope, change: Change, old: Subscription) -> Change:
    """Return a change that ends a subscription as one that pauses it."""
    rows = dict(change.rows)
    resting = []
    for feature, held in scope.held(old).items():
        parents = {row.id for row in held}
        rolled = [row for row in scope.rows[feature] if row.rollover and row.roll in parents]
        rows[feature] = [row for row in rows[feature] if row not in rolled]
        resting += [
            RestingRow(feature_id=feature, line=encode_row(row), id=row.id)
            for row in (*held, *rolled)
        ]
    paused = msgspec.structs.replace(old, status=PAUSED, resting=resting)
    touched = [paused if one.id == old.id else one for one in change.touched]
    return change._replace(
        subscriptions=[*change.subscriptions, paused], touched=touched, rows=rows
    )


def resume(scope: Scope, over: Subscription, paused: Subscription, making: Making) -> Change:
    """Return what changes when a trial is over: the plan that was paused for it is back."""
    rows: dict[str, list[Row]] = rows_without(scope, [over])
    returning: dict[str, RestingRow] = {}
    for one in paused.resting:
        row, held = decode_row(one.line), scope.rows.get(one.feature_id, ())
        if row.has_expired(making.now_ms):
            continue
        # Continuous use went on in another row, and comes along from there.
        goes_on = any(other.allocated and heir_of_use(other, [row]) for other in held)
        rows[one.feature_id] = [*rows.get(one.feature_id, held), row]
        returning[row.id] = msgspec.structs.replace(one, used={}) if goes_on else one
    back = msgspec.structs.replace(paused, status=ACTIVE, resting=[])
    left = [one for one in scope.subscriptions if one.id not in (over.id, paused.id)]
    touched = [back, ended(over, making.now_ms)]
    dues = {row_id: one.due_ms for row_id, one in returning.items()}
    change = Change([*left, back], touched, rows, dues, returning=returning)
    at_ms, make_id = making.now_ms, making.make_id
    change = carry(
        scope, change, over, back, usages=None, balances=None, at_ms=at_ms, make_id=make_id
    )
    return change._replace(rows=in_order(scope, change.rows, change.dues))
