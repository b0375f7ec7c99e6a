"""The ledger in plain Python: what the scripts must do, without Redis and without any shortcut.

Every number is kept where it belongs (one for a shared row, one for each entity of a per-entity
row) and every question is answered by walking over all of them: no sums, no index, no laziness.
Rules are those of hot-path sections 3 to 5 and of the headers in ``lua/``: how an amount is spread
is in ``spending.py``, controls in ``rules.py``, what time does in ``rolling.py``, locks in
``holds.py``. What a scope sees of it all is in ``portraits.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.rows import Kind, Row
from gateway.scripts import Status
from tests.property.balances import Balance, Entity, NewRow, Place, Source, label_of
from tests.property.rolling import due, expiry_of, leftover, reset, rollover, with_rollovers
from tests.property.rules import NONE, Counter, Properties, RuleText, Window, in_force
from tests.property.spending import Given, Pool, Spending

Ratio = tuple[str, int, int]
"""A credit system and what one unit costs in it, in lowest terms."""


class Outcome(NamedTuple):
    status: Status
    applied: list[int]
    moved: list[dict[str, int]]
    """Units by row, for each feature."""


class Ledger:
    """One customer. A name that is asked for must be that of an entity."""

    def __init__(self, credit: Mapping[str, Sequence[Ratio]] | None = None) -> None:
        """Begin empty; ``credit`` names the credit systems of each feature in catalog order."""
        self.credit = credit or {}
        self.shared: dict[str, list[Balance]] = {}
        self.entities: dict[str, Entity] = {}
        self.rules: dict[tuple[str, str], RuleText] = {}
        """By feature and scope."""
        self.counters: dict[tuple[str, str, str], Counter] = {}
        """By feature, owner and key of a window."""
        self.last: Spending | None = None
        """The last amount that was spread."""

    def members(self, feature: str) -> list[str]:
        """Return the entities of a feature in creation order."""
        return [name for name, entity in self.entities.items() if entity.feature == feature]

    def holders(self) -> Iterator[tuple[str, dict[str, list[Balance]]]]:
        """Yield the customer, under the empty name, then its entities, with what they hold."""
        yield "", self.shared
        for name, entity in self.entities.items():
            yield name, entity.own

    def all_balances(self) -> Iterator[Balance]:
        for _, held in self.holders():
            for balances in held.values():
                yield from balances

    def owner_of(self, balance: Balance) -> str:
        """Return the entity that holds a balance; empty for the customer."""
        for name, held in self.holders():
            if any(one is balance for balances in held.values() for one in balances):
                return name
        return ""

    # -- time ----------------------------------------------------------------------------------

    def arrive(self, now_ms: int) -> None:
        """Let time pass: what has expired is gone, rows that are due begin again, and what they
        had left rolls over. However many boundaries have passed, that happens once.
        """
        for _, held in self.holders():
            for feature, balances in held.items():
                held[feature] = [one for one in balances if not one.expired(now_ms)]
        for feature, balances in self.shared.items():
            for one in balances:
                if one.row.kind is Kind.PER_ENTITY and due(one, now_ms):
                    self._roll_slots(now_ms, feature, one)
                    reset(one, now_ms)
        for owner, held in self.holders():
            for balances in held.values():
                self._roll_rows(now_ms, owner, balances)

    def _roll_slots(self, now_ms: int, feature: str, one: Balance) -> None:
        for name in self.members(one.row.entity_feature) if one.row.roll else ():
            own = self.entities[name].own.setdefault(feature, [])
            with_rollovers(own, self._rolled(now_ms, name, one, name), [one.row])

    def _roll_rows(self, now_ms: int, owner: str, balances: list[Balance]) -> None:
        begun = [one for one in balances if due(one, now_ms)]
        rolling = [one.row for one in begun if one.row.roll]
        made = [it for one in begun for it in self._rolled(now_ms, owner, one, "")]
        for one in begun:
            reset(one, now_ms)
        if rolling:
            with_rollovers(balances, made, rolling)

    def _rolled(self, now_ms: int, owner: str, one: Balance, slot: str) -> list[Balance]:
        """Return what a row, or one slot of it, hands on to its owner: a rollover or nothing."""
        units = leftover(one, slot)
        if not units:
            return []
        expires_ms = expiry_of(one.row, now_ms)
        if 0 < expires_ms <= now_ms:
            return []
        label = label_of(owner, one.row, expires_ms, now_ms)
        return [rollover(one.row, units, label, expires_ms, one.due_ms)]

    # -- use -----------------------------------------------------------------------------------

    def pools(self, now_ms: int, feature: str, scope: str, properties: Properties) -> list[Pool]:
        """Return what pays for a feature, and what controls leave of each."""
        pools = [Pool(feature), *(Pool(*ratio) for ratio in self.credit.get(feature, ()))]
        for pool in pools:
            rules = self.in_force(pool.feature, scope)
            pool.overage = rules.overage
            if rules.spend:
                amount, is_share = rules.spend
                included = self._included(pool.feature, scope)
                pool.spend_limit = amount * included // 1_000_000 if is_share else amount
                if is_share and not included:
                    pool.spend_limit = None
            room = [
                window.limit - self.counted(now_ms, pool.feature, window)
                for window in rules.windows
                if window.matches(properties)
            ]
            pool.headroom = max(0, min(room)) if room else None
        return pools

    def in_force(self, feature: str, scope: str) -> RuleText:
        own = self.rules.get((feature, scope), NONE) if scope else NONE
        return in_force(self.rules.get((feature, ""), NONE), own, scope)

    def counted(self, now_ms: int, feature: str, window: Window) -> int:
        """Return what a usage window has seen of its present cycle."""
        return self._counter(feature, window).at(self._end_ms(now_ms, feature, window))

    def _counter(self, feature: str, window: Window) -> Counter:
        return self.counters.get((feature, window.owner, window.key), Counter(0, 0))

    def _end_ms(self, now_ms: int, feature: str, window: Window) -> int:
        return window.current_end_ms(now_ms, self._counter(feature, window).end_ms)

    def _included(self, feature: str, scope: str) -> int:
        """Return what main recurring plans include of what a call may spend of a feature."""
        groups = (self._of_entity if scope else self._of_customer)(feature, scope)
        rows = [
            place.balance.row
            for source in (source for group in groups for source in group if not source.held)
            for place in source.places
        ]
        documents = [(row.planned, row.document) for row in rows]
        return sum(units for units, one in documents if one.subscription_id and not one.apart)

    def sources(self, features: Sequence[str], scope: str) -> list[Source]:
        """Return what a call may spend, in order (hot-path sections 3.1 and 3.2): by group, in
        each group the feature itself and then the credits of any system by rank; units that rolled
        over before anything else, by expiry.
        """
        groups = [
            [
                [one._replace(pool=pool) for one in part]
                for part in (self._of_entity if scope else self._of_customer)(feature, scope)
            ]
            for pool, feature in enumerate(features)
        ]
        order = []
        for own, *others in zip(*groups, strict=True):
            order += own
            order += sorted((one for part in others for one in part), key=_rank)
        rolled = [source for source in order if source.rolled]
        rolled.sort(key=_expiry)
        return rolled + [source for source in order if not source.rolled]

    def _of_entity(self, feature: str, scope: str) -> tuple[list[Source], list[Source]]:
        own = [Place(one, "") for one in self.entities[scope].own.get(feature, ())]
        own += [
            Place(one, scope)
            for one in self.shared.get(feature, ())
            if one.row.kind is Kind.PER_ENTITY and scope in self.members(one.row.entity_feature)
        ]
        own.sort(key=lambda place: place.balance.row.rank)
        return [_one(place) for place in own], self._shared(feature)

    def _of_customer(
        self, feature: str, _: str
    ) -> tuple[list[Source], list[Source], list[Source], list[Source]]:
        each = [one for one in self.shared.get(feature, ()) if one.row.kind is Kind.PER_ENTITY]
        members = {one.row.id: self.members(one.row.entity_feature) for one in each}
        slots = [
            Source(
                0, [Place(one, name) for name in members[one.row.id]], one.row.flags, one.row.floor
            )
            for one in each
            if members[one.row.id]
        ]
        owned = [entity.own.get(feature, ()) for entity in self.entities.values()]
        held = [Place(one, "") for balances in owned for one in balances]
        rolled = [place for place in held if place.balance.row.rollover]
        main = [place for place in held if not place.balance.row.rollover]
        # The customer may use up what entities hold, never overdraw it.
        return (
            self._shared(feature),
            slots,
            [Source(0, rolled, "", None, rolled=True, held=True)] if rolled else [],
            [Source(0, main, "", None, held=True)] if main else [],
        )

    def _shared(self, feature: str) -> list[Source]:
        rows = [one for one in self.shared.get(feature, ()) if one.row.kind is Kind.SHARED]
        return [_one(Place(one, "")) for one in rows]

    def spend(self, scope: str, mode: str, pools: Sequence[Pool], amount: int) -> Spending:
        """Move an amount; ``pools`` know afterwards what each of them gave."""
        spending = Spending(pools, self.sources([pool.feature for pool in pools], scope), mode)
        spending.spend(amount)
        return spending

    def count(
        self, now_ms: int, scope: str, pools: Sequence[Pool], applied: int, properties: Properties
    ) -> None:
        """Count what was used in the usage windows it concerns: of the tracked feature whatever
        paid for it, of a credit system what it gave from other than rollovers.
        """
        for at, pool in enumerate(pools):
            units = pool.drained if at else applied
            for window in self.in_force(pool.feature, scope).windows if units else ():
                if window.matches(properties):
                    used = self.counted(now_ms, pool.feature, window) + units
                    key = (pool.feature, window.owner, window.key)
                    self.counters[key] = Counter(self._end_ms(now_ms, pool.feature, window), used)

    def track(
        self,
        now_ms: int,
        scope: str,
        mode: str,
        amounts: Sequence[tuple[str, int]],
        properties: Properties | None = None,
    ) -> Outcome:
        """Record use of several features: all of it or nothing."""
        self.arrive(now_ms)
        before = self.snapshot()
        applied, moves = [], []
        for feature, amount in amounts:
            pools = self.pools(now_ms, feature, scope, properties or {})
            self.last = spending = self.spend(scope, mode, pools, amount)
            if mode == "reject" and amount > 0 and spending.left > 0:
                self.go_back(before)
                return Outcome(Status.DENIED, [], [])
            applied.append(spending.applied)
            if amount > 0 and mode != "allow" and not spending.absorbed:
                self.count(now_ms, scope, pools, applied[-1], properties or {})
            moves.append(by_row(spending.given))
        return Outcome(Status.DONE, applied, moves)

    def snapshot(self) -> dict[str, object]:
        return copy.deepcopy(
            {key: value for key, value in vars(self).items() if key not in {"credit", "last"}}
        )

    def go_back(self, before: Mapping[str, object]) -> None:
        vars(self).update(before)

    def check(
        self,
        now_ms: int,
        scope: str,
        feature: str,
        amount: int,
        properties: Properties | None = None,
    ) -> bool:
        """Whether a track that rejects would succeed."""
        outcome = copy.deepcopy(self).track(
            now_ms, scope, "reject", [(feature, amount)], properties
        )
        return outcome.status is Status.DONE

    # -- lifecycle -----------------------------------------------------------------------------

    def set_rules(self, feature: str, scope: str, rules: RuleText) -> None:
        self.rules[feature, scope] = rules

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
            new = [one for one in made if one.row.id not in old]
            self.inherit_slots(gone, new)
            self.hand_rollovers(feature, [one for one in old.values() if one not in made], new)
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
            heirs = [one for one in new if one.row.allocated and one.has_slots_of(old)]
            for name, used in old.used.items() if heirs else ():
                heirs[0].used[name] = heirs[0].of(name) + used

    def hand_rollovers(self, feature: str, gone: Sequence[Balance], new: Sequence[Balance]) -> None:
        """Let what rolled over of slots go on as a rollover of the row of the same entities, within
        its maximum; without one, or where it rolls nothing over, it is gone too (cold-path section
        3.5).
        """
        for old in gone:
            heir = next((one.row for one in new if one.has_slots_of(old) and one.row.roll), None)
            for owner in self.entities.values():
                own = owner.own.get(feature, [])
                for one in [one for one in own if one.row.roll == old.row.id]:
                    if heir is None:
                        own.remove(one)
                    else:
                        one.hand_to(heir)
                if heir is not None and any(one.row.roll == heir.id for one in own):
                    with_rollovers(own, [], [heir])

    def create_entity(
        self, now_ms: int, name: str, feature: str, unit: int, entities_max: int
    ) -> Status:
        """Create an entity: it counts for its feature, beyond the grant too unless a cap is set."""
        self.arrive(now_ms)
        if name in self.entities:
            return Status.EXISTS
        if len(self.members(feature)) >= entities_max:
            return Status.CAPPED
        before = self.snapshot()
        left = self._count_seat(feature, unit, "cap")
        if left:
            self.go_back(before)
            if any(source.floor is not None for source in self.sources([feature], "")):
                return Status.CAPPED
            self._count_seat(feature, unit, "overflow")
        self.entities[name] = Entity(feature)
        return Status.DONE

    def delete_entity(self, now_ms: int, name: str, unit: int) -> None:
        """Delete an entity with all it used, and give its seat back."""
        self.arrive(now_ms)
        feature = self.entities.pop(name).feature
        for one in self.all_balances():
            one.used.pop(name, None)
        self.rules = {key: rules for key, rules in self.rules.items() if key[1] != name}
        self.counters = {key: one for key, one in self.counters.items() if key[1] != name}
        self._count_seat(feature, -unit, "cap")

    def _count_seat(self, feature: str, units: int, mode: str) -> int:
        """Count an entity on its own feature, whatever controls say; return units left over."""
        return self.spend("", mode, [Pool(feature)], units).left


def by_row(given: Sequence[Given]) -> dict[str, int]:
    """Return units by row."""
    moved: dict[str, int] = {}
    for one in given:
        row_id = one.place.balance.row.id
        moved[row_id] = moved.get(row_id, 0) + one.units
    return {row_id: units for row_id, units in moved.items() if units}


def _one(place: Place) -> Source:
    row: Row = place.balance.row
    return Source(0, [place], row.flags, row.floor, rolled=row.rollover)


def _rank(source: Source) -> str:
    """The place of a row among others; what entities hold has none."""
    return "~" if source.held else source.places[0].balance.row.rank


def _expiry(source: Source) -> tuple[bool, float]:
    """Earliest expiry first, never last; what entities hold after what the customer holds."""
    expires_ms = source.places[0].balance.row.expires_ms
    return source.held, 0 if source.held else expires_ms or float("inf")
