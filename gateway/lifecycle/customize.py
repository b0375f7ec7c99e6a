"""One customer's own version of a plan: its price, items and controls (cold-path section 3.1).
Pure.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
from msgspec import UNSET

from gateway.amounts import parse_decimal
from gateway.errors import InvalidInputsError, InvalidRequestError
from gateway.lifecycle.catalog import CatalogView
from gateway.lifecycle.controls import check_amounts
from gateway.lifecycle.plan_rules import (
    base_price,
    check_prices,
    check_repeats,
    free_trial,
    plan_items,
)
from gateway.messages.billing import AttachRequest, Customize, ItemSelector
from gateway.messages.common import given
from gateway.messages.plans import PlanDocument, PlanItem

_FIELD = "customize"


def customized(document: PlanDocument, request: Customize, catalog: CatalogView) -> PlanDocument:
    """Return a plan with what one customer has instead.

    Raises ``InvalidInputsError`` when nothing is asked for, ``InvalidRequestError`` for an item to
    remove that is not there, and the errors of a new plan.
    """
    changes: dict[str, object] = {}
    if request.price is not UNSET:
        changes["price"] = None if request.price is None else base_price(request.price)
    if request.items is not None:
        changes["items"] = plan_items(request.items, catalog, f"{_FIELD}.items")
    elif request.add_items is not None or request.remove_items is not None:
        changes["items"] = _patched(document.items, request, catalog)
    if request.billing_controls is not None:
        check_amounts(request.billing_controls, catalog.features, f"{_FIELD}.billing_controls")
        changes["billing_controls"] = document.billing_controls | request.billing_controls
    if not changes and request.free_trial is UNSET:
        raise InvalidInputsError(
            f"{_FIELD}: needs price, items, add_items, remove_items, free_trial or billing_controls"
        )
    changed = msgspec.structs.replace(document, **changes)
    check_prices(changed)
    return changed


def with_trial(document: PlanDocument, request: AttachRequest) -> PlanDocument:
    """Return a plan with the trial that an attach brings along, or with none for null."""
    trial = request.trial
    if trial is UNSET:
        return document
    field = "free_trial" if trial is request.free_trial else f"{_FIELD}.free_trial"
    stored = None if trial is None else free_trial(trial, field)
    changed = msgspec.structs.replace(document, free_trial=stored)
    check_prices(changed)
    return changed


def _patched(items: list[PlanItem], request: Customize, catalog: CatalogView) -> list[PlanItem]:
    kept = list(items)
    for index, selector in enumerate(request.remove_items or ()):
        removed = [item for item in kept if _fits(item, selector)]
        if not removed:
            whose = f" of feature {selector.feature_id}" if selector.feature_id else ""
            raise InvalidRequestError(
                f"{_FIELD}.remove_items.{index}: the plan has no such item{whose}"
            )
        kept = [item for item in kept if item not in removed]
    added = plan_items(request.add_items or (), catalog, f"{_FIELD}.add_items")
    check_repeats([*kept, *added], _FIELD)
    return [*kept, *added]


def _fits(item: PlanItem, selector: ItemSelector) -> bool:
    price = item.price
    cycles = [(item.reset_interval, item.reset_interval_count)]
    if price is not None:
        cycles.append((price.interval, price.interval_count))
    return (
        selector.feature_id in (None, item.feature_id)
        and selector.billing_method in (None, price and price.billing_method)
        and any(
            selector.interval in (None, interval) and selector.interval_count in (None, count)
            for interval, count in cycles
        )
        and _includes(item, selector)
    )


def _includes(item: PlanItem, selector: ItemSelector) -> bool:
    if not given(selector.included):
        return True
    included = parse_decimal(bytes(selector.included), field="included")
    return not item.unlimited and Decimal(item.included) == included
