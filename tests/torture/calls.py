"""What clients do: random operations, each with an id of its own.

What an answer says is checked on the spot where it can be: an entity that was acknowledged must be
found, a lock that was acknowledged must end.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.torture.client import Answer, Client, Json
from tests.torture.ledger import Kind, Ledger, Operation, Outcome, Use

SEATS = ("seat_1", "seat_2", "seat_3", "seat_4")
EXTRA_GRANTED = 1000
_MAY_REFUSE = ("insufficient_balance", "gave_up")

CHURNED = ("churned_1", "churned_2")
"""Customers that are deleted and come back while everybody uses them."""
CHURN_LOCKS = 4
_CHURN_MAY_REFUSE = (
    *_MAY_REFUSE,
    "customer_not_found",
    "entity_not_found",
    "entity_already_exists",
    "plan_already_attached",
    "cus_product_not_found",
    "lock_already_exists",
    "invalid_request",  # a lock that is not there
)


def extra_of(customer: str) -> str:
    """Return the id of the balance of a customer that only top-ups change."""
    return f"extra-{customer}"


class Worker:
    """One client's choices."""

    def __init__(
        self,
        client: Client,
        ledger: Ledger,
        dice: random.Random,
        customers: list[str],
        name: str,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._dice = dice
        self._customers = customers
        self._name = name
        self._numbers = itertools.count(1)

    async def step(self) -> None:
        """Do one thing, or a few that belong together."""
        chosen = self._dice.choices(list(_STEPS), weights=list(_STEPS.values()))[0]
        await chosen(self, self._customer())

    def _begin(self, kind: Kind, customer: str, entity: str = "", target: str = "") -> Operation:
        return Operation(kind, f"{self._name}-{next(self._numbers)}", customer, entity, target)

    async def _send(self, operation: Operation, name: str, **body: object) -> Answer:
        """Send an operation under its own key; only a shortfall may refuse it, or that somebody
        else has just deleted, created or ended what it is about.
        """
        is_churned = operation.customer in CHURNED
        scope = {"customer_id": operation.customer}
        if operation.entity:
            scope["entity_id"] = operation.entity
        level = self._dice.choices(("", "aof", "sql"), weights=(92, 5, 3))[0]
        answer = await self._client.call(name, scope | body, key=operation.uid, durability=level)
        may_refuse = _CHURN_MAY_REFUSE if is_churned else _MAY_REFUSE
        if answer.outcome is Outcome.REFUSED and answer.code not in may_refuse:
            self._ledger.fault(f"{name} {scope | body} was refused: {answer.code}")
        operation.outcome = answer.outcome
        return answer

    async def track(self, customer: str, entity: str | None = None) -> None:
        """Track a fraction, at either level, of one feature or of two by their event."""
        operation = self._begin(Kind.TRACK, customer, self._seat() if entity is None else entity)
        value = str(self._dice.randint(1, 300) / 100)
        body: Json = {"value": float(value), "properties": {"uid": operation.uid}}
        roll = self._dice.random()
        if roll < 0.15:
            body["event_name"] = "use"
            operation.uses = (Use("messages", value), Use("tokens", value))
        else:
            feature = "action" if roll < 0.4 else "tokens" if roll < 0.5 else "messages"
            body["feature_id"] = feature
            if self._dice.random() < 0.1:
                value = f"-{value}"
                body["value"] = float(value)
            operation.uses = (Use(feature, value),)
        # An event of several features cannot be all or nothing.
        modes = ("cap", "overflow") if len(operation.uses) > 1 else ("cap", "reject", "overflow")
        body["overage_behavior"] = self._dice.choice(modes)
        await self._send(operation, "balances.track", **body)
        self._ledger.add(operation)

    async def batch(self, customer: str) -> None:
        """Track several uses at once, each for a customer of its own."""
        tracks: list[Operation] = []
        bodies: list[Json] = []
        for _ in range(self._dice.randint(2, 5)):
            value = str(self._dice.randint(1, 300) / 100)
            track = self._begin(Kind.TRACK, customer, self._seat())
            track.uses = (Use("messages", value),)
            body: Json = {"customer_id": customer, "feature_id": "messages", "value": float(value)}
            body["properties"] = {"uid": track.uid}
            bodies.append(body | ({"entity_id": track.entity} if track.entity else {}))
            tracks.append(track)
            customer = self._customer()
        answer = await self._client.call("balances.batch_track", bodies, key=tracks[0].uid)
        if answer.outcome is Outcome.REFUSED and answer.code != "gave_up":
            self._ledger.fault(f"balances.batch_track {bodies}: {answer.code}")
        failed = {one["index"]: one["code"] for one in (answer.body or {}).get("failed", [])}
        for at, track in enumerate(tracks):
            code = failed.get(at)
            nothing = Outcome.REFUSED if code == "service_unavailable" else Outcome.UNKNOWN
            track.outcome = nothing if code else answer.outcome
            self._ledger.add(track)

    async def spend(self, customer: str) -> None:
        operation = self._begin(Kind.SPEND, customer, self._seat())
        await self._check(operation, send_event=True)
        self._ledger.add(operation)

    async def hold(self, customer: str) -> None:
        """Hold units; end the hold in one of three ways, or leave it."""
        lock = self._begin(Kind.HOLD, customer, self._seat())
        lock.target = f"lock-{lock.uid}"
        value = await self._check(lock, lock={"lock_id": lock.target})
        self._ledger.add(lock)
        if not lock.is_done or self._dice.random() < 0.05:
            return
        end = self._begin(Kind.FINALIZE, customer, target=lock.target)
        end.action = self._dice.choice(("confirm", "release", "override"))
        body: Json = {"lock_id": lock.target, "properties": {"uid": end.uid}}
        body["action"] = "release" if end.action == "release" else "confirm"
        feature = lock.uses[0].feature
        if end.action == "release":
            end.uses = (Use(feature, str(-value)),)
        elif end.action == "override":
            final = round(value / 2, 3)
            body["override_value"] = final
            end.uses = (Use(feature, str(round(final - value, 3))),)
        end.entity = lock.entity
        # A finalize is safe to repeat by itself, so it goes without a key.
        answer = await self._client.call("balances.finalize", {"customer_id": customer, **body})
        end.outcome = answer.outcome
        if answer.outcome is Outcome.REFUSED and answer.code != "gave_up":
            self._ledger.fault(f"finalize of the acknowledged {lock.target}: {answer.code}")
        self._ledger.add(end)

    async def _check(self, operation: Operation, **more: object) -> float:
        """Check and use; a denial is a refusal. Return the amount."""
        value = self._dice.randint(1, 300) / 100
        feature = self._dice.choice(("messages", "messages", "tokens", "action"))
        operation.uses = (Use(feature, str(value)),)
        answer = await self._send(
            operation,
            "balances.check",
            feature_id=feature,
            required_balance=value,
            properties={"uid": operation.uid},
            **more,
        )
        if answer.body is not None and not answer.body["allowed"]:
            operation.outcome = Outcome.REFUSED
        return value

    async def look(self, customer: str) -> None:
        body = {"customer_id": customer, "entity_id": self._dice.choice(SEATS)}
        answer = await self._client.call("balances.check", {**body, "feature_id": "messages"})
        if answer.outcome is Outcome.REFUSED and answer.code != "gave_up":
            self._ledger.fault(f"check of {body}: {answer.code}")

    async def live(self, customer: str) -> None:
        """The life of an entity: created, given a plan and a balance, used, and mostly deleted."""
        birth = self._begin(Kind.ENTITY, customer)
        birth.entity = birth.target = f"e-{birth.uid}"
        birth.uses = (Use("seats", "1"),)
        await self._send(birth, "entities.create", feature_id="seats")
        self._ledger.add(birth)
        if not birth.is_done:
            return
        plan = self._begin(Kind.ATTACH, customer, birth.entity)
        await self._send(plan, "billing.attach", plan_id="pro")
        self._ledger.add(plan)
        grant = self._begin(Kind.GRANT, customer, birth.entity)
        grant.target = f"grant-{grant.uid}"
        body = {"feature_id": "extra", "balance_id": grant.target, "included_grant": 2.25}
        await self._send(grant, "balances.create", **body)
        self._ledger.add(grant)
        for _ in range(self._dice.randint(0, 3)):
            await self.track(customer, birth.entity)
        if self._dice.random() < 0.1:
            return
        end = self._begin(Kind.ENTITY_END, customer, birth.entity, birth.entity)
        end.uses = (Use("seats", "-1"),)
        await self._send(end, "entities.delete")
        self._ledger.add(end)

    async def top_up(self, customer: str) -> None:
        operation = self._begin(Kind.TOP_UP, customer, target=extra_of(customer))
        body = {"feature_id": "extra", "balance_id": operation.target, "add_to_balance": 1}
        await self._send(operation, "balances.update", **body)
        self._ledger.add(operation)

    async def arrive(self, customer: str) -> None:
        """Bring a new customer, which this client then has for itself."""
        operation = self._begin(Kind.CUSTOMER, "")
        operation.customer = operation.target = f"new_{operation.uid}"
        answer = await self._client.call(
            "customers.get_or_create", {"customer_id": operation.customer}
        )
        operation.outcome = answer.outcome
        self._ledger.add(operation)
        if operation.is_done:
            plan = self._begin(Kind.ATTACH, operation.customer)
            await self._send(plan, "billing.attach", plan_id="small")
            self._ledger.add(plan)
            for _ in range(self._dice.randint(0, 3)):
                await self.track(operation.customer, "")

    async def churn(self, _customer: str) -> None:
        """Delete a customer everybody uses, or bring it back, or do something about it."""
        customer = self._dice.choice(CHURNED)
        entity = self._dice.choice(("", *SEATS))
        roll = self._dice.random()
        if roll < 0.5:
            await self.track(customer, entity)
            return
        operation = self._begin(Kind.CHURN, customer)
        if roll < 0.55:
            operation = self._begin(Kind.CUSTOMER_END, customer)
            await self._send(operation, "customers.delete")
        elif roll < 0.7:
            await self._send(operation, "customers.get_or_create")
        elif roll < 0.78:
            seat = {"entity_id": entity or SEATS[0], "feature_id": "seats"}
            await self._send(operation, "entities.create", **seat)
        elif roll < 0.81:
            await self._send(operation, "entities.delete", entity_id=entity or SEATS[0])
        elif roll < 0.88:
            plan = self._dice.choice(("large", "small"))
            await self._send(operation, "billing.attach", plan_id=plan)
        elif roll < 0.9:
            cancel = {"plan_id": "small", "cancel_action": "cancel_immediately"}
            await self._send(operation, "billing.update", **cancel)
        else:
            await self._lock_churned(operation, entity)
        self._ledger.add(operation)

    async def _lock_churned(self, operation: Operation, entity: str) -> None:
        """Make or end one of a few locks: most are of a customer or an entity that has gone since,
        and come again.
        """
        lock_id = f"{operation.customer}-{self._dice.randint(1, CHURN_LOCKS)}"
        if self._dice.random() < 0.5:
            action = self._dice.choice(("confirm", "release"))
            await self._send(operation, "balances.finalize", lock_id=lock_id, action=action)
            return
        body: Json = {"feature_id": "messages", "required_balance": 1.5}
        body |= {"lock": {"lock_id": lock_id}} | ({"entity_id": entity} if entity else {})
        await self._send(operation, "balances.check", **body)

    def _customer(self) -> str:
        """Return a customer that everybody uses: the first often, the last seldom."""
        weights = [1 / rank for rank in range(1, len(self._customers) + 1)]
        return self._dice.choices(self._customers, weights=weights)[0]

    def _seat(self) -> str:
        return self._dice.choice(("", *SEATS))


Step: TypeAlias = Callable[[Worker, str], Awaitable[None]]
_STEPS: dict[Step, int] = {
    Worker.track: 55,
    Worker.batch: 3,
    Worker.spend: 10,
    Worker.hold: 10,
    Worker.look: 8,
    Worker.live: 6,
    Worker.top_up: 6,
    Worker.arrive: 1,
    Worker.churn: 15,
}
