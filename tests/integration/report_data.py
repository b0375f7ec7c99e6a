"""Entries for report tests, carried to SQL as the writer does, and reports as dicts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Engine, insert

from persistence.database import write_transaction
from persistence.models import Feature
from persistence.reports import REPORTS, Filters, read
from tests.unit.persistence.entries import (
    BASE_MS,
    History,
    customer,
    deduct,
    denied,
    entity,
    event,
    lock,
    row,
)

DAY_MS = 86_400_000
FUTURE_MS = 4_000_000_000_000
TODAY = date(2026, 2, 10)
"""Eight days after the first entry."""

UNIT = 10**6


def day(days: int = 0) -> str:
    """Return the day of the first entry, or one so many days later, in UTC."""
    return str(datetime.fromtimestamp(BASE_MS / 1000 + days * 86_400, UTC).date())


def define(engine: Engine, **precisions: int) -> None:
    """Put features of the sandbox into SQL."""
    with write_transaction(engine) as connection:
        for feature, precision in precisions.items():
            connection.execute(
                insert(Feature).values(
                    env="sandbox",
                    id=feature,
                    name=feature,
                    type="metered",
                    consumable=True,
                    precision=precision,
                    scale=10**precision,
                    in_use=True,
                    archived=False,
                    event_names=[],
                    document="{}",
                    created_at=0,
                )
            )


def shown(
    engine: Engine,
    name: str,
    *columns: str,
    limit: int = 1_000,
    today: date = TODAY,
    **filters: Any,  # noqa: ANN401 - fields of Filters
) -> list[tuple[Any, ...]]:
    """Return some columns, or all, of the rows of a report."""
    report = REPORTS[name]
    rows = read(engine, report, Filters(**filters), limit, today)
    named = list(report.columns)
    places = [named.index(column) for column in columns or named]
    return [tuple(row[place] for place in places) for row in rows]


def story() -> tuple[History, History]:
    """Return what a team and a small customer did within two days."""
    team, small = History(1), History(2)
    team.add(
        customer("Acme"),
        row("shared", grant=10 * UNIT, due_ms=FUTURE_MS),
        row("open", feature="tokens", grant=0, flags="u"),
        kind="customer",
    )
    for number, seat in enumerate(("ann", "bob"), 1):
        opened = BASE_MS + number * DAY_MS
        team.add(
            event("seats", UNIT, entity=seat, timestamp_ms=opened),
            entity(seat, number, created_at=opened),
            kind="entity",
        )
    team.add(
        event(value=12_500_000, applied=12_500_000, entity="ann"),
        deduct("shared", delta=12_500_000, used=12_500_000),
    )
    team.add(event("tokens", 7, entity="bob", timestamp_ms=BASE_MS + DAY_MS))
    team.add(event(value=-500_000, timestamp_ms=BASE_MS + DAY_MS))
    team.add(lock("job_1", units=1_250_000, at_ms=FUTURE_MS))
    team.add(denied(3), denied(operation="track"), kind="denials", internal_id="", seq=0)
    given: dict[str, Any] = {"customer_id": "zoe", "internal_id": "cus_2"}
    small.add(customer("Zoe"), row("own", grant=UNIT), **given)
    small.add(event(value=250_000), deduct("own", delta=250_000, used=250_000), **given)
    return team, small
