"""What outbox entries alone say of a customer, one entry after the other.

A second, naive reader of the outbox next to ``persistence.sync.fold``: it checks on the way that
each entry continues what was said before (the sequence has no gap, every total is the sum of its
moves) and it ends in the image a lost customer is restored from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway import outbox
from gateway.ports import (
    CustomerImage,
    EntityImage,
    LockImage,
    RowImage,
    SlotImage,
    WindowImage,
)
from gateway.rows import Kind, decode_row

Slot = tuple[str, str, int]
"""Row id, entity id, period."""


@dataclass
class StoredRow:
    """A live row and, unless it is per entity, what was used of it in its period."""

    feature: str
    owner: str
    line: str
    period: int
    due_ms: int

    @property
    def per_entity(self) -> bool:
        return decode_row(self.line).kind is Kind.PER_ENTITY


@dataclass
class History:
    """A customer as told by its entries."""

    seq: int = 0
    env: str = ""
    customer_id: str = ""
    internal_id: str = ""
    document: str | None = None
    rows: dict[str, StoredRow] = field(default_factory=dict)
    used: dict[Slot, int] = field(default_factory=dict)
    entities: dict[str, EntityImage] = field(default_factory=dict)
    subscriptions: dict[str, str] = field(default_factory=dict)
    windows: dict[tuple[str, str, str], WindowImage] = field(default_factory=dict)
    locks: dict[str, LockImage] = field(default_factory=dict)
    """Those that are open."""
    counter: int = 0
    number_max: int = 0
    events: list[outbox.Event] = field(default_factory=list)
    alerts: list[outbox.AlertRaised] = field(default_factory=list)

    def apply(self, entry: outbox.Entry) -> None:
        """Carry on with the next entry."""
        assert entry.seq == self.seq + 1
        assert self.internal_id in ("", entry.internal_id)
        self.seq, self.internal_id = entry.seq, entry.internal_id
        self.env, self.customer_id = entry.env, entry.customer_id
        for change in entry.changes:
            self._change(change)

    def apply_all(self, entries: Iterable[outbox.Entry]) -> History:
        for entry in entries:
            self.apply(entry)
        return self

    def _change(self, change: outbox.Change) -> None:  # noqa: C901, PLR0912 - one case a letter
        match change:
            case outbox.Event():
                self.events.append(change)
            case outbox.Deduction():
                self._move(change)
            case outbox.Reset(_, row_id, entity_id, period, due_ms):
                row = self.rows[row_id]
                assert (row.owner, row.period < period) == (entity_id, True)
                row.period, row.due_ms = period, due_ms
                self.counter = max(self.counter, period)
            case outbox.RowAdded(feature, owner, used, period, due_ms, line):
                row_id = decode_row(line).id
                assert row_id not in self.rows
                self.rows[row_id] = StoredRow(feature, owner, line, period, due_ms)
                self.used[row_id, owner, period] = used
                self.counter = max(self.counter, period)
            case outbox.RowUpdated(feature, owner, due_ms, line):
                row = self.rows[decode_row(line).id]
                assert (row.feature, row.owner) == (feature, owner)
                assert decode_row(row.line).kind is decode_row(line).kind
                row.line, row.due_ms = line, due_ms
            case outbox.WindowSet(feature, entity_id, key):
                self.windows[feature, entity_id, key] = WindowImage(*change)
            case outbox.LockSet():
                self._lock(change)
            case outbox.AlertRaised():
                self.alerts.append(change)
            case outbox.RowEnded(feature, row_id):
                assert self.rows.pop(row_id).feature == feature
            case outbox.SubscriptionSet("", document):
                fields = json.loads(document)
                self.subscriptions[fields["id"]] = document
                if fields.get("status") == "expired":
                    del self.subscriptions[fields["id"]]
            case outbox.SubscriptionSet():
                pass  # part of the document of its entity
            case outbox.CustomerSet(document):
                self.document = document
            case outbox.CustomerDeleted():
                self.__init__()  # type: ignore[misc]
            case outbox.EntitySet(entity_id, number, feature, document):
                self.entities[entity_id] = EntityImage(entity_id, number, feature, document)
                self.number_max = max(self.number_max, number)
            case outbox.EntityDeleted(entity_id):
                del self.entities[entity_id]
                owned = [one for one, row in self.rows.items() if row.owner == entity_id != ""]
                for row_id in owned:
                    del self.rows[row_id]
                for slot in [slot for slot in self.used if slot[1] == entity_id]:
                    del self.used[slot]
                for window in [window for window in self.windows if window[1] == entity_id]:
                    del self.windows[window]

    def _lock(self, lock: outbox.LockSet) -> None:
        is_open = lock.state is outbox.LockState.OPEN
        assert is_open is not (lock.lock_id in self.locks)
        if is_open:
            places = (lock.lock_id, lock.feature_id, lock.entity_id)
            self.locks[lock.lock_id] = LockImage(*places, lock.at_ms, lock.receipt)
        else:
            del self.locks[lock.lock_id]

    def _move(self, move: outbox.Deduction) -> None:
        row = self.rows[move.balance_id]
        assert (row.feature, row.period) == (move.feature_id, move.period)
        slot = (move.balance_id, move.entity_id, move.period)
        self.used[slot] = self.used.get(slot, 0) + move.delta
        assert self.used[slot] == move.used
        assert self.total(move.balance_id) == move.total

    def total(self, row_id: str) -> int:
        """Return what was used of a row in its period, over all its slots."""
        period = self.rows[row_id].period
        return sum(used for (of, _, at), used in self.used.items() if (of, at) == (row_id, period))

    def image(self) -> CustomerImage:
        """Return the customer as SQL would hand it out."""
        assert self.document is not None
        rows = [
            RowImage(row.feature, row.owner, row.line, self.total(row_id), row.period, row.due_ms)
            for row_id, row in self.rows.items()
        ]
        slots = [
            SlotImage(self.rows[row_id].feature, entity_id, period, used)
            for (row_id, entity_id, period), used in self.used.items()
            if row_id in self.rows and entity_id and self.rows[row_id].per_entity
        ]
        return CustomerImage(
            env=self.env,
            customer_id=self.customer_id,
            internal_id=self.internal_id,
            seq=self.seq,
            counter=self.counter,
            number_max=self.number_max,
            document=self.document,
            subscriptions=list(self.subscriptions.values()),
            rows=rows,
            slots=slots,
            entities=sorted(self.entities.values(), key=lambda entity: entity.number),
            windows=list(self.windows.values()),
            locks=list(self.locks.values()),
        )
