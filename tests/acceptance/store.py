"""A customer and the plans of one group, as the cold-path scenarios of the reference have them."""

from __future__ import annotations

from itertools import count

from tests.acceptance.world import MONTHLY, World
from tests.fixtures.gateways import Gateway, Json

PRICES = {"free": 0, "starter": 5, "pro": 20, "premium": 50, "growth": 100}
"""Dollars a month of the plans that have a usual price."""

DAY_MS = 86_400_000

_customers = count(1)


class Store(World):
    """Plans are named by their short names; ``main`` is the group they are in."""

    def __init__(self, gateway: Gateway, **customer: object) -> None:
        super().__init__(gateway, **customer)
        self.feature("words", type="metered", consumable=True)
        self.feature("dashboard", type="boolean")
        self.defaults: list[str] = []

    def join(self, **customer: object) -> Json:
        """Go on with a customer that is created now."""
        self.customer = f"cus_s{self.number}_{next(_customers)}"
        return self.gateway.call("customers.get_or_create", customer_id=self.customer, **customer)

    def plan(self, name: str, *items: Json, **more: object) -> str:
        """Create a plan at its usual price, which an add-on and one without a name here lack."""
        fields: Json = {"plan_id": self.name(name), "name": name, "group": self.name("main")}
        if PRICES.get(name):
            fields["price"] = {"amount": PRICES[name], "interval": "month"}
        self.gateway.call("plans.create", **(fields | {"items": list(items)} | more))
        if more.get("auto_enable"):
            self.defaults.append(self.name(name))
        return self.name(name)

    def close(self) -> None:
        """Keep the defaults of this test from customers of others."""
        for plan_id in self.defaults:
            self.gateway.call("plans.update", plan_id=plan_id, auto_enable=False)

    def prepaid_pack(
        self,
        feature: str = "messages",
        /,
        *,
        included: float = 0,
        pack: float = 100,
        interval: str = "month",
        **more: object,
    ) -> Json:
        price = {
            "amount": 10,
            "interval": interval,
            "billing_method": "prepaid",
            "billing_units": pack,
        }
        return self.item(feature, included, price=price, **more)

    def payg(self, included: float, feature: str = "messages") -> Json:
        """Units at 0.10 beyond the included ones."""
        price = {"amount": 0.1, "interval": "month", "billing_method": "usage_based"}
        return self.item(feature, included, price=price, reset=MONTHLY)

    def seats(self, included: float) -> Json:
        """Seats that are counted and paid at the end of the cycle."""
        price = {"amount": 10, "interval": "month", "billing_method": "usage_based"}
        return self.item("users", included, price=price)

    def quantities(self, **units: float) -> list[Json]:
        return [
            {"feature_id": self.name(feature), "quantity": quantity}
            for feature, quantity in units.items()
        ]

    def take(self, plan: str, entity: str | None = None, /, **more: object) -> Json:
        """Attach a plan."""
        body = {**self.scope(entity), "plan_id": self.name(plan), **more}
        return self.gateway.call("billing.attach", **body)

    def preview(self, plan: str, entity: str | None = None, /, **more: object) -> Json:
        body = {**self.scope(entity), "plan_id": self.name(plan), **more}
        return self.gateway.call("billing.preview_attach", **body)

    def not_taken(self, plan: str, entity: str | None = None, /, **more: object) -> tuple[int, str]:
        """Attach a plan that is refused; return status and code."""
        body = {**self.scope(entity), "plan_id": self.name(plan), **more}
        return self.gateway.refusal("billing.attach", **body)

    def several(self, *plans: str | Json, **more: object) -> Json:
        """Return a body that attaches plans together, each by its name or with what is asked."""
        named = [{"plan_id": one} if isinstance(one, str) else one for one in plans]
        listed = [{**one, "plan_id": self.name(one["plan_id"])} for one in named]
        return {**self.scope(None), "plans": listed, **more}

    def change(self, plan: str | None = None, entity: str | None = None, /, **more: object) -> Json:
        """Update a plan that is held."""
        named = {"plan_id": self.name(plan)} if plan else {}
        return self.gateway.call("billing.update", **self.scope(entity), **named, **more)

    def not_changed(
        self, plan: str | None = None, entity: str | None = None, /, **more: object
    ) -> tuple[int, str]:
        named = {"plan_id": self.name(plan)} if plan else {}
        return self.gateway.refusal("billing.update", **self.scope(entity), **named, **more)

    def view(self, entity: str | None = None) -> Json:
        kind = "entities.get" if entity else "customers.get"
        return self.gateway.call(kind, **self.scope(entity))

    def subscriptions(self, entity: str | None = None) -> dict[str, Json]:
        """Return what is held, by the short name of the plan."""
        end = self.name("")
        return {one["plan_id"].removesuffix(end): one for one in self.view(entity)["subscriptions"]}

    def held(self, entity: str | None = None) -> dict[str, str]:
        """Return the status of each plan, by its short name."""
        return {name: one["status"] for name, one in self.subscriptions(entity).items()}

    def end_of_cycle(self) -> int:
        """Move the clock to a moment after the cycle of the paid plan has ended."""
        ends = [one["current_period_end"] for one in self.view()["subscriptions"]]
        now: int = self.gateway.call("clock.advance", to=max(filter(None, ends)) + 1000)["now"]
        return now

    def end_of_cycle_of(self, plan: str) -> None:
        """Move the clock past the end of a plan's cycle without asking for the customer."""
        self.gateway.wait_for_writer()
        ((due,),) = self.gateway.sql(
            "SELECT max(due_at) FROM subscriptions WHERE plan_id = ?", self.name(plan)
        )
        self.gateway.call("clock.advance", to=due + 1000)

    def now(self) -> int:
        now: int = self.gateway.call("clock.get")["now"]
        return now
