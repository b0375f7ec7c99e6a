"""Which call can follow which: what one answers is what the next one asks with."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_CUSTOMER = {"customer_id": "$response.body#/id"}
_ENTITY = {"customer_id": "$response.body#/customer_id", "entity_id": "$response.body#/id"}
_FEATURE = {"feature_id": "$response.body#/id"}
_PLAN = {"plan_id": "$response.body#/id"}
_SENT = {"customer_id": "$request.body#/customer_id", "feature_id": "$request.body#/feature_id"}
_HELD = {"customer_id": "$request.body#/customer_id", "plan_id": "$request.body#/plan_id"}
_LOCK = {
    "customer_id": "$request.body#/customer_id",
    "lock_id": "$request.body#/lock/lock_id",
}
_CURSOR = {"start_cursor": "$response.body#/next_cursor"}


def _all(body: Json, *targets: str) -> dict[str, Json]:
    return dict.fromkeys(targets, body)


_BODIES: dict[str, dict[str, Json]] = {
    "customers.get_or_create": _all(
        _CUSTOMER,
        "customers.get",
        "customers.update",
        "customers.delete",
        "entities.create",
        "entities.list",
        "balances.check",
        "balances.track",
        "balances.create",
        "balances.list",
        "usage",
        "billing.attach",
        "billing.preview_attach",
        "billing.multi_attach",
        "billing.preview_multi_attach",
        "events.list",
        "events.aggregate",
        "keys.mint",
        "keys.revoke",
    ),
    "entities.create": _all(
        _ENTITY,
        "entities.get",
        "entities.update",
        "entities.delete",
        "balances.check",
        "balances.track",
        "balances.create",
        "billing.attach",
    ),
    "features.create": _all(
        _FEATURE,
        "features.get",
        "features.update",
        "features.delete",
        "entities.create",
        "balances.check",
        "balances.track",
        "balances.create",
    ),
    "plans.create": _all(_PLAN, "plans.get", "plans.update", "plans.delete", "billing.attach"),
    "billing.attach": _all(_HELD, "billing.update", "billing.preview_update"),
    "balances.create": _all(
        _SENT,
        "balances.check",
        "balances.track",
        "balances.update",
        "balances.delete",
        "balances.list",
        "usage",
    ),
    "balances.check": _all(_LOCK, "balances.finalize"),
    "balances.track": _all(_LOCK, "balances.finalize") | _all(_SENT, "events.list"),
    "customers.list": _all(_CURSOR, "customers.list"),
    "entities.list": _all(_CURSOR, "entities.list"),
    "events.list": _all(_CURSOR, "events.list"),
    "balances.list": _all(_CURSOR, "balances.list"),
}
"""What an answer says for the body of the next call, by both their names."""

_PATHS: dict[str, dict[str, Json]] = {
    "post_customers": _all(
        _CUSTOMER,
        "get_customers_customer_id",
        "post_customers_customer_id",
        "delete_customers_customer_id",
        "post_customers_customer_id_entities",
        "get_customers_customer_id_entities",
    ),
    "post_customers_customer_id_entities": _all(
        {"customer_id": "$request.path.customer_id", "entity_id": "$response.body#/id"},
        "get_customers_customer_id_entities_entity_id",
        "delete_customers_customer_id_entities_entity_id",
    ),
    "post_products": _all(_PLAN, "get_products_plan_id"),
}
"""What an answer says for the path of the next call, by both their ids."""


def added(name: str, responses: Json) -> Json:
    """Return the answers of an operation, the success with links to what can follow it."""
    links = {
        target: {"operationId": target, "requestBody": body}
        for target, body in _BODIES.get(name, {}).items()
    } | {
        target: {"operationId": target, "parameters": parameters}
        for target, parameters in _PATHS.get(name, {}).items()
    }
    if not links:
        return responses
    # A name may hold letters, digits, dots, hyphens and underscores, so an id can be one.
    return {**responses, "200": {**responses["200"], "links": links}}
