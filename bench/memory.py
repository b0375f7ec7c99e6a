"""How many bytes of Redis a customer costs, and each further entity.

A gateway in this process makes a customer with one plan of three features, and two whose plan gives
every entity a balance of its own, one with few entities and one with many. MEMORY USAGE of all of
their keys is what they cost; of a balance that is full nothing is kept, so a used one costs more.
The outbox does not count: the writer trims it. Then the customer is copied many times over, and the
growth of the server is divided by the copies: what the allocator and the table of keys add is in
that.

Both with the list thresholds the embedded server gets and with those a server has by itself.
``python -m bench.memory --customers 1000000`` is the run of record; it needs some 4 GB.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
from redis.asyncio import Redis

from bench.results import Bar
from gateway.app import Runtime, build_app, started
from gateway.config import Settings
from gateway.embedded.server import EmbeddedServer
from gateway.keys import customer_keys
from persistence.migrate import upgrade

KEY = "am_sk_test_0123456789abcdefghij"
PARTITIONS = 64
CUSTOMER_BYTES_MAX = 1536
ENTITY_BYTES_MAX = 200
CUSTOMERS = 100_000
FEW = range(10, 50)
"""Entities of a customer whose hashes and sets are lists still."""
ENTITIES = 2_000
BURST = 1_000
THRESHOLDS: dict[str, dict[str, int]] = {
    "embedded": {},
    "stock": {"hash-max-listpack-entries": 512, "hash-max-listpack-value": 64},
}
"""What the embedded server is started with, and what a server has by itself."""

FEATURES: tuple[dict[str, Any], ...] = (
    {"feature_id": "seats", "name": "Seats", "type": "metered", "consumable": False},
    {"feature_id": "api_calls", "name": "API calls", "type": "metered", "consumable": True},
    {"feature_id": "exports", "name": "Exports", "type": "metered", "consumable": True},
    {"feature_id": "summaries", "name": "Summaries", "type": "metered", "consumable": True},
)
MONTHLY = {"reset": {"interval": "month"}}
PLANS: tuple[dict[str, Any], ...] = (
    {
        "plan_id": "pro",
        "name": "Pro",
        "items": [
            {"feature_id": "seats", "included": 5},
            {"feature_id": "api_calls", "included": 10_000} | MONTHLY,
            {"feature_id": "exports", "included": 100} | MONTHLY,
        ],
    },
    {
        "plan_id": "team",
        "name": "Team",
        "items": [
            {"feature_id": "seats", "included": 1_000_000},
            {"feature_id": "summaries", "included": 50, "entity_feature_id": "seats"} | MONTHLY,
        ],
    },
)


class Line(msgspec.Struct, frozen=True):
    """What one customer and one further entity cost with some thresholds, in bytes."""

    thresholds: str
    customer: float
    few_used: float
    """An entity that has used its balance, where there are few."""
    many_full: float
    many_used: float
    given_out: float
    """Growth of the memory the server has given out, for each copy of the customer."""
    resident: float


class Result(msgspec.Struct, frozen=True):
    """The table, and a hash of what the customer holds."""

    customers: int
    entities: int
    lines: list[Line]
    answers: str

    def table(self) -> str:
        """Return the table as text."""
        heads = ("customer", "few, used", "many, full", "many, used", "given out", "resident")
        budget = f"at most {CUSTOMER_BYTES_MAX:,} and {ENTITY_BYTES_MAX}"
        rows = [
            f"bytes of a customer, of a further entity of few and of {self.entities:,} ({budget}),",
            f"and by which the server grows with each of {self.customers:,} customers",
            f"{'thresholds':<12}" + "".join(f"{head:>12}" for head in heads),
        ]
        for line in self.lines:
            name, *figures = msgspec.structs.astuple(line)
            rows.append(f"{name:<12}" + "".join(f"{figure:>12,.0f}" for figure in figures))
        return "\n".join([*rows, f"answers {self.answers}"])

    def bars(self) -> Iterator[Bar]:
        """Hold what the embedded server takes against the budgets."""
        budgets = {
            "customer": CUSTOMER_BYTES_MAX,
            "resident": CUSTOMER_BYTES_MAX,
            "few_used": ENTITY_BYTES_MAX,
            "many_full": ENTITY_BYTES_MAX,
            "many_used": ENTITY_BYTES_MAX,
        }
        for name, budget in budgets.items():
            yield Bar(f"bytes, {name.replace('_', ', ')}", getattr(self.lines[0], name), budget)


async def run(smoke: bool, customers: int = CUSTOMERS) -> Result:  # noqa: FBT001 - every bench takes this one switch
    """Measure with the thresholds of the embedded server and with a stock server's."""
    entities, copies = (80, 1_000) if smoke else (ENTITIES, customers)
    lines, digest = [], hashlib.sha256()
    for name in THRESHOLDS:
        line, fields = await measure(name, entities, copies)
        lines.append(line)
        digest.update("\n".join(sorted(fields)).encode())
    return Result(copies, entities, lines, digest.hexdigest()[:12])


