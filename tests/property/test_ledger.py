"""The scripts on a real server against the ledger in ``reference.py``: same calls, same answers.

A machine makes up customers, plans, entities and uses, and lets time pass. After each step it
compares replies and balances at every level, follows the outbox, and checks whatever Redis keeps
besides the numbers (``state.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from gateway import outbox
from gateway.engine.images import restore_groups
from gateway.keys import customer_keys, partition_of
from gateway.rows import Kind
from gateway.scripts import (
    CheckReply,
    Context,
    CustomerReply,
    Description,
    Scripts,
    Status,
    TrackReply,
)
from tests.property.history import History
from tests.property.plans import (
    DAY_MS,
    HOUR_MS,
    SEAT,
    Plan,
    entity_features,
    feature_rows,
    features,
    first_plans,
    in_order,
    make_row,
    plans,
    signed_amounts,
)
from tests.property.portraits import NOTHING, View, portrait
from tests.property.readings import Totals, normal, shares_of, view_of
from tests.property.reference import Ledger, NewRow
from tests.property.state import all_rows, assert_consistent, read_outbox, read_state, slots

T = TypeVar("T")

ENV, CUSTOMER, PARTITIONS = "sandbox", "ada", 64
KEYS = customer_keys(ENV, CUSTOMER, PARTITIONS)
PARTITION = partition_of(ENV, CUSTOMER, PARTITIONS)
START_MS = 1_706_690_000_000  # 31 January 2024: the next months are shorter
ENTITIES_MAX = 4
NAMES = ("zoe", "bob", "eve", "kim", "adi", "mia")

# An entity by its place, or one that does not exist; the customer level is the empty one.
scopes = st.sampled_from(("", "", "", "1", "1", "2", "2", "3", "4", "nobody"))
modes = st.sampled_from(("cap", "cap", "reject", "overflow"))
uses = st.lists(
    st.tuples(features, signed_amounts), min_size=1, max_size=3, unique_by=lambda use: use[0]
)

R = TypeVar("R", CheckReply, TrackReply, "Verdict")


class Verdict(NamedTuple):
    status: Status


class Machine(RuleBasedStateMachine):
    """One customer, in Redis and in the reference."""

    def __init__(self, runner: asyncio.Runner, client: Redis) -> None:
        super().__init__()
        self._runner = runner
        self.client = client
        self.scripts = Scripts(client)
        self.run(client.flushall())
        self.now_ms = START_MS
        self.made = 0
        self.ledger: Ledger | None = None
        self.history = History()
        self.seen = "0-0"
        self.state = self.run(read_state(client, KEYS))

    def run(self, awaitable: Awaitable[T]) -> T:
        async def whole() -> T:
            return await awaitable

        return self._runner.run(whole())

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
            self.settle(3)
        raise AssertionError("settling does not end")

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

    # -- lifecycle -----------------------------------------------------------------------------

    @initialize(
        plan=first_plans,
        entities=st.lists(entity_features, min_size=2, max_size=4),
        own=st.lists(plans, max_size=2),
    )
    def begin(self, plan: Plan, entities: list[str], own: list[Plan]) -> None:
        self.create_customer(plan, informed=True)
        for name, feature in zip(NAMES, entities, strict=False):
            self.create_entity(name, feature)
        for place, held in enumerate(own):
            self.apply_plan(held, str(place), keep=0, stale=1)

    @precondition(lambda self: self.ledger is None or self.made % 7 == 1)
    @rule(plan=plans, informed=st.booleans())
    def create_customer(self, plan: Plan, *, informed: bool) -> None:
        cursor = self.seen if informed else "0-0"
        rows = self.rows(plan, "", 0)
        status = self.run(
            self.scripts.create_customer(
                self.context,
                cursor,
                f"cus_{self.number()}",
                '{"created_at":1}',
                "[]",
                "",
                feature_rows(rows),
            )
        )
        refused = Status.BUSY if cursor != self.seen else None
        if self.expect(status, Status.EXISTS if self.ledger is not None else refused):
            self.ledger = Ledger()
            for feature, made in rows.items():
                self.ledger.apply_plan(self.now_ms, "", feature, made, SEAT)

    @precondition(lambda self: self.made % 7 == 0)
    @rule()
    def delete_customer(self) -> None:
        status = self.run(self.scripts.delete_customer(self.context))
        self.expect(status, self.missing(""))
        self.ledger = None

    @rule(
        plan=plans,
        scope=scopes,
        keep=st.sampled_from((255, 255, 254, 252, 5, 0)),
        stale=st.integers(0, 9),
    )
    def apply_plan(self, plan: Plan, scope: str, keep: int, stale: int) -> None:
        scope = self.named(scope)
        rows = self.rows(plan, scope, keep)
        texts = self.documents(scope)
        revision = "0" if stale == 0 else self.state.customer.get("rev", "1")
        apply_plan = self.scripts.apply_plan
        status = self.run(apply_plan(self.context, revision, scope, *texts, feature_rows(rows)))
        stale_status = Status.STALE if stale == 0 and self.ledger is not None else None
        if self.expect(status, self.missing("") or stale_status or self.missing(scope)):
            for feature, made in rows.items():
                self.reference.apply_plan(self.now_ms, scope, feature, made, SEAT)

    def rows(self, plan: Plan, scope: str, keep: int) -> dict[str, list[NewRow]]:
        """Return the rows of a scope: those whose bit is set in ``keep``, and the new ones."""
        held: dict[str, list[NewRow]] = {}
        if self.ledger is not None and not self.missing(scope):
            self.ledger.arrive(self.now_ms)
            balances = self.ledger.entities[scope].own if scope else self.ledger.shared
            for feature, kept in balances.items():
                held[feature] = [(one.row, one.due_ms) for one in kept]
        return {
            feature: in_order(
                [one for at, one in enumerate(held.get(feature, ())) if keep >> at & 1],
                [make_row(draft, self.number(), scope, self.now_ms) for draft in drafts],
                self.now_ms,
            )
            for feature, drafts in plan.items()
        }

    def documents(self, scope: str) -> tuple[str, str]:
        """Return a new document of a scope, and its outbox lines."""
        number = self.number()
        if not scope:
            made = f'{{"id":"sub_{number}","status":"active"}}'
            gone = [
                outbox.join("S", "", f'{{"id":"{one}","status":"expired"}}')
                for one in self.history.subscriptions
            ]
            return f"[{made}]", "\n".join((outbox.join("S", "", made), *gone))
        document = f'{{"created_at":{number}}}'
        known = self.history.entities.get(scope)
        place, feature = (known.number, known.feature_id) if known else (0, "")
        return document, outbox.join("N", scope, place, feature, document)

    @rule(name=st.sampled_from(NAMES), feature=entity_features)
    def create_entity(self, name: str, feature: str) -> None:
        status = self.verdict(
            lambda: self.scripts.create_entity(
                self.context, name, feature, '{"created_at":1}', SEAT, ENTITIES_MAX
            )
        )
        expected = self.missing("")
        if expected is None:
            expected = self.reference.create_entity(self.now_ms, name, feature, SEAT, ENTITIES_MAX)
        self.expect(status, expected)

    @rule(scope=scopes.filter(bool))
    def delete_entity(self, scope: str) -> None:
        name = self.named(scope)
        status = self.verdict(lambda: self.scripts.delete_entity(self.context, name, SEAT))
        if self.expect(status, self.missing(name)):
            self.reference.delete_entity(self.now_ms, name, SEAT)

    # -- use -----------------------------------------------------------------------------------

    @rule(scope=scopes, mode=modes, feature=features, amount=signed_amounts)
    def track_one(self, scope: str, mode: str, feature: str, amount: int) -> None:
        self.track(scope, mode, [(feature, amount)])

    @rule(scope=scopes, mode=modes, uses=uses)
    def track(self, scope: str, mode: str, uses: list[tuple[str, int]]) -> None:
        scope = self.named(scope)
        reply = self.settled(
            lambda: self.scripts.track(self.context, scope, mode, "", self.now_ms, "{}", uses)
        )
        if self.missing(scope):
            self.expect(reply.status, self.missing(scope))
            return
        outcome = self.reference.track(self.now_ms, scope, mode, uses)
        self.expect(reply.status, outcome.status)
        assert reply.applied == outcome.applied
        moved = [{one.line.split("\t", 1)[0]: one.delta for one in moves} for moves in reply.moves]
        assert moved == outcome.moved
        expected = portrait(self.reference, self.now_ms, scope)
        for (feature, _), seen in zip(uses, reply.descriptions, strict=True):
            self.compare(seen, scope, expected.get(feature, NOTHING))

    @rule(scope=scopes, feature=features, amount=signed_amounts)
    def check(self, scope: str, feature: str, amount: int) -> None:
        scope = self.named(scope)
        reply = self.settled(lambda: self.scripts.check(KEYS, self.now_ms, feature, scope, amount))
        if not self.expect(reply.status, self.missing(scope)):
            return
        assert reply.allowed is self.reference.check(self.now_ms, scope, feature, amount)
        expected = portrait(self.reference, self.now_ms, scope).get(feature, NOTHING)
        self.compare(reply.description, scope, expected)
        self.assert_nothing_written()

    # -- time and loss -------------------------------------------------------------------------

    @rule(
        passed_ms=st.sampled_from((1, HOUR_MS // 2, HOUR_MS, 5 * HOUR_MS, 29 * DAY_MS, 70 * DAY_MS))
    )
    def wait(self, passed_ms: int) -> None:
        self.now_ms += passed_ms

    @rule(limit=st.integers(1, 3))
    def settle(self, limit: int) -> None:
        status, count = self.run(self.scripts.settle(self.context, limit))
        self.expect(status, self.missing(""))
        assert count <= limit

    @precondition(lambda self: self.ledger is not None)
    @rule()
    def lose_and_restore(self) -> None:
        assert self.ledger is not None
        scopes = ("", *self.ledger.entities)
        before = [normal(self.read(scope)) for scope in scopes]
        self.run(self.client.delete(*KEYS[:5]))
        groups = restore_groups(self.history.image())
        restore = self.scripts.restore_customer
        assert self.run(restore(self.context, self.seen, groups)) is Status.DONE
        assert [normal(self.read(scope)) for scope in scopes] == before
        assert self.run(restore(self.context, self.seen, groups)) is Status.EXISTS

    def read(self, scope: str) -> CustomerReply:
        return self.run(self.scripts.read_customer(KEYS, self.now_ms, scope))

    # -- what holds after each step ------------------------------------------------------------

    @property
    def reference(self) -> Ledger:
        assert self.ledger is not None
        return self.ledger

    def expect(self, status: Status, expected: Status | None) -> bool:
        """Compare a status; what was not done must have written nothing. True when it was done."""
        assert status is (expected or Status.DONE)
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
            self.history.apply(outbox.decode(PARTITION, stream_id, payload))
        self.state = self.run(read_state(self.client, KEYS))

    @invariant()
    def outbox_and_state_agree(self) -> None:
        self.look()
        assert_consistent(self.state, KEYS)
        for feature, owner, row, live in all_rows(self.state):
            told = self.history.rows[row.id]
            assert (told.feature, told.owner) == (feature, owner)
            assert (told.period, told.due_ms) == (live.period, live.due_ms)
            assert self.history.total(row.id) == live.used
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
        for scope in ("", *self.ledger.entities):
            reply = self.read(scope)
            if reply.status is Status.DUE and not scope:
                continue  # left for a call to find
            assert reply.status is Status.DONE
            views[scope] = {one.feature: one for one in reply.descriptions}
            expected = portrait(self.ledger, self.now_ms, scope)
            assert expected.keys() <= views[scope].keys()
            for feature, seen in views[scope].items():
                self.compare(seen, scope, expected.get(feature, NOTHING))
        for feature, seen in views.pop("", {}).items():
            top = shares_of(seen, entity_level=False, now_ms=self.now_ms)
            below = Totals()
            for described in views.values():
                share = shares_of(described[feature], entity_level=True, now_ms=self.now_ms)
                assert share.of_customer == top.of_customer
                below = below.plus(share.of_entities)
            assert top.of_entities == below

    def compare(self, seen: Description, scope: str, expected: View) -> None:
        """Compare a feature as Redis and as the reference see it."""
        assert view_of(seen, entity_level=bool(scope), now_ms=self.now_ms) == expected


@pytest.mark.redis_kinds("embedded")
def test_scripts_do_what_the_plain_ledger_does(redis_server_url: str) -> None:
    with asyncio.Runner() as runner:
        client = Redis.from_url(redis_server_url)
        try:
            # Any callable that makes a machine will do.
            run_state_machine_as_test(lambda: Machine(runner, client))  # type: ignore[arg-type]
        finally:
            runner.run(client.aclose())
