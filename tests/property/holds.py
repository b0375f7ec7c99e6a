"""Locks of the reference: units taken ahead of use, and what becomes of them (hot-path 6.8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.scripts import Status
from tests.property.balances import Entity, Place
from tests.property.reference import Ledger, Outcome
from tests.property.rules import Counter, Properties, Window
from tests.property.spending import Given, Pool, convert

NOBODY = "-"
"""Who an entity is that has gone."""


class Part(NamedTuple):
    """Units one place gave, its period then, and the tracked units they stand for."""

    given: Given
    feature: str
    period: int
    owner: str
    """The entity that holds the row, if one does."""
    gone: bool = False
    """Whether its entity is gone, with all that was used of it."""


@dataclass
class Lock:
    """An open lock: ``units`` are tracked units, negative for a hold of a give-back."""

    feature: str
    scope: str
    units: int
    expires_ms: int
    properties: Properties
    parts: list[Part] = field(default_factory=list)
    pools: Sequence[Pool] = ()
    mode: str = "cap"
    """How more than it holds is used."""
    orphan: bool = False
    """Whether its entity is gone; another one of that name has nothing to do with it."""
    windows: list[tuple[int, Window, int]] = field(default_factory=list)
    """Pool, window and the end of its cycle."""


class Holds:
    """The locks of one customer."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.open: dict[str, Lock] = {}

    def lock(
        self,
        now_ms: int,
        lock_id: str,
        use: tuple[str, str, str, int, bool],
        expires_ms: int,
        properties: Properties,
    ) -> Outcome:
        """Take units of (scope, mode, feature, amount, whether a check asks) and keep where they
        came from. A check holds nothing of nothing; one that may overdraw is confirmed so.
        """
        scope, mode, feature, amount, of_check = use
        if lock_id in self.open:
            return Outcome(Status.LOCK_EXISTS, [], [])
        ledger = self.ledger
        ledger.arrive(now_ms)
        pools = [feature, *(system for system, *_ in ledger.credit.get(feature, ()))]
        if of_check and amount > 0 and not ledger.sources(pools, scope):
            return Outcome(Status.DENIED, [], [])
        outcome = ledger.track(now_ms, scope, mode, [(feature, amount)], properties)
        spending = ledger.last
        if outcome.status is not Status.DONE or spending is None:
            return outcome
        parts = [
            Part(
                one,
                spending.pools[one.pool].feature,
                one.place.balance.period,
                ledger.owner_of(one.place.balance),
            )
            for one in spending.given
        ]
        windows = [
            (at, window, window.end_ms(now_ms))
            for at, pool in enumerate(spending.pools)
            for window in ledger.in_force(pool.feature, scope).windows
            if window.matches(properties) and amount > 0 and not spending.absorbed
        ]
        lock = Lock(feature, scope, spending.applied, expires_ms, properties, parts)
        lock.pools, lock.windows = spending.pools, windows
        lock.mode = mode if of_check and mode == "overflow" else "cap"
        self.open[lock_id] = lock
        return outcome

    def held(self) -> dict[tuple[str, str], int]:
        """Return units open locks hold by feature and scope, whoever's rows gave them: the
        customer's are those of all its locks.
        """
        held: dict[tuple[str, str], int] = {}
        for lock in self.open.values():
            for scope in dict.fromkeys(("", lock.scope)):
                for part in lock.parts if not scope or not lock.orphan else ():
                    key = (part.feature, scope)
                    held[key] = held.get(key, 0) + part.given.units
        return {key: units for key, units in held.items() if units}

    def delete_entity(self, name: str) -> None:
        for lock in self.open.values():
            lock.orphan = lock.orphan or lock.scope == name
            lock.parts = [
                part._replace(gone=part.gone or name in (part.owner, part.given.place.name))
                for part in lock.parts
            ]

    def end(self, now_ms: int, lock_id: str, final: int | None, about: Properties | None) -> Status:
        """End a lock with the units that were used of it, all of them when None."""
        self.ledger.arrive(now_ms)
        lock = self.open.pop(lock_id, None)
        if lock is None:
            return Status.LOCK_MISSING
        final = lock.units if final is None else final
        sign = 1 if lock.units > 0 else -1
        kept = max(0, sign * final) if lock.units else 0
        more = final - lock.units if kept > abs(lock.units) else 0 if kept else final
        properties = lock.properties if about is None else about
        lost = self._unwind(now_ms, lock, kept) if kept < abs(lock.units) or not kept else 0
        amount = more - lost
        if amount:
            mode = lock.mode if more else "cap"
            if lock.orphan:  # as an entity that holds nothing itself
                self.ledger.entities[NOBODY] = Entity("")
            scope = NOBODY if lock.orphan else lock.scope
            self.ledger.track(now_ms, scope, mode, [(lock.feature, amount)], properties)
            self.ledger.entities.pop(NOBODY, None)
        return Status.DONE

    def _unwind(self, now_ms: int, lock: Lock, kept: int) -> int:
        """Give back all but ``kept`` tracked units, last taken first; return those whose row has
        ended. What is kept of a pool is what the kept units cost in it.
        """
        lost, freed = 0, abs(lock.units) - kept
        covered = dict.fromkeys(range(len(lock.pools)), 0)
        taken = dict.fromkeys(covered, 0)
        drained = dict.fromkeys(covered, 0)
        for part in lock.parts:
            given = part.given
            units, stands = abs(given.units), abs(given.covered)
            stay = min(stands, kept)
            pool = lock.pools[given.pool]
            rest = units
            if stay < stands or (not kept and not stands):
                cost = convert(covered[given.pool] + stay, pool.num, pool.den)
                rest = min(units, max(0, cost - taken[given.pool]))
            kept -= stay
            covered[given.pool] += stay
            taken[given.pool] += rest
            back = units - rest
            drained[given.pool] += 0 if given.rolled else back
            if not back or part.gone:
                continue
            place = self._place_of(given)
            if place is None:
                lost += (stands - stay) * (1 if given.units > 0 else -1)
            elif place.balance.period == part.period:
                place.move(-back if given.units > 0 else back)
        self._free(now_ms, lock, freed, drained)
        return lost

    def _place_of(self, given: Given) -> Place | None:
        """Return where units came from, as it is now; None when the row has ended. It is found by
        its id: a call that was denied has put a copy of everything back.
        """
        for one in self.ledger.all_balances():
            if one.row.id == given.place.balance.row.id:
                return Place(one, given.place.name)
        return None

    def _free(self, now_ms: int, lock: Lock, back: int, drained: dict[int, int]) -> None:
        """Give usage windows their room back, those whose cycle still runs."""
        for at, window, end_ms in lock.windows:
            key = (lock.pools[at].feature, window.owner, window.key)
            counter = self.ledger.counters.get(key)
            if counter is not None and counter.end_ms == end_ms and end_ms > now_ms:
                used = counter.used - (drained[at] if at else back)
                self.ledger.counters[key] = Counter(end_ms, max(0, used))
