"""What a plan may be as a whole: the rules of cold-path sections 2.3 and 2.4, pure.

``new_plan`` turns a request into the record to store. It also says to which precision unused
features have to be lowered so that the grants fit, and refuses when they must not be. ``plan_view``
is the way back, to what a caller is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import asdict

from gateway import amounts
from gateway.errors import (
    InvalidInputsError,
    InvalidItemError,
    InvalidPriceError,
    InvalidRequestError,
    NotSupportedError,
    PlanExistsError,
)
from gateway.lifecycle.catalog import (
    CatalogView,
    StoredPlan,
    decimal_places,
    item_total,
    needs_of,
    plain,
)
from gateway.lifecycle.controls import check_amounts
from gateway.lifecycle.plan_items import count, plan_item, price_number
from gateway.lifecycle.precision import way_to
from gateway.lifecycle.prices import is_one_off, is_paid
from gateway.messages import plans as wire
from gateway.messages.common import one_of
from gateway.messages.controls import shown_controls
from gateway.messages.features import decode_feature_document
from gateway.messages.plans import (
    BasePrice,
    FreeTrial,
    ItemPrice,
    PlanDocument,
    PlanItem,
    Rollover,
    encode_plan_document,
    raw,
)
from gateway.messages.prices import price_view
from gateway.ports import FeatureRecord, PlanRecord


class NewPlan(NamedTuple):
    """A plan to insert, and the unused features whose precision has to be lowered for it."""

    record: PlanRecord
    document: PlanDocument
    precisions: dict[str, int]


def new_plan(
    env: str, request: wire.PlanCreateRequest, catalog: CatalogView, now_ms: int
) -> NewPlan:
    """Return what creating a plan writes."""
    if request.plan_id in catalog.plans:
        raise PlanExistsError(f"Plan {request.plan_id} already exists")
    refuse_licenses(request.licenses)
    document = PlanDocument(
        name=request.name,
        description=request.description,
        group=request.group or "",
        add_on=bool(request.add_on),
        auto_enable=bool(request.auto_enable),
        price=None if request.price is None else base_price(request.price),
        items=plan_items(request.items or (), catalog),
        free_trial=None if request.free_trial is None else free_trial(request.free_trial),
        config=wire.PlanConfig() if request.config is None else plan_config(request.config),
        metadata=request.metadata or {},
        billing_controls=request.billing_controls or {},
    )
    precisions = check_plan(request.plan_id, document, catalog)
    record = PlanRecord(
        env=env,
        id=request.plan_id,
        version=1,
        group=document.group,
        add_on=document.add_on,
        auto_enable=document.auto_enable,
        archived=False,
        document=encode_plan_document(document),
        created_at=now_ms,
    )
    return NewPlan(record, document, precisions)


def plan_view(plan: StoredPlan) -> wire.PlanView:
    """Return a plan as it is answered."""
    record, document = plan
    return wire.PlanView(
        id=record.id,
        name=document.name,
        description=document.description,
        group=document.group or None,
        version=record.version,
        add_on=record.add_on,
        auto_enable=record.auto_enable,
        price=None if document.price is None else _base_price_view(document.price),
        items=[_item_view(item) for item in document.items],
        free_trial=document.free_trial or UNSET,
        created_at=record.created_at,
        env=record.env,
        archived=record.archived,
        config=document.config,
        billing_controls=shown_controls(document.billing_controls),
        metadata=document.metadata,
    )


def refuse_licenses(licenses: Sequence[object] | None) -> None:
    """Refuse what is not supported."""
    if licenses:
        raise NotSupportedError("licenses: license plans are not supported")


def plan_items(
    requests: Sequence[wire.PlanItemRequest], catalog: CatalogView, field: str = "items"
) -> list[PlanItem]:
    """Return items as they are stored; ``field`` is where they stand in the request."""
    items = [plan_item(each, catalog, f"{field}.{index}") for index, each in enumerate(requests)]
    check_repeats(items, field)
    return items


def check_plan(plan_id: str, document: PlanDocument, catalog: CatalogView) -> dict[str, int]:
    """Refuse a plan that cannot be as a whole; return the precision of each unused feature that has
    to become coarser for it.
    """
    check_amounts(document.billing_controls, catalog.features)
    check_prices(document)
    _check_default(plan_id, document, catalog)
    return _fit(document, catalog)


def base_price(request: wire.BasePriceRequest) -> BasePrice:
    """Return the fixed price as it is stored."""
    one_of(request.interval, wire.BILLING_INTERVALS, "price.interval")
    amount = price_number(request.amount, "price.amount")
    if amount is None:
        raise InvalidInputsError("price.amount: is required")
    if decimal_places(amount) > 2:
        raise InvalidPriceError("price.amount: has at most 2 decimal places")
    return BasePrice(
        amount=plain(amount),
        interval=request.interval,
        interval_count=count(request.interval_count, "price.interval_count"),
    )


def free_trial(request: wire.FreeTrialRequest, field: str = "free_trial") -> FreeTrial:
    """Return the free trial of a field as it is stored."""
    unit = request.duration_type or "month"
    one_of(unit, wire.TRIAL_UNITS, f"{field}.duration_type")
    on_end = request.on_end or "bill"
    one_of(on_end, wire.TRIAL_ENDS, f"{field}.on_end")
    return FreeTrial(
        duration_length=count(request.duration_length, f"{field}.duration_length"),
        duration_type=unit,
        card_required=request.card_required is not False,
        on_end=on_end,
    )


def plan_config(request: wire.PlanConfigRequest) -> wire.PlanConfig:
    """Return the switches as they are stored."""
    if request.anchor_to_month_start:
        raise NotSupportedError("config.anchor_to_month_start: is not supported")
    return wire.PlanConfig(ignore_past_due=request.ignore_past_due)


def check_repeats(items: Sequence[PlanItem], field: str = "items") -> None:
    """Refuse a feature that is given twice in the same way."""
    seen: set[tuple[object, ...]] = set()
    for index, item in enumerate(items):
        identity = (
            item.feature_id,
            item.entity_feature_id,
            item.pooled,
            item.reset_interval,
            item.reset_interval_count,
            item.price.billing_method if item.price else None,
        )
        if identity in seen:
            raise InvalidItemError(
                f"{field}.{index}: feature {item.feature_id} is already given with this interval"
            )
        seen.add(identity)


def check_prices(document: PlanDocument) -> None:
    """Refuse prices that do not go together."""
    intervals = _price_intervals(document)
    if "week" in intervals and intervals - {"week", "one_off"}:
        raise InvalidPriceError("items: a plan cannot mix weekly prices with monthly ones")
    if document.free_trial is not None and is_one_off(document):
        raise InvalidRequestError("free_trial: a one-off plan cannot have a free trial")


def _check_default(plan_id: str, document: PlanDocument, catalog: CatalogView) -> None:
    if not document.auto_enable:
        return
    if is_one_off(document):
        raise InvalidRequestError("auto_enable: a one-off plan cannot be enabled by itself")
    if document.free_trial is not None and document.free_trial.on_end == "revert":
        raise InvalidRequestError(
            "free_trial.on_end: a plan that is enabled by itself has none before to revert to"
        )
    is_trial = is_default_trial(document)
    if is_paid(document) and not is_trial:
        raise InvalidRequestError(
            "auto_enable: only a free plan, or one whose free trial needs no card, "
            "can be enabled by itself"
        )
    for other in catalog.plans.values():
        rival = other.record.auto_enable and not other.record.archived
        rival = rival and other.record.id != plan_id
        if rival and not document.add_on and not other.record.add_on:
            same = is_default_trial(other.document) == is_trial
            if same and other.record.group == document.group:
                raise InvalidRequestError(
                    f"auto_enable: plan {other.record.id} is already the default of this group"
                )


def is_default_trial(document: PlanDocument) -> bool:
    """Whether a plan with prices may enable itself: it is free at first, and needs no card."""
    trial = document.free_trial
    return trial is not None and not trial.card_required and is_paid(document)


def _fit(document: PlanDocument, catalog: CatalogView) -> dict[str, int]:
    """Return the precision of each unused feature that has to become coarser for this plan."""
    precisions: dict[str, int] = {}
    for index, item in enumerate(document.items):
        feature = catalog.features[item.feature_id]
        items = [one for one in document.items if one.feature_id == feature.id]
        # The precision of a feature in use stays; create_entity looks when there are more entities.
        entities = amounts.ENTITIES_SURE if feature.in_use else amounts.ENTITIES_MAX
        total = sum((item_total(one, entities) for one in items), Decimal(0))
        if feature.type == "boolean" or amounts.fits(total, feature.precision):
            continue
        total = sum(map(item_total, items), Decimal(0))
        field = f"items.{index}.included"
        fitting = amounts.fit_precision(total, feature.precision)
        _check_lowering(feature, total, fitting, field)
        precisions[feature.id] = fitting or 0
        _check_places(feature, document, catalog, fitting or 0, field)
    return precisions


def _check_lowering(
    feature: FeatureRecord, total: Decimal, fitting: int | None, field: str
) -> None:
    if fitting is None:
        raise InvalidInputsError(
            f"{field}: {plain(total)} units in sum, every entity counted, are more than any "
            f"precision holds; grant less"
        )
    asked = f"{field}: {plain(total)} units in sum, every entity counted, need precision {fitting}"
    if feature.in_use:
        raise InvalidInputsError(
            f"{asked}, but feature {feature.id} is in use with precision {feature.precision}; "
            f"grant less, or define another feature with precision {fitting}; or, "
            f"{way_to(feature, fitting)}"
        )
    if decode_feature_document(feature.document).precision_chosen:
        raise InvalidInputsError(
            f"{asked}, but feature {feature.id} was given precision {feature.precision}; "
            f"lower it with features.update or grant less"
        )


def _check_places(
    feature: FeatureRecord, document: PlanDocument, catalog: CatalogView, precision: int, field: str
) -> None:
    # Lowering must not change a grant that is already stored, nor one of this plan.
    own = [Decimal(item.included) for item in document.items if item.feature_id == feature.id]
    places = max(map(decimal_places, own))
    places = max(places, needs_of(feature.id, catalog.versions).places)
    if places > precision:
        raise InvalidInputsError(
            f"{field}: needs precision {precision} of feature {feature.id}, "
            f"but a grant of it has {places} decimal places"
        )


def _price_intervals(document: PlanDocument) -> set[str]:
    intervals = {item.price.interval for item in document.items if item.price is not None}
    return intervals | ({document.price.interval} if document.price else set())


def _item_view(item: PlanItem) -> wire.PlanItemView:
    reset = None
    if item.reset_interval != "never":
        count = _count_view(item.reset_interval_count)
        reset = wire.ResetRule(interval=item.reset_interval, interval_count=count)
    return wire.PlanItemView(
        feature_id=item.feature_id,
        included=raw(item.included),
        unlimited=item.unlimited,
        pooled=item.pooled,
        reset=reset,
        price=None if item.price is None else _price_view(item.price),
        rollover=UNSET if item.rollover is None else _rollover_view(item.rollover),
        entity_feature_id=item.entity_feature_id or UNSET,
    )


def _base_price_view(price: BasePrice) -> wire.BasePriceView:
    return wire.BasePriceView(
        amount=raw(price.amount),
        interval=price.interval,
        interval_count=_count_view(price.interval_count),
    )


def _price_view(price: ItemPrice) -> wire.ItemPriceView:
    return wire.ItemPriceView(
        **asdict(price_view(price)),
        interval=price.interval,
        interval_count=_count_view(price.interval_count),
    )


def _rollover_view(rollover: Rollover) -> wire.RolloverView:
    forever = rollover.expiry_duration_type == "forever"
    return wire.RolloverView(
        max=None if rollover.max is None else raw(rollover.max),
        max_percentage=UNSET if rollover.max_percentage is None else raw(rollover.max_percentage),
        expiry_duration_type=rollover.expiry_duration_type,
        expiry_duration_length=UNSET if forever else rollover.expiry_duration_length,
    )


def _count_view(count: int) -> int | UnsetType:
    return UNSET if count == 1 else count
