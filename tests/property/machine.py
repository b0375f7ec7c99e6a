"""One customer twice, in Redis and in the reference, and what must hold of both after each step.

The steps themselves are in ``lives.py`` (lifecycle) and ``test_ledger.py`` (use, time, loss).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant
from redis.asyncio import Redis

from gateway import outbox
from gateway.keys import customer_keys, partition_of
from gateway.rows import Flag, Kind, Row, decode_rows
from gateway.scripts import (
    CheckReply,
    Context,
    CustomerReply,
    Description,
    Move,
    Part,
    Pool,
    Scripts,
    Status,
    TrackReply,
    Use,
)
from tests.property.accounts import Accounts
from tests.property.balances import label_of
from tests.property.direct import done
from tests.property.history import History
from tests.property.holds import Holds
from tests.property.plans import CREDIT
from tests.property.portraits import NOTHING, View, portrait
from tests.property.readings import Totals, extras_of, shares_of, view_of
from tests.property.reference import Ledger
from tests.property.state import all_rows, assert_consistent, read_outbox, read_state, slots

T = TypeVar("T")

ENV, CUSTOMER, PARTITIONS = "sandbox", "ada", 64
KEYS = customer_keys(ENV, CUSTOMER, PARTITIONS)
PARTITION = partition_of(ENV, CUSTOMER, PARTITIONS)
START_MS = 1_706_690_000_000  # 31 January 2024: the next months are shorter

R = TypeVar("R", CheckReply, TrackReply, "Verdict")


class Verdict(NamedTuple):
    status: Status


def part_of(feature: str, amount: int) -> Part:
    """Return an amount of a feature with the credit systems that pay for it."""
    return Part(feature, amount, [Pool(*ratio) for ratio in CREDIT.get(feature, ())])


class Stage(RuleBasedStateMachine):
    """One customer, in Redis and in the reference."""

    def __init__(self, client: Redis) -> None:
        super().__init__()
        self.client = client
        self.scripts = Scripts(client)
        self.run(client.flushall())
        self.now_ms = START_MS
        self.made = 0
        self.ledger: Ledger | None = None
        self.holds = Holds(Ledger())
        self.history = History()
        self.accounts = Accounts()
        self.labels: dict[str, str] = {}
        self.ranks: dict[str, str] = {}
        self.parents: dict[str, Row] = {}
        """Rollovers by id, as the reference calls them."""
        self.seen = "0-0"
        self.state = self.run(read_state(client, KEYS))

    def run(self, awaitable: Awaitable[T]) -> T:
        return done(awaitable)

    @property
    def context(self) -> Context:
        return Context(KEYS, ENV, CUSTOMER, f"req_{self.made}", self.now_ms)

    def number(self) -> int:
        self.made += 1
        return self.made

    def settled(self, call: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Return the reply once nothing is due, as the engine does."""
        for _ in range(10):
            reply = self.run(call())
            if reply.status is not Status.DUE:
                return reply
            self.settle_some(3)
        raise AssertionError("settling does not end")

    def settle_all(self) -> None:
        """Carry out what is due for rows entities hold."""
        while self.settle_some(3) == 3:
            pass

    def settle_some(self, limit: int) -> int:
        """Carry out a part of it; return how many entities were settled."""
        status, count = self.run(self.scripts.settle(self.context, limit))
        self.expect(status, self.missing(""))
        assert count <= limit
        if self.ledger is not None:
            self.ledger.arrive(self.now_ms)
        return count

    def catch_up(self) -> None:
        """Make resets real that leave something behind: they happen once, however late, so the
        reference and Redis may not let another boundary pass between them.
        """
        if not self._leaving():
            return
        self.settle_all()
        for feature in sorted({feature for feature, owner in self._leaving() if not owner}):
            use = Use("", [Part(feature, 0)], self.now_ms)
            assert self.run(self.scripts.track(self.context, use)).status is Status.DONE
            self.reference.track(self.now_ms, "", "cap", [(feature, 0)])
            self.look()
        assert not self._leaving()

    def _leaving(self) -> set[tuple[str, str]]:
        return {
            (feature, owner)
            for feature, owner, row, live in all_rows(self.state)
            if (row.roll or Flag.KEEPS_OVERAGE in row.flags) and 0 < live.due_ms <= self.now_ms
        }

    def verdict(self, call: Callable[[], Awaitable[Status]]) -> Status:
        async def reply() -> Verdict:
            return Verdict(await call())

        return self.settled(reply).status

    def missing(self, scope: str) -> Status | None:
        """Return the status of a call on what does not exist; None when it does."""
        if self.ledger is None:
            return Status.CUSTOMER_MISSING
        if scope and scope not in self.ledger.entities:
            return Status.ENTITY_MISSING
        return None

    def named(self, scope: str) -> str:
        """Return the entity a scope drawn by its place stands for."""
        names = list(self.ledger.entities) if self.ledger is not None else []
        if scope.isdigit() and names:
            return names[int(scope) % len(names)]
        return scope

    def read(self, scope: str) -> CustomerReply:
        return self.run(self.scripts.read_customer(KEYS, self.now_ms, scope))

    # -- what holds after each step ------------------------------------------------------------

    @property
    def reference(self) -> Ledger:
        assert self.ledger is not None
        return self.ledger

    def expect(self, status: Status, expected: Status | None) -> bool:
        """Compare a status; what was not done must have written nothing. True when it was done."""
        assert status is (expected or Status.DONE), status
        if status is not Status.DONE:
            self.assert_nothing_written()
            return False
        self.look()
        return True

    def assert_nothing_written(self) -> None:
        assert self.run(read_state(self.client, KEYS)) == self.state
        assert self.run(read_outbox(self.client, KEYS, self.seen)) == []

    def look(self) -> None:
        """Take note of everything that was written."""
        for stream_id, payload in self.run(read_outbox(self.client, KEYS, self.seen)):
            self.seen = stream_id
            entry = outbox.decode(PARTITION, stream_id, payload)
            self.history.apply(entry)
            self.accounts.apply(entry)
        self.state = self.run(read_state(self.client, KEYS))
        rows = [(owner, row) for _, owner, row, _ in all_rows(self.state)]
        self.parents |= {row.id: row for _, row in rows if not row.rollover}
        for owner, row in rows:
            if row.rollover and row.id not in self.labels:
                parent = self.parents[row.roll]
                label = label_of(owner, parent, row.expires_ms, self.now_ms)
                self.labels[row.id] = label
                self.ranks[label] = row.rank

    @invariant()
    def outbox_and_state_agree(self) -> None:
        self.look()
        assert_consistent(self.state, KEYS)
        for feature, owner, row, live in all_rows(self.state):
            told = self.history.rows[row.id]
            assert (told.feature, told.owner) == (feature, owner)
            assert (told.period, told.due_ms) == (live.period, live.due_ms)
            assert self.history.total(row.id) == self.accounts.rows[row.id].used == live.used
            assert self.accounts.rows[row.id].row == row
            if row.kind is Kind.PER_ENTITY:
                for name, used in slots(self.state, feature, live.period).items():
                    assert self.history.used.get((row.id, name, live.period), 0) == used
        assert self.history.seq == int(self.state.customer.get("seq", 0))

    @invariant()
    def balances_agree(self) -> None:
        if self.ledger is None:
            assert self.read("").status is Status.CUSTOMER_MISSING
            return
        views: dict[str, dict[str, Description]] = {}
        settling = False
        for scope in ("", *self.ledger.entities):
            reply = self.read(scope)
            if reply.status is Status.DUE:
                settling = True
                continue  # left for a call to find
            assert reply.status is Status.DONE
            views[scope] = {one.feature: one for one in reply.descriptions}
            expected = portrait(self.ledger, self.now_ms, scope)
            assert expected.keys() <= views[scope].keys()
            for feature, seen in views[scope].items():
                self.compare(seen, scope, expected.get(feature, NOTHING))
        self.assert_counters_agree()
        for feature, seen in {} if settling else views.pop("").items():
            top = shares_of(seen, entity_level=False, now_ms=self.now_ms)
            below = Totals()
            for described in views.values():
                share = shares_of(described[feature], entity_level=True, now_ms=self.now_ms)
                assert share.of_customer == top.of_customer
                below = below.plus(share.of_entities)
            assert top.of_entities == below

    def compare(self, seen: Description, scope: str, expected: View) -> None:
        """Compare a feature as Redis and as the reference see it."""
        labels = dict(self.labels)
        for owner, text in (("", seen.rows), (scope, seen.own_rows)):
            for row in decode_rows(text):
                if row.rollover and row.id not in labels:  # a refused call saw it, none wrote it
                    parent = self.parents[row.roll]
                    labels[row.id] = label_of(owner, parent, row.expires_ms, self.now_ms)
        view = view_of(seen, labels, entity_level=bool(scope), now_ms=self.now_ms)
        assert view == expected

    def moved(self, moves: Sequence[Move]) -> dict[str, int]:
        """Return units by row."""
        units: dict[str, int] = {}
        for move in moves:
            row_id = move.line.split("\t", 1)[0]
            label = self.labels.get(row_id, row_id)
            assert label not in units
            units[label] = move.delta
        return units

    def compare_pools(
        self,
        scope: str,
        uses: Sequence[tuple[str, int]],
        described: Sequence[Sequence[Description]],
    ) -> None:
        """Compare what a reply says of each part and of the credit systems that pay for it; of one
        that pays for several parts, what it says last.
        """
        expected = portrait(self.reference, self.now_ms, scope)
        last: dict[str, Description] = {}
        for (feature, amount), pools in zip(uses, described, strict=True):
            part = part_of(feature, amount)
            names = [feature, *(pool.feature for pool in part.pools)]
            assert [seen.feature for seen in pools] == names
            last |= {seen.feature: seen for seen in pools}
        for feature, seen in last.items():
            self.compare(seen, scope, expected.get(feature, NOTHING))

    def assert_counters_agree(self) -> None:
        """Compare what usage windows have seen that still run, and what locks hold."""
        families = (self.state.customer, self.state.holdings)
        told = [
            (name[2:].partition("\t"), extras_of(text, self.now_ms))
            for texts in families
            for name, text in texts.items()
            if name.startswith("x:")
        ]
        assert {
            (feature, owner, key): counter
            for (feature, _, owner), (_, counters) in told
            for key, counter in counters.items()
        } == {
            key: tuple(counter)
            for key, counter in self.reference.counters.items()
            if counter.end_ms > self.now_ms and counter.used
        }
        held = {(feature, owner): units for (feature, _, owner), (units, _) in told if units}
        assert held == self.holds.held()
