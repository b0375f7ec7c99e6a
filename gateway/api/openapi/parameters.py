"""Headers and queries that calls may send, and the versions a caller may name."""

from __future__ import annotations

from typing import Any

from gateway.api.operation import Operation, always
from gateway.api.permits import REFRESH, is_own, is_public
from gateway.engine.claims import KEY_MAX
from gateway.engine.durability import LEVELS

Json = dict[str, Any]

_DAY = r"-(0[1-9]|1\d|2[0-8])"
_TODAY = (
    r"2\.([1-9]|[1-9]\d{1,3})(\.\d{1,4})?|([3-9]|[1-9]\d{1,3})(\.\d{1,4}){0,2}"
    rf"|2026-(03-(1[789]|2\d|3[01])|(0[4-9]|1[0-2]){_DAY})"
    rf"|20(2[7-9]|[3-9]\d)-(0[1-9]|1[0-2]){_DAY}"
)
"""Versions that have the shapes of today, and days since then but for the last of some months."""

PARAMETERS: dict[str, Json] = {
    "ApiVersion": {
        "name": "x-api-version",
        "in": "header",
        "description": (
            "2.1 or later, or a day since 2026-03-17; left out, or newer than known, is the "
            "newest. 2.1 and 2.2 show `null` for what later ones leave out; 1.2 is served too, "
            "with the shapes of its REST routes"
        ),
        "schema": {"type": "string", "pattern": f"^({_TODAY})$"},
        "example": "2.3.0",
    },
    "AnyVersion": {
        "name": "x-api-version",
        "in": "header",
        "description": "1.2 has shapes of its own; left out, the shapes are those of the newest",
        "schema": {"type": "string", "pattern": f"^(1\\.2|{_TODAY})$"},
        "example": "1.2",
    },
    "IdempotencyKey": {
        "name": "idempotency-key",
        "in": "header",
        "description": "The same call sent again under it is carried out once, and replayed",
        "schema": {"type": "string", "minLength": 1, "maxLength": KEY_MAX},
    },
    "Durability": {
        "name": "x-durability",
        "in": "header",
        "description": "What the change must have reached before the answer; never less than set",
        "schema": {"type": "string", "enum": list(LEVELS)},
    },
}
"""What several operations take."""

_EXPAND: Json = {
    "name": "expand",
    "in": "query",
    "description": "`balance.feature` adds the feature to the balance",
    "schema": {"type": "string"},
    "example": "balance.feature",
}


def parameters(
    operation: Operation, version: str = "ApiVersion", *, is_keyed: bool = True
) -> list[Json]:
    """Return what an operation takes beside its body; without ``is_keyed`` no idempotency key."""
    names = [version]
    if operation.reads is not always:
        names += [*(["IdempotencyKey"] * is_keyed), "Durability"]
    taken: list[Json] = [{"$ref": f"#/components/parameters/{name}"} for name in names]
    if operation.base == "balances.check":
        taken.append(_EXPAND)
    return taken


def security(operation: Operation) -> list[Json]:
    """Return the kinds of keys and tokens that may call an operation."""
    if operation.base == REFRESH:
        return [{"refreshToken": []}]
    kinds = ["secretKey", *["publishableKey"] * is_public(operation)]
    kinds += ["accessToken"] * is_own(operation)
    return [{kind: []} for kind in kinds]
