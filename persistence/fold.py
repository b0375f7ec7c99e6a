"""Fold outbox entries into what SQL has to hold after them.

Pure: the same entries give the same batch, without a clock and without a look at SQL. However a
stream is cut into batches, SQL ends the same. It therefore states only what entries say: where a
value depends on rows written by an earlier batch, the row says so (``None``, ``certain``) and
``persistence.store`` fills it from SQL as it was before the batch.

Failure: Redis gone, SQL gone and a crash here cost nothing, since nothing is kept between calls.
A document or a row inside an entry that cannot be read raises ``OutboxError``; the caller then
folds its entries one by one to find which.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from gateway import outbox
from gateway.documents import CustomerDocument, EntityDocument, Subscription
from gateway.rows import Kind, Row, decode_row
from persistence.batch import (
    BalanceChange,
    BalanceRow,
    Batch,
    CursorMove,
    CustomerChange,
    CustomerEnd,
    CustomerRow,
    DeadLetterRow,
    DeductionRow,
    EntityEnd,
    EntityRow,
    EventRow,
    ResetRow,
    SlotRow,
    SubscriptionRow,
)
from persistence.stream_ids import BEGINNING, place

_customer_decoder = msgspec.json.Decoder(CustomerDocument)
_entity_decoder = msgspec.json.Decoder(EntityDocument)
_subscription_decoder = msgspec.json.Decoder(Subscription)

_EXPIRED = "expired"


def fold(entries: Iterable[outbox.Entry], dead_letters: Sequence[DeadLetterRow] = ()) -> Batch:
    """Return the batch of entries in stream order, and of those that could not be read."""
    batch = Batch(dead_letters=list(dead_letters))
    states: dict[str, _State] = {}
    moves = _Moves()
    for entry in entries:
        moves.add(entry.partition, entry.stream_id)
        state = states.get(entry.internal_id)
        if state is None:
            state = states[entry.internal_id] = _State(entry.internal_id, entry.env)
        try:
            _Step(batch, state, entry).apply()
        except (ValueError, IndexError, TypeError, msgspec.MsgspecError) as error:
            where = f"outbox entry {entry.stream_id} of partition {entry.partition}"
            raise outbox.OutboxError(f"{where} holds what is not readable: {error}") from error
    for letter in dead_letters:
        moves.add(letter.partition, letter.stream_id)
    for state in states.values():
        state.release(batch)
    batch.cursors.extend(moves.rows())
    return batch


class _Moves:
    """The highest id of each partition."""

    def __init__(self) -> None:
        self._last: dict[int, str] = {}
        self._counts: dict[int, int] = {}

    def add(self, partition: int, stream_id: str) -> None:
        if place(stream_id) > place(self._last.get(partition, BEGINNING)):
            self._last[partition] = stream_id
        self._counts[partition] = self._counts.get(partition, 0) + 1

    def rows(self) -> Iterator[CursorMove]:
        for partition, stream_id in sorted(self._last.items()):
            yield CursorMove(partition, stream_id, self._counts[partition])


class _Balance:
    """A balance in the batch: whole once ``row`` is known, else the columns that changed."""

    __slots__ = (
        "created_at",
        "due_ms",
        "ended_at",
        "owner",
        "period",
        "row",
        "seq",
        "used",
        "used_in",
    )

    def __init__(self) -> None:
        self.row: tuple[Row, str] | None = None
        self.owner: tuple[str, str] = ("", "")
        self.created_at = 0
        self.used: int | None = None
        self.used_in = 0
        """The period ``used`` belongs to; ``period`` itself is only known if it began here."""
        self.period: int | None = None
        self.due_ms: int | None = None
        self.ended_at: int | None = None
        self.seq = 0


class _State:
    """What the batch knows of one customer (of one life of it: ids may return, this one never)."""

    def __init__(self, internal_id: str, env: str) -> None:
        self.internal_id = internal_id
        self.env = env
        self.customer_id = ""
        self.document: tuple[CustomerDocument, str] | None = None
        self.deleted_at: int | None = None
        self.seq = 0
        self.counter = 0
        self.number_max = 0
        self.balances: dict[str, _Balance] = {}
        self.slots: dict[str, dict[str, SlotRow]] = {}
        self.entities: dict[int, EntityRow] = {}
        self.subscriptions: dict[str, SubscriptionRow] = {}
        self.due: dict[tuple[str, int], int] = {}
        self.entity_ends: dict[str, EntityEnd] = {}
        self.end: CustomerEnd | None = None

    def balance(self, balance_id: str, seq: int) -> _Balance:
        balance = self.balances.get(balance_id)
        if balance is None:
            balance = self.balances[balance_id] = _Balance()
        balance.seq = seq
        return balance

    def release(self, batch: Batch) -> None:
        """Add the last state of everything to the batch."""
        self._release_customer(batch)
        for balance_id, balance in self.balances.items():
            if balance.row is None:
                batch.balance_changes.append(self._balance_change(balance_id, balance))
            else:
                batch.balances.append(self._balance_row(balance, *balance.row))
        for slots in self.slots.values():
            batch.slots.extend(slots.values())
        batch.entities.extend(self.entities.values())
        batch.subscriptions.extend(self.subscriptions.values())
        batch.entity_ends.extend(self.entity_ends.values())
        if self.end:
            batch.customer_ends.append(self.end)

    def _release_customer(self, batch: Batch) -> None:
        numbers = (self.deleted_at, self.seq, self.counter, self.number_max)
        if self.document is None:
            batch.customer_changes.append(CustomerChange(self.internal_id, *numbers))
            return
        document, text = self.document
        names = (self.internal_id, self.env, self.customer_id, document.name, document.email)
        batch.customers.append(CustomerRow(*names, text, document.created_at, *numbers))

    def _balance_change(self, balance_id: str, balance: _Balance) -> BalanceChange:
        return BalanceChange(
            self.internal_id,
            balance_id,
            balance.used,
            balance.period,
            balance.due_ms,
            balance.ended_at,
            balance.seq,
        )

    def _balance_row(self, balance: _Balance, row: Row, line: str) -> BalanceRow:
        feature_id, entity_id = balance.owner
        return BalanceRow(
            internal_id=self.internal_id,
            id=row.id,
            entity_id=entity_id,
            feature_id=feature_id,
            kind=row.kind.value,
            plan_id=row.document.plan_id,
            subscription_id=row.document.subscription_id,
            interval=row.document.interval,
            interval_count=row.document.interval_count,
            granted=row.grant,
            used=balance.used or 0,
            unlimited=row.unlimited,
            period=balance.period or 0,
            due_ms=balance.due_ms or 0,
            expires_ms=row.expires_ms,
            entity_feature=row.entity_feature,
            line=line,
            created_at=balance.created_at,
            ended_at=balance.ended_at,
            seq=balance.seq,
        )


class _Step:
    """One entry on its way into the batch and into the state of its customer."""

    def __init__(self, batch: Batch, state: _State, entry: outbox.Entry) -> None:
        self._batch = batch
        self._state = state
        self._entry = entry
        self._name = f"p{entry.partition:02d}_{entry.stream_id}"
        self._event_id = f"mov_{self._name}"
        self._events = 0
        self._position = 0

    def apply(self) -> None:
        entry, state = self._entry, self._state
        state.customer_id = entry.customer_id
        state.seq = entry.seq
        ends: list[outbox.Change] = []
        for change in entry.changes:
            # An end takes what the same entry moved along, wherever its line stands.
            if isinstance(change, (outbox.EntityDeleted, outbox.CustomerDeleted)):
                ends.append(change)
            else:
                self._take(change)
        for change in ends:
            self._take(change)

    def _take(self, change: outbox.Change) -> None:  # noqa: C901 - one arm for each line
        match change:
            case outbox.Event():
                self._add_event(change)
            case outbox.Deduction():
                self._deduct(change)
            case outbox.Reset():
                self._reset(change)
            case outbox.RowAdded():
                self._add_row(change)
            case outbox.RowEnded():
                balance = self._state.balance(change.balance_id, self._entry.seq)
                balance.ended_at = self._entry.at_ms
            case outbox.SubscriptionSet():
                self._set_subscription(change)
            case outbox.CustomerSet():
                document = _customer_decoder.decode(change.document)
                self._state.document = (document, change.document)
            case outbox.EntitySet():
                self._set_entity(change)
            case outbox.EntityDeleted():
                self._end_entity(change.entity_id)
            case outbox.CustomerDeleted():
                self._end_customer()

    def _add_event(self, event: outbox.Event) -> None:
        entry = self._entry
        self._event_id = f"evt_{self._name}" + (f"-{self._events}" if self._events else "")
        self._events += 1
        self._batch.events.append(
            EventRow(
                id=self._event_id,
                env=entry.env,
                internal_id=entry.internal_id,
                customer_id=entry.customer_id,
                entity_id=event.entity_id,
                feature_id=event.feature_id,
                event_name=event.event_name,
                kind=entry.kind.value,
                value=event.value,
                applied=event.applied,
                properties=event.properties,
                timestamp_ms=event.timestamp_ms,
                recorded_at_ms=entry.at_ms,
                request_id=entry.request_id,
                seq=entry.seq,
            ),
        )

    def _deduct(self, move: outbox.Deduction) -> None:
        entry, state = self._entry, self._state
        self._batch.deductions.append(
            DeductionRow(
                self._event_id,
                self._next_position(),
                entry.internal_id,
                move.balance_id,
                move.entity_id,
                move.feature_id,
                move.period,
                move.delta,
                move.used,
                move.total,
                state.due.get((move.balance_id, move.period)),
                entry.at_ms,
                entry.seq,
            ),
        )
        state.counter = max(state.counter, move.period)
        balance = state.balance(move.balance_id, entry.seq)
        # Of a row that is one number, total and used are the same.
        balance.used, balance.used_in = move.total, move.period
        if move.entity_id and (balance.row is None or balance.row[0].kind is Kind.PER_ENTITY):
            slots = state.slots.setdefault(move.entity_id, {})
            slots[move.balance_id] = SlotRow(
                entry.internal_id,
                move.entity_id,
                move.balance_id,
                move.feature_id,
                move.period,
                move.used,
                entry.seq,
                certain=balance.row is not None,
            )

    def _reset(self, reset: outbox.Reset) -> None:
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

    def _add_row(self, added: outbox.RowAdded) -> None:
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

    def _open(self, balance: _Balance, balance_id: str, added: outbox.RowAdded) -> None:
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

    def _begin_period(self, balance: _Balance, balance_id: str, period: int, due_ms: int) -> None:
        balance.period = balance.used_in = period
        balance.due_ms = due_ms
        self._state.counter = max(self._state.counter, period)
        self._state.due[balance_id, period] = due_ms

    def _set_subscription(self, change: outbox.SubscriptionSet) -> None:
        subscription = _subscription_decoder.decode(change.document)
        self._state.subscriptions[subscription.id] = SubscriptionRow(
            internal_id=self._entry.internal_id,
            id=subscription.id,
            entity_id=change.entity_id,
            plan_id=subscription.plan_id,
            version=subscription.version,
            status=subscription.status,
            document=change.document,
            started_at=subscription.started_at,
            ended_at=subscription.ended_at,
            seq=self._entry.seq,
        )

    def _set_entity(self, change: outbox.EntitySet) -> None:
        document = _entity_decoder.decode(change.document)
        self._state.number_max = max(self._state.number_max, change.number)
        self._state.entities[change.number] = EntityRow(
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

    def _end_entity(self, entity_id: str) -> None:
        entry, state = self._entry, self._state
        # Rows of earlier batches end with the first delete; a later one ends rows of this batch.
        end = EntityEnd(entry.internal_id, entry.env, entity_id, entry.at_ms, entry.seq)
        state.entity_ends.setdefault(entity_id, end)
        state.slots.pop(entity_id, None)
        self._end_held(entity_id)

    def _end_customer(self) -> None:
        entry, state = self._entry, self._state
        state.deleted_at = entry.at_ms
        state.end = CustomerEnd(entry.internal_id, entry.at_ms, entry.seq)
        state.slots.clear()
        self._end_held(None)

    def _end_held(self, entity_id: str | None) -> None:
        """End what the batch holds of an entity; of the whole customer when it is None."""
        state, at_ms = self._state, self._entry.at_ms
        for number, entity in state.entities.items():
            if entity.deleted_at is None and entity_id in {None, entity.entity_id}:
                state.entities[number] = entity._replace(deleted_at=at_ms)
        for key, subscription in state.subscriptions.items():
            if subscription.status != _EXPIRED and entity_id in {None, subscription.entity_id}:
                ended_at = subscription.ended_at or at_ms
                ended = subscription._replace(status=_EXPIRED, ended_at=ended_at)
                state.subscriptions[key] = ended
        for balance in state.balances.values():
            whole = balance.row is not None and balance.ended_at is None
            if whole and entity_id in {None, balance.owner[1]}:
                balance.ended_at = at_ms

    def _next_position(self) -> int:
        self._position += 1
        return self._position - 1
