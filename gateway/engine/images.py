"""From a customer as SQL knows it to the values ``restore_customer`` writes. Pure; the formats are
those of ``gateway.keys`` and of the headers of ``lua/include``.

Everything derived is derived anew: the sums over slots and over rows held by entities, the creation
order, the sets of entities that differ from full, the times they are due, what open locks hold,
and which rows were named by a caller.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from gateway.entity_index import EntityIndex, Set
from gateway.ids import ROW_PREFIX
from gateway.ports import CustomerImage, EntityImage, RowImage
from gateway.rows import Kind, Live, Row, decode_row, encode_live, encode_row

Values = list[str | int]

ENTITIES_AT_ONCE = 500
"""Entities of a customer that is restored on the spot, in some milliseconds."""

_SELDOM = frozenset({"l:", "o:", "x:"})
"""Fields that a plain customer and its entities have none of."""


def restore_groups(
    image: CustomerImage,
    rules: Mapping[str, str] | None = None,
    entity_rules: Mapping[tuple[str, str], str] | None = None,
) -> list[Values]:
    """Return the values of the customer, entities, index, due, locks and holds keys, in this order.
    Rules of spending are by feature, those of an entity by feature and entity.
    """
    restoration = _Restoration(image)
    restoration.place_rules(rules or {}, entity_rules or {})
    return restoration.groups()


async def restore_groups_beside(
    image: CustomerImage,
    rules: Mapping[str, str],
    entity_rules: Mapping[tuple[str, str], str],
) -> list[Values]:
    """Return what ``restore_groups`` does, worked out in a thread for a customer of many entities:
    every other call would wait for it.
    """
    if len(image.entities) <= ENTITIES_AT_ONCE:
        return restore_groups(image, rules, entity_rules)
    return await asyncio.to_thread(restore_groups, image, rules, entity_rules)


class _Restoration:
    def __init__(self, image: CustomerImage) -> None:
        self.image = image
        self.counter = image.counter
        self.entities = {entity.entity_id: entity for entity in image.entities}
        self.customer: Values = []
        self.holdings: Values = []
        self.index = EntityIndex()
        self.due: Values = []

    def groups(self) -> list[Values]:
        image = self.image
        bands = self._bands()
        shared: dict[str, list[RowImage]] = defaultdict(list)
        held: dict[str, dict[str, list[RowImage]]] = defaultdict(lambda: defaultdict(list))
        for row in image.rows:
            if row.entity_id:
                held[row.feature_id][row.entity_id].append(row)
            else:
                shared[row.feature_id].append(row)
        for feature, rows in shared.items():
            self._place_shared(feature, rows)
        for feature, owners in held.items():
            self._place_held(feature, owners)
        self._place_slots(shared)
        self._place_extras()
        self._place_names()

        for entity in image.entities:
            band = bands[entity.feature_id]
            self.holdings += [
                f"e:{entity.entity_id}",
                f"{band}\t{entity.number}\t{entity.feature_id}\t{entity.document}",
            ]
            self.index.names[entity.number] = entity.entity_id
            self.index.members[Set(band, 0)].add(entity.number)
        subscriptions = f"[{','.join(image.subscriptions)}]"
        self.customer += ["id", image.internal_id, "seq", image.seq, "rev", image.seq]
        self.customer += ["doc", image.document, "subs", subscriptions]
        self.customer += ["entities", image.number_max, "counter", self.counter]
        self.customer += ["plain", "1" if self._is_plain() else ""]
        index: Values = [text for pair in self.index.fields().items() for text in pair]
        return [self.customer, self.holdings, index, self.due, *self._locks()]

    def place_rules(
        self, rules: Mapping[str, str], entity_rules: Mapping[tuple[str, str], str]
    ) -> None:
        """Add the rules of spending of the customer and of the entities that are here."""
        for feature, text in rules.items():
            self.customer += [f"l:{feature}", text]
        for (feature, entity_id), text in entity_rules.items():
            if entity_id in self.entities:
                self.holdings += [f"l:{feature}\t{entity_id}", text]

    def _is_plain(self) -> bool:
        names = (str(name)[:2] for values in (self.customer, self.holdings) for name in values[::2])
        return _SELDOM.isdisjoint(names)

    def _bands(self) -> dict[str, int]:
        counts: dict[str, int] = defaultdict(int)
        for entity in self.image.entities:
            counts[entity.feature_id] += 1
        bands = {}
        for feature, count in counts.items():
            self.counter += 1
            bands[feature] = self.counter
            self.customer += [f"n:{feature}", f"{self.counter} {count}"]
        return bands

    def _place_shared(self, feature: str, images: list[RowImage]) -> None:
        rows = _in_order(images)
        sums_of: dict[int, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
        grants = {image.period: row.grant for row, image in rows if row.kind is Kind.PER_ENTITY}
        for slot in self.image.slots:
            if slot.feature_id == feature and slot.period in grants:
                used, over, credit = sums_of[slot.period]
                sums_of[slot.period] = (
                    used + slot.used,
                    over + max(0, slot.used - grants[slot.period]),
                    credit + max(0, -slot.used),
                )
        lives = [
            Live(*sums_of[image.period], image.period, image.due_ms)
            if row.kind is Kind.PER_ENTITY
            else Live(image.used, 0, 0, image.period, image.due_ms)
            for row, image in rows
        ]
        self.customer += [f"r:{feature}", "\n".join(encode_row(row) for row, _ in rows)]
        self.customer += [f"v:{feature}", encode_live(lives)]

    def _place_held(self, feature: str, owners: dict[str, list[RowImage]]) -> None:
        plain, rolled = _Sums(), _Sums()
        for entity_id, images in owners.items():
            rows = _in_order(images)
            field = f"{feature}\t{entity_id}"
            self.holdings += [f"h:{field}", "\n".join(encode_row(row) for row, _ in rows)]
            self.holdings += [
                f"v:{field}",
                encode_live(
                    [Live(image.used, 0, 0, image.period, image.due_ms) for _, image in rows]
                ),
            ]
            moments = [at for row, image in rows for at in (image.due_ms, row.expires_ms) if at]
            if moments:
                self.due += [min(moments), field]
            for row, image in rows:
                (rolled if row.rollover else plain).add(entity_id, row, image.used)
        self._place_sums(f"h:{feature}", plain)
        self._place_sums(f"o:{feature}", rolled)

    def _place_sums(self, field: str, sums: _Sums) -> None:
        if not sums.places:
            return
        self.counter += 1
        band = self.counter
        for entity_id, places in sums.places.items():
            for place in sorted(places):
                self._mark(band, place, self.entities[entity_id])
        self.customer += [field, f"{band} {' '.join(map(str, sums.numbers.values()))}"]

    def _place_slots(self, shared: dict[str, list[RowImage]]) -> None:
        current: dict[tuple[str, int], Row] = {}
        for feature, images in shared.items():
            for row, image in _in_order(images):
                if row.kind is Kind.PER_ENTITY:
                    current[feature, image.period] = row
        texts: dict[str, list[str]] = defaultdict(list)
        for slot in self.image.slots:
            if (slot.feature_id, slot.period) not in current:
                continue  # of a period gone by: as good as new
            row = current[slot.feature_id, slot.period]
            texts[f"p:{slot.feature_id}\t{slot.entity_id}"].append(f"{slot.period} {slot.used}")
            left = row.grant - slot.used
            classes = (
                row.grant > 0 and left <= 0,
                slot.used > 0,
                left < 0,
                row.floor is not None and -left >= row.floor > 0,
                slot.used < 0,
            )
            for place, member in enumerate(classes):
                if member:
                    self._mark(slot.period, place, self.entities[slot.entity_id])
        for field, parts in texts.items():
            self.holdings += [field, " ".join(parts)]

    def _place_extras(self) -> None:
        texts: dict[tuple[str, str], list[str]] = defaultdict(list)
        for (feature, entity_id), units in self._held_by_locks().items():
            texts[feature, entity_id].append(f"k\t{units}")
        for window in self.image.windows:
            line = f"w\t{window.key}\t{window.end_ms}\t{window.used}"
            texts[window.feature_id, window.entity_id].append(line)
        for (feature, entity_id), lines in texts.items():
            if not entity_id:
                self.customer += [f"x:{feature}", "\n".join(lines)]
            elif entity_id in self.entities:
                self.holdings += [f"x:{feature}\t{entity_id}", "\n".join(lines)]

    def _held_by_locks(self) -> dict[tuple[str, str], int]:
        held: dict[tuple[str, str], int] = defaultdict(int)
        for lock in self.image.locks:
            scopes = {"": None}
            entity = self.entities.get(lock.entity_id)
            if entity is not None and entity.number <= _last_of(lock.receipt):
                scopes[lock.entity_id] = None
            for feature, units in _held_of(lock.receipt).items():
                for scope in scopes:
                    held[feature, scope] += units
        return {scope: units for scope, units in held.items() if units}

    def _place_names(self) -> None:
        for image in self.image.rows:
            row = decode_row(image.line)
            if not row.rollover and not row.id.startswith(f"{ROW_PREFIX}_"):
                self.customer += [f"i:{row.id}", f"{image.feature_id}\t{image.entity_id}"]

    def _locks(self) -> list[Values]:
        receipts: Values = []
        holds: Values = []
        image = self.image
        for lock in image.locks:
            receipts += [f"{image.env}\t{lock.lock_id}", lock.receipt]
            holds += [lock.expires_ms, f"{image.env}\t{image.customer_id}\t{lock.lock_id}"]
        return [receipts, holds]

    def _mark(self, band: int, place: int, entity: EntityImage) -> None:
        self.index.members[Set(band, place)].add(entity.number)


def _in_order(images: list[RowImage]) -> list[tuple[Row, RowImage]]:
    pairs = [(decode_row(image.line), image) for image in images]
    return sorted(pairs, key=lambda pair: (pair[0].kind is Kind.PER_ENTITY, pair[0].rank))


def _held_of(receipt: str) -> dict[str, int]:
    """Return the units a lock holds of each feature, from what each row gave."""
    held: dict[str, int] = defaultdict(int)
    for line in receipt.split("\n")[1:]:
        if not line.startswith("\t"):  # a usage window it counted in
            feature, _, _, _, units, _ = line.split("\t")
            held[feature] += int(units)
    return held


def _last_of(receipt: str) -> int:
    """Return the number of the last entity there was when the lock was made."""
    return int(receipt.split("\t", 6)[5])


class _Sums:
    """Sums over rows that entities hold, and the classes each row puts its entity into."""

    def __init__(self) -> None:
        names = ("granted", "used", "over", "credit", "rows", "unlimited", "sunk")
        self.numbers = dict.fromkeys(names, 0)
        self.places: dict[str, set[int]] = defaultdict(set)

    def add(self, entity_id: str, row: Row, used: int) -> None:
        """Count one row."""
        places, sums = self.places[entity_id], self.numbers
        if row.kind is not Kind.SHARED:
            return
        sums["rows"] += 1
        places.add(3)
        if row.unlimited:
            sums["unlimited"] += 1
            sums["sunk"] += used
            places.add(4)
            return
        sums["granted"] += row.grant
        sums["used"] += used
        sums["over"] += max(0, used - row.grant)
        sums["credit"] += max(0, -used)
        if used < row.grant:
            places.add(0)
        if used > 0:
            places.add(1)
        if used > row.grant:
            places.add(2)
