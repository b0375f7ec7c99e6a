"""What a batch knows of customers, cursors and denials while ``persistence.sync.fold`` walks
through its entries.

Only the last state of a thing counts, so that a batch holds one row for each, whatever happened to
it on the way. Pure, like the fold itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypedDict

from gateway.cycles import HOUR_MS
from gateway.documents import CustomerDocument
from gateway.outbox import Denied, Entry, OutboxError
from gateway.rows import Kind, Row
from gateway.stream_ids import BEGINNING, place
from persistence.sync.batch import (
    BalanceChange,
    BalanceRow,
    Batch,
    CursorMove,
    CustomerChange,
    CustomerEnd,
    CustomerRow,
    DeadLetterRow,
    DeductionRow,
    DenialRow,
    EntityEnd,
    EntityRow,
    LockEnd,
    LockRow,
    SlotRow,
    SubscriptionRow,
    WindowRow,
)
from persistence.sync.tracks import Track


def cursor_moves(
    entries: Sequence[Entry | Track], letters: Sequence[DeadLetterRow]
) -> Iterator[CursorMove]:
    """Yield the highest id of each partition, and how many entries led to it."""
    counts = Counter([one[0] for one in (*entries, *letters)])
    last = {one[0]: one[1] for one in entries}
    for letter in letters:
        at, stream_id = letter.partition, letter.stream_id
        if place(stream_id) > place(last.get(at, BEGINNING)):
            last[at] = stream_id
    for at in sorted(last):
        yield CursorMove(at, last[at], counts[at])


class DenialCounts:
    """What the denials of a batch add up to. They belong to no state of a customer."""

    def __init__(self) -> None:
        self._denied: dict[tuple[str, str, str, str, int], int] = {}

    def add(self, entry: Entry) -> None:
        """Count the lines of an entry, all of which have to be of denials."""
        for change in entry.changes:
            if not isinstance(change, Denied):
                raise OutboxError(
                    f"outbox entry {entry.stream_id} counts denials and changes something"
                )
            key = change[:5]
            self._denied[key] = self._denied.get(key, 0) + change.denied

    def rows(self) -> Iterator[DenialRow]:
        """Yield the sum of each kind."""
        for key, denied in self._denied.items():
            yield DenialRow(*key, denied)


class _Text(TypedDict):
    """The columns that the text of a row alone decides, and that may change with it."""

    granted: int
    unlimited: bool
    expires_ms: int
    plan_id: str | None
    subscription_id: str | None
    interval: str | None
    interval_count: int
    line: str


def _text(row: Row, line: str) -> _Text:
    return _Text(
        granted=row.grant,
        unlimited=row.unlimited,
        expires_ms=row.expires_ms,
        plan_id=row.document.plan_id,
        subscription_id=row.document.subscription_id,
        interval=row.document.interval,
        interval_count=row.document.interval_count,
        line=line,
    )


class Balance:
    """A balance in the batch: whole once ``row`` is known, else the columns that changed."""

    __slots__ = (
        "created_at",
        "due_ms",
        "ended_at",
        "owner",
        "period",
        "row",
        "seq",
        "text",
        "used",
        "used_in",
    )

    def __init__(self) -> None:
        self.row: tuple[Row, str] | None = None
        self.text: tuple[Row, str] | None = None
        """The text an earlier batch's row has got here."""
        self.owner: tuple[str, str] = ("", "")
        self.created_at = 0
        self.used: int | None = None
        self.used_in = 0
        """The period ``used`` belongs to; ``period`` itself is only known if it began here."""
        self.period: int | None = None
        self.due_ms: int | None = None
        self.ended_at: int | None = None
        self.seq = 0


class Rest:
    """What most customers of a batch have nothing of: all but balances, their slots and their use.

    Apart, since making a dozen dictionaries for each customer was a third of a fold.
    """

    __slots__ = ("entities", "entity_ends", "lock_ends", "locks", "subscriptions", "windows")

    def __init__(self) -> None:
        self.windows: dict[tuple[str, str, str], WindowRow] = {}
        self.locks: dict[str, LockRow] = {}
        self.lock_ends: dict[str, LockEnd] = {}
        self.entities: dict[int, EntityRow] = {}
        self.subscriptions: dict[str, SubscriptionRow] = {}
        self.entity_ends: dict[str, EntityEnd] = {}

    def release(self, batch: Batch) -> None:
        """Add the last state of everything to the batch."""
        batch.windows.extend(self.windows.values())
        batch.locks.extend(self.locks.values())
        batch.lock_ends.extend(self.lock_ends.values())
        batch.entities.extend(self.entities.values())
        batch.subscriptions.extend(self.subscriptions.values())
        batch.entity_ends.extend(self.entity_ends.values())


