"""What a change of a plan is refused for, by name; what one does is tested over HTTP."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import InvalidPriceError, NotSupportedError
from gateway.lifecycle.catalog import CatalogView, StoredPlan
from gateway.lifecycle.plan_changes import PlanChange, change_plan
from gateway.messages.plan_changes import PlanUpdateRequest
from gateway.messages.plans import PlanDocument
from tests.unit.gateway.lifecycle.records import feature, plan, view

CATALOG = view(feature(), plans=(plan("pro", PlanDocument(name="Pro")),))


def change(catalog: CatalogView = CATALOG, /, **fields: object) -> PlanChange:
    body = msgspec.json.encode({"plan_id": "pro", **fields})
    request = msgspec.json.decode(body, type=PlanUpdateRequest)
    return change_plan(request, catalog, is_held=False, was_held=False, now_ms=7)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_plan_id", "other"),
        ("migration", {"draft": True}),
        ("variants", [{"variant_plan_id": "pro_eu", "customize": {}}]),
        ("update_license_parents", [{"plan_id": "other", "version": 1}]),
        ("licenses", [{"license_plan_id": "seat"}]),
        ("is_default", True),
        ("config.anchor_to_month_start", {"anchor_to_month_start": True}),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(NotSupportedError) as refused:
        change(**{field.partition(".")[0]: value})
    assert str(refused.value).startswith(f"{field}: ")


def test_what_clients_send_though_nobody_said_it_is_no_reason_to_refuse() -> None:
    asked = {"config": {"ignore_past_due": True, "anchor_to_month_start": False}}
    defaults = {"archived": False, "create_in_stripe": True, "variants": [], "is_default": False}
    changed = change(**asked, **defaults)
    assert msgspec.to_builtins(changed.shown.document.config) == {"ignore_past_due": True}


def test_a_plan_with_another_id_has_the_precision_its_new_grants_need() -> None:
    changed = change(new_plan_id="max", items=[{"feature_id": "messages", "included": 10**12}])
    assert changed.shown.record.id == "max"
    assert changed.precisions == {"messages": 3}


def test_what_one_of_all_versions_cannot_be_is_refused() -> None:
    price = {"amount": 1, "interval": "week", "billing_method": "usage_based"}
    weekly = change(items=[{"feature_id": "messages", "included": 0, "price": price}]).shown
    catalog = CATALOG._replace(older=(weekly,), plans={"pro": _second(CATALOG.plans["pro"])})
    monthly = {"amount": 5, "interval": "month"}
    assert change(catalog, price=monthly).shown.document.price is not None
    with pytest.raises(InvalidPriceError, match="weekly"):
        change(catalog, price=monthly, all_versions=True)


def test_only_the_latest_version_enables_itself() -> None:
    catalog = CATALOG._replace(
        older=(CATALOG.plans["pro"],), plans={"pro": _second(CATALOG.plans["pro"])}
    )
    changed = change(catalog, auto_enable=True, all_versions=True)
    enabled = {one.record.version: one.record.auto_enable for one in changed.replaced}
    assert enabled == {2: True, 1: False}


def _second(one: StoredPlan) -> StoredPlan:
    return one._replace(record=msgspec.structs.replace(one.record, version=2))
