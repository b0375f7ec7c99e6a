"""The catalog, the customers everybody uses, and several clients at once."""

from __future__ import annotations

import asyncio
import random

from tests.torture.calls import EXTRA_GRANTED, SEATS, Worker, extra_of
from tests.torture.client import Client, Json
from tests.torture.ledger import Ledger, Outcome
from tests.torture.processes import pause

FEATURES: tuple[Json, ...] = (
    {"feature_id": "seats", "type": "metered", "consumable": False},
    {"feature_id": "messages", "type": "metered", "consumable": True, "event_names": ["use"]},
    {"feature_id": "tokens", "type": "metered", "consumable": True, "event_names": ["use"]},
    {"feature_id": "action", "type": "metered", "consumable": True},
    {"feature_id": "extra", "type": "metered", "consumable": True},
    {
        "feature_id": "credits",
        "type": "credit_system",
        "credit_schema": [{"metered_feature_id": "action", "credit_cost": 0.2}],
    },
)
CUSTOMERS = 20
MONTHLY = {"reset": {"interval": "month"}}
PER_SEAT = {"entity_feature_id": "seats"}


def _plan(name: str, group: str, *items: Json) -> Json:
    return {"plan_id": name, "name": name, "group": group, "items": list(items)}


def _team(name: str, messages: int, tokens: int, action: int, credits_: int) -> Json:
    price = {"amount": 30, "interval": "month", "billing_method": "usage_based"}
    return _plan(
        name,
        "teams",
        {"feature_id": "seats", "included": 1, "price": price},
        {"feature_id": "messages", "included": messages, **MONTHLY, **PER_SEAT},
        {"feature_id": "tokens", "included": tokens, **MONTHLY},
        {"feature_id": "action", "included": action, **MONTHLY},
        {"feature_id": "credits", "included": credits_, **MONTHLY},
    )


PLANS = (
    _team("large", 100_000, 1_000_000, 500, 100_000),
    _team("small", 20, 100, 10, 10),  # denials and caps
    _plan("pro", "tiers", {"feature_id": "messages", "included": 7.5, **MONTHLY}),
)


class Load:
    """Several clients at once."""

    def __init__(
        self, urls: list[str], ledger: Ledger, *, seed: int, clients: int, rest_seconds: float = 0
    ) -> None:
        self.ledger = ledger
        self._urls = urls
        self._seed = seed
        self._clients = clients
        self._rest_seconds = rest_seconds
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self.customers = [f"org_{number}" for number in range(1, CUSTOMERS + 1)]

    async def prepare(self) -> None:
        """Define the catalog and the customers; everything has to be up."""
        client = Client(self._urls[:1], self.ledger, random.Random(self._seed), self._hurry)
        try:
            for feature in FEATURES:
                await _must(client, "features.create", name=feature["feature_id"], **feature)
            for plan in PLANS:
                await _must(client, "plans.create", **plan)
            for number, customer in enumerate(self.customers):
                await self._prepare_customer(client, customer, "small" if number % 4 else "large")
        finally:
            await client.close()

    async def _prepare_customer(self, client: Client, customer: str, plan: str) -> None:
        await _must(client, "customers.get_or_create", customer_id=customer)
        await _must(client, "billing.attach", customer_id=customer, plan_id=plan)
        for seat in SEATS:
            named = {"customer_id": customer, "entity_id": seat, "feature_id": "seats"}
            await _must(client, "entities.create", **named)
        await _must(
            client,
            "balances.create",
            customer_id=customer,
            feature_id="extra",
            balance_id=extra_of(customer),
            included_grant=EXTRA_GRANTED,
        )

    async def run(self) -> None:
        """Send operations until ``stop``; every call has then ended."""
        self.ledger.begin()
        async with asyncio.TaskGroup() as group:
            for number in range(self._clients):
                group.create_task(self._run_client(number))

    def stop(self) -> None:
        """Begin no more operations; those under way go on."""
        self._stopping.set()

    def abandon(self) -> None:
        """End the calls under way too, unknown what came of them."""
        self._stopping.set()
        self._hurry.set()

    async def _run_client(self, number: int) -> None:
        dice = random.Random(f"{self._seed}/{number}")
        client = Client(self._urls, self.ledger, dice, self._hurry)
        worker = Worker(client, self.ledger, dice, self.customers, f"c{number}")
        try:
            while not self._stopping.is_set():
                await worker.step()
                if self._rest_seconds:
                    await pause(self._stopping, dice.uniform(0, self._rest_seconds))
        finally:
            await client.close()


async def _must(client: Client, name: str, /, **body: object) -> None:
    answer = await client.call(name, body)
    assert answer.outcome is Outcome.ACKNOWLEDGED, f"{name} {body}: {answer.code}"
