"""How long the reports take over ten million events on PostgreSQL, and whether they are right.

The rows are made by SQL (``generate_series``, a fixed seed), not tracked: a tenth of the customers
have nearly half of the events, half of the events name one of twenty seats, over 90 days. Sums by
day are made by the writer's own statement (``persistence.rollups``). The large tables are not
logged, which makes them faster to fill and no faster to read.

Each report is read as ``tallygate report`` reads it: whole, of the largest customer, and of a
feature within 30 days. Then its numbers are compared with a recount of the rows behind them: usage
of the largest and of random customers with their events, top consumers with all events of 30 days,
seats, overage and denials with their tables. A difference, or a plan that reads the events, raises.

``python -m bench.reports --events 100000`` takes another size, ``--database-url`` a server of
yours, whose database has to be empty; without it one is started from the wheel the tests use.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import re
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import click
import msgspec
from sqlalchemy import BigInteger, Connection, Engine, TextClause, bindparam, text
from sqlalchemy.dialects import postgresql

from bench.servers import postgres
from persistence.database import EngineOptions, make_engine, write_transaction
from persistence.migrate import upgrade
from persistence.models import Base
from persistence.reports import REPORTS, Filters, Report, read, statement_of
from persistence.rollups import usage_sums

EVENTS = 10_000_000
SMOKE_EVENTS = 20_000
EVENTS_EACH = 1_000
"""Events of a customer, on average."""

SEATS = 20
ROUNDS = 5
SAMPLE = 10
TODAY = date(2026, 11, 20)
TODAY_MS = 1_795_132_800_000
DAY_MS = 86_400_000
SECONDS_MAX = 1.0
PRECISIONS = {"credits": 9, "messages": 6, "seats": 6, "tokens": 0}

_FILL = (
    """
    INSERT INTO customers (internal_id, env, id, document, created_at, seq, counter, number_max,
        applied_ms)
    SELECT 'int_' || n, 'live', 'cus_' || n, '{}', :today - 90 * :day, 1, 1, 20, 0
    FROM generate_series(1, :customers) n""",
    """
    INSERT INTO entities (internal_id, number, env, entity_id, feature_id, document, created_at,
        deleted_at, seq)
    SELECT 'int_' || n, e, 'live', 'seat_' || e, 'seats', '{}', :today - (n + e) % 90 * :day,
        CASE WHEN (n + e) % 10 = 0 THEN :today END, 1
    FROM generate_series(1, :customers) n, generate_series(1, :seats) e""",
    """
    INSERT INTO balances (internal_id, id, entity_id, feature_id, kind, interval_count, granted,
        used, unlimited, period, due_ms, expires_ms, entity_feature, line, created_at, seq)
    SELECT 'int_' || n, 'bal_' || feature, '', feature, kind, 1, granted, used, feature = 'credits',
        1, 0, 0, 'seats',
        concat_ws(chr(9), 'bal_' || feature, kind, granted, '', '', 0, 0, 0, '', '', 'seats', ''),
        0, 1
    FROM generate_series(1, :customers) n, LATERAL (VALUES
        ('messages', 'c', 50000000, n % 100 * 510000), ('credits', 'c', 0, n),
        ('seats', 'c', 15000000, 18000000), ('tokens', 'p', 100, 0)
    ) b (feature, kind, granted, used)""",
    """
    INSERT INTO slots (internal_id, entity_id, balance_id, feature_id, period, used, seq)
    SELECT 'int_' || n, 'seat_' || e, 'bal_tokens', 'tokens', 1, (n * e) % 105, 1
    FROM generate_series(1, :customers) n, generate_series(1, :seats) e WHERE (n + e) % 10 > 0""",
    """
    INSERT INTO locks (internal_id, lock_id, feature_id, entity_id, state, units, receipt,
        expires_at, created_at, seq)
    SELECT 'int_' || n, 'job_' || n, 'messages', '', 'open', n, '', :today + :day, :today - n, 1
    FROM generate_series(1, :customers) n""",
    """
    INSERT INTO denials_daily (customer_id, env, day, feature_id, operation, denied)
    SELECT 'cus_' || n, 'live', date '2026-11-20' - d, 'messages', operation, 1 + (n + d) % 7
    FROM generate_series(1, :customers) n, generate_series(0, 29) d,
        (VALUES ('check'), ('track')) o (operation)""",
    """
    INSERT INTO cursors (partition, stream_id, updated_at_ms, applied, owner, epoch, seen_id)
    SELECT p, :today || '-0', :today, 1, 'wri_1', 1, :today + p || '-0'
    FROM generate_series(0, 63) p""",
    """
    INSERT INTO incidents (id, kind, from_id, to_id, reseeded, run_id, detail, at_ms)
    SELECT 'inc_' || n, 'redis_behind', :today || '-0', :today || '-9', n, '', '', :today + n
    FROM generate_series(1, 1000) n""",
    # A third power puts many events on few customers; a late event is as likely as any other.
    """
    INSERT INTO events (id, env, internal_id, customer_id, entity_id, feature_id, event_name, kind,
        value, applied, properties, timestamp_ms, recorded_at_ms, request_id, seq)
    SELECT 'evt_p00_' || :today + n || '-0', 'live', 'int_' || customer, 'cus_' || customer,
        CASE WHEN seat > 0 THEN 'seat_' || seat ELSE '' END,
        (ARRAY['credits', 'messages', 'tokens'])[1 + n % 3], '', 'track', units, units - n % 2,
        '{"region": "eu"}', at_ms, at_ms, 'req_' || n, n
    FROM (
        SELECT n, 1 + floor(:customers * power(random(), 3))::int AS customer,
            greatest(0, floor(random() * 2 * :seats)::int - :seats) AS seat,
            1 + floor(random() * 5000000)::bigint AS units,
            :today + :day - 1 - floor(random() * 90 * :day)::bigint AS at_ms
        FROM generate_series(1, :events) n
    ) made""",
)
_USAGE = """
    SELECT 'live', customer_id, nullif(entity_id, ''), feature_id,
        to_char(to_timestamp(timestamp_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD'), count(*),
        sum(applied), sum(value)
    FROM events WHERE internal_id = 'int_' || substr(:customer, 5) GROUP BY 1, 2, 3, 4, 5"""
_TOP = """
    SELECT customer_id, count(*), sum(applied), sum(value) FROM events
    WHERE feature_id = 'messages' AND timestamp_ms >= :today - 29 * :day
    GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 10"""
_SEATS = """
    SELECT count(*) FROM entities WHERE internal_id = 'int_' || substr(:customer, 5)
        AND created_at < :today + :day AND (deleted_at IS NULL OR deleted_at >= :today + :day)"""
_OVERAGE = """
    SELECT (SELECT count(*) FROM balances WHERE kind = 'c' AND NOT unlimited AND used > granted)
        + (SELECT count(*) FROM slots s JOIN entities e USING (internal_id, entity_id)
            WHERE s.used > 100 AND e.deleted_at IS NULL)"""


class Timing(msgspec.Struct, frozen=True):
    """One report: what was asked, how many rows came, and the slowest of the rounds."""

    report: str
    asked: str
    rows: int
    seconds: float


class Result(msgspec.Struct, frozen=True):
    """How long each report took, and a hash of what they said."""

    events: int
    daily_rows: int
    fill_seconds: float
    timings: list[Timing]
    compared: int
    answers: str

    def table(self) -> str:
        """Return the result as text."""
        lines = [
            f"{self.events:,} events, {self.daily_rows:,} sums, made in {self.fill_seconds:.0f} s",
            "",
            "| report | asked | rows | slowest of 5, ms |",
            "|---|---|---|---|",
            *(
                f"| {one.report} | {one.asked} | {one.rows:,} | {one.seconds * 1000:.0f} |"
                for one in self.timings
            ),
            "",
            f"{self.compared:,} numbers equal to a recount",
            f"answers {self.answers}",
        ]
        return "\n".join(lines)


async def run(smoke: bool) -> Result:  # noqa: FBT001 - every bench takes this one switch
    """Fill a database, read every report, recount."""
    return await asyncio.to_thread(measure, SMOKE_EVENTS if smoke else EVENTS)


def measure(events: int, url: str = "") -> Result:
    """Measure on a database of so many events. Raises ``AssertionError`` for a wrong number."""
    with contextlib.ExitStack() as stack:
        upgrade(url := url or stack.enter_context(postgres()))
        engine = make_engine(url, EngineOptions(statement_timeout_ms=3_600_000))
        stack.callback(engine.dispose)
        began = time.perf_counter()
        daily_rows = _fill(engine, events)
        filled = time.perf_counter() - began
        timings, digest = [], hashlib.sha256()
        for report, asked, filters in _asked():
            rows, seconds = _slowest(engine, report, filters)
            timings.append(Timing(report.name, asked, len(rows), seconds))
            digest.update(repr(rows).encode())
        compared = _recount(engine, max(1, events // EVENTS_EACH))
        return Result(events, daily_rows, filled, timings, compared, digest.hexdigest()[:16])


def _fill(engine: Engine, events: int) -> int:
    """Make every row; return how many sums by day there are."""
    customers = max(1, events // EVENTS_EACH)
    values = {"customers": customers, "events": events, "seats": SEATS}
    values |= {"today": TODAY_MS, "day": DAY_MS}
    tables = Base.metadata.tables
    events_table = tables["events"]
    with write_transaction(engine) as connection:
        connection.execute(text("SELECT setseed(0.42)"))
        connection.execute(text("SET LOCAL work_mem = '256MB'"))
        connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
        # In the order of their keys, the sums fill their indexes from end to end.
        connection.execute(text("SET LOCAL enable_hashagg = off"))
        connection.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))
        for name in ("events", "usage_daily", "usage_daily_totals"):
            connection.execute(text(f"ALTER TABLE {name} SET UNLOGGED"))
        for index in events_table.indexes:
            index.drop(connection)
        _add_features(connection)
        for statement in _FILL:
            connection.execute(_given(statement, values))
        for sums in usage_sums(postgresql.insert, events_table):
            connection.execute(sums)
        for index in events_table.indexes:
            index.create(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        return int(connection.scalar(text("SELECT count(*) FROM usage_daily")) or 0)


def _given(statement: str, values: dict[str, int]) -> TextClause:
    """Return a statement with those of the numbers it names, all of 64 bits."""
    numbers = [
        bindparam(name, value, BigInteger())
        for name, value in values.items()
        if f":{name}" in statement
    ]
    return text(statement).bindparams(*numbers)


def _add_features(connection: Connection) -> None:
    statement = text(
        "INSERT INTO features (env, id, name, type, consumable, precision, scale, in_use, archived,"
        " event_names, document, created_at) VALUES ('live', :id, '', 'metered', true, :precision,"
        " :scale, true, false, '[]', '{}', 0)"
    )
    for name, precision in PRECISIONS.items():
        row = {"id": name, "precision": precision, "scale": 10**precision}
        connection.execute(statement, row)


def _asked() -> Iterator[tuple[Report, str, Filters]]:
    """Yield each report with the ways it is read."""
    since = date(2026, 10, 22)
    for report in REPORTS.values():
        yield report, "all", Filters()
        if "customer_id" in report.columns:
            yield report, "one customer", Filters(customer_id="cus_1")
        if "feature_id" in report.columns:
            feature = "seats" if report.name == "seats" else "messages"
            filters = Filters(env="live", feature_id=feature)
            if report.since:
                yield report, "one feature, 30 days", filters._replace(since=since, until=TODAY)
            else:
                yield report, "one feature", filters


def _slowest(
    engine: Engine, report: Report, filters: Filters
) -> tuple[list[tuple[Any, ...]], float]:
    statement = statement_of(report, filters, report.limit, TODAY, "postgresql")
    compiled = statement.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True})
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN {compiled}".replace("%%", "%"))
        found = "\n".join(line for (line,) in plan)
    assert not re.search(r"\bevents\b", found), f"{report.name} reads the events:\n{found}"
    rows: list[tuple[Any, ...]] = []
    slowest = 0.0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        rows = read(engine, report, filters, report.limit, TODAY)
        slowest = max(slowest, time.perf_counter() - began)
    return rows, slowest


def _recount(engine: Engine, customers: int) -> int:
    """Compare with the rows behind the reports; return how many numbers were compared."""
    # Any customers will do; the seed makes two runs the same.
    chance = random.Random(5)
    numbers = {*range(1, 1 + min(SAMPLE, customers))}
    numbers |= {chance.randint(1, customers) for _ in range(SAMPLE)}
    days = {"today": TODAY_MS, "day": DAY_MS}
    compared = 0

    def ask(statement: str, **names: str) -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(_given(statement, days), names)]

    def shown(name: str, limit: int = 100_000, **filters: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - fields of Filters
        return read(engine, REPORTS[name], Filters(**filters), limit, TODAY)

    for number in sorted(numbers):
        customer = f"cus_{number}"
        expected = {_exact(row, 3) for row in ask(_USAGE, customer=customer)}
        found = {tuple(row) for row in shown("usage", customer_id=customer)}
        compared += _same(f"usage of {customer}", found, expected)
        ((seats,),) = ask(_SEATS, customer=customer)
        found = {shown("seats", customer_id=customer)[-1][-1]}
        compared += _same(f"seats of {customer}", found, {seats})
    top = ask(_TOP)
    expected = {
        (place, customer, count, *_amounts((used, asked), "messages"))
        for place, (customer, count, used, asked) in enumerate(top, 1)
    }
    found = {row[2:] for row in shown("top-consumers", limit=10, feature_id="messages")}
    compared += _same("top consumers", found, expected)
    ((over,),) = ask(_OVERAGE)
    ((views,),) = ask("SELECT count(*) FROM report_overage")
    compared += _same("overage", {views}, {over})
    ((denied,),) = ask("SELECT sum(denied) FROM report_denials")
    expected_sum = sum(1 + (n + d) % 7 for n in range(1, customers + 1) for d in range(30)) * 2
    return compared + _same("denials", {int(denied)}, {expected_sum})


def _same(what: str, found: set[Any], expected: set[Any]) -> int:
    assert found == expected, f"{what}: {sorted(map(str, found ^ expected))[:4]}"
    return len(expected)


def _exact(row: tuple[Any, ...], feature: int) -> tuple[Any, ...]:
    *key, used, requested = row
    return (*key, *_amounts((used, requested), row[feature]))


def _amounts(units: tuple[Decimal, ...], feature: str) -> list[Decimal]:
    return [Decimal(one).scaleb(-PRECISIONS[feature]) for one in units]


@click.command()
@click.option("--events", type=click.IntRange(min=1_000), default=EVENTS, show_default=True)
@click.option("--database-url", default="", help="An empty PostgreSQL database.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(*, events: int, database_url: str, as_json: bool) -> None:
    """Measure the reports."""
    result = measure(events, database_url)
    click.echo(msgspec.json.encode(result).decode() if as_json else result.table())
    slow = [one.report for one in result.timings if one.seconds > SECONDS_MAX]
    if slow:
        raise click.ClickException(f"over {SECONDS_MAX:g} s: {', '.join(slow)}")


if __name__ == "__main__":
    main()
