"""What an application sends: checks, tracks, both, of customers with few and many entities, of one
customer, with locks, in batches.

One gateway, one Redis with its append-only file, no writer. All scenarios of a run are asked round
by round in turn, in closed loop over 64 connections. A scenario measured alone is asked in open
loop too, at parts of the rate the closed loop reached, each request timed from when it was due.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from functools import partial

import msgspec

from bench.load import NUMBER, put_on
from bench.measure import Effort, Samples, Way, figures, measure, median, ratio, tail
from bench.results import RATE, Bar, Curve, Figure, Outcome
from bench.stage import (
    PARTITIONS,
    Api,
    Stage,
    gateway,
    http_plan,
    request,
    stage,
)
from gateway.keys import customer_keys
from gateway.scripts import Context, Status

CONNECTIONS = 64
CUSTOMERS = 1_000
ENTITIES = (1, 100, 20_000)
SMOKE_CUSTOMERS, SMOKE_ENTITIES = 8, (1, 20)
BATCH, BATCHES = 100, 8
SEED = 7
GRANT = 1_000_000_000
OPERATIONS = ("check", "track")
PARTS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the rate of the closed loop, for the open one."""

OPEN_TAG = 0x8000
"""Of the first run in open loop; those of the closed loop begin at 0."""

UNIT = 10**6
NOW_MS = 1_795_000_000_000
AT_ONCE = 50

NAMES = ("check", "track", "mixed", "entities", "hot", "locks", "batch")


async def run(effort: Effort, names: Sequence[str] = NAMES) -> Outcome:
    """Measure some scenarios; one alone in open loop too."""
    async with stage() as place, gateway(place) as served, Api(served.base) as api:
        customers = SMOKE_CUSTOMERS if effort.is_smoke else CUSTOMERS
        sizes = SMOKE_ENTITIES if effort.is_smoke else ENTITIES
        await _prepare(api, customers)
        if "entities" in names:
            await _prepare_entities(api, place, sizes)
        ways = [
            Way(name, http_plan(served, sequences, connections), served.pid, units)
            for name, (sequences, connections, units) in _scenarios(customers, sizes).items()
            if name.split()[0].rstrip(",") in names
        ]
        bodies = [_call(f"cus_{at % customers}") for at in range(2 * customers)]
        answers = await api.digest("balances.track", bodies)
        found = await measure(place.client, ways, effort)
        curves, open_figures = (
            await _open_loop(ways, found, effort) if len(names) == 1 else ([], [])
        )
    return Outcome(
        about=f"one gateway, {CONNECTIONS} connections, closed loop; median of {effort.rounds} "
        f"rounds of {effort.seconds:g} s",
        answers=answers,
        figures=[*figures(found), *open_figures],
        bars=_bars(found, sizes),
        curves=[*curves, *_cost_of_entities(found, sizes)],
    )


def _scenarios(
    customers: int, sizes: Sequence[int]
) -> dict[str, tuple[list[list[bytes]], int, int]]:
    """Return the requests of each connection, how many connections there are, and how many calls
    one request is.
    """
    count = min(CONNECTIONS, customers)
    chance = random.Random(SEED)
    spread = [f"cus_{at}" for at in range(customers)]
    chance.shuffle(spread)
    check = [request("balances.check", _call(name)) for name in spread]
    track = [request("balances.track", _call(name)) for name in spread]
    mixed = [chance.choice(pair) for pair in zip(check, track, strict=True)]
    found = {
        "check": (_dealt(check), count, 1),
        "track": (_dealt(track), count, 1),
        "mixed": (_dealt(mixed), count, 1),
        "hot, one customer": ([[request("balances.track", _call("hot"))]], count, 1),
        "hot, spread": (_dealt(track), count, 1),
        "locks, ended by id": ([_locked(name, {}) for name in spread[:count]], count, 1),
        "locks, customer named": (
            [_locked(name, {"customer_id": name}) for name in spread[:count]],
            count,
            1,
        ),
        "batch of 100": ([[_batch(spread, at)] for at in range(BATCHES)], BATCHES, BATCH),
    }
    for size in sizes:
        for operation in OPERATIONS:
            for level, entity in (("entity", {"entity_id": "seat_1"}), ("customer", {})):
                body = {"customer_id": f"with_{size}", "feature_id": "reports", **entity}
                asked = [[request(f"balances.{operation}", body)]]
                found[_entity_name(operation, level, size)] = (asked, count, 1)
    return found


def _entity_name(operation: str, level: str, size: int) -> str:
    return f"entities {size:,}: {operation}, {level}"


def _call(customer: str) -> dict[str, object]:
    return {"customer_id": customer, "feature_id": "calls"}


def _dealt(requests: Sequence[bytes]) -> list[list[bytes]]:
    """Deal the requests out to the connections."""
    hands = min(CONNECTIONS, len(requests))
    return [list(requests[at::hands]) for at in range(hands)]


