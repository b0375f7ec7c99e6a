"""One run: start everything, kill under load, let it recover, compare everything."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import redis
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from gateway.keys import customer_keys, outbox_key
from tests.torture import checker, views
from tests.torture.client import RETRY_SECONDS, Client
from tests.torture.fleet import SETTINGS, Fleet
from tests.torture.kills import Killer
from tests.torture.ledger import Ledger, Outcome, shown
from tests.torture.load import Load
from tests.torture.processes import pause

Json: TypeAlias = dict[str, Any]
Tell: TypeAlias = Callable[[str], None]

PARTITIONS = int(SETTINGS["TALLYGATE_PARTITIONS"])
CLIENTS = 8
CAUGHT_UP_SECONDS = 120.0
STARTS_SHOWN_MAX = 5
COMMAND_SECONDS = 300.0
VERIFY_SHOWN_MAX = 2000
"""Characters of its output that are told."""
REST_SECONDS = 900.0
"""What starting, recovering and comparing may take in all, beside the load."""


class Plan(NamedTuple):
    """What a run does."""

    seed: int
    seconds: float
    gateways: int = 2
    writers: int = 2
    clients: int = CLIENTS
    keep: bool = False
    """Whether the folder stays even if all went well."""
    rest_seconds: float = 0.0
    """What a client rests at most between two things it does; 0 is flat out."""


class Result(NamedTuple):
    """How a run went: ``line`` says it in one line, ``faults`` is empty when all is well."""

    line: str
    faults: list[str]
    ledger: Ledger
    kills: Counter[str]


async def run(plan: Plan, tell: Tell) -> Result:
    """Run a plan to its end, which comes in a bounded time, and leave no process behind.

    The folder with the data and the logs stays when anything went wrong, and is told.
    """
    folder = Path(tempfile.mkdtemp(prefix="tg-torture-"))
    tell(f"seed {plan.seed}, {plan.seconds:.0f} s, data in {folder}")
    result = None
    try:
        async with asyncio.timeout(plan.seconds + REST_SECONDS):
            result = await _run(plan, folder, tell)
    finally:
        if result is not None and not result.faults and not plan.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            tell(f"data and logs are kept in {folder}")
    return result


async def _run(plan: Plan, folder: Path, tell: Tell) -> Result:
    ledger = Ledger()
    async with _started(Fleet(folder, writers=plan.writers, gateways=plan.gateways)) as fleet:
        load = Load(
            fleet.urls,
            ledger,
            seed=plan.seed,
            clients=plan.clients,
            rest_seconds=plan.rest_seconds,
        )
        await load.prepare()
        killer = Killer(fleet.parts, plan.seed, tell, start_seconds=fleet.start_seconds)
        faults = ledger.faults
        try:
            await _torture(plan, fleet, load, killer)
            tell("no more kills; comparing")
            faults += await _compare(fleet, load, tell)
        except AssertionError as error:  # something was not ready in time, or did not answer
            faults.append(str(error))
        faults += [f"{one.name} ended by itself: {one}" for one in fleet.exits() if one.was_ready]
        faults += fleet.log_lines("run tallygate verify")
        await asyncio.to_thread((folder / "faults.txt").write_text, "\n".join(faults))
        tell(_table(ledger))
        failed = Counter(one.last_line for one in fleet.exits() if not one.was_ready)
        for line, count in failed.most_common(STARTS_SHOWN_MAX):
            tell(f"{count} starts failed: {line}")
        return Result(_line(plan, killer, ledger, faults), faults, ledger, killer.counts())


@contextlib.asynccontextmanager
async def _started(fleet: Fleet) -> AsyncIterator[Fleet]:
    try:
        await fleet.start()
        yield fleet
    finally:
        await fleet.stop()


async def _torture(plan: Plan, fleet: Fleet, load: Load, killer: Killer) -> None:
    """Kill under load for as long as the plan says; return when every call has ended."""
    stopping = asyncio.Event()
    clients = asyncio.create_task(load.run())
    kills = asyncio.create_task(killer.run(stopping))
    try:
        await pause(stopping, plan.seconds)
        stopping.set()
        await kills
        await fleet.recovered()
        load.stop()
        await asyncio.wait([clients], timeout=RETRY_SECONDS * 2)
    finally:
        stopping.set()
        load.abandon()
        kills.cancel()
        await asyncio.gather(clients, kills, return_exceptions=True)
    clients.result()


async def _compare(fleet: Fleet, load: Load, tell: Tell) -> list[str]:
    engine = create_engine(fleet.database_url, poolclass=NullPool)
    try:
        return await _compare_with(fleet, load, engine, tell)
    finally:
        engine.dispose()


async def _compare_with(fleet: Fleet, load: Load, engine: Engine, tell: Tell) -> list[str]:
    with redis.Redis.from_url(fleet.redis_url) as client:
        late = "the writer has not caught up"
        await fleet.until(lambda: _caught_up(client, engine), CAUGHT_UP_SECONDS, late)
        faults = await asyncio.to_thread(_compare_sql, load.ledger, engine)
        # Without a writer nobody evicts what is to be compared.
        if not await fleet.retire("writer"):
            faults.append("a writer did not end when it was asked to")
        with engine.connect() as connection:
            sums = views.read_sums(connection)
            entities = _live_entities(engine)
        before = await _views(fleet, load.ledger, entities)
        for customer, (whole, parts) in before.items():
            faults += views.check_views(sums, customer, whole, parts)
        for customer in load.customers:
            faults += views.check_top_ups(load.ledger, customer, before[customer][0])
        code, output = await fleet.run_command("verify", seconds=COMMAND_SECONDS)
        tell(f"tallygate verify: {output[-VERIFY_SHOWN_MAX:]}")
        if code != 0:
            faults.append(f"tallygate verify ended with {code}")
        for customer in entities:
            client.unlink(*customer_keys("sandbox", customer, PARTITIONS).own[:5])
        after = await _views(fleet, load.ledger, entities)
        faults += [
            f"{customer} is another one when it comes back from SQL: {before[customer]} was before,"
            f" {after[customer]} is after"
            for customer in entities
            if before[customer] != after[customer]
        ]
        return faults


def _compare_sql(ledger: Ledger, engine: Engine) -> list[str]:
    with engine.connect() as connection:
        found = checker.read(connection)
        return [*checker.check_operations(ledger, found), *checker.recount(connection)]


def _caught_up(client: redis.Redis, engine: Engine) -> bool:
    """Return whether every cursor is at the end of its stream."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT partition, stream_id FROM cursors"))
        cursors = {row.partition: row.stream_id for row in rows}
    ends = ((at, client.xrevrange(outbox_key(at), count=1)) for at in range(PARTITIONS))
    newest: Iterator[tuple[int, Any]] = ((at, end) for at, end in ends if end)
    return all(cursors.get(at) == end[0][0].decode() for at, end in newest)


