"""What a script costs the server, with 1 and with 20,000 entities under the customer, with 1 and 10
balances, with and without a usage limit, credits, an idempotency key and a lock; and how many times
what the least such script costs (``least_scripts``).

The figure is microseconds of server time for an operation, from INFO commandstats, so neither the
network nor this client counts. Rounds alternate between the two customers, so that a noisy
neighbour meets both; the table shows the median round and the ratio of the medians. Before anything
is timed the big customer's first half of the entities is drained one by one at entity level, the
hard case for finding the first-created entity with something left.

The real and the least script take turns, 50 calls each: one by one, so that the server wakes up for
each, and all at once, as those of a busy gateway arrive. The best turn of a round counts, since
whatever else runs on the machine only adds, and of the rounds the median ratio.
"""

from __future__ import annotations

import hashlib
import itertools
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from redis.asyncio import Redis

from bench.least_scripts import least_library
from bench.results import Bar
from gateway.embedded.server import EmbeddedServer
from gateway.keys import customer_keys, partition_of, reply_key
from gateway.lifecycle.rules import Window
from gateway.rows import Kind, Row, encode_rows
from gateway.scripts import (
    CheckReply,
    Context,
    Ending,
    FeatureRows,
    Hold,
    Idempotency,
    Part,
    Pool,
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
    """One operation: median microseconds at each size."""

    operation: str
    few_us: float
    many_us: float

    @property
    def ratio(self) -> float:
        """How much more the big customer costs."""
        return self.many_us / self.few_us


class Share(msgspec.Struct, frozen=True):
    """One operation beside the least script for it: median microseconds of each, called one by one
    and in bursts, and the median ratios.
    """

    operation: str
    alone_us: float
    alone_least_us: float
    alone_ratio: float
    burst_us: float
    burst_least_us: float
    burst_ratio: float


class Result(msgspec.Struct, frozen=True):
    """The tables, and a hash of what the scripts answered."""

    entities: int
    rounds: int
    calls: int
    lines: list[Line]
    shares: list[Share]
    answers: str

    def table(self) -> str:
        """Return the table as text."""
        rows = [
            f"script time in µs, median of {self.rounds} rounds of {self.calls} operations",
            f"{'operation':<36}{'1 entity':>12}{f'{self.entities:,}':>12}{'ratio':>8}",
        ]
        rows += [
            f"{line.operation:<36}{line.few_us:>12.1f}{line.many_us:>12.1f}{line.ratio:>8.2f}"
            for line in self.lines
        ]
        heads = ("one by one", "least", "ratio", f"{BURST} at once", "least", "ratio")
        rows += ["", f"{'beside the least script':<28}" + "".join(f"{head:>12}" for head in heads)]
        rows += [
            f"{share.operation:<28}{share.alone_us:>12.1f}{share.alone_least_us:>12.1f}"
            f"{share.alone_ratio:>12.2f}{share.burst_us:>12.1f}{share.burst_least_us:>12.1f}"
            f"{share.burst_ratio:>12.2f}"
            for share in self.shares
        ]
        return "\n".join([*rows, f"answers {self.answers}"])

    def bars(self) -> Iterator[Bar]:
        """Hold the ratios against what they have to be."""
        for line in self.lines:
            name = f"{line.operation}, {self.entities:,} / 1 entities"
            yield Bar(name, line.ratio, 1.2, 1.0)
        for share in self.shares:
            stretch = 1.2 if share.operation.startswith("check") else 1.25
            for how, ratio in (("alone", share.alone_ratio), ("at once", share.burst_ratio)):
                yield Bar(f"{share.operation} / the least, {how}", ratio, 1.5, stretch)


Words = tuple[Any, ...]
Call = Callable[[str], Awaitable[CheckReply | TrackReply]]

CREDITS = (Pool("credits", 1, 5),)
PLAIN = Part("calls", 1)
PER_ENTITY = Part("summaries", 1)
BURST = 50
"""Calls that reach the server together."""
LEAST = {
    "check, one balance": "least_check",
    "check, entity level": "least_check_slot",
    "track, one balance": "least_track",
    "track, entity level": "least_track_slot",
}
"""The least script for an operation."""
KEPT_MS = 1_000_000
"""How long what a bench leaves behind is kept."""


async def run(smoke: bool) -> Result:  # noqa: FBT001 - every bench takes this one switch
    """Measure check, track and finalize."""
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
                times.append(await _microseconds(client) / calls)
        medians = {customer: statistics.median(times) for customer, times in samples.items()}
        lines.append(Line(name, medians["few"], medians["many"]))
    shares = [
        await _share(client, operation, least, rounds, max(calls // (2 * BURST), 1))
        for operation, least in LEAST.items()
    ]
    return Result(entities, rounds, calls, lines, shares, digest.hexdigest()[:12])


async def _share(client: Redis, operation: str, least: str, rounds: int, bursts: int) -> Share:
    """Compare one operation with the least script for it."""
    await client.function_load(least_library(GRANT), replace=True)
    words = await _words(client, operation)
    scripts = (words, (words[0], least, *words[2:]))
    send: Any = client.execute_command

    async def alone(words: Words) -> None:
        for _ in range(BURST):
            await send(*words)

    async def together(words: Words) -> None:
        async with client.pipeline(transaction=False) as pipe:
            for _ in range(BURST):
                pipe.execute_command(*words)
            await pipe.execute()

    figures: list[float] = []
    for way in (alone, together):
        best: list[list[float]] = [[], []]
        for _ in range(rounds):
            times: list[list[float]] = [[], []]
            for _ in range(bursts):
                for place, script in enumerate(scripts):
                    await client.config_resetstat()
                    await way(script)
                    times[place].append(await _microseconds(client) / BURST)
            for place, found in enumerate(times):
                best[place].append(min(found))
        ratios = [real / floor for real, floor in zip(*best, strict=True)]
        figures += (*map(statistics.median, best), statistics.median(ratios))
    return Share(operation, *figures)


async def _words(client: Redis, operation: str) -> Words:
    """Return the command an operation sends."""
    sent: list[Words] = []
    send: Any = client.execute_command

    async def keep(*words: Any) -> Any:  # noqa: ANN401 - a command is words, a reply is anything
        sent.append(words)
        return await send(*words)

    kept: Any = SimpleNamespace(execute_command=keep)
    await _operations(Scripts(kept))[operation]("few")
    return sent[-1]


def _operations(scripts: Scripts) -> dict[str, Call]:
    numbers = itertools.count()

    def check(part: Part, entity: str = "") -> Call:
        return lambda customer: scripts.check(_context(customer).keys, NOW_MS, entity, part)

    def track(part: Part, entity: str = "") -> Call:
        use = Use(entity, [part], NOW_MS)
        return lambda customer: scripts.track(_context(customer), use)

    def track_once(customer: str) -> Awaitable[TrackReply]:
        claim = f"bench {next(numbers)}"
        key = reply_key("sandbox", customer, _partition(customer), claim)
        kept = Idempotency(key, "fingerprint", KEPT_MS)
        return scripts.track(_context(customer), Use("", [PLAIN], NOW_MS, idempotency=kept))

    async def lock_and_finalize(customer: str) -> TrackReply:
        hold = Hold(f"{customer}_{next(numbers)}", NOW_MS + KEPT_MS)
        reply = await scripts.track(_context(customer), Use("", [PLAIN], NOW_MS, hold=hold))
        ending = Ending(hold.lock_id, "confirm", KEPT_MS)
        status, _ = await scripts.finalize(_context(customer), ending, PLAIN)
        assert status is Status.DONE, status
        return reply

    return {
        "check, one balance": check(PLAIN),
        "check, ten balances": check(Part("tens", 1)),
        "check, entity level": check(PER_ENTITY, "seat_1"),
        "check, customer level": check(PER_ENTITY),
        "track, one balance": track(PLAIN),
        "track, ten balances": track(Part("tens", 1)),
        "track, one balance, usage limit": track(Part("capped", 1)),
        "track, credits pay": track(Part("words", 5, CREDITS)),
        "track, entity level": track(PER_ENTITY, "seat_1"),
        "track, customer level": track(PER_ENTITY),
        "track, idempotency key": track_once,
        "track a lock, then finalize": lock_and_finalize,
    }


def _partition(customer: str) -> int:
    return partition_of("sandbox", customer, PARTITIONS)


def _context(customer: str) -> Context:
    return Context(
        customer_keys("sandbox", customer, PARTITIONS), "sandbox", customer, "req_bench", NOW_MS
    )


async def _prepare(scripts: Scripts, customer: str, entities: int) -> None:
    seats = Row(id="seats", kind=Kind.SHARED, grant=entities * UNIT, flags="af", rank="1")
    monthly: dict[str, list[Row]] = {
        "summaries": [_row("summaries", kind=Kind.PER_ENTITY, entity_feature="seats")],
        "tens": [_row(f"ten_{number}") for number in range(10)],
        **{feature: [_row(feature)] for feature in ("calls", "capped", "credits")},
    }
    limit = Window("", GRANT, "m", 1, NOW_MS, "{}").line
    await scripts.create_customer(
        _context(customer),
        "0-0",
        f"cus_{customer}",
        '{"created_at":0}',
        "[]",
        "",
        f"capped\x1f{limit}",
        [
            FeatureRows("seats", encode_rows([seats]), "0", UNIT),
            *(
                FeatureRows(
                    feature, encode_rows(rows), " ".join([str(NOW_MS + MONTH_MS)] * len(rows)), UNIT
                )
                for feature, rows in monthly.items()
            ),
        ],
    )
    names = [f"seat_{number}" for number in range(1, entities + 1)]
    for name in reversed(names[1:]):  # seat_1 last: it must not be the first in creation order
        await scripts.create_entity(_context(customer), name, "seats", "{}", UNIT, 10**6)
    await scripts.create_entity(_context(customer), names[0], "seats", "{}", UNIT, 10**6)
    for name in names[len(names) // 2 + 1 :]:
        await scripts.track(_context(customer), Use(name, [Part("summaries", GRANT)], NOW_MS))


def _row(row_id: str, **columns: Any) -> Row:  # noqa: ANN401 - columns of a row
    given: dict[str, Any] = {"kind": Kind.SHARED, "unit": "m", "every": 1, "anchor_ms": NOW_MS}
    return Row(**given | {"id": row_id, "grant": GRANT, "rank": row_id} | columns)


async def _microseconds(client: Redis) -> float:
    stats = await client.info("commandstats")
    names = ("cmdstat_fcall", "cmdstat_fcall_ro")
    return float(sum(stats[name]["usec"] for name in names if name in stats))
