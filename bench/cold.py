"""What the first call of a customer costs that only SQL knows, against the second.

Customers are made, carried to SQL by the writer and taken out of Redis; then each is tracked once,
which brings it back, and once more. Both times over as many connections.
"""

from __future__ import annotations

import asyncio
import itertools

from redis.asyncio import Redis

from bench.lateness import lateness
from bench.load import Plan, Tally, put_on
from bench.measure import Effort
from bench.results import RATE, Figure, Outcome
from bench.stage import PARTITIONS, Api, gateway, request, stage, writer
from gateway.keys import customer_keys

CUSTOMERS, SMOKE_CUSTOMERS = 500, 10
CONNECTIONS = 16
AT_ONCE = 32


async def run(effort: Effort) -> Outcome:
    """Measure the first and the second touch, round by round."""
    customers = SMOKE_CUSTOMERS if effort.is_smoke else CUSTOMERS
    found: dict[str, list[Tally]] = {"first touch": [], "second touch": []}
    async with (
        stage() as place,
        gateway(place) as served,
        writer(place),
        Api(served.base) as api,
        lateness(place) as late,
    ):
        names = [f"cus_{at}" for at in range(customers)]
        await _prepare(api, names)
        answers = await api.digest("balances.track", map(_body, names))
        sequences = [
            [request("balances.track", _body(name)) for name in names[at::CONNECTIONS]]
            for at in range(min(CONNECTIONS, customers))
        ]
        plan = Plan(
            address=served.address,
            sequences=sequences,
            connections=len(sequences),
            warm_up_seconds=0,
            repeats=False,
        )
        for _ in range(effort.rounds):
            await late.carried()
            await _take_out(place.client, names)
            for tallies in found.values():
                tally = await put_on(plan)
                assert tally.statuses == {200: customers}, tally.statuses
                tallies.append(tally)
        for name in names:
            seen = (await api.call("balances.check", **_body(name)))["balance"]["usage"]
            assert seen == 1 + 2 * effort.rounds, f"{name}: {seen}"
    return Outcome(
        about=f"{customers} customers that only SQL has, {len(sequences)} connections, the writer "
        f"beside; median of {effort.rounds} rounds",
        answers=answers,
        figures=list(itertools.chain.from_iterable(map(_figures, found, found.values()))),
    )


def _figures(name: str, tallies: list[Tally]) -> list[Figure]:
    return [
        Figure(name, RATE, [one.rate for one in tallies]),
        Figure(name, "p50 µs", [one.p50_us for one in tallies]),
        Figure(name, "p99 µs", [one.p99_us for one in tallies]),
    ]


def _body(name: str) -> dict[str, object]:
    return {"customer_id": name, "feature_id": "calls"}


async def _prepare(api: Api, names: list[str]) -> None:
    await api.feature("calls")

    async def make(name: str) -> None:
        await api.call("customers.get_or_create", customer_id=name)
        grant = {"feature_id": "calls", "included_grant": 1_000_000}
        await api.call("balances.create", customer_id=name, **grant)

    for chosen in (names[at : at + AT_ONCE] for at in range(0, len(names), AT_ONCE)):
        await asyncio.gather(*map(make, chosen))


async def _take_out(client: Redis, names: list[str]) -> None:
    """Remove what Redis has of the customers, as eviction does with those that are idle."""
    async with client.pipeline(transaction=False) as pipe:
        for name in names:
            keys = customer_keys("sandbox", name, PARTITIONS)
            pipe.execute_command("UNLINK", *keys.own[:5])
        await pipe.execute()
