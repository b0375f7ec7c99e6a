"""Examples of the API page: one request and one answer per operation, telling one story.

A plan gives 1,000 messages a month, three seats, and 50 reports to each seat; the customer has one
seat. A test checks every example against the schemas, so they cannot go stale.
"""

from __future__ import annotations

from typing import Any

from gateway.api.operation import Example

Json = dict[str, Any]

CREATED_AT = 1_795_217_774_355
RESETS_AT = 1_797_809_774_355
KEY = "am_sk_test_0123456789abcdefghijklmnopqrstuvwxyzABCD"

FEATURE: Json = {
    "id": "messages",
    "name": "Messages",
    "type": "metered",
    "consumable": True,
    "event_names": ["message.sent"],
    "display": {"singular": "message", "plural": "messages"},
    "archived": False,
    "precision": 6,
}

PLAN: Json = {
    "id": "team",
    "name": "Team",
    "description": "For small teams",
    "group": None,
    "version": 1,
    "add_on": False,
    "auto_enable": False,
    "price": {"amount": 20, "interval": "month"},
    "items": [
        {
            "feature_id": "messages",
            "included": 1000,
            "unlimited": False,
            "pooled": False,
            "reset": {"interval": "month"},
            "price": {
                "amount": 0.01,
                "billing_units": 1,
                "billing_method": "usage_based",
                "max_purchase": 500,
                "interval": "month",
            },
        },
        {
            "feature_id": "seats",
            "included": 3,
            "unlimited": False,
            "pooled": False,
            "reset": None,
            "price": None,
        },
        {
            "feature_id": "reports",
            "included": 50,
            "unlimited": False,
            "pooled": False,
            "reset": {"interval": "month"},
            "price": None,
            "entity_feature_id": "seats",
        },
    ],
    "created_at": CREATED_AT,
    "env": "sandbox",
    "archived": False,
    "base_variant_id": None,
    "config": {"ignore_past_due": False},
    "billing_controls": {},
    "metadata": {},
}

PLAN_REQUEST: Json = {
    "plan_id": "team",
    "name": "Team",
    "description": "For small teams",
    "price": {"amount": 20, "interval": "month"},
    "items": [
        {
            "feature_id": "messages",
            "included": 1000,
            "reset": {"interval": "month"},
            "price": {
                "amount": 0.01,
                "interval": "month",
                "billing_method": "usage_based",
                "max_purchase": 500,
            },
        },
        {"feature_id": "seats", "included": 3},
        {
            "feature_id": "reports",
            "included": 50,
            "reset": {"interval": "month"},
            "entity_feature_id": "seats",
        },
    ],
}

SUBSCRIPTION: Json = {
    "id": "cus_prod_01kafe6q8k2m4n6p8r0t2v4x6z",
    "plan_id": "team",
    "auto_enable": False,
    "add_on": False,
    "status": "active",
    "past_due": False,
    "canceled_at": None,
    "expires_at": None,
    "trial_ends_at": None,
    "started_at": CREATED_AT,
    "current_period_start": CREATED_AT,
    "current_period_end": RESETS_AT,
    "quantity": 1,
    "scope": "customer",
}


def _balance(feature_id: str, granted: int, used: float, interval: str | None = "month") -> Json:
    resets_at = RESETS_AT if interval else None
    reset = {"interval": interval, "resets_at": resets_at} if interval else None
    return {
        "feature_id": feature_id,
        "granted": granted,
        "remaining": granted - used,
        "usage": used,
        "unlimited": False,
        "overage_allowed": False,
        "max_purchase": None,
        "next_reset_at": resets_at,
        "breakdown": [
            {
                "id": f"cus_ent_{feature_id}_01kafe6q8k2m4n6p8r0t",
                "plan_id": "team",
                "included_grant": granted,
                "prepaid_grant": 0,
                "remaining": granted - used,
                "usage": used,
                "unlimited": False,
                "reset": reset,
                "price": None,
                "expires_at": None,
            }
        ],
    }


