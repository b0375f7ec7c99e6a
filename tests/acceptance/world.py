"""A customer with features and plans of its own, on a gateway that other tests use too."""

from __future__ import annotations

from itertools import count

from tests.fixtures.gateways import Gateway, Json

_numbers = count(1)


class World:
    """One customer with features and plans of its own, on a shared gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.number = next(_numbers)
        self.customer = f"cus_s{self.number}"
        self.plans = 0
        for name, consumable in (("messages", True), ("users", False), ("workflows", False)):
            self.feature(name, type="metered", consumable=consumable)
        gateway.call("customers.get_or_create", customer_id=self.customer)

    def name(self, name: str) -> str:
        return f"{name}_s{self.number}"

    def feature(self, name: str, **kind: object) -> None:
        self.gateway.call("features.create", feature_id=self.name(name), name=name, **kind)

    def attach(self, *items: Json, entity: str | None = None, add_on: bool = False) -> None:
        self.plans += 1
        plan_id = f"plan_{self.number}_{self.plans}"
        self.gateway.call(
            "plans.create",
            plan_id=plan_id,
            name=plan_id,
            group=plan_id,
            add_on=add_on,
            items=list(items),
        )
        self.attach_again(plan_id, entity)

    def attach_again(self, plan_id: str, entity: str | None) -> None:
        scope = {"entity_id": entity} if entity else {}
        self.gateway.call("billing.attach", customer_id=self.customer, plan_id=plan_id, **scope)

    def item(self, feature: str = "messages", /, included: float = 0, **more: object) -> Json:
        return {"feature_id": self.name(feature), "included": included, **more}

    def monthly(self, included: float, **more: object) -> Json:
        return self.item(included=included, reset={"interval": "month"}, **more)

    def lifetime(self, included: float, **more: object) -> Json:
        return self.item(included=included, **more)

    def pay_per_use(self, included: float, most: float | None = None, **more: object) -> Json:
        price = {"amount": 1, "interval": "month", "billing_method": "usage_based"}
        if most is not None:
            price["max_purchase"] = most
        return self.item(included=included, price=price, **more)

    def entities(self, *names: str) -> None:
        for name in names:
            self.gateway.call(
                "entities.create",
                customer_id=self.customer,
                entity_id=name,
                feature_id=self.name("users"),
            )

    def body(self, entity: str | None, feature: str, **more: object) -> Json:
        scope = {"entity_id": entity} if entity else {}
        return {"customer_id": self.customer, "feature_id": self.name(feature), **scope, **more}

    def check(
        self,
        required: float = 1,
        entity: str | None = None,
        feature: str = "messages",
        **more: object,
    ) -> Json:
        body = self.body(entity, feature, required_balance=required, **more)
        return self.gateway.call("balances.check", **body)

    def track(
        self,
        value: float,
        entity: str | None = None,
        feature: str = "messages",
        **more: object,
    ) -> Json:
        body = self.body(entity, feature, value=value, **more)
        return self.gateway.call("balances.track", **body)

    def state(self, entity: str | None = None, feature: str = "messages") -> list[float]:
        """Return granted, remaining and usage."""
        balance = self.check(entity=entity, feature=feature)["balance"]
        return [balance["granted"], balance["remaining"], balance["usage"]]

    def breakdown(self) -> list[float]:
        """Return what is left of each source, in spending order."""
        return [one["remaining"] for one in self.check()["balance"]["breakdown"]]

    def refused(self, value: float, entity: str | None = None, feature: str = "messages") -> bool:
        body = self.body(entity, feature, value=value, overage_behavior="reject")
        answer = self.gateway.post("balances.track", body)
        if answer.status_code == 400:
            assert answer.json()["code"] == "insufficient_balance"
            return True
        assert answer.status_code == 200
        return False
