"""What a batch says after entries."""

from __future__ import annotations

import pytest

from gateway.outbox import OutboxError
from gateway.rows import Kind, RowDocument
from persistence.sync.batch import CursorMove, CustomerEnd, DeadLetterRow, DenialRow, EntityEnd
from persistence.sync.fold import fold
from tests.unit.persistence.entries import (
    BASE_MS,
    DELETED,
    History,
    alert,
    customer,
    deduct,
    deleted_entity,
    denied,
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


def test_nothing_folds_to_nothing() -> None:
    batch = fold([])
    assert not any(vars(batch).values())


def test_event_id_names_partition_and_entry() -> None:
    history = History(partition=7)
    history.add(event())
    assert [row.id for row in fold(history.entries).events] == [f"evt_p07_{BASE_MS + 1}-0"]


def test_each_deduction_belongs_to_the_event_before_it() -> None:
    history = History()
    history.add(deduct("a"), event("x"), deduct("b"), deduct("c"), event("y"), deduct("d"))
    name = f"p07_{BASE_MS + 1}-0"
    assert [(row.event_id, row.balance_id) for row in fold(history.entries).deductions] == [
        (f"mov_{name}", "a"),
        (f"evt_{name}", "b"),
        (f"evt_{name}", "c"),
        (f"evt_{name}-1", "d"),
    ]


def test_last_state_of_a_known_balance_is_one_change() -> None:
    history = History()
    history.add(deduct(used=1))
    history.add(deduct(used=2))
    history.add(reset(period=5, due_ms=99), deduct(used=3, period=5))
    (change,) = fold(history.entries).balance_changes
    assert (change.used, change.period, change.due_ms, change.ended_at) == (3, 5, 99, None)
    assert change.seq == 3


def test_reset_empties_the_balance() -> None:
    history = History()
    history.add(deduct(used=9), reset(period=2))
    (change,) = fold(history.entries).balance_changes
    assert (change.used, change.period) == (0, 2)


def test_added_row_is_whole_and_moves_with_deductions() -> None:
    document = RowDocument(plan_id="pro", subscription_id="sub_1", interval="month")
    history = History()
    history.add(row(grant=500, used=10, due_ms=77, document=document, flags="u"))
    history.add(deduct(used=11))
    (balance,) = fold(history.entries).balances
    assert (balance.granted, balance.used, balance.due_ms) == (500, 11, 77)
    assert (balance.plan_id, balance.subscription_id) == ("pro", "sub_1")
    assert (balance.interval, balance.unlimited) == ("month", True)
    assert balance.created_at == BASE_MS + 1


def test_per_entity_move_sets_slot_and_total() -> None:
    history = History()
    history.add(row(kind=Kind.PER_ENTITY))
    history.add(deduct(entity="seat_1", used=4, total=9))
    batch = fold(history.entries)
    (slot,) = batch.slots
    assert (slot.entity_id, slot.used, slot.certain) == ("seat_1", 4, True)
    assert batch.balances[0].used == 9


def test_entity_held_row_has_no_slot() -> None:
    history = History()
    history.add(row(entity="seat_1"), deduct(entity="seat_1", used=4))
    assert fold(history.entries).slots == []


def test_slot_of_a_row_added_earlier_is_left_to_sql() -> None:
    history = History()
    history.add(deduct(entity="seat_1"))
    assert [slot.certain for slot in fold(history.entries).slots] == [False]


def test_ended_row_keeps_its_numbers() -> None:
    history = History()
    history.add(row(used=5))
    history.add(ended())
    (balance,) = fold(history.entries).balances
    assert (balance.used, balance.ended_at) == (5, BASE_MS + 2)


def test_counters_of_the_customer_are_the_highest_seen() -> None:
    history = History()
    history.add(customer("Acme"), row(period=3), entity(number=8), entity("seat_2", number=2))
    history.add(reset(period=6))
    (found,) = fold(history.entries).customers
    assert (found.counter, found.number_max, found.seq, found.name) == (6, 8, 2, "Acme")


def test_customer_without_a_document_is_a_change() -> None:
    history = History()
    history.add(event())
    batch = fold(history.entries)
    assert (batch.customers, len(batch.customer_changes)) == ([], 1)


def test_deleted_entity_takes_its_own_along_and_nothing_else() -> None:
    history = History()
    history.add(entity(), entity("seat_2", 2), row("own", entity="seat_1"), row("other"))
    history.add(subscription("s1", entity="seat_1"), subscription("s2"))
    end = history.add(deleted_entity(), deduct("other", entity="seat_1"))
    batch = fold(history.entries)
    assert batch.entity_ends == [EntityEnd("cus_1", "sandbox", "seat_1", end.at_ms, 3)]
    assert {row.entity_id: row.deleted_at for row in batch.entities} == {
        "seat_1": end.at_ms,
        "seat_2": None,
    }
    assert {row.id: row.ended_at for row in batch.balances} == {"own": end.at_ms, "other": None}
    assert {row.id: row.status for row in batch.subscriptions} == {"s1": "expired", "s2": "active"}
    assert batch.slots == []


def test_entity_that_returns_is_live() -> None:
    history = History()
    history.add(entity(number=1))
    history.add(deleted_entity())
    history.add(entity(number=2))
    live = [row.number for row in fold(history.entries).entities if row.deleted_at is None]
    assert live == [2]


def test_deleted_customer_ends_everything() -> None:
    history = History()
    history.add(customer(), entity(), row(), row("p", kind=Kind.PER_ENTITY), subscription())
    history.add(deduct("p", entity="seat_1"))
    end = history.add(DELETED)
    batch = fold(history.entries)
    assert batch.customer_ends == [CustomerEnd("cus_1", end.at_ms, 3)]
    assert batch.customers[0].deleted_at == end.at_ms
    assert {row.ended_at for row in batch.balances} == {end.at_ms}
    assert batch.entities[0].deleted_at == end.at_ms
    assert batch.subscriptions[0].status == "expired"
    assert batch.slots == []


def test_deduction_knows_when_its_period_ends() -> None:
    history = History()
    history.add(row(period=1, due_ms=50), deduct(period=1))
    history.add(reset(period=2, due_ms=90), deduct(period=2))
    history.add(deduct("of an earlier batch", period=1))
    moves = [row for row in fold(history.entries).deductions if row.delta is not None]
    assert [row.resets_at for row in moves] == [50, 90, None]


def test_cursor_is_the_highest_id_of_each_partition() -> None:
    first, second = History(partition=1), History(partition=2)
    first.add(event())
    first.add(event())
    second.add(event())
    letter = DeadLetterRow(2, f"{BASE_MS + 1}-10", b"junk", "not readable", BASE_MS)
    batch = fold([*first.entries, *second.entries], [letter])
    assert batch.cursors == [
        CursorMove(1, f"{BASE_MS + 2}-0", 2),
        CursorMove(2, f"{BASE_MS + 1}-10", 2),
    ]
    assert batch.dead_letters == [letter]


@pytest.mark.parametrize(
    "line",
    [
        "C\tnot json",
        'C\t{"name": "no created_at"}',
        "S\t\t{}",
        "N\tseat_1\t1\tseats\t[]",
        "B\tmessages\t\t0\t1\t0\tbal_1\tc\tnot a number",
        "B\tmessages\t\t0\t1\t0\tbal_1\tz\t1\t\t\t0\t0\t0\t\t\t\t{}",
    ],
)
def test_unreadable_content_names_the_entry(line: str) -> None:
    history = History()
    history.add(line)
    with pytest.raises(OutboxError, match=f"entry {BASE_MS + 1}-0 of partition 7"):
        fold(history.entries)


def test_what_a_row_begins_with_is_a_move() -> None:
    history = History()
    history.add(row("new", used=5, due_ms=50))
    history.add(row("new", used=8, due_ms=50), row("empty"))
    history.add(row("new", used=8, due_ms=50), kind="plan")
    assert [
        (row.balance_id, row.delta, row.total, row.resets_at)
        for row in fold(history.entries).deductions
    ] == [("new", None, 5, 50), ("new", 3, 8, 50), ("empty", None, 0, 0)]


def test_credits_that_paid_for_an_event_are_its_deductions() -> None:
    history = History()
    history.add(event("a"), deduct("own", feature="a"), deduct("paid", feature="credits"))
    history.add(deduct("set"), kind="balance")
    found = [(row.event_id, row.feature_id) for row in fold(history.entries).deductions]
    name = f"p07_{BASE_MS + 1}-0"
    assert found == [
        (f"evt_{name}", "a"),
        (f"evt_{name}", "credits"),
        (f"mov_p07_{BASE_MS + 2}-0", "messages"),
    ]


def test_updated_text_of_a_row_of_this_batch_replaces_it() -> None:
    history = History()
    history.add(row(grant=10, used=4, due_ms=50), updated(grant=7, due_ms=60), deduct(used=5))
    batch = fold(history.entries)
    (balance,) = batch.balances
    assert (balance.granted, balance.used, balance.due_ms) == (7, 5, 60)
    assert balance.created_at == BASE_MS + 1
    assert batch.deductions[-1].resets_at == 60
    assert batch.balance_changes == []


def test_updated_text_of_an_earlier_row_is_a_change() -> None:
    history = History()
    history.add(updated(grant=7, due_ms=60, document=RowDocument(plan_id="pro")), deduct(used=5))
    batch = fold(history.entries)
    (change,) = batch.balance_changes
    assert (change.granted, change.plan_id, change.used, change.due_ms) == (7, "pro", 5, 60)
    assert change.line is not None
    assert (change.period, batch.balances) == (None, [])
    assert batch.deductions[0].resets_at == 60


def test_balance_without_a_new_text_keeps_every_column_of_it() -> None:
    history = History()
    history.add(deduct())
    (change,) = fold(history.entries).balance_changes
    assert {name: getattr(change, name) for name in change._field_defaults} == dict.fromkeys(
        change._field_defaults
    )


def test_last_count_of_each_usage_window_wins() -> None:
    history = History()
    history.add(window(3), window(5, key="0a1b2c3d"), window(1, entity="seat_1"))
    history.add(window(4, BASE_MS + 9))
    found = {
        (row.entity_id, row.key): (row.ends_at, row.used, row.seq)
        for row in fold(history.entries).windows
    }
    assert found == {
        ("", ""): (BASE_MS + 9, 4, 2),
        ("", "0a1b2c3d"): (BASE_MS, 5, 1),
        ("seat_1", ""): (BASE_MS, 1, 1),
    }


def test_lock_that_ends_in_its_batch_keeps_when_it_began() -> None:
    history = History()
    history.add(lock(at_ms=900, receipt="a\nb"))
    history.add(lock(state="confirmed", units=2, at_ms=700, receipt=""), kind="lock")
    batch = fold(history.entries)
    (found,) = batch.locks
    assert (found.state, found.units, found.receipt) == ("confirmed", 2, "a\nb")
    assert (found.created_at, found.expires_at, found.ended_at) == (BASE_MS + 1, 900, 700)
    assert batch.lock_ends == []


def test_lock_of_an_earlier_batch_ends_by_a_change() -> None:
    history = History()
    history.add(lock(state="expired", at_ms=700), kind="lock")
    batch = fold(history.entries)
    assert [(end.lock_id, end.state, end.ended_at) for end in batch.lock_ends] == [
        ("lock_1", "expired", 700)
    ]
    assert batch.locks == []


def test_lock_whose_id_is_used_again_is_open() -> None:
    history = History()
    history.add(lock(state="released", at_ms=700), kind="lock")
    history.add(lock(at_ms=900))
    batch = fold(history.entries)
    assert [(row.state, row.ended_at) for row in batch.locks] == [("open", None)]
    assert batch.lock_ends == []


def test_each_alert_of_an_entry_has_a_name_of_its_own() -> None:
    history = History()
    body = '{"name":"half","threshold":50,"threshold_type":"usage"}'
    history.add(event(), alert(), alert("usage_alert_triggered", body, entity="seat_1"))
    found = fold(history.entries).alerts
    name = f"alr_p07_{BASE_MS + 1}-0"
    assert [row.id for row in found] == [name, f"{name}-1"]
    assert [row.kind for row in found] == ["limit_reached", "usage_alert_triggered"]
    assert (found[1].body, found[1].entity_id, found[1].created_at) == (body, "seat_1", BASE_MS + 1)


def test_end_of_an_entity_takes_its_usage_windows_but_not_its_locks() -> None:
    history = History()
    history.add(entity(), window(1), window(2, entity="seat_1"), lock(entity="seat_1"))
    history.add(deleted_entity())
    batch = fold(history.entries)
    assert [row.entity_id for row in batch.windows] == [""]
    assert [row.state for row in batch.locks] == ["open"]


def test_end_of_a_customer_releases_its_open_locks() -> None:
    history = History()
    history.add(customer(), window(1), lock(), lock("done", "open"))
    history.add(lock("done", "confirmed", at_ms=5), kind="lock")
    end = history.add(DELETED)
    batch = fold(history.entries)
    assert batch.windows == []
    assert [(row.state, row.ended_at) for row in batch.locks] == [
        ("released", end.at_ms),
        ("confirmed", 5),
    ]


def test_denials_add_up_and_touch_no_customer() -> None:
    history = History()
    history.add(denied(2), denied(operation="track"), kind="denials", internal_id="", seq=0)
    history.add(denied(3), denied(day_ms=0), kind="denials", internal_id="", seq=0)
    batch = fold(history.entries)
    day_ms = BASE_MS - BASE_MS % 86_400_000
    assert batch.denials == [
        DenialRow("sandbox", "acme", "messages", "check", day_ms, 5),
        DenialRow("sandbox", "acme", "messages", "track", day_ms, 1),
        DenialRow("sandbox", "acme", "messages", "check", 0, 1),
    ]
    assert batch.cursors == [CursorMove(7, f"{BASE_MS + 2}-0", 2)]
    assert not batch.customer_changes


def test_an_entry_of_denials_that_changes_something_is_not_readable() -> None:
    history = History()
    history.add(denied(), event(), kind="denials", internal_id="", seq=0)
    with pytest.raises(OutboxError, match="counts denials and changes something"):
        fold(history.entries)


def test_of_several_ids_at_once_a_customer_gets_the_first() -> None:
    first, second = History(1), History(2)
    entries = [
        first.add(customer(name="x"), customer_id="x", seq=5),
        second.add(customer(name="y"), customer_id="y", seq=5),
    ]
    for batch in (entries, entries[::-1]):
        (row,) = fold(batch).customers
        assert (row.id, row.name) == (batch[0].customer_id, batch[0].customer_id)


@pytest.mark.parametrize("is_late", [False, True])
def test_an_id_a_customer_did_not_get_leaves_no_trace(is_late: bool) -> None:
    lost, kept = History(1), History(2)
    entries = [
        lost.add(customer(name="lost"), customer_id="y", seq=5),
        kept.add(deduct(), customer_id="x", seq=6),
    ]
    batch = fold(entries[::-1] if is_late else entries)
    assert batch.customers == []
    assert [change.seq for change in batch.customer_changes] == [6]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_document_under_the_id_a_customer_has_is_kept(is_late: bool) -> None:
    lost, kept = History(1), History(2)
    entries = [
        lost.add(customer(name="lost"), customer_id="y", seq=5),
        kept.add(customer(name="kept"), customer_id="x", seq=6),
    ]
    (row,) = fold(entries[::-1] if is_late else entries).customers
    assert (row.id, row.name, row.seq) == ("x", "kept", 6)