BALANCES: Json = {
    "messages": _balance("messages", 1000, 28),
    "seats": _balance("seats", 3, 1, None),
    "reports": _balance("reports", 50, 2.5),
}

LISTED: Json = {
    **BALANCES["messages"]["breakdown"][0],
    "feature_id": "messages",
    "status": "active",
    "source": "customer",
    "rollovers": [],
    "customer_id": "cus_123",
    "entity_id": None,
    "created_at": CREATED_AT,
}

CUSTOMER: Json = {
    "id": "cus_123",
    "name": "Ada's Team",
    "email": "ada@example.com",
    "created_at": CREATED_AT,
    "fingerprint": None,
    "stripe_id": None,
    "env": "sandbox",
    "metadata": {},
    "send_email_receipts": False,
    "billing_controls": {},
    "subscriptions": [SUBSCRIPTION],
    "purchases": [],
    "licenses": [],
    "balances": BALANCES,
    "flags": {},
    "config": {},
}

ENTITY: Json = {
    "id": "seat_42",
    "name": "Seat 42",
    "customer_id": "cus_123",
    "feature_id": "seats",
    "created_at": CREATED_AT,
    "env": "sandbox",
    "subscriptions": [SUBSCRIPTION],
    "purchases": [],
    "balances": BALANCES,
    "flags": {},
    "billing_controls": {},
    "invoices": [],
}

DEDUCTION: Json = {
    "balance_id": "cus_ent_messages_01kafe6q8k2m4n6p8r0t",
    "feature_id": "messages",
    "plan_id": "team",
    "reset": {"interval": "month", "resets_at": RESETS_AT},
    "value": 2,
}

CLOCK: Json = {"now": CREATED_AT + 30 * 86_400_000, "offset": 30 * 86_400_000}

DAY = CREATED_AT - CREATED_AT % 86_400_000

EVENT: Json = {
    "id": "evt_01kafe6q8k2m4n6p8r0t2v4x6z",
    "timestamp": CREATED_AT + 60_000,
    "feature_id": "messages",
    "customer_id": "cus_123",
    "entity_id": "seat_42",
    "value": 2,
    "properties": {"channel": "chat"},
    "deductions": [DEDUCTION],
}

DONE: Json = {"success": True}

_CUSTOMER_NAMED: Json = {"customer_id": "cus_123"}
_ENTITY_NAMED: Json = {"customer_id": "cus_123", "entity_id": "seat_42"}
_FEATURE_NAMED: Json = {"feature_id": "messages"}
_BOTH_NAMED: Json = {**_CUSTOMER_NAMED, **_FEATURE_NAMED}

