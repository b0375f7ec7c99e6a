"""Conservation, from the outbox alone: what became of every unit a balance ever granted.

For each balance, over all its slots, at any time::

    granted + credited - consumed - expired - held = remaining

``granted``    its grant for each slot and each period it began, more or less what an edit or a
               new entity changed
``credited``   units given back: ``D`` lines below zero
``consumed``   units used that no open lock holds: ``D`` lines above zero, and use it began with
``expired``    what was left when its period ended, or when the entity of a slot went; what rolled
               over leaves the balance too, and is the grant of the rollover
``held``       units open locks took in this period, as their receipts say
``remaining``  grant of the slots there are, less what is used of them; below zero is overage
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway import outbox
from gateway.rows import Kind, Row, decode_row


@dataclass
class Account:
    """One balance. ``slots`` has what is used of it, under the empty name unless per entity."""

    row: Row
    owner: str
    slots: dict[str, int]
    granted: int = 0
    credited: int = 0
    consumed: int = 0
    expired: int = 0
    held: dict[str, int] = field(default_factory=dict)
    """Units by lock."""

    @property
    def used(self) -> int:
        return sum(self.slots.values())

    @property
    def remaining(self) -> int:
        return self.row.grant * len(self.slots) - self.used

    def move(self, name: str, units: int) -> None:
        self.slots[name] += units
        self.consumed += max(0, units)
        self.credited += max(0, -units)

    def begin_period(self) -> None:
        for lock_id in list(self.held):
            self.let_go(lock_id)
        self.expired += self.remaining
        self.granted += self.row.grant * len(self.slots)
        self.slots = dict.fromkeys(self.slots, 0)

    def resize(self, row: Row) -> None:
        self.granted += (row.grant - self.row.grant) * len(self.slots)
        self.row = row

    def add_slot(self, name: str) -> None:
        self.slots[name] = 0
        self.granted += self.row.grant

    def drop_slot(self, name: str) -> None:
        self.expired += self.row.grant - self.slots.pop(name)

    def hold(self, lock_id: str, units: int) -> None:
        """Take units out of what is consumed, or given back, while a lock holds them."""
        self.held[lock_id] = self.held.get(lock_id, 0) + units
        self.consumed -= units

    def let_go(self, lock_id: str) -> None:
        self.consumed += self.held.pop(lock_id, 0)

    def assert_conserved(self) -> None:
        out = self.consumed + self.expired + sum(self.held.values())
        assert self.granted + self.credited - out == self.remaining


class Accounts:
    """The balances of one customer as its entries tell of them."""

    def __init__(self) -> None:
        self.rows: dict[str, Account] = {}
        self.entities: dict[str, str] = {}

    def apply(self, entry: outbox.Entry) -> None:
        """Carry on with the next entry; no unit may come from nowhere or vanish."""
        for change in entry.changes:
            self._change(change, entry)
        for account in self.rows.values():
            account.assert_conserved()

    def _change(self, change: outbox.Change, entry: outbox.Entry) -> None:  # noqa: C901 - one case a letter
        match change:
            case outbox.RowAdded(_, owner, used, _, _, line):
                self._add(decode_row(line), owner, used)
            case outbox.RowUpdated(_, _, _, line):
                row = decode_row(line)
                self.rows[row.id].resize(row)
            case outbox.RowEnded(_, row_id):
                del self.rows[row_id]
            case outbox.Reset(_, row_id):
                self.rows[row_id].begin_period()
            case outbox.Deduction(_, row_id, entity_id, _, delta):
                account = self.rows[row_id]
                account.move(entity_id if account.row.kind is Kind.PER_ENTITY else "", delta)
            case outbox.LockSet():
                self._lock(change, entry)
            case outbox.EntitySet(name, _, feature) if name not in self.entities:
                self.entities[name] = feature
                for account in self._per_entity(feature):
                    account.add_slot(name)
            case outbox.EntityDeleted(name):
                for account in self._per_entity(self.entities.pop(name)):
                    account.drop_slot(name)
                self.rows = {key: it for key, it in self.rows.items() if it.owner != name}
            case outbox.CustomerDeleted():
                self.__init__()  # type: ignore[misc]

    def _add(self, row: Row, owner: str, used: int) -> None:
        names = [""]
        if row.kind is Kind.PER_ENTITY:
            names = [name for name, of in self.entities.items() if of == row.entity_feature]
        account = self.rows[row.id] = Account(row, owner, dict.fromkeys(names, 0))
        account.granted = row.grant * len(names)
        if used:
            account.move("", used)

    def _per_entity(self, feature: str) -> list[Account]:
        return [
            account
            for account in self.rows.values()
            if account.row.kind is Kind.PER_ENTITY and account.row.entity_feature == feature
        ]

    def _lock(self, lock: outbox.LockSet, entry: outbox.Entry) -> None:
        if lock.state is not outbox.LockState.OPEN:
            for account in self.rows.values():
                account.let_go(lock.lock_id)
            return
        lines = [line.split("\t") for line in lock.receipt.split("\n")[1:]]
        taken: dict[tuple[str, str], int] = {}
        for _, row_id, entity_id, _, delta, _ in (line for line in lines if line[0]):
            taken[row_id, entity_id] = taken.get((row_id, entity_id), 0) + int(delta)
            self.rows[row_id].hold(lock.lock_id, int(delta))
        assert taken == moved(entry)


def moved(entry: outbox.Entry) -> dict[tuple[str, str], int]:
    """Return what the event of an entry moved, by row and entity, and no reset before it."""
    units: dict[tuple[str, str], int] = {}
    for change in entry.changes:
        if isinstance(change, outbox.Event):
            units.clear()
        elif isinstance(change, outbox.Deduction):
            key = (change.balance_id, change.entity_id)
            units[key] = units.get(key, 0) + change.delta
    return units
