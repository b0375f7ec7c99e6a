"""Reports say what the events say, exactly and once, and read none of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text

from gateway.amounts import UNITS_MAX
from gateway.rows import Kind
from gateway.stream_ids import BEGINNING
from persistence.database import write_transaction
from persistence.models import DailyTotal, DailyUsage, Incident
from persistence.models import reports as report_models
from persistence.sync import store
from persistence.sync.fold import fold
from tests.integration.carrying import carry
from tests.integration.report_data import (
    DAY_MS,
    FUTURE_MS,
    TODAY,
    UNIT,
    day,
    define,
    shown,
    story,
)
from tests.unit.persistence.entries import (
    BASE_MS,
    DELETED,
    History,
    contents,
    customer,
    deduct,
    deleted_entity,
    denied,
    entity,
    event,
    row,
)

_NOW_MS = {
    "sqlite": "SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000",
    "postgresql": "SELECT (extract(epoch FROM now()) * 1000)::bigint",
}
_RECOUNT = """
    SELECT customer_id, env, feature_id, entity_id, internal_id, timestamp_ms / 86400000 AS day,
        count(*), sum(value), sum(applied)
    FROM events GROUP BY 1, 2, 3, 4, 5, 6"""


def test_usage_is_by_day_feature_and_entity(engine: Engine) -> None:
    define(engine, messages=6, seats=6, tokens=0)
    carry(engine, *story())
    found = shown(engine, "usage", "day", "feature_id", "entity_id", "events", "used")
    assert found == [
        (day(), "messages", "ann", 1, Decimal("12.5")),
        (day(1), "messages", None, 1, Decimal("-0.5")),
        (day(1), "seats", "ann", 1, Decimal(1)),
        (day(1), "tokens", "bob", 1, Decimal(7)),
        (day(2), "seats", "bob", 1, Decimal(1)),
        (day(), "messages", None, 1, Decimal("0.25")),
    ]


def test_filters_leave_what_they_name(engine: Engine) -> None:
    define(engine, messages=6, seats=6, tokens=0)
    carry(engine, *story())

    def count(**filters: Any) -> int:  # noqa: ANN401 - fields of Filters
        return len(shown(engine, "usage", **filters))

    assert count() == 6
    assert count(customer_id="acme") == 5
    assert count(customer_id="acme", entity_id="ann") == 2
    assert count(feature_id="messages") == 3
    assert count(env="live") == 0
    since, until = date.fromisoformat(day(1)), date.fromisoformat(day(1))
    assert count(since=since) == 4
    assert count(until=until) == 5
    assert count(since=since, until=until) == 3
    assert count(limit=2) == 2


def test_the_sums_are_what_a_recount_of_the_events_gives(engine: Engine) -> None:
    chance = Random(4)
    history = History()
    for number in range(300):
        history.add(
            *(
                event(
                    chance.choice(["messages", "tokens"]),
                    chance.randint(-UNITS_MAX // 1000, UNITS_MAX // 1000),
                    entity=chance.choice(["", "ann", "bob"]),
                    applied=chance.randint(-5, 5),
                    timestamp_ms=BASE_MS + chance.randint(-3, 3) * DAY_MS,
                )
                for _ in range(number % 3)
            ),
            internal_id=chance.choice(["cus_1", "cus_2"]),
        )
    cursor = store.open_cursors(engine, [history.partition])[history.partition]
    for at in range(0, 300, 77):
        batch = fold(history.entries[at : at + 77])
        store.apply(engine, batch, expected={history.partition: cursor}, now_ms=BASE_MS)
        cursor = batch.cursors[0].stream_id
    with engine.connect() as connection:
        expected = {tuple(one) for one in connection.execute(text(_RECOUNT))}
        found = {
            (
                *(one.customer_id, one.env, one.feature_id, one.entity_id, one.internal_id),
                (one.day - date(1970, 1, 1)).days,
                one.events,
                one.requested_high * report_models.PART + one.requested_low,
                one.applied_high * report_models.PART + one.applied_low,
            )
            for one in connection.execute(select(DailyUsage.__table__))
        }
        totals = connection.scalars(select(DailyTotal.events)).all()
    assert found == expected
    assert sum(totals) == sum(one[6] for one in expected) == 300


def test_sums_beyond_64_bits_are_exact(engine: Engine) -> None:
    define(engine, messages=6, tokens=0, credits=9)
    amounts = {"messages": UNITS_MAX, "tokens": -UNITS_MAX, "credits": -1}
    history = History()
    for feature, amount in amounts.items():
        for _ in range(3):
            history.add(*(event(feature, amount, applied=0) for _ in range(1_000)))
    carry(engine, history)
    found = dict(shown(engine, "usage", "feature_id", "requested"))
    assert found == {
        "messages": Decimal(3_000 * UNITS_MAX).scaleb(-6),
        "tokens": Decimal(-3_000 * UNITS_MAX),
        "credits": Decimal("-0.000003"),
    }
    with engine.connect() as connection:
        asked = text("SELECT requested FROM report_usage ORDER BY feature_id")
        texts = [str(one) for one in connection.scalars(asked)]
    assert texts == ["-0.000003", "27021597764222.973", "-27021597764222973000"]


def test_a_batch_that_comes_again_counts_once(engine: Engine) -> None:
    define(engine, messages=6)
    team, small = story()
    carry(engine, team, small)
    before = contents(engine)
    with pytest.raises(store.CursorMovedError):
        store.apply(engine, fold(team.entries), expected={1: BEGINNING}, now_ms=BASE_MS)
    assert contents(engine) == before
    assert before["denials_daily"]


def test_a_feature_that_is_gone_has_units_and_no_amount(engine: Engine) -> None:
    carry(engine, *story())
    assert {used for (used,) in shown(engine, "usage", "used")} == {None}
    assert {used for (used,) in shown(engine, "top-consumers", "used")} == {None}
    with engine.connect() as connection:
        units = connection.scalars(text("SELECT used_units FROM report_usage")).all()
    assert 12_500_000 in units


def test_balances_are_what_everybody_holds(engine: Engine) -> None:
    define(engine, messages=6, tokens=0, seats=6)
    team, small = story()
    team.add(row("each", kind=Kind.PER_ENTITY, grant=5 * UNIT, due_ms=FUTURE_MS), kind="plan")
    team.add(deduct("each", 2 * UNIT, 2 * UNIT, entity="ann"))
    team.add(row("flag", feature="sso", kind=Kind.FLAG), kind="plan")
    carry(engine, team, small)
    columns = ("balance_id", "entity_id", "granted", "used", "remaining", "overage", "unlimited")
    assert set(shown(engine, "balances", *columns, customer_id="acme")) == {
        ("shared", None, 10, Decimal("12.5"), 0, Decimal("2.5"), False),
        ("each", "ann", 5, 2, 3, 0, False),
        ("each", "bob", 5, 0, 5, 0, False),
        ("open", None, None, 0, None, None, True),
        ("flag", None, None, None, None, None, False),
    }
    assert shown(engine, "overage", "balance_id", "overage") == [("shared", Decimal("2.5"))]
    assert shown(engine, "balances", "balance_id", entity_id="bob") == [("each",)]


def test_a_reset_that_is_due_shows_as_done(engine: Engine) -> None:
    define(engine, messages=0)
    history = History()
    flags = {"plain": "", "keeps": "k", "later": "k"}
    history.add(customer(), kind="customer")
    for balance, text_of_flags in flags.items():
        due_ms = FUTURE_MS if balance == "later" else BASE_MS
        history.add(row(balance, grant=10, used=13, due_ms=due_ms, flags=text_of_flags))
    carry(engine, history)
    assert dict(shown(engine, "balances", "balance_id", "used")) == {
        "plain": 0,
        "keeps": 3,
        "later": 13,
    }
    assert shown(engine, "overage", "balance_id", "overage") == [("later", 3)]
    assert dict(shown(engine, "balances", "balance_id", "reset_due")) == {
        "plain": True,
        "keeps": True,
        "later": False,
    }


def test_overage_is_what_the_balances_show_of_it(engine: Engine) -> None:
    define(engine, messages=6)
    history = History()
    kept: dict[str, Any] = {"grant": 4 * UNIT, "used": 13 * UNIT, "due_ms": BASE_MS, "flags": "k"}
    history.add(customer(), row("kept", **kept), row("plain", **kept | {"flags": ""}))
    history.add(row("each", kind=Kind.PER_ENTITY, grant=UNIT), row("all", flags="u"), kind="plan")
    for number, seat in enumerate(("ann", "bob", "eve"), 1):
        history.add(entity(seat, number), kind="entity")
        history.add(deduct("each", number * UNIT, number * UNIT, entity=seat))
    history.add(deduct("all", UNIT, UNIT), deleted_entity("eve"), kind="entity_delete")
    carry(engine, history)
    columns = ("balance_id", "entity_id", "granted", "used", "overage")
    over = [one for one in shown(engine, "balances", *columns) if one[4]]
    assert sorted(over) == sorted(shown(engine, "overage", *columns))
    assert sorted(over) == [("each", "bob", 1, 2, 1), ("kept", None, 4, 9, 5)]


def test_the_sandbox_is_reset_by_its_own_clock(engine: Engine) -> None:
    define(engine, messages=0)
    history = History()
    history.add(customer(), row(used=3, due_ms=FUTURE_MS), kind="customer")
    carry(engine, history)
    assert shown(engine, "balances", "used") == [(3,)]
    with write_transaction(engine) as connection:
        connection.execute(
            text("UPDATE catalog_revision SET clock_offset_ms = :ms"), {"ms": FUTURE_MS}
        )
    assert shown(engine, "balances", "used") == [(0,)]


def test_what_has_ended_holds_nothing(engine: Engine) -> None:
    define(engine, messages=6, seats=6, tokens=0)
    team, small = story()
    small.add(DELETED, customer_id="zoe", internal_id="cus_2", kind="customer_delete")
    team.add(deleted_entity("bob"), kind="entity_delete", at_ms=BASE_MS + 5 * DAY_MS)
    carry(engine, team, small)
    assert {one for (one,) in shown(engine, "balances", "customer_id")} == {"acme"}
    assert shown(engine, "usage", "used", customer_id="zoe") == [(Decimal("0.25"),)]


def test_seats_are_counted_at_the_end_of_each_day_that_changed_them(engine: Engine) -> None:
    history = History()
    history.add(customer(), kind="customer")
    for number, days in enumerate((0, 0, 2), 1):
        created = BASE_MS + days * DAY_MS
        history.add(entity(f"seat_{number}", number, created_at=created), kind="entity")
    history.add(deleted_entity("seat_1"), kind="entity_delete", at_ms=BASE_MS + 2 * DAY_MS)
    history.add(deleted_entity("seat_2"), kind="entity_delete", at_ms=BASE_MS + 3 * DAY_MS)
    carry(engine, history)
    columns = ("day", "created", "deleted", "seats")
    assert shown(engine, "seats", *columns, customer_id="acme") == [
        (day(), 2, 0, 2),
        (day(2), 1, 1, 2),
        (day(3), 0, 1, 1),
    ]
    since = date.fromisoformat(day(3))
    assert shown(engine, "seats", *columns, since=since) == [(day(3), 0, 1, 1)]


def test_denials_of_a_day_add_up_over_batches(engine: Engine) -> None:
    later, history = History(2), History(1)
    for one in (history, later):
        one.add(denied(2), denied(operation="track"), kind="denials", internal_id="", seq=0)
    carry(engine, history, later)
    assert shown(engine, "denials", "customer_id", "day", "operation", "denied") == [
        ("acme", day(), "check", 4),
        ("acme", day(), "track", 2),
    ]


def test_top_consumers_have_places_in_each_feature(engine: Engine) -> None:
    define(engine, messages=6, seats=6, tokens=0)
    carry(engine, *story())
    columns = ("feature_id", "place", "customer_id", "used")
    assert shown(engine, "top-consumers", *columns) == [
        ("messages", 1, "acme", 12),
        ("messages", 2, "zoe", Decimal("0.25")),
        ("seats", 1, "acme", 2),
        ("tokens", 1, "acme", 7),
    ]
    assert shown(engine, "top-consumers", "place", customer_id="zoe") == [(2,)]
    assert len(shown(engine, "top-consumers", limit=1)) == 3
    assert shown(engine, "top-consumers", since=TODAY) == []
    first = date.fromisoformat(day())
    assert shown(engine, "top-consumers", "used", until=first, feature_id="messages") == [
        (Decimal("12.5"),),
        (Decimal("0.25"),),
    ]
    assert shown(engine, "top-consumers", until=date.min) == []


def test_the_view_of_top_consumers_is_the_report_of_its_days(engine: Engine) -> None:
    define(engine, messages=6)
    with engine.connect() as connection:
        now_ms = connection.scalar(text(_NOW_MS[engine.dialect.name]))
    assert now_ms
    history = History()
    for days in (0, 29, 30):
        history.add(event(value=UNIT, timestamp_ms=now_ms - days * DAY_MS))
    carry(engine, history)
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    with engine.connect() as connection:
        found = connection.execute(text("SELECT place, events, used FROM report_top_consumers"))
        rows = [(one.place, one.events, Decimal(one.used)) for one in found]
    assert rows == [(1, 2, Decimal(2))]
    assert shown(engine, "top-consumers", "place", "events", "used", today=today) == rows


def test_locks_held_are_exact_and_dated(engine: Engine) -> None:
    define(engine, messages=6)
    carry(engine, *story())
    columns = ("customer_id", "entity_id", "lock_id", "held", "expires_at")
    assert shown(engine, "locks", *columns) == [
        ("acme", None, "job_1", Decimal("1.25"), "2096-10-02T07:06:40Z")
    ]


def test_the_writer_shows_how_far_it_is_behind(engine: Engine) -> None:
    team, _ = story()
    carry(engine, team)
    with write_transaction(engine) as connection:
        seen = f"{BASE_MS + 2_508}-3"
        connection.execute(text("UPDATE cursors SET seen_id = :id"), {"id": seen})
    ((partition, applied, until, behind, letters),) = shown(
        engine, "writer", "partition", "applied", "applied_until", "behind_seconds", "dead_letters"
    )
    assert (partition, applied, letters) == (1, 8, 0)
    assert until.startswith(day())
    assert behind == Decimal("2.5")


def test_incidents_show_their_window(engine: Engine) -> None:
    with write_transaction(engine) as connection:
        connection.execute(
            insert(Incident).values(
                id="inc_1",
                kind="redis_behind",
                partition=3,
                from_id=f"{BASE_MS}-0",
                to_id=f"{BASE_MS + 60_000}-0",
                lost=None,
                reseeded=2,
                run_id="",
                detail="an older file",
                at_ms=BASE_MS + 90_000,
                ended_at=None,
            )
        )
    columns = ("began_at", "ended_at", "lost", "reseeded", "window_from", "window_until")
    assert shown(engine, "incidents", *columns) == [
        ("2026-02-02T02:41:30Z", None, None, 2, "2026-02-02T02:40:00Z", "2026-02-02T02:41:00Z")
    ]
