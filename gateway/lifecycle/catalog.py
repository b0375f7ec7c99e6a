"""What the rules of features and plans share: the catalog they look at, and its exact numbers.

Pure. A stored number is a decimal text; it becomes one here and nowhere else, rounded half up and
bounded, so that no rule and no answer ever meets an exponent or a digit too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from msgspec import UNSET

from gateway import amounts
from gateway.errors import FeatureNotFoundError, InvalidInputsError
from gateway.messages.features import CreditCost, FeatureView, decode_feature_document
from gateway.messages.plans import PlanDocument, PlanItem, raw
from gateway.ports import FeatureRecord, PlanRecord

RATIO_MAX = 2**53
"""Twice the product of both sides of a credit ratio stays below it, so that scripts convert any
amount exactly.
"""

WIDE = Context(prec=60, rounding=ROUND_HALF_UP)  # wide enough for any value below the bounds


class StoredPlan(NamedTuple):
    """A plan with its document decoded."""

    record: PlanRecord
    document: PlanDocument


class CatalogView(NamedTuple):
    """The catalog of one environment, by id."""

    features: Mapping[str, FeatureRecord]
    plans: Mapping[str, StoredPlan]
    """The latest version of each."""
    older: tuple[StoredPlan, ...] = ()
    """Versions that customers may still hold."""

    @property
    def versions(self) -> list[StoredPlan]:
        """Every version of every plan."""
        return [*self.older, *self.plans.values()]

    def feature(self, feature_id: str) -> FeatureRecord:
        """Return a feature. Raises ``FeatureNotFoundError``."""
        return existing(feature_id, self.features.get(feature_id))

    def listed(self, *, all_versions: bool) -> list[StoredPlan]:
        """Return the plans as they are listed, each in its latest version or in all, newest
        first.
        """
        if not all_versions:
            return list(self.plans.values())
        return [
            plan
            for plan_id, latest in self.plans.items()
            for plan in (latest, *reversed([one for one in self.older if one.record.id == plan_id]))
        ]

    def version(self, plan_id: str, version: int | None) -> StoredPlan | None:
        """Return a version of a plan, the latest when none is named."""
        latest = self.plans.get(plan_id)
        if latest is None or version in (None, latest.record.version):
            return latest
        named = (plan_id, version)
        return next(
            (one for one in self.older if (one.record.id, one.record.version) == named), None
        )


def existing(feature_id: str, found: FeatureRecord | None) -> FeatureRecord:
    """Return a feature that was looked up. Raises ``FeatureNotFoundError`` where there is none."""
    if found is None:
        raise FeatureNotFoundError(f"Feature {feature_id} not found")
    return found


class Need(NamedTuple):
    """What plan items ask of a feature: the largest sum of one plan, and decimal places."""

    total: Decimal
    places: int


@lru_cache(1024)  # of all credit systems at each change of the catalog
def credit_ratio(cost: str, precision: int, credits_precision: int) -> tuple[int, int]:
    """Return (units of the credit system, units of the feature) that pay for each other, in lowest
    terms, of a credit cost per whole unit.
    """
    ratio = Fraction(cost) * Fraction(10) ** (credits_precision - precision)
    return ratio.numerator, ratio.denominator


def feature_view(record: FeatureRecord) -> FeatureView:
    """Return a feature as it is answered."""
    document = decode_feature_document(record.document)
    costs = [
        CreditCost(metered_feature_id=cost.metered_feature_id, credit_cost=raw(cost.credit_cost))
        for cost in document.credit_schema
    ]
    return FeatureView(
        id=record.id,
        name=record.name,
        type=record.type,
        consumable=record.consumable,
        event_names=list(record.event_names),
        credit_schema=costs if record.type == "credit_system" else UNSET,
        display=document.display or UNSET,
        archived=record.archived,
        precision=record.precision,
        on_outage=document.on_outage or UNSET,
    )


def needs_of(feature_id: str, plans: Iterable[StoredPlan]) -> Need:
    """Return what existing plans ask of a feature."""
    need = Need(Decimal(0), 0)
    for plan in plans:
        items = [item for item in plan.document.items if item.feature_id == feature_id]
        total = sum((item_total(item) for item in items), Decimal(0))
        places = max((decimal_places(Decimal(item.included)) for item in items), default=0)
        need = Need(max(need.total, total), max(need.places, places))
    return need


def item_total(item: PlanItem, entities: int = amounts.ENTITIES_MAX) -> Decimal:
    """Return the units an item can put on one customer: granted and bought, for every entity."""
    if item.unlimited:
        return Decimal(0)
    bought = Decimal(item.price.max_purchase or 0) if item.price else Decimal(0)
    return (Decimal(item.included) + bought) * (entities if item.entity_feature_id else 1)


def resolve_reset(
    feature: FeatureRecord, reset: tuple[str, int] | None, price: tuple[str, int] | None
) -> tuple[str, int]:
    """Return interval and count by which an item resets (cold-path section 2.3)."""
    if not feature.consumable:
        return "never", 1
    return reset or price or ("one_off", 1)


def decimal_places(value: Decimal) -> int:
    """Return how many decimal places a value needs."""
    exponent = value.normalize(WIDE).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def plain(value: Decimal) -> str:
    """Return a decimal as text without exponent and trailing zeros."""
    return format(value.normalize(WIDE), "f") if value else "0"


def bounded(value: Decimal, places: int, most: Decimal, field: str) -> Decimal:
    """Return a value from 0 to ``most``, rounded half up to ``places`` but never to zero."""
    if value < 0:
        raise InvalidInputsError(f"{field}: must not be negative")
    if value > most:
        raise InvalidInputsError(f"{field}: must be at most {plain(most)}")
    rounded = value.quantize(Decimal(1).scaleb(-places), context=WIDE)
    if value and not rounded:
        raise InvalidInputsError(f"{field}: rounds to zero at {places} decimal places")
    return rounded