EXAMPLES: dict[str, Example] = {
    "features.create": Example(
        {
            "feature_id": "messages",
            "name": "Messages",
            "type": "metered",
            "consumable": True,
            "event_names": ["message.sent"],
            "display": {"singular": "message", "plural": "messages"},
        },
        FEATURE,
    ),
    "features.get": Example(_FEATURE_NAMED, FEATURE),
    "features.list": Example({}, {"list": [FEATURE]}),
    "features.update": Example(
        {"feature_id": "messages", "name": "Chat messages"}, {**FEATURE, "name": "Chat messages"}
    ),
    "features.delete": Example(_FEATURE_NAMED, DONE),
    "plans.create": Example(PLAN_REQUEST, PLAN),
    "plans.get": Example({"plan_id": "team"}, PLAN),
    "plans.list": Example({}, {"list": [PLAN]}),
    "customers.get_or_create": Example(
        {"customer_id": "cus_123", "name": "Ada's Team", "email": "ada@example.com"}, CUSTOMER
    ),
    "customers.get": Example(_CUSTOMER_NAMED, CUSTOMER),
    "customers.update": Example(
        {"customer_id": "cus_123", "name": "Ada & Co."}, {**CUSTOMER, "name": "Ada & Co."}
    ),
    "customers.list": Example(
        {"start_cursor": "", "limit": 50}, {"list": [CUSTOMER], "next_cursor": None}
    ),
    "customers.delete": Example(_CUSTOMER_NAMED, DONE),
    "entities.create": Example(
        {
            "customer_id": "cus_123",
            "entity_id": "seat_42",
            "feature_id": "seats",
            "name": "Seat 42",
        },
        ENTITY,
    ),
    "entities.get": Example(_ENTITY_NAMED, ENTITY),
    "entities.update": Example({**_ENTITY_NAMED, "billing_controls": {}}, ENTITY),
    "entities.list": Example(
        {"customer_id": "cus_123", "limit": 50}, {"list": [ENTITY], "next_cursor": None}
    ),
    "entities.delete": Example(_ENTITY_NAMED, DONE),
    "balances.check": Example(
        {"customer_id": "cus_123", "feature_id": "messages", "required_balance": 2},
        {
            "allowed": True,
            "customer_id": "cus_123",
            "required_balance": 2,
            "balance": BALANCES["messages"],
            "flag": None,
        },
    ),
    "balances.track": Example(
        {
            "customer_id": "cus_123",
            "entity_id": "seat_42",
            "feature_id": "messages",
            "value": 2,
            "properties": {"channel": "chat"},
        },
        {
            "customer_id": "cus_123",
            "entity_id": "seat_42",
            "value": 2,
            "balance": BALANCES["messages"],
            "deductions": [DEDUCTION],
        },
    ),
    "balances.finalize": Example(
        {"lock_id": "req_7f3", "action": "confirm", "override_value": 1},
        {"success": True},
    ),
    "balances.create": Example(
        {
            **_BOTH_NAMED,
            "included_grant": 500,
            "reset": {"interval": "month"},
            "rollover": {"max": 200, "expiry_duration_length": 3},
            "balance_id": "welcome-gift",
        },
        DONE,
    ),
    "balances.update": Example({**_BOTH_NAMED, "remaining": 800}, DONE),
    "balances.delete": Example(
        {**_BOTH_NAMED, "balance_id": "welcome-gift", "recalculate_balances": True}, DONE
    ),
    "balances.list": Example(
        {**_BOTH_NAMED, "limit": 50}, {"list": [LISTED], "has_more": False, "next_cursor": None}
    ),
    "balances.batch_track": Example(
        [
            {**_BOTH_NAMED, "value": 2},
            {"customer_id": "cus_456", "event_name": "message.sent"},
        ],
        {
            **DONE,
            "failed": [
                {
                    "index": 1,
                    "code": "customer_not_found",
                    "message": "Customer cus_456 not found",
                }
            ],
        },
    ),
    "usage": Example({**_BOTH_NAMED, "value": 120}, DONE),
    "events.list": Example({**_BOTH_NAMED, "limit": 50}, {"list": [EVENT], "next_cursor": None}),
    "events.aggregate": Example(
        {
            "customer_id": "cus_123",
            "feature_id": "messages",
            "range": "7d",
            "group_by": "properties.channel",
            "aggregate_on": "deducted",
        },
        {
            "list": [
                {
                    "period": DAY,
                    "values": {"messages": 2},
                    "grouped_values": {"messages": {"chat": 2}},
                }
            ],
            "total": {"messages": {"count": 1, "sum": 2}},
            "deductions": [
                {
                    "period": DAY,
                    "values": {
                        "messages": {
                            "feature_type": "metered",
                            "deducted": 2,
                            "events": 1,
                            "balances": [
                                {
                                    "balance_id": DEDUCTION["balance_id"],
                                    "entity_id": None,
                                    "plan_id": "team",
                                    "reset": DEDUCTION["reset"],
                                    "credit_cost": None,
                                    "deducted": 2,
                                    "events": 1,
                                }
                            ],
                        }
                    },
                    "grouped_values": {
                        DEDUCTION["balance_id"]: {"chat": {"deducted": 2, "credit_cost": None}}
                    },
                }
            ],
        },
    ),
    "clock.advance": Example({"by": "30d"}, CLOCK),
    "clock.get": Example({}, CLOCK),
}
