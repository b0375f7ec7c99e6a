"""What a feature may be, and what may change about it: pure rules (cold-path section 1).

A change of a feature reaches further than its own record: plan items and credit schemas name it,
and its precision decides how large a grant may be. So every function here gets the catalog of one
environment and answers with all records that have to be written together. It must never lower a
precision the caller chose, nor one that balances use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from gateway import amounts
from gateway.errors import (
    FeatureExistsError,
    FeatureInUseError,
    InvalidFeatureError,
    InvalidInputsError,
    InvalidRequestError,
    NotSupportedError,
)
from gateway.lifecycle.catalog import (
    RATIO_MAX,
    CatalogView,
    Need,
    StoredPlan,
    bounded,
    credit_ratio,
    needs_of,
    plain,
    resolve_reset,
)
from gateway.lifecycle.controls import features_of, renamed
from gateway.lifecycle.precision import way_to
from gateway.messages.common import one_of, whole
from gateway.messages.features import (
    POLICIES,
    TYPES,
    CreditCost,
    FeatureCreateRequest,
    FeatureDocument,
    FeatureUpdateRequest,
    StoredCost,
    decode_feature_document,
    encode_feature_document,
)
from gateway.messages.plans import PlanDocument, PlanItem, encode_plan_document
from gateway.ports import FeatureRecord, PlanRecord

COST_MAX = Decimal(1_000_000)
"""Credits one unit may cost; beyond it a single unit would leave the range of a credit balance."""


class FeatureChange(NamedTuple):
    """Everything an update writes: the feature, the credit systems and the plans that name it."""

    feature: FeatureRecord
    credit_systems: list[FeatureRecord]
    plans: list[PlanRecord]


def new_feature(
    env: str, request: FeatureCreateRequest, catalog: CatalogView, now_ms: int
) -> FeatureRecord:
    """Return the record of a feature to create."""
    if request.feature_id in catalog.features:
        raise FeatureExistsError(f"Feature {request.feature_id} already exists")
    consumable = _consumable(request.type, consumable=request.consumable)
    costs = _credit_costs(request.feature_id, request.type, request.credit_schema, catalog)
    chosen = _chosen_precision(request.precision, request.type)
    record = FeatureRecord(
        env=env,
        id=request.feature_id,
        name=request.name,
        type=request.type,
        consumable=consumable,
        precision=_default_precision(request.type) if chosen is None else chosen,
        in_use=False,
        archived=False,
        event_names=_distinct(request.event_names or ()),
        document=encode_feature_document(
            FeatureDocument(
                display=request.display,
                credit_schema=costs,
                precision_chosen=chosen is not None,
                on_outage=_policy(request.on_outage),
            ),
        ),
        created_at=now_ms,
    )
    _check_as_credit_source(record, catalog)
    return record


def change_feature(request: FeatureUpdateRequest, catalog: CatalogView) -> FeatureChange:
    """Return what an update writes. Raises ``FeatureNotFoundError``."""
    old = catalog.feature(request.feature_id)
    new = _renamed_schema(_changed(old, request, catalog), old.id, request.new_feature_id or old.id)
    _check_change(old, new, catalog)
    plans = [_adapted(plan, old, new) for plan in catalog.versions if _knows(plan.document, old.id)]
    kept = (plan for plan in catalog.versions if not _knows(plan.document, old.id))
    new = _with_precision(old, new, request, needs_of(new.id, (*kept, *plans)))
    return FeatureChange(
        feature=new,
        credit_systems=_renamed_schemas(old.id, new.id, catalog),
        plans=[plan.record for plan in plans] if _affects_items(old, new) else [],
    )


def check_deletable(feature_id: str, catalog: CatalogView) -> None:
    """Refuse to delete a feature that a credit system or a plan names, its controls included: it
    could not be changed any more. Raises ``FeatureNotFoundError`` too.
    """
    is_used = catalog.feature(feature_id).in_use
    for feature in catalog.features.values():
        if feature.id != feature_id and feature_id in _sources(feature):
            raise FeatureInUseError(
                f"Feature {feature_id} is part of credit system {feature.id}; archive it instead"
            )
    for plan in catalog.versions:
        if _knows(plan.document, feature_id):
            raise FeatureInUseError(
                f"Feature {feature_id} is part of the plan {plan.record.id}; archive it instead"
            )
    if is_used:
        raise FeatureInUseError(f"Feature {feature_id} has balances; archive it instead")


def adapt_item(item: PlanItem, old: FeatureRecord, new: FeatureRecord) -> PlanItem:
    """Return a plan item after a feature it may name has changed."""
    if item.entity_feature_id == old.id:
        item = msgspec.structs.replace(item, entity_feature_id=new.id)
    if item.feature_id != old.id:
        return item
    item = msgspec.structs.replace(item, feature_id=new.id)
    if (old.type, old.consumable) == (new.type, new.consumable):
        return item
    price = (item.price.interval, item.price.interval_count) if item.price else None
    interval, count = resolve_reset(new, None, price)
    return msgspec.structs.replace(
        item,
        included="0" if new.type == "boolean" else item.included,
        unlimited=new.type != "boolean" and (item.unlimited or old.type == "boolean"),
        reset_interval=interval,
        reset_interval_count=count,
        rollover=item.rollover if new.consumable else None,
    )


def _consumable(kind: str, *, consumable: bool | None) -> bool:
    if kind == "ai_credit_system":
        raise NotSupportedError("type: ai_credit_system is not supported; use credit_system")
    one_of(kind, TYPES, "type")
    if kind == "boolean":
        return False
    if kind == "credit_system":
        if consumable is False:
            raise InvalidFeatureError("consumable: a credit system is always consumable")
        return True
    if consumable is None:
        raise InvalidInputsError("consumable: is required for a metered feature")
    return consumable


def _credit_costs(
    feature_id: str, kind: str, schema: Sequence[CreditCost] | None, catalog: CatalogView
) -> list[StoredCost]:
    if kind != "credit_system":
        if schema:
            raise InvalidFeatureError("credit_schema: only a credit_system feature has one")
        return []
    if not schema:
        raise InvalidFeatureError("credit_schema: a credit system needs at least one feature")
    costs: dict[str, StoredCost] = {}
    for index, line in enumerate(schema):
        field = f"credit_schema.{index}"
        source = line.metered_feature_id
        if source in costs:
            raise InvalidFeatureError(f"{field}.metered_feature_id: {source} is listed twice")
        member = catalog.features.get(source)
        _check_source(feature_id, source, member, field)
        costs[source] = StoredCost(metered_feature_id=source, credit_cost=_cost(line, field))
        num, den = credit_ratio(
            costs[source].credit_cost,
            member.precision if member else amounts.PRECISION_DEFAULT,
            amounts.PRECISION_CREDITS,
        )
        if 2 * num * den >= RATIO_MAX:
            raise InvalidInputsError(
                f"{field}.credit_cost: has too many digits to convert every amount exactly"
            )
    return list(costs.values())


def _check_source(feature_id: str, source: str, feature: FeatureRecord | None, field: str) -> None:
    if feature is None or source == feature_id:  # its credits are spent as they are
        return
    if feature.type == "credit_system":
        raise InvalidFeatureError(f"{field}.metered_feature_id: {source} is a credit system itself")
    if not feature.consumable:
        raise InvalidFeatureError(f"{field}.metered_feature_id: {source} is not consumable")


def _cost(line: CreditCost, field: str) -> str:
    name = f"{field}.credit_cost"
    cost = bounded(
        amounts.parse_decimal(bytes(line.credit_cost), field=name),
        amounts.PRECISION_CREDITS,
        COST_MAX,
        name,
    )
    if not cost:
        raise InvalidInputsError(f"{name}: must be greater than 0")
    return plain(cost)


def _check_as_credit_source(record: FeatureRecord, catalog: CatalogView) -> None:
    # A schema may name features that do not exist yet; they must turn out to be usable.
    for feature in catalog.features.values():
        if record.id in _sources(feature):
            _check_source(feature.id, record.id, record, f"feature_id: {feature.id} names it")


def _chosen_precision(value: float | None, kind: str) -> int | None:
    precision = whole(value, "precision", 0, amounts.PRECISION_MAX)
    if kind == "boolean" and precision:
        raise InvalidInputsError("precision: a boolean feature has no amounts")
    return precision


def _policy(value: str | None) -> str | None:
    one_of(value, POLICIES, "on_outage")
    return value


def _default_precision(kind: str) -> int:
    defaults = {"boolean": 0, "credit_system": amounts.PRECISION_CREDITS}
    return defaults.get(kind, amounts.PRECISION_DEFAULT)


def _changed(
    old: FeatureRecord, request: FeatureUpdateRequest, catalog: CatalogView
) -> FeatureRecord:
    document = decode_feature_document(old.document)
    kind = request.type or old.type
    consumable = request.consumable
    if request.type is None and consumable is None:
        consumable = old.consumable
    if request.credit_schema is not None or kind != "credit_system":
        costs = _credit_costs(old.id, kind, request.credit_schema, catalog)
    else:
        costs = document.credit_schema
    return msgspec.structs.replace(
        old,
        id=request.new_feature_id or old.id,
        name=old.name if request.name is None else request.name,
        type=kind,
        consumable=_consumable(kind, consumable=consumable),
        archived=old.archived if request.archived is None else request.archived,
        event_names=old.event_names
        if request.event_names is None
        else _distinct(request.event_names),
        document=encode_feature_document(
            FeatureDocument(
                display=request.display or document.display,
                credit_schema=costs,
                precision_chosen=document.precision_chosen,
                on_outage=_policy(request.on_outage) or document.on_outage,
            ),
        ),
    )


def _check_change(old: FeatureRecord, new: FeatureRecord, catalog: CatalogView) -> None:
    if new.id != old.id:
        if new.id in catalog.features:
            raise FeatureExistsError(f"Feature {new.id} already exists")
        _refuse_if(old.in_use, "new_feature_id", "customers already have the feature")
    items = [item for plan in catalog.versions for item in plan.document.items]
    if new.type != old.type:
        if "credit_system" in (old.type, new.type):
            raise InvalidRequestError("type: cannot change to or from credit_system")
        is_sold = any(item.feature_id == old.id and item.price is not None for item in items)
        _refuse_if(is_sold, "type", "a plan item of the feature has a price")
    if (new.type, new.consumable) != (old.type, old.consumable):
        field = "type" if new.type != old.type else "consumable"
        _refuse_if(old.in_use, field, "customers already have the feature")
        is_counted = any(item.entity_feature_id == old.id for item in items)
        _refuse_if(is_counted, field, "a plan item is per entity of it")
        is_spent_on = any(old.id in _sources(feature) for feature in catalog.features.values())
        _refuse_if(is_spent_on, field, "a credit system names the feature")


def _refuse_if(condition: bool, field: str, reason: str) -> None:  # noqa: FBT001 - reads as a sentence
    if condition:
        raise InvalidFeatureError(f"{field}: cannot change because {reason}")


def _with_precision(
    old: FeatureRecord, new: FeatureRecord, request: FeatureUpdateRequest, need: Need
) -> FeatureRecord:
    chosen = _chosen_precision(request.precision, new.type)
    if chosen is None and new.type == old.type:
        return new
    document = decode_feature_document(new.document)
    document.precision_chosen = chosen is not None
    if chosen is None:
        chosen = amounts.fit_precision(need.total, _default_precision(new.type)) or 0
    _check_precision(new, chosen, need)
    return msgspec.structs.replace(
        new, precision=chosen, document=encode_feature_document(document)
    )


def _check_precision(record: FeatureRecord, precision: int, need: Need) -> None:
    if record.in_use and precision != record.precision:
        raise InvalidFeatureError(
            f"precision: cannot change because feature {record.id} is in use "
            f"with precision {record.precision}; {way_to(record, precision)}"
        )
    if not amounts.fits(need.total, precision) or need.places > precision:
        raise InvalidInputsError(
            f"precision: plans grant up to {plain(need.total)} of feature {record.id} "
            f"with {need.places} decimal places, which precision {precision} does not hold"
        )


def _affects_items(old: FeatureRecord, new: FeatureRecord) -> bool:
    return (old.id, old.type, old.consumable) != (new.id, new.type, new.consumable)


def _adapted(plan: StoredPlan, old: FeatureRecord, new: FeatureRecord) -> StoredPlan:
    document = msgspec.structs.replace(
        plan.document,
        items=[adapt_item(item, old, new) for item in plan.document.items],
        billing_controls=renamed(plan.document.billing_controls, old.id, new.id),
    )
    record = msgspec.structs.replace(plan.record, document=encode_plan_document(document))
    return StoredPlan(record, document)


def _renamed_schemas(old_id: str, new_id: str, catalog: CatalogView) -> list[FeatureRecord]:
    if old_id == new_id:
        return []
    others = (feature for feature in catalog.features.values() if feature.id != old_id)
    named = (feature for feature in others if old_id in _sources(feature))
    return [_renamed_schema(feature, old_id, new_id) for feature in named]


def _renamed_schema(feature: FeatureRecord, old_id: str, new_id: str) -> FeatureRecord:
    document = decode_feature_document(feature.document)
    for cost in document.credit_schema:
        if cost.metered_feature_id == old_id:
            cost.metered_feature_id = new_id
    return msgspec.structs.replace(feature, document=encode_feature_document(document))


def _sources(feature: FeatureRecord) -> set[str]:
    if feature.type != "credit_system":
        return set()
    schema = decode_feature_document(feature.document).credit_schema
    return {cost.metered_feature_id for cost in schema}


def _knows(document: PlanDocument, feature_id: str) -> bool:
    named = ((item.feature_id, item.entity_feature_id) for item in document.items)
    is_given = any(feature_id in each for each in named)
    return is_given or feature_id in features_of(document.billing_controls)


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
