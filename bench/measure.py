"""Rounds: every way in turn, again and again, so that a noisy neighbour meets all of them."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec
from redis.asyncio import Redis

from bench.load import QUANTILES, Plan, Tally, put_on
from bench.results import RATE, Curve, Figure
from bench.stage import PARTITIONS, cpu_seconds
from gateway.keys import outbox_key


class Effort(msgspec.Struct, frozen=True):
    """How long and how often something is measured."""

    rounds: int
    seconds: float
    warm_up_seconds: float

    @property
    def is_smoke(self) -> bool:
        """Whether the figures mean nothing and only the way there counts."""
        return self.rounds == 1


SMOKE = Effort(1, 0.1, 0.05)
SHORT = Effort(3, 0.7, 0.15)
FULL = Effort(5, 2.0, 0.3)


Load = Callable[[Plan], Awaitable[Tally]]
"""Carries out a plan."""


class Way(msgspec.Struct, frozen=True):
    """Something that answers, and the process whose time counts."""

    name: str
    plan: Plan
    pid: int
    units: int = 1
    """What one answer stands for; a batch is as many calls as it holds."""
    load: Load = put_on


class Sample(msgspec.Struct, frozen=True):
    """One round of one way; times are for each call."""

    tally: Tally
    units: int
    cpu_us: float
    """Of the process."""
    script_us: float
    """Of the functions, on the server."""

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.tally.reached * self.units


Samples = dict[str, list[Sample]]
COLUMNS: dict[str, Callable[[Sample], float]] = {
    RATE: lambda one: one.rate,
    "p50 µs": lambda one: one.tally.p50_us,
    "p99 µs": lambda one: one.tally.p99_us,
    "CPU µs": lambda one: one.cpu_us,
    "script µs": lambda one: one.script_us,
}


async def measure(client: Redis, ways: Sequence[Way], effort: Effort) -> Samples:
    """Measure every way once a round."""
    found: Samples = {}
    tags = itertools.count()
    for _ in range(effort.rounds):
        for way in ways:
            sample = await _sample(client, way, effort, next(tags))
            found.setdefault(way.name, []).append(sample)
        await _forget_outbox(client)
    return found


async def _sample(client: Redis, way: Way, effort: Effort, tag: int) -> Sample:
    plan = msgspec.structs.replace(
        way.plan, seconds=effort.seconds, warm_up_seconds=effort.warm_up_seconds, tag=tag
    )
    await client.config_resetstat()
    spent = cpu_seconds(way.pid)
    tally = await way.load(plan)
    spent = cpu_seconds(way.pid) - spent
    assert not tally.failures, f"{way.name}: {tally.statuses}"
    calls = max(1, sum(tally.statuses.values())) * way.units
    script_us = await script_microseconds(client)
    return Sample(tally, way.units, spent * 1e6 / calls, script_us / calls)


async def script_microseconds(client: Redis) -> float:
    """Return the time the server took for functions since its counters were reset."""
    stats = await client.info("commandstats")
    names = ("cmdstat_fcall", "cmdstat_fcall_ro")
    return float(sum(stats[name]["usec"] for name in names if name in stats))


async def _forget_outbox(client: Redis) -> None:
    """Empty the streams: there is no writer, and memory would grow from round to round."""
    async with client.pipeline(transaction=False) as pipe:
        for partition in range(PARTITIONS):
            pipe.execute_command("XTRIM", outbox_key(partition), "MAXLEN", "=", 0)
        await pipe.execute()


def figures(found: Samples) -> Iterator[Figure]:
    """Yield the figures of some samples."""
    for name, samples in found.items():
        for column, pick in COLUMNS.items():
            yield Figure(name, column, [pick(one) for one in samples])


def ratio(
    found: Samples, name: str, other: str, pick: Callable[[Sample], float] = COLUMNS[RATE]
) -> float:
    """Return the median over the rounds of one way's number by another's."""
    pairs = zip(found[name], found[other], strict=True)
    return statistics.median(share(pick(one), pick(two)) for one, two in pairs)


def share(one: float, other: float) -> float:
    """Return one number by another, which is 0 of a load in whose time nothing ran."""
    return one / (other or 1e-9)


def median(found: Samples, name: str, pick: Callable[[Sample], float] = COLUMNS[RATE]) -> float:
    """Return the median over the rounds."""
    return statistics.median(pick(one) for one in found[name])


def tail(name: str, tally: Tally) -> Curve:
    """Return how many requests took longer than so many milliseconds."""
    points = zip(tally.latency_us, QUANTILES, strict=True)
    shares = [(latency / 1000, 1 - part) for latency, part in points if part < 1]
    return Curve("Latency", "ms", "share of the requests that took longer", name, shares)
