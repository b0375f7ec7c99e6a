"""Examples of the API page for plans that change; the story is that of
``gateway.api.resources.examples``.
"""

from __future__ import annotations

from gateway.api.operation import Example
from gateway.api.resources.examples import CREATED_AT, PLAN, RESETS_AT, Json

_NAMED: Json = {"customer_id": "cus_123", "plan_id": "team"}
_SEVERAL: Json = {"customer_id": "cus_123", "plans": [{"plan_id": "team"}]}
_DONE: Json = {"customer_id": "cus_123", "payment_url": None}


def _line(amount: float, start: int, end: int) -> Json:
    return {
        "display_name": "Team",
        "description": "Team" if amount > 0 else "Unused Team",
        "subtotal": amount,
        "total": amount,
        "discounts": [],
        "plan_id": "team",
        "feature_id": None,
        "period": {"start": start, "end": end},
        "quantity": 1,
    }


def _preview(total: float, **more: object) -> Json:
    return {
        "customer_id": "cus_123",
        "line_items": [_line(total, CREATED_AT, RESETS_AT)] if total else [],
        "subtotal": total,
        "total": total,
        "currency": "usd",
        "incoming": [],
        "outgoing": [],
        **more,
    }


def _plan(**more: object) -> Json:
    return {
        "plan_id": "team",
        "feature_quantities": [],
        "effective_at": None,
        "canceled_at": None,
        "expires_at": None,
        **more,
    }


BILLING_EXAMPLES: dict[str, Example] = {
    "billing.attach": Example(_NAMED, _DONE),
    "billing.preview_attach": Example(
        _NAMED,
        _preview(20, incoming=[_plan()], redirect_to_checkout=False, checkout_type=None),
    ),
    "billing.multi_attach": Example(_SEVERAL, _DONE),
    "billing.preview_multi_attach": Example(
        _SEVERAL,
        _preview(20, incoming=[_plan()], redirect_to_checkout=False, checkout_type=None),
    ),
    "billing.update": Example({**_NAMED, "cancel_action": "cancel_end_of_cycle"}, _DONE),
    "billing.preview_update": Example(
        {**_NAMED, "cancel_action": "cancel_end_of_cycle"},
        _preview(
            0,
            outgoing=[_plan(effective_at=RESETS_AT, canceled_at=CREATED_AT, expires_at=RESETS_AT)],
            intent="cancel_end_of_cycle",
        ),
    ),
    "plans.update": Example(
        {"plan_id": "team", "name": "Team of three"}, {**PLAN, "name": "Team of three"}
    ),
    "plans.delete": Example({"plan_id": "team"}, {"success": True}),
}
