"""The scripts on a real server against the ledger in ``reference.py``: same calls, same answers.

A machine makes up customers, plans, entities, controls and uses, and lets time pass. After each
step it compares replies and balances at every level, follows the outbox, and checks whatever Redis
keeps besides the numbers (``machine.py``, ``state.py``).
"""

from __future__ import annotations

import json

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from gateway.engine.images import restore_groups
from gateway.scripts import Status, Use
from tests.property.adjusting import Adjusting
from tests.property.direct import direct_client
from tests.property.lives import scopes
from tests.property.machine import KEYS, part_of
from tests.property.plans import DAY_MS, HOUR_MS, properties, signed_amounts, used_features
from tests.property.readings import normal
from tests.property.rules import Properties
from tests.property.state import all_rows

modes = st.sampled_from(("cap", "cap", "cap", "reject", "overflow"))
uses = st.lists(
    st.tuples(used_features, signed_amounts), min_size=1, max_size=3, unique_by=lambda use: use[0]
)


class Machine(Adjusting):
    """Uses, time and losses on top of the lifecycle."""

    @rule(scope=scopes, mode=modes, feature=used_features, amount=signed_amounts, about=properties)
    def track_one(
        self, scope: str, mode: str, feature: str, amount: int, about: Properties
    ) -> None:
        self.track(scope, mode, [(feature, amount)], about)

    @rule(scope=scopes, mode=modes, uses=uses, about=properties)
    def track(self, scope: str, mode: str, uses: list[tuple[str, int]], about: Properties) -> None:
        scope = self.named(scope)
        use = Use(
            entity=scope,
            parts=[part_of(*one) for one in uses],
            timestamp_ms=self.now_ms,
            mode=mode,
            properties=json.dumps(about),
        )
        reply = self.settled(lambda: self.scripts.track(self.context, use))
        if self.missing(scope):
            self.expect(reply.status, self.missing(scope))
            return
        outcome = self.reference.track(self.now_ms, scope, mode, uses, about)
        self.expect(reply.status, outcome.status)
        assert reply.applied == outcome.applied
        assert [self.moved(moves) for moves in reply.moves] == outcome.moved
        self.compare_pools(scope, uses, reply.descriptions)

    @rule(scope=scopes, feature=used_features, amount=signed_amounts, about=properties)
    def check(self, scope: str, feature: str, amount: int, about: Properties) -> None:
        scope = self.named(scope)
        text = json.dumps(about)
        part = part_of(feature, amount)
        reply = self.settled(lambda: self.scripts.check(KEYS, self.now_ms, scope, part, text))
        if not self.expect(reply.status, self.missing(scope)):
            return
        assert reply.allowed is self.reference.check(self.now_ms, scope, feature, amount, about)
        self.compare_pools(scope, [(feature, amount)], [reply.descriptions])
        self.assert_nothing_written()

    # -- time and loss -------------------------------------------------------------------------

    @rule(
        passed_ms=st.sampled_from(
            (1, HOUR_MS // 2, HOUR_MS, 5 * HOUR_MS, DAY_MS, 29 * DAY_MS, 70 * DAY_MS, 800 * DAY_MS)
        )
    )
    def wait(self, passed_ms: int) -> None:
        self.catch_up()
        self.now_ms += passed_ms

    @precondition(lambda self: self.ledger is not None)
    @rule(behind_ms=st.sampled_from((1, 2_000, 90_000, HOUR_MS // 2)))
    def fall_behind(self, behind_ms: int) -> None:
        """Go on with a gateway whose clock is behind, once what was due has been carried out."""
        self.catch_up()
        self.settle_all()
        due = {
            feature
            for feature, _, row, live in all_rows(self.state)
            if any(0 < at_ms <= self.now_ms for at_ms in (live.due_ms, row.expires_ms))
        }
        for feature in sorted(due):
            self.track("", "cap", [(feature, 0)], {})
        self.now_ms -= behind_ms

    @rule(limit=st.integers(1, 3))
    def settle(self, limit: int) -> None:
        self.settle_some(limit)

    @precondition(lambda self: self.ledger is not None)
    @rule(evicted=st.booleans())
    def lose_and_restore(self, *, evicted: bool) -> None:
        assert self.ledger is not None
        scopes = ("", *self.ledger.entities)
        before = [normal(self.read(scope), self.now_ms) for scope in scopes]
        if evicted:
            self.evict()
        else:
            self.run(self.client.delete(*KEYS[:4]))
        rules = {key: one.text for key, one in self.ledger.rules.items() if one.text}
        groups = restore_groups(
            self.history.image(),
            {feature: text for (feature, scope), text in rules.items() if not scope},
            _rules_of_entities(rules),
        )
        restore = self.scripts.restore_customer
        assert self.run(restore(self.context, self.seen, groups)) is Status.DONE
        assert [normal(self.read(scope), self.now_ms) for scope in scopes] == before
        assert self.run(restore(self.context, self.seen, groups)) is Status.EXISTS

    def evict(self) -> None:
        """Let the customer go, which SQL has to have whole."""
        known, evict = self.history, self.scripts.evict_customer
        for seq, expected in ((known.seq - 1, Status.STALE), (known.seq, Status.DONE)):
            head = self.context.head
            assert self.run(evict(KEYS, head, "", known.internal_id, seq)) is expected
            if expected is Status.STALE:
                self.assert_nothing_written()


@pytest.mark.redis_kinds("embedded")
def test_scripts_do_what_the_plain_ledger_does(redis_server_url: str) -> None:
    with direct_client(redis_server_url) as client:
        # Any callable that makes a machine will do.
        run_state_machine_as_test(lambda: Machine(client))  # type: ignore[arg-type]


def _rules_of_entities(rules: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """Return the rules of entities with the names of their features, as they are kept beside."""
    found = {key: text for key, text in rules.items() if key[1]}
    for feature, entity in list(found):
        found["", entity] = found.get(("", entity), "") + f"{feature}\x1e"
    return found
