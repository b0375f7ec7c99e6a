"""What ``tallygate report`` prints, and which filters it refuses."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from decimal import Decimal

import click
import pytest
from click.testing import CliRunner

from gateway.commands.report import as_csv, as_json, as_table, check, report
from persistence.reports import REPORTS, ROWS_MAX, Filters

USAGE = REPORTS["usage"]
ROWS = [
    ("live", "org_123", None, "messages", "2026-11-05", 2, Decimal("12.5"), Decimal("1E+3")),
    ("live", "zoe", 'a,"b"', "messages", "2026-11-06", 10, Decimal("0.000001"), None),
]


def test_a_table_has_numbers_to_the_right() -> None:
    assert as_table(USAGE, ROWS).splitlines() == [
        "env   customer_id  entity_id  feature_id  day         events      used  requested",
        "live  org_123                 messages    2026-11-05       2      12.5       1000",
        'live  zoe          a,"b"      messages    2026-11-06      10  0.000001',
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert as_table(REPORTS["writer"], []).splitlines() == [
        "  ".join(REPORTS["writer"].columns),
    ]


def test_csv_is_read_back_as_it_was() -> None:
    header, *rows = csv.reader(io.StringIO(as_csv(USAGE, ROWS)))
    assert header == list(USAGE.columns)
    assert rows == [
        ["live", "org_123", "", "messages", "2026-11-05", "2", "12.5", "1000"],
        ["live", "zoe", 'a,"b"', "messages", "2026-11-06", "10", "0.000001", ""],
    ]


def test_json_has_exact_numbers() -> None:
    large = Decimal("27021597764222973000.5")
    text = as_json(USAGE, [(*ROWS[0][:6], large, None)])
    (found,) = json.loads(text, parse_float=Decimal)
    assert found["used"] == large
    assert (found["entity_id"], found["requested"], found["events"]) == (None, None, 2)


@pytest.mark.parametrize(
    ("name", "filters", "message"),
    [
        ("denials", Filters(entity_id="ann"), "--entity: the report denials knows nothing of it"),
        ("writer", Filters(env="live"), "--env: the report writer knows nothing of it"),
        ("balances", Filters(since=date(2026, 1, 1)), "--since: the report balances is of now"),
        ("usage", Filters(until=date.max), "--until: is after every day there is"),
        (
            "usage",
            Filters(since=date(2026, 1, 2), until=date(2026, 1, 1)),
            "--since: is after --until",
        ),
    ],
)
def test_a_filter_that_means_nothing_is_refused(name: str, filters: Filters, message: str) -> None:
    with pytest.raises(click.UsageError, match=f"^{message}$"):
        check(REPORTS[name], filters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nothing"], "'nothing' is not one of 'balances'"),
        (["usage", "--since", "yesterday"], "'yesterday' does not match the format"),
        (["usage", "--limit", "0"], f"0 is not in the range 1<=x<={ROWS_MAX}"),
        (["usage", "--format", "xml"], "'xml' is not one of 'table', 'csv', 'json'"),
    ],
)
def test_an_option_that_is_not_readable_is_named(options: list[str], message: str) -> None:
    ran = CliRunner().invoke(report, options)
    assert ran.exit_code == 2
    assert message in ran.output


def test_the_help_lists_every_report_with_its_meaning() -> None:
    shown = CliRunner().invoke(report, ["--help"]).output
    for one in REPORTS.values():
        assert f"{one.name} " in shown
        assert one.meaning in shown
