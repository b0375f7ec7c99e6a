"""What a check and a track cost through HTTP, against what the parts cost by themselves.

In one run, round by round in turn: the gateway's fast lane; its ASGI tier; a plain ASGI "hello" on
the same server that parses the same body and answers as many bytes; the naive way, typed handlers
that await redis-py; a relay that knows nothing and asks Redis for the same script, above which no
gateway can come on the same cores; and Redis asked for the same script over as many connections,
one call at a time, by our load and by ``redis-benchmark`` where that is installed. Then the open
loop: all at 1,000 a second, and each at half of what it reaches under the load of the open loop,
with the hello at the same rate.

A balance is held by the entity that is asked for. The load shares the cores with what it measures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import httpx
import msgspec

from bench import redis_benchmark, wrk
from bench.commands import OPERATIONS, command, words
from bench.load import Plan, put_on
from bench.measure import Effort, Load, Sample, Samples, Way, figures, measure, median, ratio, tail
from bench.results import Bar, Outcome
from bench.stage import (
    KEY,
    NO_TLS,
    Api,
    Served,
    Stage,
    gateway,
    program,
    request,
    stage,
)

CUSTOMERS, SMOKE_CUSTOMERS = 64, 4
CONNECTIONS = (1, 16, 64)
SMOKE_CONNECTIONS = (2,)
STEADY_RATE, SMOKE_RATE = 1_000, 50
_HALF = "half"
_RELAY = "relay"


class _Servers(NamedTuple):
    lane: Served
    asgi: Served
    naive: Served
    hello: Served
    relay: Served
    bodies: list[dict[str, object]]
    """What they are asked in turn, one for each customer."""


async def run(effort: Effort) -> Outcome:
    """Measure every way in turn."""
    async with contextlib.AsyncExitStack() as stack:
        place = await stack.enter_async_context(stage())
        lane = await stack.enter_async_context(gateway(place))
        api = await stack.enter_async_context(Api(lane.base))
        bodies = _bodies(SMOKE_CUSTOMERS if effort.is_smoke else CUSTOMERS)
        await _prepare(api, len(bodies))
        answers = await api.digest("balances.track", bodies)
        size = await _answer_bytes(lane, bodies[0])
        servers = _Servers(
            lane,
            await stack.enter_async_context(gateway(place, fast_lane=False)),
            await stack.enter_async_context(program("bench.baselines", "naive", place.redis_url)),
            await stack.enter_async_context(program("bench.baselines", "hello", str(size))),
            await stack.enter_async_context(
                program("bench.baselines", "relay", place.redis_url, str(size))
            ),
            bodies,
        )
        counts = SMOKE_CONNECTIONS if effort.is_smoke else CONNECTIONS
        closed: Samples = {}
        for connections in counts:
            closed_loop = put_on if effort.is_smoke or not wrk.is_installed() else wrk.put_on
            ways = list(_ways(servers, place, connections, closed_loop))
            closed |= await measure(place.client, ways, effort)
        reached, steady = await _steady(servers, place, effort, counts[-1])
    return Outcome(
        about=f"median of {effort.rounds} rounds of {effort.seconds:g} s; the answers of the hello "
        f"have {size} bytes as those of track; {_ceiling(closed, counts[-1])}"
        f"{_least_tail(steady)}",
        answers=answers,
        figures=[*figures(closed), *figures(reached), *figures(steady)],
        bars=[*_bars(closed, counts), *_steady_bars(steady)],
        curves=[tail(name, samples[-1].tally) for name, samples in steady.items()],
    )


def _ways(servers: _Servers, place: Stage, connections: int, load: Load = put_on) -> Iterator[Way]:
    def through(name: str, served: Served, operation: str) -> Way:
        plan = Plan(
            address=served.address,
            sequences=[[request(f"balances.{operation}", body)] for body in servers.bodies],
            connections=connections,
        )
        return Way(_name(name, connections), plan, served.pid, load=load)

    yield through("hello", servers.hello, "track")
    for operation in OPERATIONS:
        for name in ("lane", "asgi", "naive", "relay"):
            yield through(f"{name} {operation}", getattr(servers, name), operation)
        plan = Plan(
            address=place.redis_url.removeprefix("unix://"),
            sequences=[[command(operation, str(body["customer_id"]))] for body in servers.bodies],
            connections=connections,
            protocol="redis",
        )
        yield Way(_name(f"redis {operation}", connections), plan, place.redis_pid)
        if redis_benchmark.is_installed():
            asked = [str(word) for word in words(operation, "cus_0")]
            bare = partial(redis_benchmark.put_on, asked)
            name = _name(f"{redis_benchmark.NAME} {operation}", connections)
            yield Way(name, plan, place.redis_pid, load=bare)


def _name(way: str, connections: int) -> str:
    return f"{way}, {connections}"


async def _steady(
    servers: _Servers, place: Stage, effort: Effort, connections: int
) -> tuple[Samples, Samples]:
    """Ask at fixed rates; every request is timed from when it was due. Returns what the ways reach
    under the same load first.
    """
    named = {way.name.rpartition(",")[0]: way for way in _ways(servers, place, connections)}
    hello, *ways = (
        msgspec.structs.replace(way, name=name)
        for name, way in named.items()
        if name.split()[0] in {"hello", "lane", "asgi", _RELAY}
    )
    gateways = [way for way in ways if not way.name.startswith(_RELAY)]
    reached = await measure(place.client, gateways, effort)
    fixed = SMOKE_RATE if effort.is_smoke else STEADY_RATE
    steady = [_at(way, f"{fixed:,}/s", fixed) for way in (hello, *ways)]
    for way in gateways:
        half = median(reached, way.name) / 2
        steady += [_at(hello, f"half of {way.name}", half), _at(way, _HALF, half)]
    return reached, await measure(place.client, steady, effort)


def _at(way: Way, label: str, rate: float) -> Way:
    plan = msgspec.structs.replace(way.plan, rate=rate)
    return msgspec.structs.replace(way, name=f"{way.name} at {label}", plan=plan)


def _cpu(sample: Sample) -> float:
    return sample.cpu_us


def _p50(sample: Sample) -> float:
    return sample.tally.p50_us


def _p99(sample: Sample) -> float:
    return sample.tally.p99_us


def _bars(found: Samples, counts: tuple[int, ...]) -> Iterator[Bar]:
    single, most = counts[0], counts[-1]
    bare = [one for one in ("redis", redis_benchmark.NAME) if _name(f"{one} track", most) in found]
    for connections in counts[1:]:
        for tier, floor in (("lane", (0.6, 0.7)), ("asgi", (0.25, 0.35))):
            for name in bare:
                track, other = (_name(f"{one} track", connections) for one in (tier, name))
                yield Bar(f"{track} / {other}", ratio(found, track, other), *floor)
    hello = _name("hello", most)
    for tier, floor in (("lane", (1.0, 1.2)), ("asgi", (0.45, 0.6))):
        for operation in OPERATIONS:
            name = _name(f"{tier} {operation}", most)
            yield Bar(f"{name} / hello", ratio(found, name, hello), *floor)
    for operation in OPERATIONS:
        lane, naive = (_name(f"{one} {operation}", most) for one in ("lane", "naive"))
        yield Bar(f"{lane} / {naive}", ratio(found, lane, naive), 5, 8)
    for operation in OPERATIONS:
        lane = _name(f"lane {operation}", most)
        yield Bar(f"CPU of {lane} / of hello", ratio(found, lane, hello, _cpu), 0.6, 0.5)
    for operation in OPERATIONS:
        for name in bare:
            lane, other = (_name(f"{one} {operation}", single) for one in ("lane", name))
            yield Bar(f"p50 of {lane} / of {other}", ratio(found, lane, other, _p50), 2.5, 2.2)


def _ceiling(found: Samples, connections: int) -> str:
    """Say what part of the hello a gateway could reach that cost nothing but its system calls."""
    hello, *relays = (
        _name(one, connections) for one in ("hello", *(f"relay {name}" for name in OPERATIONS))
    )
    parts = [
        f"{ratio(found, name, hello):.2f} of its rate for {ratio(found, name, hello, _cpu):.2f} of "
        f"its CPU ({operation})"
        for operation, name in zip(OPERATIONS, relays, strict=True)
    ]
    return f"beside it the relay reached {' and '.join(parts)}"


def _least_tail(found: Samples) -> str:
    """Say what the p99 of a gateway that did nothing by itself was, beside the hello's."""
    told = ""
    for name in found:
        way, _, label = name.partition(" at ")
        if way.startswith(_RELAY):
            beside = ratio(found, name, f"hello at {label}", _p99)
            told += f"; p99 of {name} {beside:.2f} of the hello's"
    return told


