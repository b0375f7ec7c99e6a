"""Whether a thousand customers and a million cost the same.

One customer is made through the API; the others are copies of its keys, so that a million are there
in a minute. They are asked for by a seeded Zipf draw: the n-th busiest customer is asked for 1/n as
often as the busiest. ``--million`` takes a million instead of a hundred thousand and needs 3 GB.
"""

from __future__ import annotations

import random
from itertools import accumulate

from redis.asyncio import Redis

from bench.load import Plan
from bench.measure import Effort, Samples, Way, figures, measure, ratio
from bench.results import Bar, Outcome
from bench.stage import PARTITIONS, Api, Served, gateway, http_plan, request, stage
from gateway.keys import customer_keys

FEW, MANY, MILLION = 1_000, 100_000, 1_000_000
SMOKE_FEW, SMOKE_MANY = 10, 50
CONNECTIONS = 64
DRAWS, SMOKE_DRAWS = 60_000, 200
PIPELINE = 2_000
SEED = 11
OPERATIONS = ("check", "track")


async def run(effort: Effort, *, million: bool = False) -> Outcome:
    """Measure few and many in turn."""
    sizes = (SMOKE_FEW, SMOKE_MANY) if effort.is_smoke else (FEW, MILLION if million else MANY)
    draws = SMOKE_DRAWS if effort.is_smoke else DRAWS
    few, many = sizes
    async with stage() as place, gateway(place) as served, Api(served.base) as api:
        await _first_customer(api)
        memory = await _copy(place.client, many)
        bodies = [_body(at) for at in range(few)]
        answers = await api.digest("balances.track", bodies)
        ways = [
            Way(_name(operation, size), _plan(served, operation, size, draws), served.pid)
            for operation in OPERATIONS
            for size in sizes
        ]
        found = await measure(place.client, ways, effort)
    return Outcome(
        about=f"customers drawn by Zipf's law, {CONNECTIONS} connections; median of "
        f"{effort.rounds} rounds of {effort.seconds:g} s; {memory:,.0f} bytes of Redis each",
        answers=answers,
        figures=list(figures(found)),
        bars=[_bar(found, operation, few, many) for operation in OPERATIONS],
    )


def _bar(found: Samples, operation: str, few: int, many: int) -> Bar:
    names = _name(operation, many), _name(operation, few)
    cost = ratio(found, *names, lambda sample: sample.script_us)
    return Bar(f"script of {operation}, {many:,} / {few:,} customers", cost, 1.2, 1.0)


def _name(operation: str, customers: int) -> str:
    return f"{operation}, {customers:,} customers"


def _body(at: int) -> dict[str, object]:
    return {"customer_id": f"cus_{at}", "feature_id": "calls"}


def _plan(served: Served, operation: str, customers: int, draws: int) -> Plan:
    chance = random.Random(SEED)
    places = list(range(customers))
    chance.shuffle(places)
    weights = list(accumulate(1 / (rank + 1) for rank in range(customers)))
    drawn = chance.choices(places, cum_weights=weights, k=draws)
    requests = [request(f"balances.{operation}", _body(at)) for at in drawn]
    return http_plan(served, [requests[at::CONNECTIONS] for at in range(CONNECTIONS)])


async def _first_customer(api: Api) -> None:
    await api.feature("calls")
    await api.call("customers.get_or_create", customer_id="cus_0")
    grant = {"feature_id": "calls", "included_grant": 1_000_000_000}
    await api.call("balances.create", customer_id="cus_0", **grant)


async def _copy(client: Redis, customers: int) -> float:
    """Make the others; return the memory each takes."""
    first = customer_keys("sandbox", "cus_0", PARTITIONS)
    fields: dict[bytes, bytes] = await client.hgetall(first.customer)  # type: ignore[assignment]
    flat = [part for pair in fields.items() for part in pair]
    before = (await client.info("memory"))["used_memory"]
    for start in range(1, customers, PIPELINE):
        async with client.pipeline(transaction=False) as pipe:
            for at in range(start, min(start + PIPELINE, customers)):
                key = customer_keys("sandbox", f"cus_{at}", PARTITIONS).customer
                pipe.execute_command("HSET", key, *flat, "id", f"int_{at}")
            await pipe.execute()
    after = (await client.info("memory"))["used_memory"]
    return float(after - before) / (customers - 1)
