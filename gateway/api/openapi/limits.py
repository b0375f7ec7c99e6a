"""What requests must look like beyond their types, said in the words of JSON Schema.

The message structs say which fields there are; which texts are ids and how long a list may be is
checked by rules, and said here from the same constants. Only what is refused whatever else the
request says may stand here: a caller that obeys the document may still meet a rule it cannot say,
but one that is told off by it must be told off by the gateway too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from gateway.amounts import PRECISION_MAX
from gateway.api.resources import billing_rules, event_rules, grant_rules, rules, shapes
from gateway.engine.aggregates import BIN_SIZES
from gateway.engine.claims import KEY_MAX
from gateway.lifecycle.plan_items import COUNT_MAX
from gateway.listing import STATUSES
from gateway.messages.common import ID_MAX, NAME_MAX
from gateway.messages.events import FILTERS_MAX

Json = dict[str, Any]

_REFERENCE = re.compile(r"#/components/schemas/(\w+)")
_NULL = {"type": "null"}


def _matching(pattern: re.Pattern[str]) -> Json:
    return {"pattern": f"^(?:{pattern.pattern})$"}


def _text(most: int, least: int = 0) -> Json:
    return {"minLength": least, "maxLength": most} if least else {"maxLength": most}


def _whole(least: int, most: int) -> Json:
    return {"minimum": least, "maximum": most}


def _listed(most: int, **of: Json) -> Json:
    return {"maxItems": most, **of}


_ID = _matching(shapes.TEXT_ID)
_CUSTOMER_ID = _matching(shapes.CUSTOMER_ID)
_PLAN_ID = _matching(shapes.PLAN_ID)
_NAME = _text(NAME_MAX)
_TIME = _whole(1, grant_rules.TIME_MS_MAX)
_VERSION = _whole(1, rules.VERSION_MAX)

_FIELDS: dict[str, Json] = {
    "customer_id": _CUSTOMER_ID,
    "new_customer_id": _CUSTOMER_ID,
    "plan_id": _PLAN_ID,
    "new_plan_id": _PLAN_ID,
    "auto_enable_plan_id": _PLAN_ID,
    "product_id": _PLAN_ID,
    "feature_id": _ID,
    "new_feature_id": _ID,
    "entity_feature_id": _ID,
    "metered_feature_id": _ID,
    "entity_id": _ID,
    "event_name": _ID,
    "balance_id": _ID,
    "customer_entitlement_id": _ID,
    "subscription_id": _ID,
    "lock_id": _text(rules.LOCK_ID_MAX, 1),
    "idempotency_key": _text(KEY_MAX, 1),
    "name": _NAME,
    "email": {**_NAME, "pattern": f"^(?:{shapes.EMAIL.pattern})?$"},
    "fingerprint": _NAME,
    "stripe_id": _NAME,
    "singular": _NAME,
    "plural": _NAME,
    "description": _NAME,
    "group": _text(ID_MAX),
    "search": _text(rules.QUERY_MAX),
    "start_cursor": _text(rules.QUERY_MAX),
    "limit": _whole(1, rules.LIMIT_MAX),
    "offset": _whole(0, rules.OFFSET_MAX),
    "version": _VERSION,
    "timestamp": {"minimum": 1},
    "precision": _whole(0, PRECISION_MAX),
    "interval_count": _whole(1, COUNT_MAX),
    "max_groups": _whole(1, event_rules.MAX_GROUPS_MAX),
    "starts_at": _whole(0, billing_rules.TIME_MAX),
    "ends_at": _whole(0, billing_rules.TIME_MAX),
    "overage_behavior": {"enum": [*rules.OVERAGE_BEHAVIORS]},
    "action": {"enum": [*rules.FINALIZE_ACTIONS]},
    "sort_order": {"enum": [*rules.SORT_ORDERS]},
    "subscription_status": {"enum": ["active", "scheduled"]},
    "range": {"enum": [*event_rules.RANGES]},
    "bin_size": {"enum": [*BIN_SIZES]},
    "measure": {"enum": ["sum", "count"]},
    "aggregate_on": {"enum": ["deducted"]},
    "filter_by": {
        "maxProperties": FILTERS_MAX,
        "propertyNames": _text(ID_MAX, 1),
        "additionalProperties": {"type": "string", **_NAME},
    },
    "statuses": _listed(len(STATUSES), items={"type": "string", "enum": [*STATUSES]}),
    "event_names": {"items": {"type": "string", **_ID}},
    "feature_ids": _listed(shapes.LIST_MAX, items={"type": "string", **_ID}),
    "feature_quantities": _listed(shapes.LIST_MAX),
    "update_variant_ids": _listed(shapes.LIST_MAX),
    "expand": _listed(shapes.LIST_MAX),
    "plans": _listed(shapes.LIST_MAX),
    "processors": _listed(shapes.LIST_MAX, items={"type": "string", "enum": [*rules.PROCESSORS]}),
}
"""What is asked of a field, wherever it stands in a request."""

_APART: dict[tuple[str, str], Json] = {
    ("FeatureCreateRequest", "name"): _text(NAME_MAX, 1),
    ("FeatureUpdateRequest", "name"): _text(NAME_MAX, 1),
    ("PlanCreateRequest", "name"): _text(NAME_MAX, 1),
    ("PlanUpdateRequest", "name"): _text(NAME_MAX, 1),
    ("BalanceCreateRequest", "balance_id"): _matching(grant_rules.BALANCE_ID),
    ("BalanceCreateRequest", "expires_at"): _TIME,
    ("BalanceCreateRequest", "next_reset_at"): _TIME,
    ("BalanceUpdateRequest", "expires_at"): _TIME,
    ("BalanceUpdateRequest", "next_reset_at"): _TIME,
    ("BalanceListRequest", "limit"): _whole(1, grant_rules.LISTED_MAX),
    ("TimeRange", "start"): _whole(0, shapes.TIME_MS_MAX),
    ("TimeRange", "end"): _whole(0, shapes.TIME_MS_MAX),
    ("CreatedAtRange", "start"): _whole(0, shapes.TIME_MS_MAX),
    ("CreatedAtRange", "end"): _whole(0, shapes.TIME_MS_MAX),
    ("LockRequest", "enabled"): {"enum": [True]},
    ("CheckLockRequest", "enabled"): {"enum": [True]},
    ("CreditCostRequest", "billing_units"): {"enum": [1]},
    ("EntityFields", "id"): _ID,
    ("CheckOf", "feature_id"): _text(ID_MAX),
    ("ProductAttachRequest", "product_id"): {},
}
"""Where a field of that name means something else."""


def narrow(schemas: Json, requests: Iterable[str]) -> None:
    """Say in the schemas of these requests, and of what is in them, what their rules ask."""
    requests = tuple(requests)
    for name in _reached(schemas, requests):
        schema = schemas[name]
        for field, shown in schema.get("properties", {}).items():
            _simplify(shown)
            limit = _APART.get((name, field), _FIELDS.get(field, {}))
            _limit(shown, limit)
    complete(schemas, requests)


def complete(schemas: Json, names: Iterable[str]) -> None:
    """Say in these schemas, and in those they hold, that null stands for what is left out: a
    caller may send it, and versions 2.1 and 2.2 answer it.
    """
    for name in _reached(schemas, names):
        schema = schemas[name]
        for field, shown in schema.get("properties", {}).items():
            if field not in schema.get("required", ()) and "default" not in shown:
                schema["properties"][field] = _or_null(shown)


@cache
def is_required(kind: Any) -> bool:  # noqa: ANN401 - a struct or a list of them
    """Whether a body of this type must be sent; an empty one reads as an empty object."""
    schema = msgspec.json.schema(kind)
    named = schema.get("$ref", "").rpartition("/")[2]
    return bool(schema["$defs"][named]["required"]) if named else True


def _reached(schemas: Json, requests: Iterable[str]) -> list[str]:
    waiting, reached = [*requests], dict[str, None]()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached[name] = None
            waiting += _REFERENCE.findall(str(schemas[name]))
    return list(reached)


def _simplify(schema: Json) -> None:
    """An integer that may be written ``2.0`` is an integer."""
    for one in (schema, *schema.get("anyOf", ())):
        if one.get("type") == "integer":
            one.pop("anyOf", None)


def _limit(schema: Json, limit: Json) -> None:
    choices = [one for one in schema.get("anyOf", [schema]) if one != _NULL]
    for one in choices:
        if one.get("type") == "array" and "items" not in limit and "maxItems" not in limit:
            one["items"].update(limit)
        elif "type" in one:
            one.update(limit)


def _or_null(schema: Json) -> Json:
    if not schema or _NULL in schema.get("anyOf", ()):
        return schema
    return {"anyOf": [*schema.get("anyOf", [schema]), _NULL]}
