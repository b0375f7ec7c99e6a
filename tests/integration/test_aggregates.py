"""What each database sums of the events it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine
from sqlalchemy import event as listen

from gateway.amounts import UNITS_MAX
from gateway.cycles import DAY_MS, HOUR_MS
from gateway.ports import DrawCell, Reader, UsageCell, UsageQuery
from gateway.rows import RowDocument
from persistence.database import Database, EngineOptions, make_engine
from persistence.reads.reader import SqlReader
from tests.integration.carrying import carry
from tests.unit.persistence.entries import (
    BASE_MS,
    DELETED,
    History,
    customer,
    deduct,
    event,
    row,
)

DAY = BASE_MS - BASE_MS % DAY_MS
CELLS_MAX = 1_000
ODD_NAME = 'the "näme" of/a \\ thing'


def query(**fields: Any) -> UsageQuery:  # noqa: ANN401 - fields of the query
    wanted = {
        "env": "sandbox",
        "feature_ids": ("messages",),
        "start_ms": DAY,
        "end_ms": DAY + 2 * DAY_MS,
        "step_ms": DAY_MS,
        "cells_max": CELLS_MAX,
        "groups_max": 9,
    }
    return UsageQuery(**{**wanted, **fields})


def used(*uses: tuple[int, Mapping[str, object]], feature: str = "messages") -> History:
    """Events of a value and properties, an hour apart."""
    history = History()
    history.add(customer())
    for number, (value, properties) in enumerate(uses):
        text = msgspec.json.encode(properties).decode()
        history.add(event(feature, value, timestamp_ms=DAY + number * HOUR_MS, properties=text))
    return history


async def groups(reader: Reader, group: str, **fields: object) -> dict[str, int]:
    usage = await reader.sum_events(query(group=group, **fields))
    return {cell.group: cell.units for cell in usage.cells}


async def test_use_is_summed_by_feature_and_step(engine: Engine, reader: Reader) -> None:
    history = used((5, {}), (-2, {}))
    history.add(event("messages", 7, timestamp_ms=DAY + DAY_MS))
    history.add(event("seats", 1, timestamp_ms=DAY))
    history.add(event("other", 1, timestamp_ms=DAY))
    carry(engine, history)

    usage = await reader.sum_events(query(feature_ids=("messages", "seats")))

    assert sorted(usage.cells) == [
        UsageCell("messages", DAY, "", 3, 2),
        UsageCell("messages", DAY + DAY_MS, "", 7, 1),
        UsageCell("seats", DAY, "", 1, 1),
    ]
    assert (usage.deductions, usage.draws) == ([], [])
    hours = await reader.sum_events(query(step_ms=HOUR_MS))
    assert sorted(cell.at_ms for cell in hours.cells) == [DAY, DAY + HOUR_MS, DAY + DAY_MS]


async def test_the_start_belongs_to_the_range_and_the_end_does_not(
    engine: Engine, reader: Reader
) -> None:
    carry(engine, used((1, {}), (10, {}), (100, {})))

    usage = await reader.sum_events(query(start_ms=DAY + HOUR_MS, end_ms=DAY + 2 * HOUR_MS))

    assert [cell.units for cell in usage.cells] == [10]


async def test_sums_beyond_64_bits_are_exact(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(customer())
    for _ in range(1_100):
        history.add(event("messages", UNITS_MAX, timestamp_ms=DAY))
    history.add(event("messages", -3, timestamp_ms=DAY))
    carry(engine, history)

    (cell,) = (await reader.sum_events(query(group="$customer_id"))).cells

    assert cell == UsageCell("messages", DAY, "acme", 1_100 * UNITS_MAX - 3, 1_101)


@pytest.mark.parametrize(
    ("value", "group"),
    [
        ("eu", "eu"),
        ("", ""),
        ("a\tb\n\"c\" 'd' é", "a\tb\n\"c\" 'd' é"),
        (5, "5"),
        (-0.5, "-0.5"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        ([1, 2], "[1,2]"),
        ({"a": 1}, '{"a":1}'),
        ("x" * 300, "x" * 255),
    ],
)
async def test_a_property_groups_by_its_text(
    engine: Engine, reader: Reader, value: object, group: str
) -> None:
    carry(engine, used((1, {"b": 9, "a": value}), (2, {"b": 9})))

    found = await groups(reader, "properties.a")

    assert found == ({"null": 3} if value is None else {group: 1, "null": 2})


async def test_any_name_names_a_property_however_it_was_escaped(
    engine: Engine, reader: Reader
) -> None:
    history = used((1, {ODD_NAME: "raw"}))
    escaped = '{"the \\"n\\u00e4me\\" of\\/a \\\\ thing": "escaped"}'
    history.add(event("messages", 2, timestamp_ms=DAY, properties=escaped))
    carry(engine, history)

    assert await groups(reader, f"properties.{ODD_NAME}") == {"raw": 1, "escaped": 2}
    only = ((ODD_NAME, "escaped"),)
    assert await groups(reader, "$customer_id", properties=only) == {"acme": 2}


async def test_every_property_of_a_filter_has_to_match(engine: Engine, reader: Reader) -> None:
    carry(engine, used((1, {"a": "x", "b": 1}), (2, {"a": "x", "b": 2}), (4, {"b": 1})))

    assert await groups(reader, "$feature_id", properties=(("a", "x"),)) == {"messages": 3}
    both = (("a", "x"), ("b", "1"))
    assert await groups(reader, "$feature_id", properties=both) == {"messages": 1}
    assert await groups(reader, "$feature_id", properties=(("a", "y"),)) == {}


async def test_columns_group_too(engine: Engine, reader: Reader) -> None:
    history = used((1, {}))
    history.add(event("messages", 2, entity="seat_1", timestamp_ms=DAY))
    history.add(customer(), customer_id="other", internal_id="cus_2")
    history.add(event("messages", 4, timestamp_ms=DAY), customer_id="other", internal_id="cus_2")
    carry(engine, history)

    assert await groups(reader, "$customer_id") == {"acme": 3, "other": 4}
    assert await groups(reader, "$entity_id", customer_id="acme") == {"null": 1, "seat_1": 2}
    assert await groups(reader, "$entity_id", entity_id="seat_1") == {"seat_1": 2}


async def test_groups_beyond_the_largest_are_one_the_same_in_all_steps(
    engine: Engine, reader: Reader
) -> None:
    history = used((9, {"m": "a"}), (5, {"m": "b"}), (5, {"m": "c"}), (1, {"m": "d"}))
    history.add(event("messages", 7, timestamp_ms=DAY + DAY_MS, properties='{"m": "d"}'))
    history.add(event("messages", 1, timestamp_ms=DAY + DAY_MS, properties='{"m": "c"}'))
    carry(engine, history)

    usage = await reader.sum_events(query(group="properties.m", groups_max=2))

    assert sorted(usage.cells) == [
        UsageCell("messages", DAY, "Other", 10, 2),
        UsageCell("messages", DAY, "a", 9, 1),
        UsageCell("messages", DAY, "d", 1, 1),
        UsageCell("messages", DAY + DAY_MS, "Other", 1, 1),
        UsageCell("messages", DAY + DAY_MS, "d", 7, 1),
    ]


async def test_the_largest_groups_are_those_of_each_feature(engine: Engine, reader: Reader) -> None:
    history = used((9, {"m": "a"}), (8, {"m": "b"}))
    history.add(event("seats", 1, timestamp_ms=DAY, properties='{"m": "c"}'))
    carry(engine, history)

    usage = await reader.sum_events(
        query(group="properties.m", groups_max=1, feature_ids=("messages", "seats"))
    )

    assert {(cell.feature_id, cell.group) for cell in usage.cells} == {
        ("messages", "a"),
        ("messages", "Other"),
        ("seats", "c"),
    }


def paid() -> History:
    """A balance of a plan pays twice, once together with one of credits without a plan."""
    plan = RowDocument(plan_id="pro", interval="month", interval_count=1)
    history = History()
    history.add(
        customer(),
        row("bal_1", due_ms=BASE_MS + 9, document=plan),
        row("bal_2", feature="credits"),
    )
    history.add(
        event("messages", 5, entity="seat_1", timestamp_ms=DAY),
        deduct("bal_1", 5, 5),
    )
    history.add(
        event("messages", 8, timestamp_ms=DAY + DAY_MS),
        deduct("bal_1", 2, 7),
        deduct("bal_2", 30, 30, feature="credits"),
        deduct("bal_2", 10, 40, feature="credits"),
    )
    history.add(event("messages", 3, timestamp_ms=DAY))
    return history


async def test_an_event_counts_under_the_plan_of_its_first_unit(
    engine: Engine, reader: Reader
) -> None:
    carry(engine, paid())

    assert await groups(reader, "$plan_id", start_ms=DAY + 1) == {"pro": 8}
    assert await groups(reader, "$plan_id", end_ms=DAY + 1) == {"pro": 5, "null": 3}


async def test_deductions_are_summed_by_balance(engine: Engine, reader: Reader) -> None:
    carry(engine, paid())

    usage = await reader.sum_events(query(customer_id="acme", deducted=True))

    facts = [
        (cell.at_ms, cell.balance_id, cell.feature_id, cell.source_id, cell.units, cell.events)
        for cell in sorted(usage.deductions, key=lambda each: each[:3])
    ]
    assert facts == [
        (DAY, "bal_1", "messages", "messages", 5, 1),
        (DAY + DAY_MS, "bal_2", "credits", "messages", 40, 1),
        (DAY + DAY_MS, "bal_1", "messages", "messages", 2, 1),
    ]
    own = next(cell for cell in usage.deductions if cell.balance_id == "bal_1")
    assert (own.plan_id, own.entity_id, own.interval, own.interval_count, own.resets_at) == (
        "pro",
        None,
        "month",
        1,
        BASE_MS + 9,
    )
    assert sorted(usage.draws) == [
        DrawCell(DAY, "messages", 1),
        DrawCell(DAY + DAY_MS, "credits", 1),
        DrawCell(DAY + DAY_MS, "messages", 1),
    ]
    assert [cell.units for cell in sorted(usage.cells)] == [8, 8]


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("$plan_id", {("bal_1", "pro", 7), ("bal_2", "null", 40)}),
        ("$entity_id", {("bal_1", "seat_1", 5), ("bal_1", "null", 2), ("bal_2", "null", 40)}),
        ("$feature_id", {("bal_1", "messages", 7), ("bal_2", "messages", 40)}),
    ],
)
async def test_deductions_group_within_their_balance(
    engine: Engine, reader: Reader, group: str, expected: set[tuple[str, str, int]]
) -> None:
    carry(engine, paid())

    usage = await reader.sum_events(query(customer_id="acme", deducted=True, group=group))

    found: dict[tuple[str, str], int] = {}
    for cell in usage.deductions:
        key = (cell.balance_id, cell.group)
        found[key] = found.get(key, 0) + cell.units
    assert {(*key, units) for key, units in found.items()} == expected


async def test_new_owner_of_an_id_has_none_of_the_older_use(engine: Engine, reader: Reader) -> None:
    history = used((5, {}))
    history.add(DELETED)
    history.add(customer(), event("messages", 2, timestamp_ms=DAY), internal_id="cus_2")
    carry(engine, history)

    assert await groups(reader, "$customer_id", customer_id="acme") == {"acme": 2}


async def test_one_cell_more_than_the_limit_tells_of_a_cut(engine: Engine, reader: Reader) -> None:
    carry(engine, used(*((1, {"n": number}) for number in range(5))))

    usage = await reader.sum_events(query(group="properties.n", cells_max=3))

    assert len(usage.cells) == 4


@pytest.mark.parametrize(
    ("fields", "index"),
    [({"customer_id": "acme"}, "sqlite_autoindex_events_1"), ({}, "ix_events_newest")],
)
async def test_an_index_leads_to_the_events_of_the_range(
    migrated_sqlite: str, fields: dict[str, Any], index: str
) -> None:
    """On SQLite, whose planner goes by the conditions alone and not by the size of a table."""
    engine = make_engine(migrated_sqlite, EngineOptions())
    plans: list[str] = []

    @listen.listens_for(engine, "before_cursor_execute", retval=True)
    def explain(*call: Any) -> tuple[Any, Any]:  # noqa: ANN401 - a hook of the driver
        connection, _, statement, parameters = call[:4]
        if statement.startswith(("WITH", "SELECT")):
            cursor = connection.connection.dbapi_connection.cursor()
            plans.extend(
                line[3] for line in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            )
        return statement, parameters

    database = Database(engine, threads=1, answer_ms=5_000)
    await SqlReader(database).sum_events(query(group="properties.a", deducted=True, **fields))
    await database.close()

    read = [plan for plan in plans if " events " in f"{plan} "]
    assert read
    assert all(index in plan and "timestamp_ms>" in plan for plan in read), plans
    assert not [plan for plan in plans if plan.startswith("SCAN deductions")]
