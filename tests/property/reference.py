"""The ledger in plain Python: what the scripts must do, without Redis and without any shortcut.

Every number is kept where it belongs (one for a shared row, one for each entity of a per-entity
row) and every question is answered by walking over all of them: no sums, no index, no periods, no
laziness. Rules are those of hot-path sections 3 and 4 and of the headers in ``lua/``. What a scope
sees of it all is in ``portraits.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.cycles import next_boundary
from gateway.rows import Kind, Row
from gateway.scripts import Status

NewRow = tuple[Row, int]
"""A row and its first reset, 0 for never."""


@dataclass
class Balance:
    """A row and what was used of it: of a per-entity row by entity, else under the empty name."""

    row: Row
    due_ms: int
    used: dict[str, int] = field(default_factory=dict)

    def of(self, name: str) -> int:
        return self.used.get(name, 0)

    def expired(self, now_ms: int) -> bool:
        return 0 < self.row.expires_ms <= now_ms


@dataclass
class Entity:
    """``own`` has the balances of its own plans, feature by feature."""

    feature: str
    own: dict[str, list[Balance]] = field(default_factory=dict)


class Place(NamedTuple):
    """One number a call may move."""

    balance: Balance
    name: str

    @property
    def used(self) -> int:
        return self.balance.of(self.name)

    @property
    def left(self) -> int:
        return max(0, self.balance.row.grant - self.used)

    @property
    def over(self) -> int:
        return max(0, self.used - self.balance.row.grant)

    def move(self, units: int) -> int:
        """Use units, or give them back when negative; return how many."""
        self.balance.used[self.name] = self.used + units
        return abs(units)


class Source(NamedTuple):
    """Places that are drained in order before the next source; ``flags`` say what it may owe."""

    places: list[Place]
    flags: str
    floor: int | None


class Outcome(NamedTuple):
    status: Status
    applied: list[int]
    moved: list[dict[str, int]]
    """Units by row, for each feature."""


class Ledger:
    """One customer. A name that is asked for must be that of an entity."""

    def __init__(self) -> None:
        self.shared: dict[str, list[Balance]] = {}
        self.entities: dict[str, Entity] = {}

    def members(self, feature: str) -> list[str]:
        """Return the entities of a feature in creation order."""
        return [name for name, entity in self.entities.items() if entity.feature == feature]

    def arrive(self, now_ms: int) -> None:
        """Let time pass: rows that are due are full again, expired rows of entities are gone."""
        for entity in self.entities.values():
            for feature, own in entity.own.items():
                entity.own[feature] = [one for one in own if not one.expired(now_ms)]
        for one in self.all_balances():
            if 0 < one.due_ms <= now_ms:
                one.used.clear()
                one.due_ms = next_boundary(one.row.anchor_ms, one.row.unit, one.row.every, now_ms)

    def all_balances(self) -> Iterator[Balance]:
        for held in (self.shared, *(entity.own for entity in self.entities.values())):
            for balances in held.values():
                yield from balances

    def sources(self, now_ms: int, feature: str, scope: str) -> list[Source]:
        """Return what a call may spend, in order (hot-path sections 3.1 and 3.2)."""
        visible = [one for one in self.shared.get(feature, []) if not one.expired(now_ms)]
        shared = [_one(Place(one, "")) for one in visible if one.row.kind is Kind.SHARED]
        each = [one for one in visible if one.row.kind is Kind.PER_ENTITY]
        members = {one.row.id: self.members(one.row.entity_feature) for one in each}
        if scope:
            own = [Place(one, "") for one in self.entities[scope].own.get(feature, [])]
            own += [Place(one, scope) for one in each if scope in members[one.row.id]]
            own.sort(key=lambda place: place.balance.row.rank)
            return [_one(place) for place in own] + shared
        shared += [
            Source([Place(one, name) for name in members[one.row.id]], one.row.flags, one.row.floor)
            for one in each
            if members[one.row.id]
        ]
        owned = [entity.own.get(feature, []) for entity in self.entities.values()]
        held = [Place(one, "") for balances in owned for one in balances]
        # The customer may use up what entities hold, never overdraw it.
        return [*shared, Source(held, "", None)] if held else shared

    def spend(self, sources: list[Source], amount: int, mode: str) -> tuple[int, dict[str, int]]:
        """Move an amount (hot-path sections 3.3 and 3.4); return units left and units by row."""
        places = [place for source in sources for place in source.places]
        before = [place.used for place in places]
        unlimited = [place for place in places if place.balance.row.unlimited]
        if unlimited:
            left = abs(amount) - unlimited[0].move(amount)
        elif amount < 0:
            left = _give_back(places, -amount, mode)
        else:
            left = _take(sources, places, amount, mode)
        moved: dict[str, int] = {}
        for place, used in zip(places, before, strict=True):
            row_id = place.balance.row.id
            moved[row_id] = moved.get(row_id, 0) + place.used - used
        return left, {row_id: units for row_id, units in moved.items() if units}

    def track(
        self, now_ms: int, scope: str, mode: str, amounts: Sequence[tuple[str, int]]
    ) -> Outcome:
        """Record use of several features: all of it or nothing."""
        self.arrive(now_ms)
        before = copy.deepcopy((self.shared, self.entities))
        applied, moves = [], []
        for feature, amount in amounts:
            left, moved = self.spend(self.sources(now_ms, feature, scope), amount, mode)
            if mode == "reject" and amount > 0 and left > 0:
                self.shared, self.entities = before
                return Outcome(Status.DENIED, [], [])
            applied.append(amount - left if amount > 0 else amount + left)
            moves.append(moved)
        return Outcome(Status.DONE, applied, moves)

    def check(self, now_ms: int, scope: str, feature: str, amount: int) -> bool:
        """Whether a track that rejects would succeed."""
        trial = copy.deepcopy(self)
        return trial.track(now_ms, scope, "reject", [(feature, amount)]).status is Status.DONE

    def apply_plan(
        self, now_ms: int, scope: str, feature: str, rows: Sequence[NewRow], unit: int
    ) -> None:
        """Replace the rows of a scope; rows that stay keep their numbers, lasting use moves on."""
        self.arrive(now_ms)
        held = self.entities[scope].own if scope else self.shared
        old = {one.row.id: one for one in held.get(feature, [])}
        made = [old.get(row.id) or Balance(row, due_ms) for row, due_ms in rows]
        gone = [one for one in old.values() if one.row.allocated and one not in made]
        if not scope:
            self.inherit_slots(gone, [one for one in made if one.row.id not in old])
        lasting = [one for one in made if one.row.allocated and one.row.kind is Kind.SHARED]
        carried = sum(one.of("") for one in gone)
        if not scope and (members := self.members(feature)):
            owners = self.entities.values()
            own = [one for owner in owners for one in owner.own.get(feature, ())]
            counted = sum(one.of("") for one in (*lasting, *own))
            carried = max(carried, len(members) * unit - counted)
        for one in lasting:
            room = carried if one.row.unlimited else max(0, one.row.grant - one.of(""))
            share = min(carried, room)
            one.used[""] = one.of("") + share
            carried -= share
        if lasting:
            lasting[0].used[""] += carried
        held[feature] = made

    @staticmethod
    def inherit_slots(gone: Sequence[Balance], new: Sequence[Balance]) -> None:
        """Let slots of continuous use go on in the row of the same entities, if there is one."""
        for old in gone:
            heirs = [
                one
                for one in new
                if one.row.allocated
                and one.row.kind is old.row.kind is Kind.PER_ENTITY
                and one.row.entity_feature == old.row.entity_feature
            ]
            for name, used in old.used.items() if heirs else ():
                heirs[0].used[name] = heirs[0].of(name) + used

    def create_entity(
        self, now_ms: int, name: str, feature: str, unit: int, entities_max: int
    ) -> Status:
        """Create an entity: it counts for its feature, beyond the grant too unless a cap is set."""
        self.arrive(now_ms)
        if name in self.entities:
            return Status.EXISTS
        if len(self.members(feature)) >= entities_max:
            return Status.CAPPED
        trial = copy.deepcopy(self)
        left, _ = trial.spend(trial.sources(now_ms, feature, ""), unit, "cap")
        sources = self.sources(now_ms, feature, "")
        if left and any(source.floor is not None for source in sources):
            return Status.CAPPED
        self.spend(sources, unit, "overflow" if left else "cap")
        self.entities[name] = Entity(feature)
        return Status.DONE

    def delete_entity(self, now_ms: int, name: str, unit: int) -> None:
        """Delete an entity with all it used, and give its seat back."""
        self.arrive(now_ms)
        feature = self.entities.pop(name).feature
        for one in self.all_balances():
            one.used.pop(name, None)
        self.spend(self.sources(now_ms, feature, ""), -unit, "cap")


def _one(place: Place) -> Source:
    return Source([place], place.balance.row.flags, place.balance.row.floor)


def _take(sources: list[Source], places: Sequence[Place], left: int, mode: str) -> int:
    for place in places:
        left -= place.move(min(left, place.left))
    if mode == "overflow" and places:
        left -= places[0].move(left)
    for source in sources:
        if "o" in source.flags or ("f" in source.flags and mode != "reject"):
            left -= _overdraw(source, left)
    return left


def _overdraw(source: Source, left: int) -> int:
    """Owe units: each place down to the floor, all of them together down to theirs."""
    if source.floor is None:
        return source.places[0].move(left)
    owed = sum(place.over for place in source.places)
    rest = total = min(left, max(0, source.floor * len(source.places) - owed))
    for place in source.places:
        rest -= place.move(min(rest, max(0, source.floor - place.over)))
    return total - rest


def _give_back(places: Sequence[Place], left: int, mode: str) -> int:
    for place in places:
        left -= place.move(-min(left, place.over))
    for place in places:
        left -= place.move(-min(left, max(0, place.used)))
    if mode == "overflow" and places:
        left -= places[0].move(-left)
    return left
