"""Steps of the ledger machine that hold units ahead of use, and settle the difference later."""

from __future__ import annotations

import json

import hypothesis.strategies as st
from hypothesis.stateful import precondition, rule

from gateway.scripts import Ending, Hold, Status, Use
from tests.property.lives import Lives, scopes
from tests.property.machine import part_of
from tests.property.plans import DAY_MS, HOUR_MS, properties, signed_amounts
from tests.property.rules import Properties

KEEP_MS = DAY_MS

held_features = st.sampled_from(("calls", "calls", "store", "coins"))


class Locking(Lives):
    """Locks are made, confirmed, released, and expire."""

    @precondition(lambda self: self.ledger is not None)
    @rule(
        scope=scopes,
        mode=st.sampled_from(("cap", "reject", "overflow")),
        of_check=st.booleans(),
        feature=held_features,
        amount=signed_amounts.filter(bool),
        about=properties,
        again=st.integers(0, 9),
    )
    def lock(
        self,
        *,
        scope: str,
        mode: str,
        of_check: bool,
        feature: str,
        amount: int,
        about: Properties,
        again: int,
    ) -> None:
        scope = self.named(scope)
        known = sorted(self.holds.open)
        lock_id = known[0] if known and again == 0 else f"lock_{self.number()}"
        expires_ms = self.now_ms + DAY_MS
        use = Use(
            entity=scope,
            parts=[part_of(feature, amount)],
            timestamp_ms=self.now_ms,
            mode=mode,
            properties=json.dumps(about),
            hold=Hold(lock_id, expires_ms, of_check),
        )
        reply = self.settled(lambda: self.scripts.track(self.context, use))
        if self.missing(scope):
            self.expect(reply.status, self.missing(scope))
            return
        wanted = (scope, mode, feature, amount, of_check)
        outcome = self.holds.lock(self.now_ms, lock_id, wanted, expires_ms, about)
        if self.expect(reply.status, outcome.status):
            assert reply.applied == outcome.applied
            assert [self.moved(moves) for moves in reply.moves] == outcome.moved

    @precondition(lambda self: self.holds.open)
    @rule(
        which=st.integers(0, 5),
        action=st.sampled_from(("confirm", "confirm", "confirm", "release")),
        final=st.none() | st.integers(-20, 120),
        about=st.none() | properties,
        late_ms=st.sampled_from((0, 0, 0, HOUR_MS)),
    )
    def finalize(
        self, which: int, action: str, final: int | None, about: Properties | None, late_ms: int
    ) -> None:
        """End a lock; one whose time is over expires, and is then gone for whoever comes late."""
        lock_id = sorted(self.holds.open)[which % len(self.holds.open)]
        lock = self.holds.open[lock_id]
        if self.now_ms >= lock.expires_ms:
            action = "expire"
        if action != "confirm":
            final = None
        text = "" if about is None else json.dumps(about)
        ending = Ending(lock_id, action, KEEP_MS, final, text)
        status = self.verdict(lambda: self.ended(ending, lock.feature))
        told = 0 if action != "confirm" else final
        if self.expect(status, self.holds.end(self.now_ms, lock_id, told, about)):
            self.catch_up()
            self.now_ms += late_ms
            again = ending._replace(action="confirm" if action == "expire" else action)
            replayed = self.verdict(lambda: self.ended(again, lock.feature))
            self.expect(replayed, Status.LOCK_MISSING)

    async def ended(self, ending: Ending, feature: str) -> Status:
        status, _ = await self.scripts.finalize(self.context, ending, part_of(feature, 0))
        return status