def _locked(customer: str, named: dict[str, str]) -> list[bytes]:
    lock_id = NUMBER.decode()
    return [
        request("balances.track", _call(customer) | {"lock": {"lock_id": lock_id}}),
        request("balances.finalize", {"lock_id": lock_id, "action": "confirm"} | named),
    ]


def _batch(customers: Sequence[str], at: int) -> bytes:
    chosen = (customers[(at + place) % len(customers)] for place in range(BATCH))
    return request("balances.batch_track", [_call(name) for name in chosen])


async def _prepare(api: Api, customers: int) -> None:
    await api.feature("calls")
    await api.feature("seats", consumable=False)
    for first in range(0, customers, AT_ONCE):
        names = [f"cus_{at}" for at in range(first, min(first + AT_ONCE, customers))]
        await asyncio.gather(*(_customer(api, name) for name in names))
    await _customer(api, "hot")


async def _customer(api: Api, name: str) -> None:
    await api.call("customers.get_or_create", customer_id=name)
    grant = {"feature_id": "calls", "included_grant": GRANT}
    await api.call("balances.create", customer_id=name, **grant)


async def _prepare_entities(api: Api, place: Stage, sizes: Sequence[int]) -> None:
    """Make a customer of each size, every entity of which has reports of its own."""
    await api.feature("reports")
    items = [
        {"feature_id": "seats", "included": max(sizes)},
        {"feature_id": "reports", "included": 1_000, "entity_feature_id": "seats"},
    ]
    await api.call("plans.create", plan_id="team", name="Team", items=items)
    for size in sizes:
        name = f"with_{size}"
        await api.call("customers.get_or_create", customer_id=name)
        await api.call("billing.attach", customer_id=name, plan_id="team")
        keys = customer_keys("sandbox", name, PARTITIONS)
        context = Context(keys, "sandbox", name, "bench", NOW_MS)
        create = partial(place.scripts.create_entity, context)
        for first in range(0, size, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, size))
            made = (
                create(f"seat_{at}", "seats", "{}", UNIT, max(sizes))
                for at in (number + 1 for number in numbers)
            )
            assert set(await asyncio.gather(*made)) == {Status.DONE}


async def _open_loop(
    ways: Sequence[Way], found: Samples, effort: Effort
) -> tuple[list[Curve], list[Figure]]:
    """Ask at parts of the rate that was reached."""
    curves, numbers = [], []
    tags = itertools.count(OPEN_TAG)
    for way in ways:
        reached = median(found, way.name, lambda one: one.tally.rate)
        middle, late = [], []
        for part in PARTS:
            plan = msgspec.structs.replace(
                way.plan,
                rate=reached * part,
                seconds=effort.seconds,
                warm_up_seconds=effort.warm_up_seconds,
                tag=next(tags),
            )
            tally = await put_on(plan)
            middle.append((plan.rate, tally.p50_us / 1000))
            late.append((plan.rate, tally.p99_us / 1000))
            row = f"{way.name} at {part:.0%}"
            numbers.append(Figure(row, RATE, [tally.reached]))
            numbers.append(Figure(row, "p50 µs", [tally.p50_us]))
            numbers.append(Figure(row, "p99 µs", [tally.p99_us]))
            if part == 0.5:
                curves.append(tail(f"{way.name}, half of what it can", tally))
        axes = ("Throughput and latency, open loop", "requests a second", "ms")
        curves += [Curve(*axes, f"{way.name}, p50", middle), Curve(*axes, f"{way.name}, p99", late)]
    return curves, numbers


def _cost_of_entities(found: Samples, sizes: Sequence[int]) -> list[Curve]:
    axes = ("Cost and number of entities", "entities of the customer", "script µs")
    curves = []
    for operation in OPERATIONS:
        for level in ("entity", "customer"):
            names = {size: _entity_name(operation, level, size) for size in sizes}
            points = [
                (float(size), median(found, name, lambda one: one.script_us))
                for size, name in names.items()
                if name in found
            ]
            if points:
                curves.append(Curve(*axes, f"{operation}, {level} level", points))
    return curves


def _bars(found: Samples, sizes: Sequence[int]) -> list[Bar]:
    bars = []
    if "hot, spread" in found:
        hot = ratio(found, "hot, one customer", "hot, spread")
        bars.append(Bar("tracks of one customer / of many", hot, 0.8, 1.0))
    few, many = sizes[0], sizes[-1]
    for operation in OPERATIONS:
        for level in ("entity", "customer"):
            one, other = (_entity_name(operation, level, size) for size in (many, few))
            if one in found:
                cost = ratio(found, one, other, lambda sample: sample.script_us)
                name = f"script of {operation}, {level} level, {many:,} / {few} entities"
                bars.append(Bar(name, cost, 1.2, 1.0))
    return bars
