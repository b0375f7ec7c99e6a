"""Another precision for a feature: what that makes of an amount, and of each text that holds some.

Pure. ``Rescaling`` turns every amount it is shown into units of the new precision and notes what
that asks for; whoever shows it all of them then asks whether they fit, before anything is kept. The
numbers of ``persistence.models`` that SQL can reckon with by itself are noted by their extremes.
A decimal in a document stays as it is: it is noted, for it must not have to be rounded.

Failure: amounts that do not fit raise ``StartError`` with the first place where one was met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from gateway.amounts import UNITS_MAX
from gateway.documents import (
    JsonObject,
    Subscription,
    decode_customer,
    decode_entity,
    decode_subscription,
    encode_document,
)
from gateway.errors import StartError
from gateway.rows import decode_row, encode_row

_CONTROLS = ("overage_limit", "limit", "threshold")
"""Amounts of an entry of billing controls, unless its type says that they are percentages."""

_ITEM = ("included", "max_purchase", "billing_units", "max")
"""Amounts of an item of a plan, of its price and of its rollover."""


class Place(NamedTuple):
    """Where an amount stands."""

    table: str
    internal_id: str


class Rescaling:
    """Amounts of one feature on their way from one precision to another."""

    def __init__(self, feature_id: str, old: int, new: int) -> None:
        """Begin without having seen any."""
        self.feature_id = feature_id
        self.old = old
        self.new = new
        self.factor: int = 10 ** abs(new - old)
        self.place = Place("", "")
        """Where the amounts are that are shown from now on."""
        self.places = 0
        """Decimal places that the amounts seen so far need."""
        self._inexact: Place | None = None
        self._beyond: Place | None = None

    @property
    def raises(self) -> bool:
        """Whether amounts become more units than they were."""
        return self.new > self.old

    def scaled(self, units: int) -> int:
        """Return an amount in units of the new precision; only of one that fits it is right."""
        self.note(places_of(units, self.old), abs(units))
        return units * self.factor if self.raises else units // self.factor

    def fits(self, places: int, most: int) -> bool:
        """Whether the precision holds amounts with up to so many decimal places and units."""
        return places <= self.new and not self._leaves_range(most)

    def note(self, places: int, most: int) -> None:
        """Take note of such amounts."""
        self.places = max(self.places, places)
        if places > self.new and self._inexact is None:
            self._inexact = self.place
        if self._leaves_range(most) and self._beyond is None:
            self._beyond = self.place

    def _leaves_range(self, most: int) -> bool:
        return self.raises and most * self.factor > UNITS_MAX

    def note_decimal(self, value: Decimal) -> None:
        """Take note of a decimal; digits of it that were rounded before do not count."""
        exponent = value.normalize().as_tuple().exponent
        places = -exponent if isinstance(exponent, int) else 0
        self.note(max(0, min(places, self.old)), 0)

    def check(self, name_of: Callable[[str], str]) -> None:
        """Raise ``StartError`` unless every amount seen fits; a customer is named as told."""
        if self._inexact is not None:
            raise StartError(
                f"feature {self.feature_id}: precision {self.new} does not hold all its amounts, "
                f"{self.places} does; the first that would be rounded is in "
                f"{_tell(self._inexact, name_of)}; nothing was changed"
            )
        if self._beyond is not None:
            raise StartError(
                f"feature {self.feature_id}: precision {self.new} leaves the exact range in "
                f"{_tell(self._beyond, name_of)}; nothing was changed"
            )

    # What follows returns a text with its amounts scaled, as it was where it has none of them.

    def row(self, line: str) -> str:
        """Rescale a balance row (``gateway.rows``) of the feature."""
        row, scaled = decode_row(line), self.scaled
        document = row.document
        roll = row.roll
        if roll and not row.rollover:
            most, _, months = roll.partition(":")
            roll = f"{scaled(int(most)) if most else ''}:{months}"

        def maybe(units: int | None) -> int | None:
            return None if units is None else scaled(units)

        return encode_row(
            msgspec.structs.replace(
                row,
                grant=scaled(row.grant),
                floor=maybe(row.floor),
                roll=roll,
                document=msgspec.structs.replace(
                    document,
                    included=scaled(document.included),
                    planned=maybe(document.planned),
                    prepaid=scaled(document.prepaid),
                    max_purchase=maybe(document.max_purchase),
                ),
            )
        )

    def receipt(self, text: str) -> str:
        """Rescale the receipt of a lock (``gateway.outbox``), of the feature or paid by it."""
        if not text:
            return text
        head, *lines = text.split("\n")
        columns = head.split("\t", 7)
        is_held = columns[1] == self.feature_id
        if is_held:
            columns[3] = self._number(columns[3])
        return "\n".join(["\t".join(columns), *(self._receipt_line(one, is_held) for one in lines)])

    def _receipt_line(self, line: str, is_held: bool) -> str:  # noqa: FBT001 - of the one lock
        columns = line.split("\t")
        if not columns[0]:  # a usage window
            if columns[1] == self.feature_id:
                columns[5] = self._number(columns[5])
            return "\t".join(columns)
        if columns[0] == self.feature_id:
            columns[4] = self._number(columns[4])
        if is_held:  # what it covered is counted in what is held, whoever paid
            columns[5] = self._number(columns[5])
        return "\t".join(columns)

    def _number(self, text: str) -> str:
        return str(self.scaled(int(text)))

    def alert(self, text: str) -> str:
        """Rescale the body of an alert of the feature."""
        body: JsonObject = msgspec.json.decode(text)
        kind = str(body.get("threshold_type", ""))
        if "threshold" not in body or kind.endswith("_percentage"):
            return text
        return msgspec.json.encode(body | {"threshold": self.scaled(body["threshold"])}).decode()

    def customer(self, text: str) -> str:
        """Look at the document of a customer."""
        self._look_at_controls(decode_customer(text).billing_controls)
        return text

    def entity(self, text: str) -> str:
        """Rescale the document of an entity."""
        document = decode_entity(text)
        self._look_at_controls(document.billing_controls)
        changes = [self._given(one) for one in document.subscriptions]
        return encode_document(document) if any(changes) else text

    def subscription(self, text: str) -> str:
        """Rescale the document of a subscription."""
        document = decode_subscription(text)
        return encode_document(document) if self._given(document) else text

    def _given(self, subscription: Subscription) -> bool:
        """Rescale what a subscription gives to pooled rows, and its rows that rest; return whether
        that is anything.
        """
        self._look_at_controls(subscription.billing_controls)
        for quantities in (subscription.quantities, subscription.pending):
            if self.feature_id in quantities:
                self.note_decimal(Decimal(quantities[self.feature_id]))
        if subscription.custom:
            self._look_at_controls(subscription.custom.get("billing_controls") or {})
            self._look_at_items(subscription.custom.get("items") or ())
        is_given = any(grant.feature_id == self.feature_id for grant in subscription.pooled)
        subscription.pooled = [
            msgspec.structs.replace(grant, units=self.scaled(grant.units))
            if grant.feature_id == self.feature_id
            else grant
            for grant in subscription.pooled
        ]
        resting = [one for one in subscription.resting if one.feature_id == self.feature_id]
        for one in resting:
            one.line = self.row(one.line)
            one.used = {number: self.scaled(units) for number, units in one.used.items()}
            parts = [text.split("=", 2) for text in one.rolled]
            one.rolled = [
                f"{number}={self._number(units)}={self.row(line)}" for number, units, line in parts
            ]
        return is_given or bool(resting)

    def plan(self, text: str) -> str:
        """Look at the document of a plan."""
        document: JsonObject = msgspec.json.decode(text)
        self._look_at_controls(document.get("billing_controls") or {})
        self._look_at_items(document.get("items") or ())
        return text

    def _look_at_items(self, items: Iterable[JsonObject]) -> None:
        for item in items:
            if item["feature_id"] == self.feature_id:
                for part in (item, item.get("price") or {}, item.get("rollover") or {}):
                    self._look_at(part, _ITEM)

    def _look_at_controls(self, controls: JsonObject) -> None:
        for entry in (entry for entries in controls.values() for entry in entries or ()):
            kind = entry.get("limit_type") or entry.get("threshold_type") or ""
            if entry.get("feature_id") == self.feature_id and not kind.endswith("_percentage"):
                self._look_at(entry, _CONTROLS)

    def _look_at(self, part: dict[str, Any], names: Iterable[str]) -> None:
        for name in names:
            if part.get(name) is not None:
                self.note_decimal(Decimal(str(part[name])))


def places_of(units: int, precision: int) -> int:
    """Return the decimal places that an amount in units of a precision needs."""
    places = precision
    while places and units % 10 == 0:
        units, places = units // 10, places - 1
    return places


def _tell(place: Place, name_of: Callable[[str], str]) -> str:
    if not place.internal_id:
        return place.table
    return f"{place.table} of customer {name_of(place.internal_id)}"