async def measure(name: str, entities: int, copies: int) -> tuple[Line, list[str]]:
    """Measure with some thresholds; return the figures and the fields of a customer."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        server = EmbeddedServer(Path(folder))
        settings = Settings(
            redis_url=server.start(),
            database_url=f"sqlite:///{folder}/bench.db",
            hot_timeout_ms=10_000,
        )
        try:
            async with Redis.from_url(settings.redis_url) as client:
                # Neither the file nor its rewriting is what is measured.
                await client.config_set("appendonly", "no")
                for option, value in THRESHOLDS[name].items():
                    await client.config_set(option, value)
                return await _measure(client, settings, name, entities, copies)
        finally:
            server.stop()


async def _measure(
    client: Redis, settings: Settings, name: str, entities: int, copies: int
) -> tuple[Line, list[str]]:
    upgrade(settings.resolved_database_url)
    async with started(Runtime(settings)) as runtime:
        await runtime.store.create_key("sandbox", "bench", KEY)
        await runtime.catalog.refresh()
        app: Any = build_app(runtime)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway/v1") as http:
            await _make_customers(http, "pro_0", "few_0", "many_0")
            few = await _entity_bytes(client, http, "few_0", FEW)
            many = await _entity_bytes(client, http, "many_0", range(entities, 2 * entities))
        customer = await customer_bytes(client, "pro_0")
        grown = [growth / copies for growth in await _copy(client, "pro_0", copies)]
        fields = await client.hkeys(customer_keys("sandbox", "pro_0", PARTITIONS).customer)
        return Line(name, customer, few[1], *many, *grown), [str(field) for field in fields]


async def _entity_bytes(
    client: Redis, http: httpx.AsyncClient, customer: str, numbers: range
) -> tuple[float, float]:
    """Make entities of the numbers, after those before; return what one of them costs while its
    balance is full, and once it has used something.
    """
    await _make_entities(http, customer, range(numbers.start))
    for number in range(numbers.start):
        await _use(http, customer, number)
    before = await customer_bytes(client, customer)
    await _make_entities(http, customer, numbers)
    full = await customer_bytes(client, customer)
    for number in numbers:
        await _use(http, customer, number)
    used = await customer_bytes(client, customer)
    return (full - before) / len(numbers), (used - before) / len(numbers)


async def _make_customers(http: httpx.AsyncClient, pro: str, *teams: str) -> None:
    """Make the catalog, a customer that has used something of all it has, and some for entities."""
    for feature in FEATURES:
        await _call(http, "features.create", **feature)
    for plan in PLANS:
        await _call(http, "plans.create", **plan)
    for customer, plan_id in ((pro, "pro"), *((team, "team") for team in teams)):
        named = {"customer_id": customer, "name": "Ada", "email": f"{customer}@example.com"}
        await _call(http, "customers.get_or_create", **named)
        await _call(http, "billing.attach", customer_id=customer, plan_id=plan_id)
    for name in ("seats", "api_calls", "exports"):
        await _call(http, "balances.track", customer_id=pro, feature_id=name, value=3)


async def _make_entities(http: httpx.AsyncClient, customer: str, numbers: range) -> None:
    for number in numbers:
        scope = {"customer_id": customer, "entity_id": f"user_{number}"}
        await _call(http, "entities.create", **scope, feature_id="seats", name=f"User {number}")


async def _use(http: httpx.AsyncClient, customer: str, number: int) -> None:
    scope = {"customer_id": customer, "entity_id": f"user_{number}"}
    await _call(http, "balances.track", **scope, feature_id="summaries", value=1)


async def _call(http: httpx.AsyncClient, operation: str, **body: Any) -> None:  # noqa: ANN401 - any JSON
    headers = {"authorization": f"Bearer {KEY}"}
    answer = await http.post(f"/{operation}", json=body, headers=headers)
    assert answer.is_success, answer.text


async def customer_bytes(client: Redis, customer: str) -> int:
    """Return what the keys of a customer cost, names and table entries included."""
    own = customer_keys("sandbox", customer, PARTITIONS)[:4]
    return sum([await client.memory_usage(key, samples=0) or 0 for key in own])


async def _copy(client: Redis, customer: str, copies: int) -> tuple[int, int]:
    """Copy a customer under other names; return by how much the server grew: the memory it has
    given out, and what is resident.
    """
    copied = []
    for place, key in enumerate(customer_keys("sandbox", customer, PARTITIONS)[:4]):
        if (text := await client.dump(key)) is not None:
            copied.append((place, text))
    before = await client.info("memory")
    for first in range(1, copies + 1, BURST):
        pipe: Any
        async with client.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + BURST, copies + 1)):
                keys = customer_keys("sandbox", f"pro_{number}", PARTITIONS)
                for place, text in copied:
                    pipe.restore(keys[place], 0, text)
            await pipe.execute()
    after = await client.info("memory")
    used, resident = (after[name] - before[name] for name in ("used_memory", "used_memory_rss"))
    return used, resident


@click.command()
@click.option("--customers", type=click.IntRange(1_000), default=CUSTOMERS, show_default=True)
def main(*, customers: int) -> None:
    """Measure what customers and entities cost."""
    click.echo(asyncio.run(run(smoke=False, customers=customers)).table())


if __name__ == "__main__":
    main()