def _steady_bars(found: Samples) -> Iterator[Bar]:
    for name in found:
        way, _, label = name.partition(" at ")
        if way.partition(" ")[0] not in {"hello", _RELAY}:
            beside = f"hello at {f'half of {way}' if label == _HALF else label}"
            times = ratio(found, name, beside, _p99)
            yield Bar(f"p99 of {name} / of hello", times, 1.5, 1.2)


async def _prepare(api: Api, customers: int) -> None:
    """Make customers with a seat that has a balance."""
    await api.feature("calls")
    await api.feature("seats", consumable=False)
    for at in range(customers):
        customer = {"customer_id": f"cus_{at}"}
        await api.call("customers.get_or_create", **customer)
        await api.call("entities.create", **customer, entity_id="seat", feature_id="seats")
        grant = {"feature_id": "calls", "included_grant": 1_000_000_000}
        await api.call("balances.create", **customer, entity_id="seat", **grant)


def _bodies(customers: int) -> list[dict[str, object]]:
    return [
        {"customer_id": f"cus_{at}", "entity_id": "seat", "feature_id": "calls"}
        for at in range(customers)
    ]


async def _answer_bytes(served: Served, body: dict[str, object]) -> int:
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(headers=headers, verify=NO_TLS) as http:
        answer = await http.post(f"{served.base}/v1/balances.track", json=body)
        return len(answer.content)
