"""What is refused is named as it was sent, also where today's API has another name for it."""

from __future__ import annotations

import pytest

from tests.fixtures.legacy import Json, Old

TOO_MUCH = 10**10
"""Outside the range of a feature."""

OWN = {"customer_id": "org_123", "feature_id": "meeting_summaries"}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/customers", {"id": "no id"}, "id"),
        ("/customers", {"id": 5}, "id"),
        ("/customers/org_123", {"id": "no id"}, "id"),
        ("/customers/org_123/entities", {"id": "\u0001", "feature_id": "seats"}, "id"),
        ("/customers/org_123/entities", [{"id": "", "feature_id": "seats"}], "entities.0.id"),
        (
            "/customers/org_123/balances",
            {"balances": [{"feature_id": "meeting_summaries", "balance": TOO_MUCH}]},
            "balances.0.balance",
        ),
        ("/attach", {"customer_id": "org_123", "product_id": "no id"}, "product_id"),
        ("/attach", {"customer_id": "org_123", "product_ids": ["team", "no id"]}, "product_ids.1"),
        (
            "/attach",
            {
                "customer_id": "org_123",
                "product_id": "team",
                "options": [{"feature_id": "seats", "quantity": -1}],
            },
            "options.0.quantity",
        ),
        ("/balances/create", {**OWN, "granted_balance": -1}, "granted_balance"),
        ("/balances.update", {**OWN, "current_balance": "1"}, "current_balance"),
        ("/balances.update", {**OWN, "current_balance": TOO_MUCH}, "current_balance"),
        ("/balances.update", {**OWN, "current_balance": 1, "usage": 1}, "current_balance"),
        (
            "/balances.update",
            {**OWN, "usage": 1, "customer_entitlement_id": ""},
            "customer_entitlement_id",
        ),
        ("/check", {**OWN, "required_quantity": TOO_MUCH}, "required_quantity"),
        ("/products", {"id": "no id", "name": "x"}, "id"),
        (
            "/products",
            {"id": "x", "free_trial": {"length": 0, "duration": "day"}},
            "free_trial.length",
        ),
        (
            "/attach",
            {"customer_id": "org_123", "product_id": "team", "free_trial": {"length": 0}},
            "free_trial.length",
        ),
        (
            "/products",
            {
                "id": "x",
                "items": [
                    {"price": 5, "interval": "month"},
                    {"feature_id": "seats", "included_usage": -1},
                ],
            },
            "items.1.included_usage",
        ),
    ],
)
async def test_what_is_refused_is_named_as_it_was_sent(
    old: Old, path: str, body: Json, named: str
) -> None:
    await old.post("/customers", id="org_123")
    await old.post("/balances/create", **OWN, granted_balance=5)

    status, answer = await old.send("POST", path, body)

    assert (status, answer["message"].partition(": ")[0]) == (400, named)


async def test_of_several_balances_none_is_set_when_one_is_refused(old: Old) -> None:
    await old.post("/customers", id="org_123")
    await old.post("/balances/create", **OWN, granted_balance=5)
    sent = [{"feature_id": "meeting_summaries", "balance": left} for left in (1, TOO_MUCH)]

    status, answer = await old.send("POST", "/customers/org_123/balances", {"balances": sent})

    assert (status, answer["message"].partition(": ")[0]) == (400, "balances.1.balance")
    assert (await old.post("/check", **OWN))["balance"] == 5
