"""``tallygate report``: what admins ask of SQL, from the command line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import click
import msgspec

from gateway.commands.console import one_env, where_sql_is, with_database
from gateway.wall import SystemClock
from persistence.database import Database
from persistence.reports import REPORTS, ROWS_MAX, Filters, Kind, Report, read

_json = msgspec.json.Encoder(decimal_format="number")
_NUMBERS = (Kind.AMOUNT, Kind.COUNT)
_GAP = "  "

_DAY = click.DateTime(["%Y-%m-%d"])


def _listed() -> str:
    """Return the reports with their meaning, as the help shows them."""
    width = max(map(len, REPORTS))
    lines = [f"  {one.name:{width}}  {one.meaning}" for one in REPORTS.values()]
    return "\b\n" + "\n".join(["Reports:", *lines])


@click.command(epilog=_listed())
@click.argument("name", type=click.Choice(list(REPORTS)), metavar="NAME")
@one_env
@click.option("--customer", "customer_id", metavar="ID", help="Of one customer only.")
@click.option("--entity", "entity_id", metavar="ID", help="Of one entity id only.")
@click.option("--feature", "feature_id", metavar="ID", help="Of one feature only.")
@click.option("--since", type=_DAY, metavar="YYYY-MM-DD", help="From this day in UTC on.")
@click.option("--until", type=_DAY, metavar="YYYY-MM-DD", help="Up to this day, which is included.")
@click.option(
    "--limit",
    type=click.IntRange(1, ROWS_MAX),
    help="Rows at most; of top-consumers, places of each feature.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
)
@where_sql_is
def report(
    *,
    name: str,
    env: str | None,
    customer_id: str | None,
    entity_id: str | None,
    feature_id: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    form: str,
    **given: object,
) -> None:
    """Print a report of what the writer has carried to SQL."""
    chosen = REPORTS[name]
    filters = Filters(
        env, customer_id, entity_id, feature_id, since and since.date(), until and until.date()
    )
    check(chosen, filters)
    wanted = limit or chosen.limit
    is_ranked = "place" in chosen.columns
    today = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC).date()

    async def show(database: Database) -> None:
        rows = await database.run(
            # One row more tells whether there are more.
            lambda engine: read(engine, chosen, filters, wanted + (not is_ranked), today)
        )
        click.echo(_FORMS[form](chosen, rows if is_ranked else rows[:wanted]), nl=False)
        if len(rows) > wanted and not is_ranked:
            click.echo(f"there is more than --limit {wanted}", err=True)

    with_database(given, show)


def check(chosen: Report, filters: Filters) -> None:
    """Refuse a filter the report has no column for. Raises ``click.UsageError``."""
    options = {"env": "--env", "customer_id": "--customer", "entity_id": "--entity"}
    options["feature_id"] = "--feature"
    for name, option in options.items():
        if getattr(filters, name) is not None and name not in chosen.columns:
            raise click.UsageError(f"{option}: the report {chosen.name} knows nothing of it")
    for name in ("since", "until"):
        if getattr(filters, name) is not None and not chosen.since:
            raise click.UsageError(f"--{name}: the report {chosen.name} is of now")
    if filters.until == date.max:
        raise click.UsageError("--until: is after every day there is")
    if filters.since and filters.until and filters.since > filters.until:
        raise click.UsageError("--since: is after --until")


def as_table(chosen: Report, rows: Sequence[tuple[Any, ...]]) -> str:
    """Return the rows below their names, in columns; numbers stand to the right."""
    names = list(chosen.columns)
    cells = [names, *([_text(value) for value in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(names))]
    right = [kind in _NUMBERS for kind in chosen.columns.values()]
    lines = (
        _GAP.join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    )
    return "".join(f"{line}\n" for line in lines)


def as_csv(chosen: Report, rows: Sequence[tuple[Any, ...]]) -> str:
    """Return the rows as comma-separated values with a header."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(chosen.columns)
    writer.writerows([_text(value) for value in row] for row in rows)
    return buffer.getvalue()


def as_json(chosen: Report, rows: Sequence[tuple[Any, ...]]) -> str:
    """Return the rows as a JSON array of objects; amounts are exact numbers."""
    names = list(chosen.columns)
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    return _json.encode(objects).decode() + "\n"


_FORMS = {"table": as_table, "csv": as_csv, "json": as_json}


def _text(value: Any) -> str:  # noqa: ANN401 - a cell
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