class CustomerState:
    """What the batch knows of one customer (of one life of it: ids may return, this one never)."""

    __slots__ = (
        "_rest",
        "applied_id",
        "balances",
        "counter",
        "customer_id",
        "deleted_at",
        "document",
        "due",
        "end",
        "env",
        "internal_id",
        "number_max",
        "seq",
        "slots",
    )

    def __init__(self, internal_id: str, env: str) -> None:
        self.internal_id = internal_id
        self.env = env
        self.customer_id = ""
        self.document: tuple[CustomerDocument, str] | None = None
        self.deleted_at: int | None = None
        self.seq = 0
        self.counter = 0
        self.number_max = 0
        self.applied_id = BEGINNING
        self.balances: dict[str, Balance] = {}
        self.slots: dict[str, dict[str, SlotRow]] = {}
        self.due: dict[tuple[str, int], int] = {}
        self.end: CustomerEnd | None = None
        self._rest: Rest | None = None

    @property
    def rest(self) -> Rest:
        """Everything else it has; made when it is first asked for."""
        if self._rest is None:
            self._rest = Rest()
        return self._rest

    def follow(self, customer_id: str, seq: int) -> bool:
        """Go on to an entry. False for an id that the customer did not get, since another one came
        first (lua/adopt_customer.lua): nothing has happened by it.
        """
        if customer_id != self.customer_id:
            if seq <= self.seq:
                return False
            # What was said under another id is what SQL has, or never came to be.
            self.customer_id, self.document = customer_id, None
        self.seq = seq
        return True

    def balance(self, balance_id: str, seq: int) -> Balance:
        balance = self.balances.get(balance_id)
        if balance is None:
            balance = self.balances[balance_id] = Balance()
        balance.seq = seq
        return balance

    def move(self, row: DeductionRow) -> DeductionRow:
        """Take a move of units; return it with when its period ends, if the batch knows."""
        _, _, _, balance_id, entity_id, feature_id, period, _, used, total, _, _, seq = row
        balance = self.balance(balance_id, seq)
        self.counter = max(self.counter, period)
        # Of a row that is one number, total and used are the same.
        balance.used, balance.used_in = total, period
        if entity_id and (balance.row is None or balance.row[0].kind is Kind.PER_ENTITY):
            slots = self.slots.setdefault(entity_id, {})
            slots[balance_id] = SlotRow(
                self.internal_id,
                entity_id,
                balance_id,
                feature_id,
                period,
                used,
                seq,
                certain=balance.row is not None,
            )
        if balance.due_ms is None:
            return row
        resets_at = self.due.get((balance_id, period))
        if resets_at is None and balance.period is None:
            resets_at = balance.due_ms  # of the period SQL knows, if it changed in this batch
        return row._replace(resets_at=resets_at)

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
        if self._rest is not None:
            self._rest.release(batch)
        if self.end:
            batch.customer_ends.append(self.end)

    def _release_customer(self, batch: Batch) -> None:
        applied_ms, _ = place(self.applied_id)
        numbers = (self.seq, self.counter, self.number_max, applied_ms, applied_ms // HOUR_MS)
        if self.document is None:
            change = CustomerChange(self.internal_id, self.deleted_at, *numbers)
            batch.customer_changes.append(change)
            return
        document, text = self.document
        names = (self.internal_id, self.env, self.customer_id, document.name, document.email)
        times = (document.created_at, self.deleted_at)
        batch.customers.append(CustomerRow(*names, text, *times, *numbers))

    def _balance_change(self, balance_id: str, balance: Balance) -> BalanceChange:
        change = BalanceChange(
            self.internal_id,
            balance_id,
            balance.used,
            balance.period,
            balance.due_ms,
            balance.ended_at,
            balance.seq,
        )
        return change._replace(**_text(*balance.text)) if balance.text else change

    def _balance_row(self, balance: Balance, row: Row, line: str) -> BalanceRow:
        feature_id, entity_id = balance.owner
        return BalanceRow(
            internal_id=self.internal_id,
            id=row.id,
            entity_id=entity_id,
            feature_id=feature_id,
            kind=row.kind.value,
            used=balance.used or 0,
            period=balance.period or 0,
            due_ms=balance.due_ms or 0,
            entity_feature=row.entity_feature,
            created_at=balance.created_at,
            ended_at=balance.ended_at,
            seq=balance.seq,
            **_text(row, line),
        )
