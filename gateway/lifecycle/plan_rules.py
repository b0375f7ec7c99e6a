"""What a plan may be: the rules of cold-path sections 2.3 and 2.4, pure.

``new_plan`` turns a request into the record to store, everything resolved that ``billing.attach``
would else have to look up: reset rules, exact decimal texts, defaults. It also says to which
precision unused features have to be lowered so that the grants fit. Each refusal names the field
the caller has to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from gateway import amounts
from gateway.errors import (
    FeatureNotFoundError,
    InvalidInputsError,
    InvalidItemError,
    InvalidPriceError,
    InvalidRequestError,
    NotSupportedError,
    PlanExistsError,
)
from gateway.lifecycle.attach import is_one_off, is_paid
from gateway.lifecycle.catalog import (
    CatalogView,
    StoredPlan,
    bounded,
    decimal_places,
    item_total,
    needs_of,
    plain,
    resolve_reset,
)
from gateway.messages import plans as wire
from gateway.messages.common import given, integer
from gateway.messages.features import decode_feature_document
from gateway.messages.plans import (
    BasePrice,
    FreeTrial,
    ItemPrice,
    PlanDocument,
    PlanItem,
    Rollover,
    Tier,
    encode_plan_document,
    raw,
)
from gateway.ports import FeatureRecord, PlanRecord

PRICE_PLACES = 12
"""Decimal places of a price per unit; fractions of a cent per token need about eight."""

COUNT_MAX = 10_000
"""Longest interval, in its unit; calendar arithmetic stays inside four-digit years."""

PERCENT_MAX = Decimal(100)


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
    _refuse_unsupported(request)
    items = [
        _item(item, catalog, f"items.{index}") for index, item in enumerate(request.items or ())
    ]
    _check_repeats(items)
    document = PlanDocument(
        name=request.name,
        description=request.description,
        group=request.group or "",
        add_on=bool(request.add_on),
        auto_enable=bool(request.auto_enable),
        price=_base_price(request.price),
        items=items,
        free_trial=_free_trial(request.free_trial),
        config=request.config or wire.PlanConfig(),
        metadata=request.metadata or {},
        billing_controls=request.billing_controls or {},
    )
    _check_prices(document)
    _check_default(document, catalog)
    precisions = _fit(document, catalog)
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
        billing_controls=document.billing_controls,
        metadata=document.metadata,
    )


def _refuse_unsupported(request: wire.PlanCreateRequest) -> None:
    if request.licenses:
        raise NotSupportedError("licenses: license plans are not supported")
    for index, item in enumerate(request.items or ()):
        if item.pooled:
            raise NotSupportedError(f"items.{index}.pooled: pooled items are not supported")


def _item(request: wire.PlanItemRequest, catalog: CatalogView, field: str) -> PlanItem:
    feature = catalog.features.get(request.feature_id)
    if feature is None:
        raise FeatureNotFoundError(f"Feature {request.feature_id} not found")
    _check_entity_feature(request, catalog, field)
    unlimited = bool(request.unlimited)
    included = _included(request, feature, field)
    if unlimited and (included or request.price is not None):
        raise InvalidItemError(f"{field}.unlimited: excludes included and price")
    price = _item_price(request.price, included, f"{field}.price")
    reset = _reset(request.reset, f"{field}.reset")
    _check_item(request, feature, price, reset, field)
    interval, count = resolve_reset(feature, reset, _price_cycle(price))
    return PlanItem(
        feature_id=feature.id,
        included=plain(included),
        unlimited=unlimited,
        reset_interval=interval,
        reset_interval_count=count,
        entity_feature_id=request.entity_feature_id,
        price=price,
        rollover=_rollover(request.rollover, feature, interval, f"{field}.rollover"),
    )


def _check_entity_feature(request: wire.PlanItemRequest, catalog: CatalogView, field: str) -> None:
    if request.entity_feature_id is None:
        return
    entity_feature = catalog.features.get(request.entity_feature_id)
    if entity_feature is None:
        raise FeatureNotFoundError(f"Feature {request.entity_feature_id} not found")
    name = f"{field}.entity_feature_id"
    if entity_feature.type != "metered" or entity_feature.consumable:
        raise InvalidItemError(
            f"{name}: {entity_feature.id} must be a metered, non-consumable feature such as seats"
        )
    if entity_feature.id == request.feature_id:
        raise InvalidItemError(f"{name}: an entity cannot be granted units of its own feature")


def _included(request: wire.PlanItemRequest, feature: FeatureRecord, field: str) -> Decimal:
    name = f"{field}.included"
    included = _number(request.included, name, amounts.PRECISION_MAX, amounts.INCLUDED_MAX)
    if included is None:
        return Decimal(0)
    return bounded(included, feature.precision, amounts.INCLUDED_MAX, name)


def _check_item(
    request: wire.PlanItemRequest,
    feature: FeatureRecord,
    price: ItemPrice | None,
    reset: tuple[str, int] | None,
    field: str,
) -> None:
    if feature.type == "boolean":
        _check_boolean(request, field)
    cycle = _price_cycle(price)
    if feature.consumable and price and not price.prepaid and reset not in (None, cycle):
        raise InvalidItemError(
            f"{field}.reset: may differ from the price's interval only for a prepaid price"
        )
    _check_proration(request.proration, price, f"{field}.proration")


def _check_boolean(request: wire.PlanItemRequest, field: str) -> None:
    given_fields = {
        "unlimited": bool(request.unlimited),
        "included": given(request.included) and bytes(request.included) not in (b"0", b"0.0"),
        "price": request.price is not None,
        "reset": request.reset is not None,
        "rollover": request.rollover is not None,
    }
    for name, is_given in given_fields.items():
        if is_given:
            raise InvalidItemError(f"{field}.{name}: a boolean feature has none")


def _item_price(
    request: wire.ItemPriceRequest | None, included: Decimal, field: str
) -> ItemPrice | None:
    if request is None:
        return None
    _one_of(request.billing_method, wire.BILLING_METHODS, f"{field}.billing_method")
    _one_of(request.interval, wire.BILLING_INTERVALS, f"{field}.interval")
    if request.billing_method == "usage_based" and request.interval == "one_off":
        raise InvalidItemError(f"{field}.interval: a usage_based price cannot be one_off")
    if given(request.amount) == bool(request.tiers):
        raise InvalidInputsError(f"{field}: needs exactly one of amount and tiers")
    tiers = _tiers(request, included, field)
    amount = _price(request.amount, f"{field}.amount")
    if len(tiers) == 1:
        amount, tiers = Decimal(tiers[0].amount), []
    units = _number(request.billing_units, f"{field}.billing_units")
    if units is not None and not units:
        raise InvalidInputsError(f"{field}.billing_units: must be greater than 0")
    most = _number(request.max_purchase, f"{field}.max_purchase")
    return ItemPrice(
        interval=request.interval,
        interval_count=_count(request.interval_count, f"{field}.interval_count"),
        billing_method=request.billing_method,
        amount=None if amount is None else plain(amount),
        tiers=tiers,
        tier_behavior=_tier_behavior(request, f"{field}.tier_behavior") if tiers else None,
        billing_units=plain(units or Decimal(1)),
        max_purchase=plain(most) if most else None,
    )


def _tier_behavior(request: wire.ItemPriceRequest, field: str) -> str:
    behavior = request.tier_behavior or "graduated"
    _one_of(behavior, wire.TIER_BEHAVIORS, field)
    if behavior == "volume" and request.billing_method != "prepaid":
        raise InvalidItemError(f"{field}: volume needs a prepaid price")
    return behavior


def _tiers(request: wire.ItemPriceRequest, included: Decimal, field: str) -> list[Tier]:
    tiers: list[Tier] = []
    below = included
    for index, tier in enumerate(request.tiers or ()):
        name = f"{field}.tiers.{index}"
        bound = _tier_bound(tier.to, f"{name}.to")
        if tiers and tiers[-1].to == "inf":
            raise InvalidItemError(f"{name}.to: follows a tier without end")
        if bound is not None and bound <= below:
            than = "included" if index == 0 else "the tier before"
            raise InvalidItemError(f"{name}.to: must be greater than {than} ({plain(below)})")
        below = below if bound is None else bound
        flat = _price(tier.flat_amount, f"{name}.flat_amount")
        if flat is not None and (request.tier_behavior != "volume" or len(request.tiers or ()) < 2):
            raise InvalidItemError(f"{name}.flat_amount: needs volume and more than one tier")
        amount = _price(tier.amount, f"{name}.amount")
        if amount is None and flat is None:
            raise InvalidInputsError(f"{name}.amount: is required")
        tiers.append(
            Tier(
                to="inf" if bound is None else plain(bound),
                amount=plain(amount or Decimal(0)),
                flat_amount=None if flat is None else plain(flat),
            )
        )
    return tiers


def _tier_bound(value: msgspec.Raw, field: str) -> Decimal | None:
    return None if bytes(value) == b'"inf"' else _number(value, field)


def _reset(request: wire.ItemResetRequest | None, field: str) -> tuple[str, int] | None:
    if request is None:
        return None
    _one_of(request.interval, wire.RESET_INTERVALS, f"{field}.interval")
    return request.interval, _count(request.interval_count, f"{field}.interval_count")


def _check_proration(
    request: wire.ProrationRequest | None, price: ItemPrice | None, field: str
) -> None:
    if request is None:
        return
    if request.on_increase is not None:
        _one_of(request.on_increase, wire.ON_INCREASE, f"{field}.on_increase")
    if request.on_decrease is not None:
        _one_of(request.on_decrease, wire.ON_DECREASE, f"{field}.on_decrease")
    if price is None or not price.prepaid:
        raise InvalidItemError(f"{field}: needs a prepaid price")
    if request.on_increase == "bill_immediately":
        raise InvalidItemError(f"{field}.on_increase: bill_immediately is not for prepaid prices")


def _rollover(
    request: wire.RolloverRequest | None, feature: FeatureRecord, interval: str, field: str
) -> Rollover | None:
    if request is None:
        return None
    if not feature.consumable or interval == "one_off":
        raise InvalidItemError(f"{field}: only a consumable feature that resets rolls over")
    most = _number(request.max, f"{field}.max")
    percentage = _number(request.max_percentage, f"{field}.max_percentage", most=PERCENT_MAX)
    if most is not None and percentage is not None:
        raise InvalidInputsError(f"{field}: max and max_percentage exclude each other")
    if (most is not None and not most) or (percentage is not None and not percentage):
        name = "max" if most is not None else "max_percentage"
        raise InvalidInputsError(f"{field}.{name}: must be greater than 0")
    unit = request.expiry_duration_type or "month"
    _one_of(unit, wire.ROLLOVER_UNITS, f"{field}.expiry_duration_type")
    length = integer(request.expiry_duration_length, field=f"{field}.expiry_duration_length")
    if length is not None and not 0 <= length <= COUNT_MAX:
        raise InvalidInputsError(f"{field}.expiry_duration_length: must be 0 to {COUNT_MAX}")
    return Rollover(
        max=None if most is None else plain(most),
        max_percentage=None if percentage is None else plain(percentage),
        expiry_duration_type=unit,
        expiry_duration_length=1 if length is None else length,
    )


def _base_price(request: wire.BasePriceRequest | None) -> BasePrice | None:
    if request is None:
        return None
    _one_of(request.interval, wire.BILLING_INTERVALS, "price.interval")
    amount = _price(request.amount, "price.amount")
    if amount is None:
        raise InvalidInputsError("price.amount: is required")
    if decimal_places(amount) > 2:
        raise InvalidPriceError("price.amount: has at most 2 decimal places")
    return BasePrice(
        amount=plain(amount),
        interval=request.interval,
        interval_count=_count(request.interval_count, "price.interval_count"),
    )


def _free_trial(request: wire.FreeTrialRequest | None) -> FreeTrial | None:
    if request is None:
        return None
    unit = request.duration_type or "month"
    _one_of(unit, wire.TRIAL_UNITS, "free_trial.duration_type")
    on_end = request.on_end or "bill"
    _one_of(on_end, wire.TRIAL_ENDS, "free_trial.on_end")
    return FreeTrial(
        duration_length=_count(request.duration_length, "free_trial.duration_length"),
        duration_type=unit,
        card_required=request.card_required is not False,
        on_end=on_end,
    )


def _check_repeats(items: Sequence[PlanItem]) -> None:
    seen: set[tuple[object, ...]] = set()
    for index, item in enumerate(items):
        identity = (
            item.feature_id,
            item.entity_feature_id,
            item.reset_interval,
            item.reset_interval_count,
            item.price.billing_method if item.price else None,
        )
        if identity in seen:
            raise InvalidItemError(
                f"items.{index}: feature {item.feature_id} is already given with this interval"
            )
        seen.add(identity)


def _check_prices(document: PlanDocument) -> None:
    intervals = _price_intervals(document)
    if "week" in intervals and intervals - {"week", "one_off"}:
        raise InvalidPriceError("items: a plan cannot mix weekly prices with monthly ones")
    if document.free_trial is not None and is_one_off(document):
        raise InvalidRequestError("free_trial: a one-off plan cannot have a free trial")


def _check_default(document: PlanDocument, catalog: CatalogView) -> None:
    if not document.auto_enable:
        return
    if is_one_off(document):
        raise InvalidRequestError("auto_enable: a one-off plan cannot be enabled by itself")
    is_trial = _is_default_trial(document)
    if is_paid(document) and not is_trial:
        raise InvalidRequestError(
            "auto_enable: only a free plan, or one whose free trial needs no card, "
            "can be enabled by itself"
        )
    for other in catalog.plans.values():
        rival = other.record.auto_enable and not other.record.archived
        if rival and not document.add_on and not other.record.add_on:
            same = _is_default_trial(other.document) == is_trial
            if same and other.record.group == document.group:
                raise InvalidRequestError(
                    f"auto_enable: plan {other.record.id} is already the default of this group"
                )


def _is_default_trial(document: PlanDocument) -> bool:
    trial = document.free_trial
    return trial is not None and not trial.card_required and is_paid(document)


def _fit(document: PlanDocument, catalog: CatalogView) -> dict[str, int]:
    """Return the precision of each unused feature that has to become coarser for this plan."""
    precisions: dict[str, int] = {}
    for index, item in enumerate(document.items):
        feature = catalog.features[item.feature_id]
        total = sum(
            (item_total(other) for other in document.items if other.feature_id == feature.id),
            Decimal(0),
        )
        if feature.type == "boolean" or amounts.fits(total, feature.precision):
            continue
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
            f"grant less, or define another feature with precision {fitting}"
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
    places = max(places, needs_of(feature.id, catalog.plans.values()).places)
    if places > precision:
        raise InvalidInputsError(
            f"{field}: needs precision {precision} of feature {feature.id}, "
            f"but a grant of it has {places} decimal places"
        )


def _price_intervals(document: PlanDocument) -> set[str]:
    intervals = {item.price.interval for item in document.items if item.price is not None}
    return intervals | ({document.price.interval} if document.price else set())


def _price_cycle(price: ItemPrice | None) -> tuple[str, int] | None:
    return (price.interval, price.interval_count) if price else None


def _price(value: msgspec.Raw, field: str) -> Decimal | None:
    return _number(value, field, PRICE_PLACES)


def _number(
    value: msgspec.Raw,
    field: str,
    places: int = amounts.PRECISION_MAX,
    most: Decimal = amounts.INCLUDED_MAX,
) -> Decimal | None:
    if not given(value):
        return None
    return bounded(amounts.parse_decimal(bytes(value), field=field), places, most, field)


def _count(value: float | None, field: str) -> int:
    count = integer(value, field=field)
    if count is None:
        return 1
    if not 1 <= count <= COUNT_MAX:
        raise InvalidInputsError(f"{field}: must be 1 to {COUNT_MAX}")
    return count


def _one_of(value: str, allowed: Sequence[str], field: str) -> None:
    if value not in allowed:
        raise InvalidInputsError(f"{field}: must be one of {', '.join(allowed)}")


def _item_view(item: PlanItem) -> wire.PlanItemView:
    reset = None
    if item.reset_interval != "never":
        count = _count_view(item.reset_interval_count)
        reset = wire.ResetRule(interval=item.reset_interval, interval_count=count)
    return wire.PlanItemView(
        feature_id=item.feature_id,
        included=raw(item.included),
        unlimited=item.unlimited,
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
    shown = wire.price_view(price)
    return wire.ItemPriceView(
        amount=shown.amount,
        tiers=shown.tiers,
        tier_behavior=shown.tier_behavior,
        billing_units=shown.billing_units,
        billing_method=shown.billing_method,
        max_purchase=shown.max_purchase,
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


def _count_view(count: int) -> int | msgspec.UnsetType:
    return UNSET if count == 1 else count
