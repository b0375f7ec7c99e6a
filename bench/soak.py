"""Two gateways and a writer as busy as they can be, for minutes: errors, memory, how late SQL is.

Half of the customers are asked through each gateway. Every few seconds the memory of each process
is read; what it grew is the highest of the last fifth against the highest of the second fifth, for
the first is warming up. In the end Redis and SQL must agree with what was acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import msgspec

from bench.lateness import SELDOM_SECONDS, events_in_sql, lateness
from bench.load import Plan, Tally, put_on
from bench.measure import Effort
from bench.results import RATE, Figure, Outcome
from bench.stage import (
    Api,
    call_of,
    gateway,
    http_plan,
    memory_mib,
    request,
    stage,
    with_calls,
    writer,
)

CUSTOMERS, SMOKE_CUSTOMERS = 200, 8
CONNECTIONS = 32
"""Of each gateway."""
MINUTES, SMOKE_SECONDS = 1.0, 0.2
LOOK_SECONDS, SMOKE_LOOK_SECONDS = 2.0, 0.02


async def run(effort: Effort, *, minutes: float = MINUTES) -> Outcome:
    """Put the load on and watch."""
    seconds = SMOKE_SECONDS if effort.is_smoke else minutes * 60
    customers = SMOKE_CUSTOMERS if effort.is_smoke else CUSTOMERS
    every = SMOKE_LOOK_SECONDS if effort.is_smoke else LOOK_SECONDS
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        place = await enter(stage())
        # Flat out the file would fill the disk in a long run; a rewrite is part of it here.
        await place.client.config_set("auto-aof-rewrite-percentage", 100)
        gateways = [await enter(gateway(place)) for _ in range(2)]
        carrier = await enter(writer(place))
        late = await enter(lateness(place, SELDOM_SECONDS))
        api = await enter(Api(gateways[0].base))
        answers = await with_calls(api, customers)
        plans = [
            msgspec.structs.replace(
                http_plan(served, _requests(half, customers), CONNECTIONS), seconds=seconds
            )
            for half, served in enumerate(gateways)
        ]
        pids = {"gateway 1": gateways[0].pid, "gateway 2": gateways[1].pid}
        pids |= {"writer": carrier, "redis": place.redis_pid}
        watching = asyncio.create_task(_memory(pids, seconds, every))
        tallies = await late.during(_both(plans))
        memory = await watching
        statuses = [one.statuses for one in tallies]
        errors = sum(one.failures for one in tallies)
        tracked = customers + sum(one.get(200, 0) for one in statuses)
        used = sum([await _usage(api, at) for at in range(customers)])
        assert errors or used == events_in_sql(place) == tracked, (
            "a track is missing or there twice"
        )
    return Outcome(
        about=f"two gateways with {CONNECTIONS} connections each and a writer to SQLite for "
        f"{seconds / 60:g} minutes; {tracked:,} tracks, {errors} errors",
        answers=answers,
        figures=[
            Figure("tracks", RATE, [sum(one.rate for one in tallies)]),
            Figure("tracks", "errors", [errors]),
            Figure("tracks", "p99 µs", [max(one.p99_us for one in tallies)]),
            *late.figures("tracks"),
            *(
                Figure(name, column, [number])
                for name, found in memory.items()
                for column, number in (("MiB", max(found)), ("grew MiB", _growth(found)))
            ),
        ],
    )


async def _both(plans: list[Plan]) -> list[Tally]:
    return await asyncio.gather(*map(put_on, plans))


async def _memory(pids: dict[str, int], seconds: float, every: float) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in pids}
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for name, pid in pids.items():
            found[name].append(memory_mib(pid))
        await asyncio.sleep(every)
    return found


def _growth(found: list[float]) -> float:
    fifth = max(1, len(found) // 5)
    return max(found[-fifth:]) - max(found[fifth : 2 * fifth] or found)


def _requests(half: int, customers: int) -> list[list[bytes]]:
    return [[request("balances.track", call_of(at))] for at in range(half, customers, 2)]


async def _usage(api: Api, at: int) -> int:
    answer = await api.call("balances.check", **call_of(at))
    return int(answer["balance"]["usage"])
