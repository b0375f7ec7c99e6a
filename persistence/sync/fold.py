"""Fold outbox entries into what SQL has to hold after them.

Pure: the same entries give the same batch, without a clock and without a look at SQL. However a
stream is cut into batches, SQL ends the same. It therefore states only what entries say: where a
value depends on rows written by an earlier batch, the row says so (``None``, ``certain``) and
``persistence.sync.store`` fills it from SQL as it was before the batch.

Failure: Redis gone, SQL gone and a crash here cost nothing, since nothing is kept between calls.
A document or a row inside an entry that cannot be read raises ``OutboxError``; the caller then
folds its entries one by one to find which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gateway import outbox
from gateway.documents import EXPIRED, decode_customer, decode_entity, decode_subscription
from gateway.rows import decode_row
from persistence.sync.batch import (
    AlertRow,
    Batch,
    CustomerEnd,
    DeadLetterRow,
    DeductionRow,
    EntityEnd,
    EntityRow,
    EventRow,
    LockEnd,
    LockRow,
    ResetRow,
    SubscriptionRow,
    WindowRow,
)
from persistence.sync.fold_state import Balance, CustomerState, DenialCounts, cursor_moves
from persistence.sync.tracks import Track, entry_name

# What a customer tracks comes by the thousand; made by hand, a row costs half.
_new = tuple.__new__


def fold(
    entries: Sequence[outbox.Entry | Track], dead_letters: Sequence[DeadLetterRow] = ()
) -> Batch:
    """Return the batch of entries in stream order, and of those that could not be read."""
    batch = Batch(dead_letters=list(dead_letters))
    states: dict[str, CustomerState] = {}
    denials = DenialCounts()
    for entry in entries:
        if not isinstance(entry, outbox.Entry):
            _, stream_id, event, move = entry
            state = _state_of(states, event.internal_id, event.env)
            state.applied_id = stream_id
            state.follow(event.customer_id, event.seq)
            batch.events.append(event)
            batch.deductions.append(state.move(move))
            continue
        if entry.kind is outbox.EntryKind.DENIALS:
            denials.add(entry)
            continue
        state = _state_of(states, entry.internal_id, entry.env)
        state.applied_id = entry.stream_id
        try:
            _Step(batch, state, entry).apply()
        except (ValueError, LookupError, TypeError, msgspec.MsgspecError) as error:
            where = f"outbox entry {entry.stream_id} of partition {entry.partition}"
            raise outbox.OutboxError(f"{where} holds what is not readable: {error}") from error
    for state in states.values():
        state.release(batch)
    batch.denials.extend(denials.rows())
    batch.cursors.extend(cursor_moves(entries, dead_letters))
    return batch


def _state_of(states: dict[str, CustomerState], internal_id: str, env: str) -> CustomerState:
    state = states.get(internal_id)
    if state is None:
        state = states[internal_id] = CustomerState(internal_id, env)
    return state


class _Step:
    """One entry on its way into the batch and into the state of its customer."""

    def __init__(self, batch: Batch, state: CustomerState, entry: outbox.Entry) -> None:
        self._batch = batch
        self._state = state
        self._entry = entry
        self._is_followed = True
        self._name = entry_name(entry.partition, entry.stream_id)
        self._event_id = f"mov_{self._name}"
        self._events = 0
        self._alerts = 0
        self._position = 0

    def apply(self) -> None:
        entry, state = self._entry, self._state
        self._is_followed = state.follow(entry.customer_id, entry.seq)
        ends: list[outbox.Change] = []
        for change in entry.changes:
            kind = type(change)
            # An end takes what the same entry moved along, wherever its line stands.
            if kind in _ENDS:
                ends.append(change)
            else:
                _TAKE[kind](self, change)
        for change in ends:
            _TAKE[type(change)](self, change)

    def add_event(self, event: outbox.Event) -> None:
        entry = self._entry
        self._event_id = f"evt_{self._name}"
        if self._events:
            self._event_id += f"-{self._events}"
        self._events += 1
        feature_id, event_name, entity_id, value, applied, timestamp_ms, properties = event
        columns = (
            self._event_id,
            entry.env,
            entry.internal_id,
            entry.customer_id,
            entity_id,
            feature_id,
            event_name,
            str(entry.kind),
            value,
            applied,
            properties,
            timestamp_ms,
            entry.at_ms,
            entry.request_id,
            entry.seq,
        )
        self._batch.events.append(_new(EventRow, columns))

    def deduct(self, move: outbox.Deduction) -> None:
        entry = self._entry
        feature_id, balance_id, entity_id, period, delta, used, total = move
        columns = (
            self._event_id,
            self._next_position(),
            entry.internal_id,
            balance_id,
            entity_id,
            feature_id,
            period,
            delta,
            used,
            total,
            None,
            entry.at_ms,
            entry.seq,
        )
        self._batch.deductions.append(self._state.move(_new(DeductionRow, columns)))

    def reset(self, reset: outbox.Reset) -> None:
        entry = self._entry
        self._batch.resets.append(
            ResetRow(
                f"mov_{self._name}",
                self._next_position(),
                entry.internal_id,
                reset.balance_id,
                reset.entity_id,
                reset.feature_id,
                reset.period,
                reset.due_ms,
                entry.at_ms,
            ),
        )
        balance = self._state.balance(reset.balance_id, entry.seq)
        balance.used = 0
        self._begin_period(balance, reset.balance_id, reset.period, reset.due_ms)

    def add_row(self, added: outbox.RowAdded) -> None:
        row = decode_row(added.row)
        balance = self._state.balance(row.id, self._entry.seq)
        if balance.row is None:
            balance.created_at = self._entry.at_ms
        balance.row = (row, added.row)
        balance.owner = (added.feature_id, added.entity_id)
        self._open(balance, row.id, added)
        balance.used = added.used
        balance.ended_at = None
        self._begin_period(balance, row.id, added.period, added.due_ms)

    def _open(self, balance: Balance, balance_id: str, added: outbox.RowAdded) -> None:
        """Record what a row begins with, or changes to, as a move: no line of its own says it."""
        position = self._next_position()
        delta: int | None = None
        if balance.used is not None:
            delta = added.used - (balance.used if balance.used_in == added.period else 0)
            if delta == 0:
                return
        self._batch.deductions.append(
            DeductionRow(
                f"mov_{self._name}",
                position,
                self._entry.internal_id,
                balance_id,
                added.entity_id,
                added.feature_id,
                added.period,
                delta,
                added.used,
                added.used,
                added.due_ms,
                self._entry.at_ms,
                self._entry.seq,
            ),
        )

    def _begin_period(self, balance: Balance, balance_id: str, period: int, due_ms: int) -> None:
        balance.period = balance.used_in = period
        balance.due_ms = due_ms
        self._state.counter = max(self._state.counter, period)
        self._state.due[balance_id, period] = due_ms

    def update_row(self, updated: outbox.RowUpdated) -> None:
        row = decode_row(updated.row)
        balance = self._state.balance(row.id, self._entry.seq)
        if balance.row is None:
            balance.text = (row, updated.row)
        else:
            balance.row = (row, updated.row)
        balance.due_ms = updated.due_ms
        if balance.period is not None:
            self._state.due[row.id, balance.period] = updated.due_ms

    def set_window(self, change: outbox.WindowSet) -> None:
        entry = self._entry
        window = WindowRow(entry.internal_id, *change, entry.seq)
        self._state.rest.windows[change[:3]] = window

    def set_lock(self, change: outbox.LockSet) -> None:
        entry, state = self._entry, self._state
        known = state.rest.locks.get(change.lock_id)
        if change.state is outbox.LockState.OPEN:
            state.rest.lock_ends.pop(change.lock_id, None)
            state.rest.locks[change.lock_id] = LockRow(
                internal_id=entry.internal_id,
                lock_id=change.lock_id,
                feature_id=change.feature_id,
                entity_id=change.entity_id,
                state=change.state.value,
                units=change.units,
                receipt=change.receipt,
                expires_at=change.at_ms,
                ended_at=None,
                created_at=entry.at_ms,
                seq=entry.seq,
            )
            return
        end = LockEnd(
            entry.internal_id,
            change.lock_id,
            change.state.value,
            change.units,
            change.at_ms,
            entry.seq,
        )
        if known is None:
            state.rest.lock_ends[change.lock_id] = end
        else:
            state.rest.locks[change.lock_id] = known._replace(**end._asdict())

    def add_alert(self, alert: outbox.AlertRaised) -> None:
        entry = self._entry
        alert_id = f"alr_{self._name}" + (f"-{self._alerts}" if self._alerts else "")
        self._alerts += 1
        self._batch.alerts.append(
            AlertRow(
                id=alert_id,
                env=entry.env,
                internal_id=entry.internal_id,
                customer_id=entry.customer_id,
                feature_id=alert.feature_id,
                entity_id=alert.entity_id,
                kind=alert.kind.value,
                body=alert.body,
                created_at=entry.at_ms,
            )
        )

    def set_subscription(self, change: outbox.SubscriptionSet) -> None:
        subscription = decode_subscription(change.document)
        self._state.rest.subscriptions[subscription.id] = SubscriptionRow(
            internal_id=self._entry.internal_id,
            id=subscription.id,
            entity_id=change.entity_id,
            plan_id=subscription.plan_id,
            version=subscription.version,
            status=subscription.status,
            document=change.document,
            started_at=subscription.started_at,
            ended_at=subscription.ended_at,
            due_at=subscription.due_at,
            seq=self._entry.seq,
        )

    def end_row(self, ended: outbox.RowEnded) -> None:
        self._state.balance(ended.balance_id, self._entry.seq).ended_at = self._entry.at_ms

    def set_customer(self, change: outbox.CustomerSet) -> None:
        if self._is_followed:
            self._state.document = (decode_customer(change.document), change.document)

    def set_entity(self, change: outbox.EntitySet) -> None:
        document = decode_entity(change.document)
        self._state.number_max = max(self._state.number_max, change.number)
        self._state.rest.entities[change.number] = EntityRow(
            internal_id=self._entry.internal_id,
            number=change.number,
            env=self._entry.env,
            entity_id=change.entity_id,
            feature_id=change.feature_id,
            name=document.name,
            document=change.document,
            created_at=document.created_at,
            deleted_at=None,
            seq=self._entry.seq,
        )

    def end_entity(self, deleted: outbox.EntityDeleted) -> None:
        entry, state, entity_id = self._entry, self._state, deleted.entity_id
        # Rows of earlier batches end with the first delete; a later one ends rows of this batch.
        end = EntityEnd(entry.internal_id, entry.env, entity_id, entry.at_ms, entry.seq)
        state.rest.entity_ends.setdefault(entity_id, end)
        state.slots.pop(entity_id, None)
        for window in [one for one in state.rest.windows if one[1] == entity_id]:
            del state.rest.windows[window]
        self._end_held(entity_id)

    def end_customer(self, _: outbox.CustomerDeleted) -> None:
        entry, state = self._entry, self._state
        state.deleted_at = entry.at_ms
        state.end = CustomerEnd(entry.internal_id, entry.at_ms, entry.seq)
        state.slots.clear()
        state.rest.windows.clear()
        for lock_id, lock in state.rest.locks.items():
            if lock.ended_at is None:
                released = outbox.LockState.RELEASED.value
                state.rest.locks[lock_id] = lock._replace(state=released, ended_at=entry.at_ms)
        self._end_held(None)

    def _end_held(self, entity_id: str | None) -> None:
        """End what the batch holds of an entity; of the whole customer when it is None."""
        state, at_ms = self._state, self._entry.at_ms
        for number, entity in state.rest.entities.items():
            if entity.deleted_at is None and entity_id in {None, entity.entity_id}:
                state.rest.entities[number] = entity._replace(deleted_at=at_ms)
        for key, subscription in state.rest.subscriptions.items():
            if subscription.status != EXPIRED and entity_id in {None, subscription.entity_id}:
                ended_at = subscription.ended_at or at_ms
                ended = subscription._replace(status=EXPIRED, ended_at=ended_at, due_at=None)
                state.rest.subscriptions[key] = ended
        for balance in state.balances.values():
            whole = balance.row is not None and balance.ended_at is None
            if whole and entity_id in {None, balance.owner[1]}:
                balance.ended_at = at_ms

    def _next_position(self) -> int:
        self._position += 1
        return self._position - 1


_TAKE: dict[type[outbox.Change], Callable[[_Step, Any], None]] = {
    outbox.Event: _Step.add_event,
    outbox.Deduction: _Step.deduct,
    outbox.Reset: _Step.reset,
    outbox.RowAdded: _Step.add_row,
    outbox.RowUpdated: _Step.update_row,
    outbox.RowEnded: _Step.end_row,
    outbox.WindowSet: _Step.set_window,
    outbox.LockSet: _Step.set_lock,
    outbox.AlertRaised: _Step.add_alert,
    outbox.SubscriptionSet: _Step.set_subscription,
    outbox.CustomerSet: _Step.set_customer,
    outbox.EntitySet: _Step.set_entity,
    outbox.EntityDeleted: _Step.end_entity,
    outbox.CustomerDeleted: _Step.end_customer,
}
_ENDS = {outbox.EntityDeleted, outbox.CustomerDeleted}
