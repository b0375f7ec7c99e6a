"""How the reference spreads an amount over sources (hot-path sections 3.3, 3.4, 3.6).

An amount is one of the tracked feature. Each pool converts it once: what a pool is to give for all
it covers is worked out anew from the whole, so that roundings never add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.property.balances import Place, Source


def convert(units: int, num: int, den: int) -> int:
    """Return what tracked units cost in a pool, half up."""
    return (2 * units * num + den) // (2 * den)


@dataclass
class Pool:
    """A feature's balances as one call pays with them: its own, or a credit system's."""

    feature: str
    num: int = 1
    den: int = 1
    overage: str = ""
    """Control: 1 allows to go below zero, 0 forbids, empty leaves it to the rows."""
    spend_limit: int | None = None
    headroom: int | None = None
    """Units its usage windows leave; None for no window."""
    covered: int = 0
    """Tracked units paid."""
    taken: int = 0
    drained: int = 0
    """Part of ``taken`` that did not come from rollovers."""

    def want(self, left: int) -> int:
        """Return what it is to give for the rest; nothing where it has given a part of a unit
        too much already.
        """
        return max(0, convert(self.covered + left, self.num, self.den) - self.taken)

    def pay(self, units: int, left: int) -> int:
        """Take note of units given; return the tracked units still to be covered."""
        done = units == self.want(left)
        self.taken += units
        covered = self.covered + left if done else self.taken * self.den // self.num
        left -= covered - self.covered
        self.covered = covered
        return left


class Given(NamedTuple):
    """Units one place gave (positive) or got back, and the tracked units they stand for."""

    pool: int
    place: Place
    units: int
    covered: int
    rolled: bool = False


@dataclass
class Spending:
    """One amount on its way. The first pool is that of the tracked feature."""

    pools: Sequence[Pool]
    sources: Sequence[Source]
    mode: str = "cap"
    absorbed: bool = field(default=False, init=False)
    """Whether an unlimited balance took it all."""
    left: int = field(default=0, init=False)
    """Tracked units nobody could take."""
    applied: int = field(default=0, init=False)
    """Tracked units that were placed, negative for what was given back."""
    given: list[Given] = field(default_factory=list, init=False)
    """In the order of the moves."""

    @property
    def main(self) -> list[Source]:
        return [source for source in self.sources if not source.rolled]

    def spend(self, amount: int) -> None:
        """Move an amount, as far as it goes."""
        self.left = self._spread(amount)
        self.applied = amount - self.left if amount > 0 else amount + self.left

    def _spread(self, amount: int) -> int:
        for source in self.main:
            for place in source.places:
                if place.balance.row.unlimited:
                    self.absorbed = True
                    units = self.pools[source.pool].want(abs(amount))
                    self._move(source, place, units if amount > 0 else -units, abs(amount))
                    return 0
        return self._give_back(-amount) if amount < 0 else self._take(amount)

    def _take(self, amount: int) -> int:
        enforced = self.mode in {"cap", "reject"}
        room = self.pools[0].headroom
        left = amount if room is None or not enforced else min(amount, room)
        beyond = amount - left
        if self.mode != "allow":
            for source in self.sources:
                if source.rolled:
                    left = self._drain(source, left, None)
        for source in self.main:
            left = self._drain(source, left, self._gate(source) if enforced else None)
        if not enforced:  # the first one takes the rest; what its spend limit leaves out is dropped
            first = self.main[:1]
            return self._owe(first[0], left, None, self._spare(first[0])) if first else left
        for source in self.main:
            if self._may_owe(source):
                gate = self._gate(source)
                left = self._owe(source, left, gate, self._spare(source), source.floor)
        return left + beyond

    def _gate(self, source: Source) -> int | None:
        pool = self.pools[source.pool]
        if source.pool == 0 or pool.headroom is None:
            return None
        return max(0, pool.headroom - pool.drained)

    def _spare(self, source: Source) -> int | None:
        """Return units the spend limit of a pool leaves, over everything in sight but what entities
        hold themselves.
        """
        pool = self.pools[source.pool]
        if pool.spend_limit is None or self.mode == "allow":
            return None
        bound = [one for one in self.main if one.pool == source.pool and not one.held]
        places = [place for one in bound for place in one.places]
        return max(0, pool.spend_limit - sum(place.over for place in places))

    def _may_owe(self, source: Source) -> bool:
        control = self.pools[source.pool].overage
        if control == "0" or source.held:
            return False
        if "o" in source.flags or ("f" in source.flags and self.mode != "reject"):
            return True
        flags = [one.flags for one in self.main if one.pool == source.pool]
        return control == "1" and not any("o" in one for one in flags)

    def _move(self, source: Source, place: Place, units: int, left: int) -> int:
        """Move units; return the tracked units still to be covered."""
        pool = self.pools[source.pool]
        place.move(units)
        rest = pool.pay(abs(units), left)
        pool.drained += 0 if source.rolled else units
        if units:
            covered = left - rest if units > 0 else rest - left
            self.given.append(Given(source.pool, place, units, covered, source.rolled))
        return rest

    def _drain(self, source: Source, left: int, gate: int | None) -> int:
        for place in source.places:
            units = min(self.pools[source.pool].want(left), place.left)
            units = units if gate is None else min(units, gate)
            if not place.left or gate == 0:
                continue  # even what rounds to nothing is not paid by nothing
            gate = None if gate is None else gate - units
            left = self._move(source, place, units, left)
        return left

    def _owe(
        self,
        source: Source,
        left: int,
        gate: int | None,
        spare: int | None,
        floor: int | None = None,
    ) -> int:
        """Go below zero. A spend limit stands in for the floor: all of it on the first place."""
        bounds = [one for one in (gate, spare) if one is not None]
        if 0 in bounds:
            return left
        want = min((self.pools[source.pool].want(left), *bounds))
        if floor is None or spare is not None:
            return self._move(source, source.places[0], want, left)
        room = max(0, floor * len(source.places) - sum(place.over for place in source.places))
        if not room:
            return left
        rest = min(want, room)
        for place in source.places:
            units = min(rest, max(0, floor - place.over))
            rest -= units
            left = self._move(source, place, units, left)
        return left

    def _give_back(self, left: int) -> int:
        for source, place in self._places():
            left = self._return(source, place, left, place.over)
        if self.mode in {"overflow", "allow"}:
            for source in self.main[:1]:
                left = self._return(source, source.places[0], left, None)
            return left
        for source, place in self._places():
            left = self._return(source, place, left, place.spent)
        return left

    def _places(self) -> list[tuple[Source, Place]]:
        return [(source, place) for source in self.main for place in source.places]

    def _return(self, source: Source, place: Place, left: int, most: int | None) -> int:
        if most == 0:
            return left
        want = self.pools[source.pool].want(left)
        return self._move(source, place, -(want if most is None else min(want, most)), left)
