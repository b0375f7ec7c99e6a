"""A customer with features and plans of its own, on a gateway that other tests use too."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import UTC, datetime
from itertools import count

import httpx
from dateutil.relativedelta import relativedelta

from tests.acceptance.test_concurrency import send_all
from tests.fixtures.gateways import Gateway, Json

_numbers = count(1)

CREDIT_SYSTEMS: dict[str, dict[str, float]] = {
    "credits": {"action1": 0.2, "action2": 0.6},
    "credits2": {"action3": 1.4},
    "credits3": {"action1": 2},
}
"""Credits that a unit of each member costs."""

LOCK_FIELDS = ("expires_at", "overage_behavior")

MONTHLY = {"interval": "month"}
HOURLY = {"interval": "hour"}


def a_month_after(time_ms: int) -> int:
    """Return the time a month later, by a calendar that is not ours."""
    date = datetime.fromtimestamp(time_ms / 1000, UTC) + relativedelta(months=1)
    return round(date.timestamp() * 1000)


class World:
    """One customer with features and plans of its own, on a shared gateway."""

    def __init__(self, gateway: Gateway, **customer: object) -> None:
        self.gateway = gateway
        self.number = next(_numbers)
        self.customer = f"cus_s{self.number}"
        self.plans = 0
        for name, consumable in (("messages", True), ("users", False), ("workflows", False)):
            self.feature(name, type="metered", consumable=consumable)
        created = gateway.call("customers.get_or_create", customer_id=self.customer, **customer)
        self.created_at: int = created["created_at"]

    def name(self, name: str) -> str:
        return f"{name}_s{self.number}"

    def feature(self, name: str, **kind: object) -> None:
        self.gateway.call("features.create", feature_id=self.name(name), name=name, **kind)

    def actions(self) -> None:
        """Define action1 to action3 and the credit systems over them, in this order."""
        for name in ("action1", "action2", "action3"):
            names = [] if name == "action2" else [self.name("action-event")]
            self.feature(name, type="metered", consumable=True, event_names=names)
        for name, costs in CREDIT_SYSTEMS.items():
            schema = [
                {"metered_feature_id": self.name(member), "credit_cost": cost}
                for member, cost in costs.items()
            ]
            self.feature(name, type="credit_system", credit_schema=schema)

    @property
    def each(self) -> Json:
        """What makes a plan item one for each entity."""
        return {"entity_feature_id": self.name("users")}

    def attach(
        self,
        *items: Json,
        entity: str | None = None,
        quantities: dict[str, float] | None = None,
        **plan: object,
    ) -> str:
        """Create a plan, in a group of its own unless one is given, and attach it."""
        self.plans += 1
        plan_id = f"plan_{self.number}_{self.plans}"
        named = {"plan_id": plan_id, "name": plan_id, "group": plan_id, "items": list(items)}
        self.gateway.call("plans.create", **(named | plan))
        self.attach_again(plan_id, entity, quantities)
        return plan_id

    def attach_again(
        self, plan_id: str, entity: str | None, quantities: dict[str, float] | None = None
    ) -> None:
        more: Json = {"entity_id": entity} if entity else {}
        if quantities:
            more["feature_quantities"] = [
                {"feature_id": self.name(name), "quantity": quantity}
                for name, quantity in quantities.items()
            ]
        self.gateway.call("billing.attach", customer_id=self.customer, plan_id=plan_id, **more)

    def item(self, feature: str = "messages", /, included: float = 0, **more: object) -> Json:
        return {"feature_id": self.name(feature), "included": included, **more}

    def monthly(self, included: float, feature: str = "messages", **more: object) -> Json:
        return self.item(feature, included, reset=MONTHLY, **more)

    def hourly(self, included: float, feature: str = "messages", **more: object) -> Json:
        return self.item(feature, included, reset=HOURLY, **more)

    def lifetime(self, included: float, feature: str = "messages", **more: object) -> Json:
        return self.item(feature, included, **more)

    def pay_per_use(
        self,
        included: float,
        most: float | None = None,
        feature: str = "messages",
        **more: object,
    ) -> Json:
        price = {"amount": 1, "interval": "month", "billing_method": "usage_based"}
        if most is not None:
            price["max_purchase"] = most
        return self.item(feature, included, price=price, **more)

    def prepaid(self, included: float, feature: str = "messages", **more: object) -> Json:
        price = {"amount": 1, "interval": "month", "billing_method": "prepaid"}
        return self.item(feature, included, price=price, **more)

    def entities(self, *names: str) -> None:
        for name in names:
            self.gateway.call(
                "entities.create",
                customer_id=self.customer,
                entity_id=name,
                feature_id=self.name("users"),
            )

    def scope(self, entity: str | None) -> Json:
        return {"customer_id": self.customer} | ({"entity_id": entity} if entity else {})

    def body(self, entity: str | None, feature: str, **more: object) -> Json:
        return {**self.scope(entity), "feature_id": self.name(feature), **more}

    def check(
        self,
        required: float = 1,
        entity: str | None = None,
        feature: str = "messages",
        **more: object,
    ) -> Json:
        body = self.body(entity, feature, required_balance=required, **more)
        return self.gateway.call("balances.check", **body)

    def allows(
        self, *required: float, entity: str | None = None, feature: str = "messages"
    ) -> list[bool]:
        """Check each amount, without using it."""
        return [self.check(one, entity, feature)["allowed"] for one in required]

    def track(
        self,
        value: float,
        entity: str | None = None,
        feature: str = "messages",
        **more: object,
    ) -> Json:
        body = self.body(entity, feature, value=value, **more)
        return self.gateway.call("balances.track", **body)

    def track_event(self, value: float) -> Json:
        """Track the event that action1 and action3 list."""
        event = self.name("action-event")
        body = {**self.scope(None), "event_name": event, "value": value}
        return self.gateway.call("balances.track", **body)

    def at_once(self, *operations: tuple[str, Json], **headers: str) -> list[httpx.Response]:
        """Send operations in parallel; return their answers in order."""
        return asyncio.run(send_all(self.gateway, list(operations), **headers))

    def shown(self, entity: str | None = None, feature: str = "messages") -> Json:
        """Return the balance of a feature as a get shows it."""
        kind = "entities.get" if entity else "customers.get"
        return self.gateway.call(kind, **self.scope(entity))["balances"][self.name(feature)]

    def balance(self, entity: str | None = None, feature: str = "messages") -> Json:
        """Return the balance of a feature, which a get and a check show alike."""
        shown = self.shown(entity, feature)
        checked = self.check(1, entity, feature)["balance"]
        # A check may answer with a credit system that would pay instead.
        assert checked["feature_id"] != shown["feature_id"] or checked == shown
        return shown

    def state(self, entity: str | None = None, feature: str = "messages") -> list[float]:
        """Return granted, remaining and usage."""
        balance = self.balance(entity, feature)
        return [balance["granted"], balance["remaining"], balance["usage"]]

    def left(self, *entities: str | None, feature: str = "messages") -> list[float]:
        """Return what is left of a feature, for the customer (None) and its entities."""
        return [self.balance(one, feature)["remaining"] for one in entities]

    def breakdown(self, feature: str = "messages") -> list[float]:
        """Return what is left of each source, in spending order."""
        return [one["remaining"] for one in self.balance(None, feature)["breakdown"]]

    def rollovers(self, entity: str | None = None, feature: str = "messages") -> list[float]:
        """Return what is left of each rollover that is not used up, in order of expiry."""
        listed = self.balance(entity, feature).get("rollovers", [])
        return [one["balance"] for one in listed if one["balance"]]

    def refused(self, value: float, entity: str | None = None, feature: str = "messages") -> bool:
        body = self.body(entity, feature, value=value, overage_behavior="reject")
        answer = self.gateway.post("balances.track", body)
        if answer.status_code == 400:
            assert answer.json()["code"] == "insufficient_balance"
            return True
        assert answer.status_code == 200
        return False

    def overage(self, feature: str = "messages", *, enabled: bool) -> Json:
        """Return controls that allow or forbid overage."""
        return {"overage_allowed": [{"feature_id": self.name(feature), "enabled": enabled}]}

    def spend_limit(self, limit: float, feature: str = "messages", **more: object) -> Json:
        """Return controls with a cap on overage."""
        named = {"feature_id": self.name(feature), "enabled": True, "overage_limit": limit}
        return {"spend_limits": [named | more]}

    def usage_limit(
        self, limit: float, interval: str = "month", feature: str = "messages", **more: object
    ) -> Json:
        """Return controls with a cap on use within a window."""
        named = {"feature_id": self.name(feature), "limit": limit, "interval": interval}
        return {"usage_limits": [named | more]}

    def control(self, controls: Json, entity: str | None = None) -> None:
        """Replace the controls of the customer or of one of its entities."""
        kind = "entities.update" if entity else "customers.update"
        self.gateway.call(kind, **self.scope(entity), billing_controls=controls)

    def counter(self, feature: str = "messages", entity: str | None = None) -> float | None:
        """Return what a scope used in the current window of its cap; None without a cap."""
        kind = "entities.get" if entity else "customers.get"
        controls = self.gateway.call(kind, **self.scope(entity))["billing_controls"]
        for limit in controls.get("usage_limits", []):
            if limit["feature_id"] == self.name(feature):
                usage: float = limit["usage"]
                return usage
        return None

    def grant(
        self,
        included: float,
        entity: str | None = None,
        feature: str = "messages",
        **more: object,
    ) -> None:
        """Create a balance of no plan."""
        body = self.body(entity, feature, included_grant=included, **more)
        self.gateway.call("balances.create", **body)

    def update(self, entity: str | None = None, feature: str = "messages", **more: object) -> None:
        """Change balances."""
        self.gateway.call("balances.update", **self.body(entity, feature, **more))

    def lock_body(
        self,
        lock: str,
        required: float,
        entity: str | None = None,
        feature: str = "messages",
        **more: object,
    ) -> Json:
        held = {"lock_id": self.name(lock), "enabled": True}
        held |= {name: more.pop(name) for name in LOCK_FIELDS if name in more}
        return self.body(entity, feature, required_balance=required, lock=held, **more)

    def lock(
        self,
        lock: str,
        required: float,
        entity: str | None = None,
        feature: str = "messages",
        **more: object,
    ) -> bool:
        """Hold units; return whether there were enough."""
        body = self.lock_body(lock, required, entity, feature, **more)
        allowed: bool = self.gateway.call("balances.check", **body)["allowed"]
        return allowed

    def confirm(self, lock: str, units: float | None = None, **more: object) -> None:
        """Finalize a lock, with another amount if one is given."""
        override = {} if units is None else {"override_value": units}
        body = {"lock_id": self.name(lock), "action": "confirm", **override, **more}
        assert self.gateway.call("balances.finalize", **body) == {"success": True}

    def release(self, lock: str) -> None:
        """Give back what a lock holds."""
        body = {"lock_id": self.name(lock), "action": "release"}
        assert self.gateway.call("balances.finalize", **body) == {"success": True}

    def no_lock(self, lock: str) -> int:
        """Confirm an odd amount of a lock that is not open: 400 if it is unknown or has expired,
        409 if it was ended.
        """
        named = {"lock_id": self.name(lock), "action": "confirm", "override_value": 0.123}
        status, code = self.gateway.refusal("balances.finalize", **named)
        assert code == "invalid_request"
        return status

    def events(self, feature: str = "messages") -> list[Json]:
        """Return the customer's events of a feature, oldest first."""
        self.gateway.wait_for_writer()
        body = self.body(None, feature, limit=1000)
        listed = self.gateway.call("events.list", **body)["list"]
        return list(reversed(listed))

    def event_values(self, feature: str = "messages") -> list[float]:
        """Return the values of the events of a feature, the smallest first."""
        return sorted(one["value"] for one in self.events(feature))

    def stored_usage(self, feature: str = "messages") -> float:
        """Return the usage that is in SQL."""
        self.gateway.wait_for_writer()
        name = self.name(feature)
        precision: int = self.gateway.call("features.get", feature_id=name)["precision"]
        statement = "SELECT sum(used) FROM balances WHERE feature_id = ? AND ended_at IS NULL"
        ((units,),) = self.gateway.sql(statement, name)
        return round((units or 0) / float(10**precision), precision)

    def advance(self, by: str = "31d") -> int:
        """Move the gateway's clock, past the next monthly reset unless told; return its time."""
        now: int = self.gateway.call("clock.advance", by=by)["now"]
        return now

    def forget(self) -> None:
        """Remove the customer from Redis, once SQL has everything."""
        self.gateway.wait_for_writer()
        with closing(self.gateway.redis()) as client:
            keys = [
                key
                for key in client.scan_iter(match=f"tg:*:{self.customer}", count=1000)
                if key.endswith(f":{self.customer}".encode())
            ]
            assert keys, "the customer is not in Redis"
            client.delete(*keys)
