"""From a customer as SQL knows it to the values ``restore_customer`` writes. Pure; the formats are
those of ``gateway.keys`` and of the headers of ``lua/include``.

Everything derived is derived anew: the sums over slots and over rows held by entities, the creation
order, the marks of entities that differ from full, and the times they are due.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gateway.rows import Kind, Live, Row, decode_row, encode_live, encode_row

if TYPE_CHECKING:
    from gateway.ports import CustomerImage, EntityImage, RowImage

_CLASSES = 8
_NUMBERS = 2**24

Values = list[str | int]


def restore_groups(image: CustomerImage) -> list[Values]:
    """Return the values of the customer, entities, order, marks and due keys, in this order."""
    return _Restoration(image).groups()


def score(band: int, place: int, number: int) -> int:
    """Return the score of an entity, as ``score_base`` in Lua counts it."""
    return (band * _CLASSES + place) * _NUMBERS + number


class _Restoration:
    def __init__(self, image: CustomerImage) -> None:
        self.image = image
        self.counter = image.counter
        self.entities = {entity.entity_id: entity for entity in image.entities}
        self.customer: Values = []
        self.holdings: Values = []
        self.marks: Values = []
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

        order: Values = []
        for entity in image.entities:
            band = bands[entity.feature_id]
            self.holdings += [
                f"e:{entity.entity_id}",
                f"{band}\t{entity.number}\t{entity.feature_id}\t{entity.document}",
            ]
            order += [score(band, 0, entity.number), entity.entity_id]
        subscriptions = f"[{','.join(image.subscriptions)}]"
        self.customer += ["id", image.internal_id, "seq", image.seq, "rev", image.seq]
        self.customer += ["doc", image.document, "subs", subscriptions]
        self.customer += ["entities", image.number_max, "counter", self.counter]
        return [self.customer, self.holdings, order, self.marks, self.due]

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
        self.counter += 1
        band = self.counter
        sums = dict.fromkeys(("granted", "used", "over", "credit", "rows", "unlimited", "sunk"), 0)
        for entity_id, images in owners.items():
            entity = self.entities[entity_id]
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
            places = set()
            for row, image in rows:
                if row.kind is Kind.SHARED:
                    places |= _add(sums, row, image.used)
            for place in sorted(places):
                self._mark(band, place, entity)
        self.customer += [f"h:{feature}", f"{band} {' '.join(map(str, sums.values()))}"]

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

    def _mark(self, band: int, place: int, entity: EntityImage) -> None:
        self.marks += [score(band, place, entity.number), f"{band}:{place}\t{entity.entity_id}"]


def _in_order(images: list[RowImage]) -> list[tuple[Row, RowImage]]:
    pairs = [(decode_row(image.line), image) for image in images]
    return sorted(pairs, key=lambda pair: (pair[0].kind is Kind.PER_ENTITY, pair[0].rank))


def _add(sums: dict[str, int], row: Row, used: int) -> set[int]:
    """Count one row held by an entity; return the classes it puts the entity into."""
    sums["rows"] += 1
    if row.unlimited:
        sums["unlimited"] += 1
        sums["sunk"] += used
        return {3, 4}
    sums["granted"] += row.grant
    sums["used"] += used
    sums["over"] += max(0, used - row.grant)
    sums["credit"] += max(0, -used)
    places = {3}
    if used < row.grant:
        places.add(0)
    if used > 0:
        places.add(1)
    if used > row.grant:
        places.add(2)
    return places
