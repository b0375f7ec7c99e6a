"""What a script costs the server, with 1 and with 20,000 entities under the customer.

The figure is microseconds of server time for a call, from INFO commandstats, so neither the network
nor this client counts. Rounds alternate between the two customers, so that a noisy neighbour meets
both; the table shows the median round and the ratio of the medians. Before anything is timed the
big customer's first half of the entities is drained one by one at entity level, the hard case for
finding the first-created entity with something left.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from redis.asyncio import Redis

from gateway.embedded import EmbeddedServer
from gateway.keys import customer_keys
from gateway.rows import Kind, Row, encode_rows
from gateway.scripts import (
    CheckReply,
    Context,
    FeatureRows,
    Part,
    Scripts,
    Status,
    TrackReply,
    Use,
)

PARTITIONS = 64
UNIT = 10**6
NOW_MS = 1_763_000_000_000
MONTH_MS = 30 * 86_400_000
GRANT = 100_000 * UNIT


class Line(msgspec.Struct, frozen=True):
    """One operation: median microseconds of a call at each size."""

    operation: str
    few_us: float
    many_us: float

    @property
    def ratio(self) -> float:
        """How much more the big customer costs."""
        return self.many_us / self.few_us


class Result(msgspec.Struct, frozen=True):
    """The table, and a hash of what the scripts answered."""

    entities: int
    rounds: int
    calls: int
    lines: list[Line]
    answers: str

    def table(self) -> str:
        """Return the table as text."""
        rows = [
            f"script time in µs per call, median of {self.rounds} rounds of {self.calls} calls",
            f"{'operation':<28}{'1 entity':>12}{f'{self.entities:,}':>12}{'ratio':>8}",
        ]
        rows += [
            f"{line.operation:<28}{line.few_us:>12.1f}{line.many_us:>12.1f}{line.ratio:>8.2f}"
            for line in self.lines
        ]
        return "\n".join([*rows, f"answers {self.answers}"])


Call = Callable[[str], Awaitable[CheckReply | TrackReply]]


async def run(smoke: bool) -> Result:  # noqa: FBT001 - every bench takes this one switch
    """Measure check and track at both levels."""
    entities, rounds, calls = (50, 2, 20) if smoke else (20_000, 9, 1_000)
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder))
        try:
            client = Redis.from_url(server.start())
            async with client:
                return await _measure(client, entities, rounds, calls)
        finally:
            server.stop()


async def _measure(client: Redis, entities: int, rounds: int, calls: int) -> Result:
    scripts = Scripts(client)
    await scripts.load()
    await _prepare(scripts, "few", 1)
    await _prepare(scripts, "many", entities)
    operations = _operations(scripts)
    digest = hashlib.sha256()
    lines = []
    for name, call in operations.items():
        samples: dict[str, list[float]] = {"few": [], "many": []}
        for _ in range(rounds):
            for customer, times in samples.items():
                await client.config_resetstat()
                for _ in range(calls):
                    answer = await call(customer)
                    assert answer.status is Status.DONE, answer
                    digest.update(repr(answer).encode())
                times.append(await _microseconds(client))
        medians = {customer: statistics.median(times) for customer, times in samples.items()}
        lines.append(Line(name, medians["few"], medians["many"]))
    return Result(entities, rounds, calls, lines, digest.hexdigest()[:12])


def _operations(scripts: Scripts) -> dict[str, Call]:
    def check(entity: str) -> Call:
        return lambda customer: scripts.check(
            customer_keys("sandbox", customer, PARTITIONS), NOW_MS, entity, Part("summaries", UNIT)
        )

    def track(entity: str) -> Call:
        use = Use(entity, [Part("summaries", 1)], NOW_MS)
        return lambda customer: scripts.track(_context(customer), use)

    return {
        "check, entity level": check("seat_1"),
        "check, customer level": check(""),
        "track, entity level": track("seat_1"),
        "track, customer level": track(""),
    }


def _context(customer: str) -> Context:
    return Context(
        customer_keys("sandbox", customer, PARTITIONS), "sandbox", customer, "req_bench", NOW_MS
    )


async def _prepare(scripts: Scripts, customer: str, entities: int) -> None:
    seats = Row(id="seats", kind=Kind.SHARED, grant=entities * UNIT, flags="af", rank="1")
    summaries = Row(
        id="summaries",
        kind=Kind.PER_ENTITY,
        grant=GRANT,
        unit="m",
        every=1,
        anchor_ms=NOW_MS,
        entity_feature="seats",
        rank="1",
    )
    await scripts.create_customer(
        _context(customer),
        "0-0",
        f"cus_{customer}",
        '{"created_at":0}',
        "[]",
        "",
        "",
        [
            FeatureRows("seats", encode_rows([seats]), "0", UNIT),
            FeatureRows("summaries", encode_rows([summaries]), str(NOW_MS + MONTH_MS), UNIT),
        ],
    )
    names = [f"seat_{number}" for number in range(1, entities + 1)]
    for name in reversed(names[1:]):  # seat_1 last: it must not be the first in creation order
        await scripts.create_entity(_context(customer), name, "seats", "{}", UNIT, 10**6)
    await scripts.create_entity(_context(customer), names[0], "seats", "{}", UNIT, 10**6)
    for name in names[len(names) // 2 + 1 :]:
        await scripts.track(_context(customer), Use(name, [Part("summaries", GRANT)], NOW_MS))


async def _microseconds(client: Redis) -> float:
    stats = await client.info("commandstats")
    calls = [stats[name] for name in ("cmdstat_evalsha", "cmdstat_evalsha_ro") if name in stats]
    return float(sum(one["usec"] for one in calls) / sum(one["calls"] for one in calls))
