"""The team with seats, played over HTTP against the started gateway, then looked up in SQL."""

from __future__ import annotations

from tests.fixtures.gateways import Gateway, define_team

SUMMARIES = "meeting_summaries"
UNIT = 10**6


def remaining(gateway: Gateway, entity_id: str | None = None) -> object:
    body = {"customer_id": "org_123", "feature_id": SUMMARIES}
    if entity_id:
        body["entity_id"] = entity_id
    balance = gateway.call("balances.check", **body)["balance"]
    return None if balance is None else balance["remaining"]


def test_the_team_with_seats_spends_sums_and_syncs(gateway: Gateway) -> None:
    define_team(gateway)
    gateway.call("customers.get_or_create", customer_id="org_123", name="Acme")
    seat = {"customer_id": "org_123", "feature_id": "seats"}
    made = gateway.call("entities.create", entity_id="user_admin", name="Admin", **seat)
    assert made["balances"] == {}
    assert remaining(gateway, "user_admin") is None

    gateway.call("billing.attach", customer_id="org_123", plan_id="team")
    assert remaining(gateway, "user_admin") == 50
    gateway.call("entities.create", entity_id="user_bob", name="Bob", **seat)
    gateway.call("entities.create", entity_id="user_eve", name="Eve", **seat)
    assert remaining(gateway) == 150

    track = {"customer_id": "org_123", "feature_id": SUMMARIES}
    gateway.call("balances.track", entity_id="user_admin", value=10, **track)
    assert remaining(gateway, "user_admin") == 40
    assert remaining(gateway) == 140

    answer = gateway.call("balances.track", value=60, **track)
    assert answer["balance"]["remaining"] == 80
    assert [one["value"] for one in answer["deductions"]] == [60]
    seats = ("user_admin", "user_bob", "user_eve")
    assert [remaining(gateway, one) for one in seats] == [0, 30, 50]

    gateway.call("entities.delete", customer_id="org_123", entity_id="user_bob")
    assert remaining(gateway) == 50
    usage = gateway.call("balances.check", customer_id="org_123", feature_id="seats")["balance"]
    assert (usage["granted"], usage["usage"]) == (1, 2)

    listed = gateway.call("events.list", customer_id="org_123")["list"]
    told = [(one["feature_id"], one.get("entity_id"), one["value"]) for one in listed]
    assert told == [
        ("seats", "user_bob", -1),
        (SUMMARIES, None, 60),
        (SUMMARIES, "user_admin", 10),
        ("seats", "user_eve", 1),
        ("seats", "user_bob", 1),
        ("seats", "user_admin", 1),
    ]

    gateway.wait_for_writer()
    entities = gateway.sql("SELECT entity_id, deleted_at IS NOT NULL FROM entities ORDER BY number")
    assert entities == [("user_admin", 0), ("user_bob", 1), ("user_eve", 0)]
    used = gateway.sql("SELECT entity_id, used FROM slots ORDER BY entity_id")
    assert used == [("user_admin", 50 * UNIT)]
    rows = gateway.sql(
        "SELECT feature_id, granted, used FROM balances WHERE ended_at IS NULL ORDER BY feature_id"
    )
    assert rows == [(SUMMARIES, 50 * UNIT, 50 * UNIT), ("seats", 1 * UNIT, 2 * UNIT)]
    assert gateway.sql("SELECT count(*) FROM events") == [(6,)]


def test_entity_create_answers_the_shape_of_the_seeds(gateway: Gateway) -> None:
    gateway.call(
        "features.create", feature_id="seats", name="Seats", type="metered", consumable=False
    )
    gateway.call(
        "features.create", feature_id="messages", name="Messages", type="metered", consumable=True
    )
    gateway.call(
        "plans.create",
        plan_id="pro_plan",
        name="Pro",
        auto_enable=True,
        items=[{"feature_id": "messages", "included": 100, "reset": {"interval": "month"}}],
    )
    made = gateway.call(
        "entities.create",
        customer_id="cus_123",
        entity_id="seat_42",
        feature_id="seats",
        name="Seat 42",
    )
    track = {"customer_id": "cus_123", "entity_id": "seat_42", "feature_id": "messages"}
    gateway.call("balances.track", value=28, **track)
    seen = gateway.call("entities.get", entity_id="seat_42")
    balance, plan = seen["balances"]["messages"], seen["subscriptions"][0]
    resets_at = balance["next_reset_at"]
    assert seen == made | {"balances": {"messages": balance}}
    assert {name: seen[name] for name in seen if name not in ("created_at", "subscriptions")} == {
        "id": "seat_42",
        "name": "Seat 42",
        "customer_id": "cus_123",
        "feature_id": "seats",
        "env": "sandbox",
        "purchases": [],
        "balances": {
            "messages": {
                "feature_id": "messages",
                "granted": 100,
                "remaining": 72,
                "usage": 28,
                "unlimited": False,
                "overage_allowed": False,
                "max_purchase": None,
                "next_reset_at": resets_at,
                "breakdown": [
                    {
                        "id": balance["breakdown"][0]["id"],
                        "plan_id": "pro_plan",
                        "included_grant": 100,
                        "prepaid_grant": 0,
                        "remaining": 72,
                        "usage": 28,
                        "unlimited": False,
                        "reset": {"interval": "month", "resets_at": resets_at},
                        "price": None,
                        "expires_at": None,
                    }
                ],
            }
        },
        "flags": {},
        "billing_controls": {},
        "invoices": [],
    }
    assert plan == {
        "id": plan["id"],
        "plan_id": "pro_plan",
        "auto_enable": True,
        "add_on": False,
        "status": "active",
        "past_due": False,
        "canceled_at": None,
        "expires_at": None,
        "trial_ends_at": None,
        "started_at": plan["started_at"],
        "current_period_start": None,
        "current_period_end": None,
        "quantity": 1,
        "scope": "customer",
    }
