"""What a change of a plan is refused for, by name; what one does is tested over HTTP."""

from __future__ import annotations

import msgspec
import pytest

from gateway.errors import NotSupportedError
from gateway.lifecycle.plan_changes import PlanChange, change_plan
from gateway.messages.plan_changes import PlanUpdateRequest
from gateway.messages.plans import PlanDocument
from tests.unit.gateway.lifecycle.records import plan, view

CATALOG = view(plans=(plan("pro", PlanDocument(name="Pro")),))


def change(**fields: object) -> PlanChange:
    body = msgspec.json.encode({"plan_id": "pro", **fields})
    request = msgspec.json.decode(body, type=PlanUpdateRequest)
    return change_plan(request, CATALOG, is_held=False, was_held=False, now_ms=7)


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