def _live_entities(engine: Engine) -> dict[str, list[str]]:
    """Return every customer with the entities it has."""
    statement = """
        SELECT c.id, e.entity_id FROM customers c
        LEFT JOIN entities e ON e.internal_id = c.internal_id AND e.deleted_at IS NULL
        WHERE c.deleted_at IS NULL ORDER BY c.id, e.number"""
    entities: dict[str, list[str]] = {}
    with engine.connect() as connection:
        for row in connection.execute(text(statement)):
            found = entities.setdefault(row.id, [])
            if row.entity_id is not None:
                found.append(row.entity_id)
    return entities


async def _views(
    fleet: Fleet, ledger: Ledger, entities: dict[str, list[str]]
) -> dict[str, tuple[Json, dict[str, Json]]]:
    """Return what the gateways show of every customer and of its entities."""
    client = Client(fleet.urls, ledger, random.Random(0), asyncio.Event())
    try:
        shown = {}
        for customer, names in entities.items():
            whole = await _get(client, "customers.get", customer_id=customer)
            parts = {
                name: await _get(client, "entities.get", customer_id=customer, entity_id=name)
                for name in names
            }
            shown[customer] = (whole, parts)
        return shown
    finally:
        await client.close()


async def _get(client: Client, name: str, **body: str) -> Json:
    answer = await client.call(name, body)
    assert answer.body is not None, f"{name} {body}: {answer.code}"
    return answer.body


def _table(ledger: Ledger) -> str:
    counts = ledger.counts()
    kinds = sorted({kind for kind, _ in counts})
    lines = [f"{'operation':22}{'acknowledged':>14}{'refused':>10}{'unknown':>10}"]
    for kind in kinds:
        done, refused, unknown = (counts[kind, outcome] for outcome in Outcome)
        lines.append(f"{kind:22}{done:14}{refused:10}{unknown:10}")
    answers = ", ".join(f"{name}: {count}" for name, count in ledger.attempts.most_common())
    return "\n".join([*lines, f"requests and answers: {answers}"])


def _line(plan: Plan, killer: Killer, ledger: Ledger, faults: list[str]) -> str:
    totals, kills = ledger.totals(), killer.counts()
    of_kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(kills.items()))
    verdict = "clean" if not faults else f"{len(faults)} FAULTS"
    return (
        f"torture seed={plan.seed} seconds={plan.seconds:.0f} kills={kills.total()} ({of_kinds})"
        f" operations={totals.total()} acknowledged={totals[Outcome.ACKNOWLEDGED]}"
        f" refused={totals[Outcome.REFUSED]} unknown={totals[Outcome.UNKNOWN]}"
        f" replayed={ledger.attempts['replayed']} longest_outage={ledger.outage_seconds:.1f}s"
        f" from={ledger.outage_at:.1f}s"
        f" result={verdict}"
    )


def report(result: Result, tell: Tell) -> None:
    """Tell the faults, and the one line."""
    for fault in shown(result.faults):
        tell(f"FAULT {fault}")
    tell(result.line)
