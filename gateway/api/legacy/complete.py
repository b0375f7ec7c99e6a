"""Versions 2.1 and 2.2: the shapes of today, with every key they may have; what there is not is
null.

Their published clients, npm autumn-js 1.0 and 1.2 up to 1.2.13, take a missing key for an error
when they run with a zod of 4.4 or later, which is what an installation gets now, whatever their own
types say.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from gateway.api.operation import Call, Operation, Services

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Shape(NamedTuple):
    """Keys an object always has, and the shapes of what it holds; ``each`` is of a map's values, of
    which none may be null.
    """

    keys: tuple[str, ...] = ()
    holds: Mapping[str, Shape] = {}
    each: Shape | None = None

    def complete(self, value: Any) -> None:  # noqa: ANN401 - decoded JSON
        """Add what is missing, and leave out of a map what is null."""
        if isinstance(value, list):
            for item in value:
                self.complete(item)
        elif isinstance(value, dict):
            for key in self.keys:
                value.setdefault(key)
            for key, shape in self.holds.items():
                shape.complete(value.get(key))
            if self.each is not None:
                for key in [key for key, held in value.items() if held is None]:
                    del value[key]
                self.each.complete(list(value.values()))

    def completed(self, text: bytes) -> bytes:
        """Return JSON with what is missing of it."""
        value = _decode(text)
        self.complete(value)
        return _encode(value)


_FEATURE = Shape(("event_names", "credit_schema", "display"))
_RESET = Shape(("interval_count",))
_PRICE = ("amount", "tiers", "tier_behavior")
_ITEM = Shape(
    ("feature", "display", "rollover"),
    {
        "reset": _RESET,
        "price": Shape((*_PRICE, "interval_count")),
        "rollover": Shape(("expiry_duration_length",)),
    },
)
_PLAN = Shape(
    ("free_trial", "customer_eligibility"),
    {
        "price": Shape(("interval_count", "display")),
        "items": _ITEM,
        "customer_eligibility": Shape(("status",)),
    },
)
BREAKDOWN = Shape((), {"reset": _RESET, "price": Shape(_PRICE)})
BALANCE = Shape(
    ("feature", "breakdown", "rollovers"), {"feature": _FEATURE, "breakdown": BREAKDOWN}
)
_FLAG = Shape(("feature",), {"feature": _FEATURE})
_HELD = Shape(("plan",), {"plan": _PLAN})
_CONTROLS = Shape(
    ("auto_topups", "spend_limits", "usage_alerts", "overage_allowed"),
    {
        "auto_topups": Shape(("purchase_limit", "invoice_mode")),
        "spend_limits": Shape(("feature_id", "overage_limit")),
        "usage_alerts": Shape(("feature_id", "name")),
    },
)
_HOLDINGS = {
    "subscriptions": _HELD,
    "purchases": _HELD,
    "balances": Shape(each=BALANCE),
    "flags": Shape(each=_FLAG),
    "billing_controls": _CONTROLS,
}
_CUSTOMER = Shape(
    ("invoices", "entities", "trials_used", "referrals"),
    {**_HOLDINGS, "config": Shape(("disable_pooled_balance",))},
)
_ENTITY = Shape(("billing_controls", "invoices"), _HOLDINGS)
_BILLED = Shape(("entity_id", "invoice", "required_action"))
_LINE = Shape(("discounts", "period"))
_MOVED = Shape(("plan",), {"plan": _PLAN})
_PREVIEW = Shape(
    ("next_cycle", "expand"),
    {
        "line_items": _LINE,
        "next_cycle": Shape((), {"line_items": _LINE, "usage_line_items": _LINE}),
        "incoming": _MOVED,
        "outgoing": _MOVED,
    },
)


def _listed(shape: Shape) -> Shape:
    return Shape((), {"list": shape})


CHECK = Shape(("required_balance", "preview"), {"balance": BALANCE, "flag": _FLAG})
TRACK = Shape(
    ("entity_id", "event_name", "balances"),
    {"balance": BALANCE, "balances": Shape(each=BALANCE)},
)
_SHAPES = {
    "balances.check": CHECK,
    "balances.track": TRACK,
    "customers.get_or_create": _CUSTOMER,
    "customers.get": _CUSTOMER,
    "customers.update": _CUSTOMER,
    "customers.list": _listed(_CUSTOMER),
    "entities.create": _ENTITY,
    "entities.get": _ENTITY,
    "entities.update": _ENTITY,
    "entities.list": _listed(_ENTITY),
    "features.create": _FEATURE,
    "features.get": _FEATURE,
    "features.update": _FEATURE,
    "features.list": _listed(_FEATURE),
    "plans.create": _PLAN,
    "plans.get": _PLAN,
    "plans.update": _PLAN,
    "plans.list": _listed(_PLAN),
    "billing.attach": _BILLED,
    "billing.multi_attach": _BILLED,
    "billing.update": _BILLED,
    "billing.preview_attach": _PREVIEW,
    "billing.preview_multi_attach": _PREVIEW,
    "billing.preview_update": _PREVIEW,
    "events.aggregate": _listed(Shape(("grouped_values",))),
}


def completed(operation: Operation) -> Operation:
    """Return an operation as 2.1 and 2.2 know it."""
    shape = _SHAPES.get(operation.name)
    if shape is None:
        return operation

    async def handle(services: Services, call: Call, request: Any) -> Any:  # noqa: ANN401 - as the operation's
        answer = await operation.handle(services, call, request)
        return msgspec.Raw(shape.completed(msgspec.json.encode(answer)))

    return operation._replace(name=f"{operation.name}@2.1", handle=handle)
