"""Another precision for a feature that may be in use: what the catalog has to say to it. Pure.

That what customers hold fits too is for whoever rescales that (``gateway.rescaling``).
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from gateway import amounts
from gateway.errors import InvalidFeatureError, InvalidInputsError
from gateway.lifecycle.catalog import RATIO_MAX, CatalogView, credit_ratio, item_total, plain
from gateway.lifecycle.controls import check_amounts
from gateway.messages.features import decode_feature_document, encode_feature_document
from gateway.ports import FeatureRecord


def way_to(feature: FeatureRecord, precision: int) -> str:
    """Return how a feature that is in use gets another precision, for whoever is refused for it."""
    command = f"tallygate rescale {feature.id} --precision {precision} --env {feature.env}"
    return f"while no gateway runs, {command} brings it there"


def with_precision(feature_id: str, precision: int, catalog: CatalogView) -> FeatureRecord:
    """Return a feature with another precision, which its plans and credit systems allow.

    Raises ``FeatureNotFoundError``, ``InvalidFeatureError`` and ``InvalidInputsError``.
    """
    feature = catalog.feature(feature_id)
    if feature.type == "boolean":
        raise InvalidFeatureError(f"feature {feature_id} is boolean: it has no amounts")
    document = decode_feature_document(feature.document)
    document.precision_chosen = True
    new = msgspec.structs.replace(
        feature, precision=precision, document=encode_feature_document(document)
    )
    changed = catalog._replace(features={**catalog.features, feature_id: new})
    entities = amounts.ENTITIES_SURE if feature.in_use else amounts.ENTITIES_MAX
    for plan in changed.versions:
        items = [item for item in plan.document.items if item.feature_id == feature_id]
        total = sum((item_total(item, entities) for item in items), Decimal(0))
        if not amounts.fits(total, precision):
            raise InvalidInputsError(
                f"precision {precision} does not hold the {plain(total)} units of {feature_id} "
                f"that plan {plan.record.id} grants in sum, {entities:,} entities counted"
            )
        check_amounts(plan.document.billing_controls, changed.features, f"plan {plan.record.id}")
    for system in changed.features.values():
        _check_costs(system, feature_id, changed)
    return new


def _check_costs(system: FeatureRecord, feature_id: str, catalog: CatalogView) -> None:
    for cost in decode_feature_document(system.document).credit_schema:
        member = catalog.features.get(cost.metered_feature_id)
        if member is None or feature_id not in {system.id, member.id}:
            continue
        num, den = credit_ratio(cost.credit_cost, member.precision, system.precision)
        if 2 * num * den >= RATIO_MAX:
            raise InvalidInputsError(
                f"the cost of {member.id} in credit system {system.id} has too many digits to "
                "convert every amount exactly"
            )
