"""The views are what their documents say, on both databases, and none of them walks over events."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from persistence.database import EngineOptions, make_engine, write_transaction
from persistence.reports import REPORTS, Filters, statement_of
from tests.integration.carrying import carry
from tests.integration.report_data import FUTURE_MS, TODAY, UNIT, define, shown, story
from tests.unit.persistence.entries import (
    History,
    customer,
    deduct,
    denied,
    entity,
    event,
    lock,
    row,
)

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "persistence" / "REPORTS.md").read_text()
README = (ROOT / "README.md").read_text()
SECTION = README[README.index("### Reports") : README.index("### Webhooks")]
QUERIES = [
    one.strip()
    for block in re.findall(r"^```sql\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    for one in block.split(";\n")
    if one.strip()
]
VIEWS = {
    view: re.findall(r"`(\w+)`", columns)
    for view, columns in re.findall(
        r"^\| `(report_\w+)` \| .+? \| (.+) \|$", REFERENCE, re.MULTILINE
    )
}
WALK = re.compile(r"Seq Scan on (?!catalog_revision)|SCAN (?!(?:r|held)$)", re.MULTILINE)
"""How a walk over a table is called; the revision of the catalog, r, is one row, and held are those
that were found.
"""
NOVEMBER_MS = 1_793_836_800_000
"""The 5th of November 2026."""

FILTERS = Filters(
    env="live",
    customer_id="org_123",
    entity_id="seat_1",
    feature_id="messages",
    since=date(2026, 11, 1),
    until=date(2026, 11, 30),
)


def test_the_reference_has_every_view_with_its_columns(engine: Engine) -> None:
    with engine.connect() as connection:
        versions = connection.execute(text("SELECT view, version FROM report_versions")).all()
        found = {
            view: list(connection.execute(text(f"SELECT * FROM {view}")).keys())  # noqa: S608
            for view, _ in versions
        }
    assert found == VIEWS
    assert {version for _, version in versions} == {1}
    assert {report.view for report in REPORTS.values()} | {"report_versions"} == set(VIEWS)


def test_a_report_shows_columns_of_its_view() -> None:
    for report in REPORTS.values():
        assert [one for one in VIEWS[report.view] if one in report.columns] == list(report.columns)


def test_both_databases_give_the_same_reports(migrated_sqlite: str, migrated_postgres: str) -> None:
    found = []
    for url in (migrated_sqlite, migrated_postgres):
        engine = make_engine(url, EngineOptions())
        define(engine, messages=6, seats=6, tokens=0)
        carry(engine, *story())
        found.append({name: shown(engine, name) for name in REPORTS})
        engine.dispose()
    assert found[0] == found[1]
    assert [name for name, rows in found[0].items() if not rows] == ["incidents"]


def _asked() -> History:
    """Return what the questions of the README find answers in."""
    history = History()
    given: dict[str, Any] = {"env": "live", "customer_id": "org_123"}
    history.add(
        customer(),
        row(grant=10 * UNIT, due_ms=FUTURE_MS),
        row("seat", entity="ann", grant=UNIT),
        kind="customer",
        **given,
    )
    history.add(
        event("seats", UNIT, entity="ann", timestamp_ms=NOVEMBER_MS),
        entity("ann", created_at=NOVEMBER_MS),
        kind="entity",
        **given,
    )
    history.add(
        event(value=12 * UNIT, timestamp_ms=NOVEMBER_MS), deduct(delta=12, used=12 * UNIT), **given
    )
    history.add(lock(at_ms=FUTURE_MS, units=UNIT), **given)
    november = denied(4, customer_id="org_123", day_ms=NOVEMBER_MS - NOVEMBER_MS % 86_400_000)
    history.add(november, kind="denials", internal_id="", seq=0)
    return history


def test_ten_questions_of_the_readme_have_answers(engine: Engine) -> None:
    carry(engine, _asked())
    with write_transaction(engine) as connection:
        # The top consumers are those of the last 30 days, whenever this runs.
        connection.execute(text(f"UPDATE usage_daily_totals SET day = {_TODAY[_name(engine)]}"))  # noqa: S608
        for name in ("messages", "seats"):
            connection.execute(
                text(
                    "INSERT INTO features (env, id, name, type, consumable, precision, scale, "
                    "in_use, archived, event_names, document, created_at) VALUES ('live', :id, "
                    "'', 'metered', true, 6, 1000000, true, false, '[]', '{}', 0)"
                ),
                {"id": name},
            )
    assert len(QUERIES) == 10
    with engine.connect() as connection:
        answers = [
            [tuple(map(_plain, one)) for one in connection.execute(text(query))]
            for query in QUERIES
        ]
    assert set(answers[0]) == {("ann", "1", "0", "1"), (None, "10", "12", "0")}
    assert answers[1:] == [
        [("org_123", None, "messages", "0")],
        [
            ("2026-11-05", "messages", None, "12"),
            ("2026-11-05", "seats", "ann", "1"),
        ],
        [("messages", "1", "1"), ("seats", "1", "1")],
        [("1", "org_123", "12")],
        [("2026-11-05", "1")],
        [("org_123", "messages", "4")],
        [("org_123", "messages", "10", "12", "2")],
        [("org_123", "lock_1", "1", "2096-10-02 07:06:40")],
        [("0", "0")],
    ]


_TODAY = {"sqlite": "date('now')", "postgresql": "(now() AT TIME ZONE 'UTC')::date"}


def _name(engine: Engine) -> str:
    return engine.dialect.name


def _plain(value: Any) -> str | None:  # noqa: ANN401 - what a row may hold
    if isinstance(value, (Decimal, float)):
        return f"{Decimal(str(value)).normalize():f}"
    return None if value is None else str(value)


def _plans(engine: Engine) -> dict[str, str]:
    """Return how the database answers each report, with all filters and with none, and each view
    whole.
    """
    dialect = engine.dialect
    statements = {view: f"SELECT * FROM {view}" for view in VIEWS}  # noqa: S608
    for report in REPORTS.values():
        known = {
            name: value
            for name, value in FILTERS._asdict().items()
            if name in report.columns or (name in ("since", "until") and report.since)
        }
        for title, filters in (("all", Filters()), ("some", Filters(**known))):
            statement = statement_of(report, filters, 100, TODAY, dialect.name)
            compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
            statements[f"{report.name} {title}"] = str(compiled).replace("%%", "%")
    explain = "EXPLAIN QUERY PLAN" if dialect.name == "sqlite" else "EXPLAIN"
    with engine.connect() as connection:
        if dialect.name == "postgresql":
            # The tables are small here, and a small table is read whole.
            connection.exec_driver_sql("SET enable_seqscan = off")
        return {
            name: "\n".join(
                str(one[-1]) for one in connection.exec_driver_sql(f"{explain} {statement}")
            )
            for name, statement in statements.items()
        }


def test_no_report_reads_the_events(engine: Engine) -> None:
    plans = _plans(engine)
    assert len(plans) == len(VIEWS) + 2 * len(REPORTS)
    assert [name for name, plan in plans.items() if re.search(r"\bevents\b", plan)] == []


def test_a_report_of_one_customer_goes_by_an_index(engine: Engine) -> None:
    plans = _plans(engine)
    asked = {"balances", "overage", "usage", "seats", "denials"}
    if engine.dialect.name == "sqlite":
        asked.remove("seats")  # SQLite looks at every entity before it counts those of one customer
    for name in asked:
        plan = plans[f"{name} some"]
        assert not WALK.search(plan), plan
