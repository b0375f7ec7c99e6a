"""From a customer as SQL knows it to the keys Redis holds of it."""

from __future__ import annotations

from typing import Any

from gateway.engine.images import restore_groups, score
from gateway.ports import CustomerImage, EntityImage, RowImage, SlotImage
from gateway.rows import Kind, Row, encode_row


def row(row_id: str, grant: int = 10, **columns: Any) -> Row:  # noqa: ANN401 - columns of a row
    given: dict[str, Any] = {"id": row_id, "kind": Kind.SHARED, "grant": grant, "rank": row_id}
    return Row(**given | columns)


def slots_of(row_id: str, grant: int = 10, **columns: Any) -> Row:  # noqa: ANN401 - as above
    return row(row_id, grant, kind=Kind.PER_ENTITY, entity_feature="seats", **columns)


def stored(made: Row, period: int, used: int = 0, owner: str = "", due_ms: int = 0) -> RowImage:
    return RowImage("calls", owner, encode_row(made), used, period, due_ms)


def image(
    rows: list[RowImage], slots: list[SlotImage] | None = None, entities: tuple[str, ...] = ()
) -> CustomerImage:
    return CustomerImage(
        internal_id="cus_1",
        seq=9,
        counter=20,
        number_max=7,
        document="{}",
        subscriptions=['{"id":"a"}', '{"id":"b"}'],
        rows=rows,
        slots=slots or [],
        entities=[
            EntityImage(name, number, "seats", "{}") for number, name in enumerate(entities, 2)
        ],
    )


def restored(of: CustomerImage) -> list[dict[Any, Any]]:
    """Return the five keys; sorted sets by member."""
    groups = restore_groups(of)
    pairs = [list(zip(group[::2], group[1::2], strict=True)) for group in groups]
    hashes = [dict(found) for found in pairs[:2]]
    return [*hashes, *({member: at for at, member in found} for found in pairs[2:])]


def test_identity_is_restored_with_a_revision_nobody_has_seen() -> None:
    customer, entities, order, marks, due = restored(image([]))
    assert customer == {
        "id": "cus_1",
        "seq": 9,
        "rev": 9,
        "doc": "{}",
        "subs": '[{"id":"a"},{"id":"b"}]',
        "entities": 7,
        "counter": 20,
    }
    assert (entities, order, marks, due) == ({}, {}, {}, {})


def test_rows_are_in_spending_order_whatever_order_sql_has() -> None:
    rows = [slots_of("a"), row("c"), row("b")]
    stored_rows = [stored(one, number) for number, one in enumerate(rows, 1)]
    customer = restored(image(stored_rows))[0]
    assert [line.split("\t")[0] for line in customer["r:calls"].split("\n")] == ["b", "c", "a"]
    assert customer["v:calls"] == "0 0 0 3 0 0 0 0 0 2 0 0 0 0 0 1 0 0"


def test_entities_get_their_places_and_a_band_of_their_own() -> None:
    customer, entities, order, _, _ = restored(image([], entities=("zoe", "bob")))
    assert customer["n:seats"] == "21 2"
    assert entities == {"e:zoe": "21\t2\tseats\t{}", "e:bob": "21\t3\tseats\t{}"}
    assert order == {"zoe": score(21, 0, 2), "bob": score(21, 0, 3)}


def test_sums_and_marks_of_slots_are_counted_anew() -> None:
    slots = [
        SlotImage("calls", "zoe", 5, 16),
        SlotImage("calls", "bob", 5, -3),
        SlotImage("calls", "eve", 5, 10),
        SlotImage("calls", "kim", 4, 99),  # of a period gone by
    ]
    held = stored(slots_of("a", flags="o", floor=6), 5)
    customer, entities, _, marks, _ = restored(image([held], slots, ("zoe", "bob", "eve", "kim")))
    assert customer["v:calls"] == "23 6 3 5 0 0"
    assert entities["p:calls\tzoe"] == "5 16"
    assert "p:calls\tkim" not in entities
    expected = [(0, "zoe"), (1, "zoe"), (2, "zoe"), (3, "zoe"), (4, "bob"), (0, "eve"), (1, "eve")]
    numbers = {"zoe": 2, "bob": 3, "eve": 4}
    assert marks == {
        f"5:{place}\t{name}": score(5, place, numbers[name]) for place, name in expected
    }


def test_slots_without_a_grant_or_a_floor_are_never_marked_as_at_it() -> None:
    held = stored(slots_of("a", 0, flags="o", floor=0), 5)
    marks = restored(image([held], [SlotImage("calls", "zoe", 5, 0)], ("zoe",)))[3]
    assert marks == {}


def test_what_entities_hold_is_summed_marked_and_due() -> None:
    rows = [
        stored(row("a", 10, expires_ms=500), 5, 12, "zoe", due_ms=900),
        stored(row("b", 10), 6, -2, "zoe"),
        stored(row("c", 0, flags="u"), 7, 30, "bob"),
        stored(row("d", kind=Kind.FLAG), 8, 0, "eve"),
    ]
    customer, entities, _, marks, due = restored(image(rows, entities=("zoe", "bob", "eve")))
    assert customer["h:calls"] == "22 20 10 2 2 3 1 30"
    assert entities["v:calls\tzoe"] == "12 0 0 5 900 0 -2 0 0 6 0 0"
    assert due == {"calls\tzoe": 500}
    assert set(marks) == {
        *(f"22:{place}\tzoe" for place in (0, 1, 2, 3)),
        *(f"22:{place}\tbob" for place in (3, 4)),
    }
    assert customer["counter"] == 22
