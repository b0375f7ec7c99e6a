"""Billing controls: which entry decides for a feature, and the rules text that comes of it. Pure.

A *scope* is the customer itself or one of its entities. Its own entries win over those of the plans
attached to it; among plans the most restrictive one wins (hot-path section 3.6, cold-path section
4.4). An own entry that is not enabled hides the plans' entry all the same, and one of an entity
hides that of the customer. Usage limits are told apart by feature and filter, the others by
feature. An entry of ``spend_limits`` or ``usage_alerts`` without ``feature_id`` holds for every
metered feature and credit system the scope has rows of; beside it an entry of the same list that
names the feature is the one that counts, of alerts both do.

Amounts of a stored document are turned into decimals by their text, exact to the 15 digits that
any JSON number keeps, and rounded half up to units of the feature. What a spend limit in percent is
one of depends on the call: scripts add up what main recurring plans include of the rows it may
spend from, so that an entity's limit counts the plans of its customer, and the other way round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from gateway.amounts import UNITS_MAX, to_units
from gateway.cycles import MONDAY_MS, span
from gateway.documents import ACTIVE, Subscription
from gateway.errors import FeatureNotFoundError, InvalidInputsError
from gateway.lifecycle.rules import (
    ALONE_LINE,
    CREDITS_LINE,
    Alert,
    Spend,
    Window,
    cycle_anchor,
    filter_key,
    hiding_line,
    overage_line,
)
from gateway.messages.common import JsonObject
from gateway.messages.controls import filter_text
from gateway.ports import FeatureRecord
from gateway.rows import Kind, Row

_WHOLE = 1_000_000
"""Millionths of a whole, in which a share is written."""

_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
ARRAYS = ("auto_topups", "overage_allowed", "spend_limits", "usage_limits", "usage_alerts")
"""What controls are made of; only the first has no rules."""

_RULED = ARRAYS[1:]
_AMOUNTS = {
    "spend_limits": "overage_limit",
    "usage_limits": "limit",
    "usage_alerts": "threshold",
}


class Source(StrEnum):
    """Whose entry it is."""

    CUSTOMER = "customer"
    PLAN = "plan"
    ENTITY = "entity"


class ControlScope(NamedTuple):
    """A customer or an entity as far as its controls go. ``rows`` are those it holds itself."""

    source: Source
    controls: JsonObject
    subscriptions: Sequence[Subscription]
    rows: Mapping[str, Sequence[Row]]
    alone: bool = False
    """Whether its entities may not fall back on its rows (``disable_pooled_balance``)."""


class Decision(NamedTuple):
    """An entry that decides for a feature, and the line it becomes: empty where it limits
    nothing.
    """

    source: Source
    array: str
    entry: JsonObject
    line: str


def compile_rules(scope: ControlScope, features: Mapping[str, FeatureRecord]) -> dict[str, str]:
    """Return the rules texts of a scope by feature; features without rules are left out.

    Features that ``features`` does not have, and boolean ones, have no rules.
    """
    texts: dict[str, str] = {}
    for feature_id in sorted(named_features(scope)):
        feature = features.get(feature_id)
        if feature is not None:
            lines = [decision.line for decision in decide(scope, feature)]
            if feature.type == "credit_system" and any(line.startswith("w\t") for line in lines):
                lines.append(CREDITS_LINE)
            if scope.alone and feature.type != "boolean":
                lines.append(ALONE_LINE)
            texts[feature_id] = "\n".join(filter(None, lines))
    return {feature_id: text for feature_id, text in texts.items() if text}


def named_features(scope: ControlScope) -> set[str]:
    """Return the features the controls of a scope may say something about."""
    named: set[str | None] = {
        entry.get("feature_id")
        for controls in (scope.controls, *_plans(scope))
        for array in _RULED
        for entry in controls.get(array) or ()
    }
    found = {feature_id for feature_id in named if feature_id is not None}
    if None in named or scope.alone:
        found |= {feature_id for feature_id in scope.rows if _is_spendable(scope, feature_id)}
    return found


def decide(scope: ControlScope, feature: FeatureRecord) -> list[Decision]:
    """Return the entries that decide for a feature, in the order of the lines of a rules text."""
    if feature.type == "boolean":
        return []
    chooser = _Chooser(scope, feature)
    return [*chooser.overage(), *chooser.spend(), *chooser.windows(), *chooser.alerts()]


def check_amounts(
    controls: JsonObject, features: Mapping[str, FeatureRecord], field: str = "billing_controls"
) -> None:
    """Refuse controls of features that do not exist or have no units, and amounts that the
    precision of their feature cannot hold.

    Raises ``FeatureNotFoundError`` and ``InvalidInputsError`` naming the place.
    """
    for array, index, entry in _entries_of(controls):
        where = f"{field}.{array}.{index}"
        feature_id = entry.get("feature_id")
        if feature_id is None:
            continue
        feature = features.get(feature_id)
        if feature is None:
            raise FeatureNotFoundError(f"{where}.feature_id: Feature {feature_id} not found")
        if feature.type == "boolean":
            raise InvalidInputsError(f"{where}.feature_id: {feature_id} is boolean, not metered")
        amount = entry.get(_AMOUNTS.get(array, ""))
        if amount is not None and not _is_percentage(entry):
            to_units(_decimal(amount), feature.precision, field=f"{where}.{_AMOUNTS[array]}")


def features_of(controls: JsonObject) -> set[str]:
    """Return the features a document of controls names."""
    named = (entry.get("feature_id") for _, _, entry in _entries_of(controls))
    return {feature_id for feature_id in named if feature_id is not None}


def renamed(controls: JsonObject, old_id: str, new_id: str) -> JsonObject:
    """Return a document of controls after a feature it may name got another id."""
    return {
        array: [
            entry | {"feature_id": new_id} if entry.get("feature_id") == old_id else entry
            for entry in entries or ()
        ]
        for array, entries in controls.items()
    }


class _Chooser:
    """The decisions of one scope on one feature."""

    def __init__(self, scope: ControlScope, feature: FeatureRecord) -> None:
        self.scope = scope
        self.feature = feature
        self.plans = _plans(scope)
        self.is_spendable = _is_spendable(scope, feature.id)

    def overage(self) -> Iterator[Decision]:
        array = "overage_allowed"
        for source, entries in self._levels(array):
            if entries:
                entry = min(entries, key=_is_on_by_request)
                line = overage_line(allowed=_is_on_by_request(entry))
                yield Decision(source, array, entry, line)
                return

    def spend(self) -> Iterator[Decision]:
        array = "spend_limits"
        own = self._first(self.scope.controls, array)
        if own is not None:
            is_on = _is_on_by_request(own)
            line = self._spend_line(own) if is_on else self._hiding(self.scope.source, "s")
            yield Decision(self.scope.source, array, own, line)
            return
        firsts = [self._first(controls, array) for controls in self.plans]
        entries = [entry for entry in firsts if entry is not None]
        if entries:
            entry = min(entries, key=self._spend_total)
            yield Decision(Source.PLAN, array, entry, self._spend_line(entry))

    def windows(self) -> Iterator[Decision]:
        array = "usage_limits"
        chosen: dict[str, Decision] = {}
        for source, entries in self._levels(array):
            by_filter: dict[str, list[JsonObject]] = defaultdict(list)
            for entry in entries:
                by_filter[filter_text(entry)].append(entry)
            for text, rivals in by_filter.items():
                if text not in chosen:
                    entry = min(rivals, key=self._strictness)
                    line = self._window_line(entry, text)
                    line = line or self._hiding(source, "w", filter_key(text))
                    chosen[text] = Decision(source, array, entry, line)
        for text in sorted(chosen):
            yield chosen[text]

    def alerts(self) -> Iterator[Decision]:
        array = "usage_alerts"
        source, entries = self.scope.source, self._all(self.scope.controls, array)
        if not entries:
            source = Source.PLAN
            entries = [entry for controls in self.plans for entry in self._all(controls, array)]
        for entry in entries:
            yield Decision(source, array, entry, self._alert_line(entry))

    def _levels(self, array: str) -> list[tuple[Source, list[JsonObject]]]:
        of_plans = [entry for controls in self.plans for entry in self._named(controls, array)]
        own = self._named(self.scope.controls, array)
        return [(self.scope.source, own), (Source.PLAN, of_plans)]

    def _named(self, controls: JsonObject, array: str) -> list[JsonObject]:
        entries: list[JsonObject] = controls.get(array) or []
        return [entry for entry in entries if entry.get("feature_id") == self.feature.id]

    def _all(self, controls: JsonObject, array: str) -> list[JsonObject]:
        entries: list[JsonObject] = controls.get(array) or []
        wanted = (self.feature.id, None) if self.is_spendable else (self.feature.id,)
        return [entry for entry in entries if entry.get("feature_id") in wanted]

    def _first(self, controls: JsonObject, array: str) -> JsonObject | None:
        found = self._named(controls, array) or self._all(controls, array)
        return found[0] if found else None

    def _hiding(self, source: Source, *rule: str) -> str:
        """Return the line of an entry that is not enabled: only an entity's has one of the customer
        to hide.
        """
        return hiding_line(*rule) if source is Source.ENTITY else ""

    def _spend_line(self, entry: JsonObject) -> str:
        cap = self._cap(entry)
        return "" if cap is None else cap.line

    def _spend_total(self, entry: JsonObject) -> tuple[bool, int]:
        cap = self._cap(entry)
        if cap is None:
            return True, 0
        included = self._included()
        units = cap.amount * included // _WHOLE if cap.share else cap.amount
        return cap.share and not included, units

    def _cap(self, entry: JsonObject) -> Spend | None:
        """Return what a spend limit allows; None when it limits nothing."""
        limit = entry.get("overage_limit")
        if limit is None or not _is_on_by_request(entry):
            return None
        if _is_percentage(entry):
            return Spend(_round(_decimal(limit), 4), share=True)
        return Spend(self._units(limit))

    def _included(self) -> int:
        """Return what main recurring plans of the scope include, by which its plans' limits are
        compared.
        """
        main = {one.id for one in _main(self.scope)}
        rows = self.scope.rows.get(self.feature.id, ())
        return sum(row.planned for row in rows if row.document.subscription_id in main)

    def _strictness(self, entry: JsonObject) -> tuple[bool, Fraction, bool]:
        rate = Fraction(_decimal(entry["limit"])) / _DAYS[entry["interval"]]
        return not _is_on(entry), rate, entry.get("anchor") != "utc"

    def _window_line(self, entry: JsonObject, text: str) -> str:
        if not _is_on(entry):
            return ""
        unit, every = span(entry["interval"], 1)
        # A window goes along with the cycles of the balance of the feature, else with those of the
        # main paid plan (hot-path section 3.6, cold-path section 4.4).
        of_calendar = MONDAY_MS if entry["interval"] == "week" else 0
        goes_along = entry.get("anchor") != "utc"
        own = cycle_anchor(self.scope.rows.get(self.feature.id, ())) if goes_along else None
        anchor = own
        if goes_along and own is None:
            anchor = next((one.anchor_ms for one in _main(self.scope) if one.cycle_unit), None)
        return Window(
            filter_key(text),
            self._units(entry["limit"]),
            unit,
            every,
            of_calendar if anchor is None else anchor,
            text,
            follows=goes_along and own is None and self.scope.source is Source.ENTITY,
        ).line

    def _alert_line(self, entry: JsonObject) -> str:
        if not _is_on(entry):
            return ""
        kind, threshold = entry["threshold_type"], entry["threshold"]
        units = _round(_decimal(threshold), 2) if _is_percentage(entry) else self._units(threshold)
        return Alert(kind, units, entry.get("name") or "").line

    def _units(self, amount: float) -> int:
        return _round(_decimal(amount), self.feature.precision)


def _plans(scope: ControlScope) -> list[JsonObject]:
    return [one.billing_controls for one in _active(scope) if one.billing_controls]


def _main(scope: ControlScope) -> list[Subscription]:
    return [one for one in _active(scope) if one.is_main]


def _active(scope: ControlScope) -> list[Subscription]:
    """Return the subscriptions that give now, in one order wherever they are read from: rules that
    Redis and SQL lead to must be the same.
    """
    active = [one for one in scope.subscriptions if one.status == ACTIVE]
    return sorted(active, key=lambda one: (one.started_at, one.id))


def _is_spendable(scope: ControlScope, feature_id: str) -> bool:
    return any(row.kind is not Kind.FLAG for row in scope.rows.get(feature_id, ()))


def _entries_of(controls: JsonObject) -> Iterable[tuple[str, int, JsonObject]]:
    for array in ARRAYS:
        for index, entry in enumerate(controls.get(array) or ()):
            yield array, index, entry


def _is_on(entry: JsonObject) -> bool:
    """Whether an entry that holds unless it says otherwise holds."""
    return entry.get("enabled") is not False


def _is_on_by_request(entry: JsonObject) -> bool:
    """Whether an entry that holds only when it says so holds."""
    return entry.get("enabled") is True


def _is_percentage(entry: JsonObject) -> bool:
    kind = entry.get("limit_type") or entry.get("threshold_type") or ""
    return str(kind).endswith("_percentage")


def _decimal(number: float) -> Decimal:
    """Return a decoded JSON number as the decimal it was written as, never by its binary value."""
    return Decimal(repr(number))


def _round(value: Decimal, places: int) -> int:
    """Return a decimal in units of 10^-places, half up; what is beyond any balance is the most."""
    return min(int(value.scaleb(places).to_integral_value(ROUND_HALF_UP)), UNITS_MAX)
