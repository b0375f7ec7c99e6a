"""A batch reaches SQL whole, once, and only from the cursor it follows."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, select

from gateway.errors import StartError, UnavailableError
from gateway.rows import Kind, RowDocument, decode_row
from gateway.stream_ids import BEGINNING
from persistence.database import EngineOptions, make_engine
from persistence.models import Alert, Balance, Cursor, Customer, Deduction, Lock, Slot, UsageWindow
from persistence.sync import store
from persistence.sync.batch import DeadLetterRow
from persistence.sync.fold import fold
from persistence.sync.store import BatchRefusedError, CursorMovedError
from tests.integration.carrying import carry
from tests.unit.persistence.entries import (
    BASE_MS,
    DELETED,
    History,
    alert,
    contents,
    customer,
    deduct,
    deleted_entity,
    ended,
    entity,
    event,
    lock,
    reset,
    row,
    subscription,
    updated,
    window,
)


def eventful() -> History:
    history = History()
    history.add(
        customer("Ac\tme\n\\N", "a@b.c"),
        row(due_ms=50),
        row("p", kind=Kind.PER_ENTITY, period=2),
        subscription(),
        kind="customer",
    )
    history.add(event("seats"), entity(), entity("seat_2", 2), kind="entity")
    history.add(event(), deduct(used=3, delta=3), deduct("p", entity="seat_1", period=2))
    history.add(reset(period=3), event(), deduct(used=1, period=3))
    history.add(event("seats", -1), deleted_entity("seat_2"), kind="entity_delete")
    history.add(ended("p"), updated(grant=7, flags="u", due_ms=60), kind="plan")
    history.add(event(), window(3, entity="seat_1"), lock(receipt="a\tb\nc"), alert())
    history.add(
        window(4, entity="seat_1"), lock(state="confirmed", units=2, receipt=""), kind="lock"
    )
    history.add(event(properties='{"text": "tab\\t, quote \\", null \\u0000, ü"}'))
    return history


def test_engines_end_the_same(migrated_sqlite: str, migrated_postgres: str) -> None:
    found = []
    for url in (migrated_sqlite, migrated_postgres):
        engine = make_engine(url, EngineOptions())
        carry(engine, eventful(), cuts=[1, 3, 5])
        found.append(contents(engine))
        engine.dispose()
    assert found[0] == found[1]
    assert len(found[0]["events"]) == 6
    assert {len(found[0][name]) for name in ("usage_windows", "locks", "alerts")} == {1}


def test_same_batch_again_is_refused_and_changes_nothing(engine: Engine) -> None:
    history = eventful()
    carry(engine, history)
    before = contents(engine)
    with pytest.raises(CursorMovedError):
        store.apply(engine, fold(history.entries), expected={7: BEGINNING}, now_ms=BASE_MS)
    assert contents(engine) == before


def test_smaller_seq_never_wins(engine: Engine) -> None:
    history = History()
    history.add(customer("new"), row(used=5), entity(name="new"), seq=9)
    history.add(customer("old"), row(used=1), entity(name="old"), seq=8)
    history.add(deduct(used=2), seq=7)
    carry(engine, history, cuts=[1, 2])
    with engine.connect() as connection:
        assert connection.scalars(select(Customer.name)).all() == ["new"]
        assert connection.scalars(select(Balance.used)).all() == [5]
        assert connection.scalars(select(Deduction.delta)).all() == [5, 1]


def test_one_moved_cursor_keeps_every_partition_back(engine: Engine) -> None:
    first, second = History(1), History(2)
    first.add(event())
    second.add(event())
    store.open_cursors(engine, [1, 2])
    before = contents(engine)
    batch = fold([*first.entries, *second.entries])
    with pytest.raises(CursorMovedError):
        store.apply(engine, batch, expected={1: BEGINNING, 2: "5-5"}, now_ms=BASE_MS)
    assert contents(engine) == before


def test_cursor_counts_what_it_passed(engine: Engine) -> None:
    history = eventful()
    last = carry(engine, history, cuts=[2])
    with engine.connect() as connection:
        (found,) = connection.execute(
            select(Cursor.stream_id, Cursor.applied, Cursor.updated_at_ms)
        )
    assert tuple(found) == (last, len(history.entries), BASE_MS)


@pytest.mark.parametrize("tracks", [1, 7, 8, 63, 64, 65, 137])
def test_however_many_rows_travel_together_each_is_there_once(engine: Engine, tracks: int) -> None:
    history = History()
    history.add(customer(), row(due_ms=50), row("p", kind=Kind.PER_ENTITY))
    for at in range(1, tracks + 1):
        slot = deduct("p", used=1, total=at, entity=f"seat_{at}")
        history.add(event(), deduct(used=at, delta=1), slot)
    carry(engine, history, cuts=[1])
    found = contents(engine)
    moved = [one[0] for one in found["deductions"]]
    assert [one[0] for one in found["events"]] == sorted({*moved}) == sorted(moved[::2])
    assert sorted(int(one[8]) for one in found["deductions"][::2]) == [*range(1, tracks + 1)]
    assert {one[10] for one in found["deductions"][::2]} == {50}
    assert len(found["slots"]) == tracks


def test_open_cursors_keep_what_is_there(engine: Engine) -> None:
    last = carry(engine, eventful())
    assert store.open_cursors(engine, [6, 7]) == {6: BEGINNING, 7: last}


def test_customer_that_returns_takes_the_id_within_one_batch(engine: Engine) -> None:
    history = History()
    history.add(customer("first"), internal_id="cus_1")
    history.add(DELETED, internal_id="cus_1")
    history.add(customer("second"), internal_id="cus_2")
    carry(engine, history, cuts=[1])
    with engine.connect() as connection:
        live = select(Customer.name).where(Customer.deleted_at.is_(None))
        assert connection.scalars(live).all() == ["second"]


def test_resets_at_comes_from_the_period_of_the_move(engine: Engine) -> None:
    history = History()
    history.add(row(period=1, due_ms=50))
    history.add(deduct(period=1), reset(period=2, due_ms=0), deduct(period=2))
    carry(engine, history, cuts=[1])
    with engine.connect() as connection:
        found = connection.scalars(select(Deduction.resets_at).order_by(Deduction.position))
        assert found.all() == [50, None]


def test_entity_of_an_entity_held_row_is_no_slot(engine: Engine) -> None:
    history = History()
    history.add(row(entity="seat_1"), row("p", kind=Kind.PER_ENTITY))
    history.add(deduct(entity="seat_1"), deduct("p", entity="seat_1"))
    carry(engine, history, cuts=[1])
    with engine.connect() as connection:
        assert connection.scalars(select(Slot.balance_id)).all() == ["p"]


def test_moves_of_a_balance_add_up_to_its_used(engine: Engine) -> None:
    history = History()
    history.add(customer(), row(period=1))
    for used in (3, 5, 4):
        history.add(deduct(used=used, delta=used - {3: 0, 5: 3, 4: 5}[used], period=1))
    history.add(reset(period=2), deduct(used=7, delta=7, period=2))
    carry(engine, history, cuts=[2, 4])
    with engine.connect() as connection:
        used, period = connection.execute(select(Balance.used, Balance.period)).one()
        deltas = connection.scalars(select(Deduction.delta).where(Deduction.period == period))
        assert sum(deltas) == used == 7


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_value_beyond_the_column_refuses_the_batch(engine: Engine, value: int) -> None:
    history = History()
    history.add(event(value=value))
    store.open_cursors(engine, [7])
    before = contents(engine)
    with pytest.raises(BatchRefusedError, match="SQL refuses the batch"):
        store.apply(engine, fold(history.entries), expected={7: BEGINNING}, now_ms=BASE_MS)
    assert contents(engine) == before


def test_second_live_customer_with_an_id_is_refused(engine: Engine) -> None:
    history = History()
    history.add(customer(), internal_id="cus_1")
    history.add(customer(), internal_id="cus_2")
    with pytest.raises(BatchRefusedError):
        carry(engine, history)


def test_dead_letter_keeps_every_byte(engine: Engine) -> None:
    payload = bytes(range(256))
    letter = DeadLetterRow(7, "5-0", payload, "not readable", BASE_MS)
    store.open_cursors(engine, [7])
    store.apply(engine, fold([], [letter]), expected={7: BEGINNING}, now_ms=BASE_MS)
    assert contents(engine)["dead_letters"] == [(7, "5-0", payload, "not readable", BASE_MS)]
    assert store.count_dead_letters(engine, [7]) == 1
    assert store.count_dead_letters(engine, [8]) == 0


def test_lost_server_is_unavailable() -> None:
    engine = make_engine("postgres://nobody@127.0.0.1:1/nothing", EngineOptions())
    with pytest.raises(UnavailableError, match=r"^SQL is unavailable: [^\n]+$"):
        store.open_cursors(engine, [1])
    engine.dispose()


def test_installation_keeps_its_first_partition_count(engine: Engine) -> None:
    store.claim_installation(engine, 64)
    store.claim_installation(engine, 64)
    with pytest.raises(StartError, match="64 partitions, not 32"):
        store.claim_installation(engine, 32)


def test_usage_a_row_brings_along_is_explained(engine: Engine) -> None:
    history = History()
    history.add(customer(), row(used=0))
    history.add(deduct(used=4, delta=4))
    history.add(row(used=9))
    history.add(row("carried", used=-3, period=2))
    carry(engine, history, cuts=[1, 2, 3])
    with engine.connect() as connection:
        moves = select(Deduction.balance_id, Deduction.delta).order_by(Deduction.event_id)
        found = [tuple(move) for move in connection.execute(moves)]
    assert sorted(found) == [("bal_1", 4), ("bal_1", 5), ("carried", -3)]


def test_new_text_of_a_row_reaches_its_columns_and_leaves_its_numbers(engine: Engine) -> None:
    history = History()
    document = RowDocument(plan_id="pro", interval="month", interval_count=3)
    history.add(customer(), row(used=4, period=1, due_ms=50, document=document))
    history.add(updated(grant=7, flags="u", due_ms=60), kind="balance")
    history.add(deduct(used=5))
    carry(engine, history, cuts=[1, 2])
    with engine.connect() as connection:
        found = connection.execute(select(Balance)).one()
        moves = connection.scalars(select(Deduction.resets_at).order_by(Deduction.event_id)).all()
    assert (found.granted, found.unlimited, found.used, found.period) == (7, True, 5, 1)
    assert (found.plan_id, found.interval, found.interval_count) == (None, None, 1)
    assert (found.due_ms, found.created_at) == (60, BASE_MS + 1)
    assert decode_row(found.line).grant == 7
    assert moves == [50, 60]


def test_change_without_a_text_keeps_every_column_of_it(engine: Engine) -> None:
    history = History()
    history.add(customer(), row(document=RowDocument(plan_id="pro"), flags="u"))
    history.add(deduct())
    carry(engine, history, cuts=[1])
    with engine.connect() as connection:
        found = connection.execute(select(Balance)).one()
    assert (found.plan_id, found.unlimited, found.granted) == ("pro", True, 100)


def test_usage_window_has_its_last_count_and_ends_with_its_entity(engine: Engine) -> None:
    history = History()
    history.add(customer(), entity(), window(3), window(1, entity="seat_1"))
    history.add(window(4, BASE_MS + 9), window(2, key="0a1b2c3d"))
    history.add(window(9), seq=1)
    history.add(deleted_entity(), seq=4)
    carry(engine, history, cuts=[1, 2, 3])
    with engine.connect() as connection:
        columns = (UsageWindow.entity_id, UsageWindow.key, UsageWindow.ends_at, UsageWindow.used)
        found = [tuple(one) for one in connection.execute(select(*columns).order_by(*columns))]
    assert found == [("", "", BASE_MS + 9, 4), ("", "0a1b2c3d", BASE_MS, 2)]


def test_lock_that_ends_in_a_later_batch_keeps_when_it_began(engine: Engine) -> None:
    history = History()
    history.add(customer(), lock(at_ms=900, entity="seat_1"))
    history.add(lock(state="confirmed", units=2, at_ms=700, receipt=""), kind="lock")
    history.add(lock(state="expired", at_ms=900), seq=2)
    carry(engine, history, cuts=[1, 2])
    with engine.connect() as connection:
        found = connection.execute(select(Lock)).one()
    assert (found.state, found.units, found.receipt) == ("confirmed", 2, "receipt")
    assert (found.entity_id, found.created_at) == ("seat_1", BASE_MS + 1)
    assert (found.expires_at, found.ended_at) == (900, 700)


def test_end_of_a_lock_nobody_knows_holds_nothing_up(engine: Engine) -> None:
    history = History()
    history.add(customer(), lock(state="released"))
    carry(engine, history)
    assert contents(engine)["locks"] == []


def test_customer_that_ends_leaves_no_window_and_no_open_lock(engine: Engine) -> None:
    history = History()
    history.add(customer(), window(3), lock(), lock("done"))
    history.add(lock("done", "confirmed", at_ms=5), kind="lock")
    history.add(DELETED)
    carry(engine, history, cuts=[1])
    with engine.connect() as connection:
        states = select(Lock.state, Lock.ended_at).order_by(Lock.lock_id)
        found = [tuple(one) for one in connection.execute(states)]
    assert found == [("confirmed", 5), ("released", BASE_MS + 3)]
    assert contents(engine)["usage_windows"] == []


def test_alert_is_there_once_with_its_body(engine: Engine) -> None:
    history = History()
    body = '{"name":"half\\tfull","threshold":50,"threshold_type":"usage"}'
    history.add(customer(), alert("usage_alert_triggered", body, entity="seat_1"))
    carry(engine, history)
    columns = (Alert.id, Alert.env, Alert.customer_id, Alert.entity_id, Alert.kind, Alert.body)
    with engine.connect() as connection:
        found = [tuple(one) for one in connection.execute(select(*columns))]
    name = f"alr_p07_{BASE_MS + 1}-0"
    assert found == [(name, "sandbox", "acme", "seat_1", "usage_alert_triggered", body)]
