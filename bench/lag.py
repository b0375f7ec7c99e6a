"""What durability costs, everything on the same cores: with an append-only file and a writer to
SQLite against neither; and how late SQL is, at a steady rate and flat out.

Two stages are up at once and are loaded in turn. In the end SQL must hold an event for each track.
"""

from __future__ import annotations

import contextlib
import statistics

import msgspec

from bench.lateness import SELDOM_SECONDS, events_in_sql, lateness
from bench.load import Tally, put_on
from bench.measure import Effort, share
from bench.results import RATE, Bar, Figure, Outcome
from bench.stage import Api, call_of, gateway, http_plan, request, stage, with_calls, writer

CUSTOMERS, SMOKE_CUSTOMERS = 200, 8
CONNECTIONS = 64
STEADY_RATE, SMOKE_RATE = 2_000, 50


async def run(effort: Effort) -> Outcome:
    """Measure both stages in turn, then the steady rate."""
    tallies: dict[str, list[Tally]] = {"durable": [], "neither": []}
    rate = SMOKE_RATE if effort.is_smoke else STEADY_RATE
    customers = SMOKE_CUSTOMERS if effort.is_smoke else CUSTOMERS
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        places = {"durable": await enter(stage()), "neither": await enter(stage(appendonly=False))}
        plans = {}
        answers = ""
        for name, place in places.items():
            served = await enter(gateway(place))
            answers = await with_calls(await enter(Api(served.base)), customers)
            requests = [[request("balances.track", call_of(at))] for at in range(customers)]
            plans[name] = msgspec.structs.replace(
                http_plan(served, requests, CONNECTIONS),
                seconds=effort.seconds,
                warm_up_seconds=effort.warm_up_seconds,
            )
        durable = places["durable"]
        await enter(writer(durable))
        flat_out = await enter(lateness(durable, SELDOM_SECONDS))
        steady = await enter(lateness(durable))
        await flat_out.carried()
        for _ in range(effort.rounds):
            for name, found in tallies.items():
                load = put_on(plans[name])
                found.append(await (flat_out.during(load) if name == "durable" else load))
        steadily = msgspec.structs.replace(plans["durable"], rate=rate)
        at_rate = [await steady.during(put_on(steadily)) for _ in range(effort.rounds)]
        everything = [*tallies["durable"], *at_rate]
        assert not sum(one.failures for one in [*everything, *tallies["neither"]])
        tracked = customers + sum(one.statuses.get(200, 0) for one in everything)
        assert events_in_sql(durable) == tracked, "an event is missing or there twice"
    part = statistics.median(
        share(one.rate, other.rate) for one, other in zip(*tallies.values(), strict=True)
    )
    return Outcome(
        about=f"tracks through one gateway, {CONNECTIONS} connections; durable is an append-only "
        f"file (everysec) and a writer to SQLite; median of {effort.rounds} rounds of "
        f"{effort.seconds:g} s",
        answers=answers,
        figures=[
            *(Figure(name, RATE, [one.rate for one in found]) for name, found in tallies.items()),
            *flat_out.figures("durable"),
            Figure(f"durable at {rate:,}/s", RATE, [one.reached for one in at_rate]),
            *steady.figures(f"durable at {rate:,}/s"),
        ],
        bars=[
            Bar("tracks, durable / neither", part, 0.6, 0.6),
            Bar(f"late p99 in ms at {rate:,}/s", steady.quantile_ms(0.99), 150, 75),
        ],
    )
