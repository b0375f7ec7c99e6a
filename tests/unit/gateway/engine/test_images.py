"""From a customer as SQL knows it to the keys Redis holds of it."""

from __future__ import annotations

from threading import current_thread, main_thread
from typing import Any

import pytest

from gateway.engine import images
from gateway.engine.images import (
    ENTITIES_AT_ONCE,
    Values,
    restore_groups,
    restore_groups_beside,
)
from gateway.entity_index import decode_index
from gateway.ports import (
    CustomerImage,
    EntityImage,
    LockImage,
    RowImage,
    SlotImage,
    WindowImage,
)
from gateway.rows import Kind, Row, encode_row

HASHES = (0, 1, 2, 4)
"""Which of the values are fields of a hash; the others are members of a sorted set."""


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
        env="live",
        customer_id="ada",
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
        windows=[],
        locks=[],
    )


def restored(of: CustomerImage) -> list[dict[Any, Any]]:
    """Return the four keys of the customer; sorted sets by member."""
    return mappings(restore_groups(of))[:4]


def mappings(groups: list[Values]) -> list[dict[Any, Any]]:
    """Return hashes by field and sorted sets by member."""
    pairs = [list(zip(group[::2], group[1::2], strict=True)) for group in groups]
    return [
        dict(found) if at in HASHES else {member: score for score, member in found}
        for at, found in enumerate(pairs)
    ]


def marks_of(index: dict[str, str], band: int) -> dict[int, set[int]]:
    """Return the numbers of each class of a band."""
    sets = decode_index(index).members
    return {place: numbers for (of, place), numbers in sets.items() if of == band}


def test_identity_is_restored_with_a_revision_nobody_has_seen() -> None:
    customer, entities, index, due = restored(image([]))
    assert customer == {
        "id": "cus_1",
        "seq": 9,
        "rev": 9,
        "doc": "{}",
        "subs": '[{"id":"a"},{"id":"b"}]',
        "entities": 7,
        "counter": 20,
        "plain": "1",
    }
    assert (entities, index, due) == ({}, {}, {})


@pytest.mark.parametrize(
    ("rules", "entity_rules"), [({"calls": "o"}, {}), ({}, {("calls", "zoe"): "o"})]
)
def test_a_customer_with_rules_is_not_restored_as_a_plain_one(
    rules: dict[str, str], entity_rules: dict[tuple[str, str], str]
) -> None:
    groups = restore_groups(image([], entities=("zoe",)), rules, entity_rules)
    assert mappings(groups)[0]["plain"] == ""


def test_rows_are_in_spending_order_whatever_order_sql_has() -> None:
    rows = [slots_of("a"), row("c"), row("b")]
    stored_rows = [stored(one, number) for number, one in enumerate(rows, 1)]
    customer = restored(image(stored_rows))[0]
    assert [line.split("\t")[0] for line in customer["r:calls"].split("\n")] == ["b", "c", "a"]
    assert customer["v:calls"] == "0 0 0 3 0 0 0 0 0 2 0 0 0 0 0 1 0 0"


def test_entities_get_their_places_and_a_band_of_their_own() -> None:
    customer, entities, index, _ = restored(image([], entities=("zoe", "bob")))
    assert customer["n:seats"] == "21 2"
    assert entities == {"e:zoe": "21\t2\tseats\t{}", "e:bob": "21\t3\tseats\t{}"}
    assert index == {"n:0": "\n2\tzoe\n3\tbob", "21:0": "002", "21:0:0": "0011"}


def test_sums_and_marks_of_slots_are_counted_anew() -> None:
    slots = [
        SlotImage("calls", "zoe", 5, 16),
        SlotImage("calls", "bob", 5, -3),
        SlotImage("calls", "eve", 5, 10),
        SlotImage("calls", "kim", 4, 99),  # of a period gone by
    ]
    held = stored(slots_of("a", flags="o", floor=6), 5)
    customer, entities, index, _ = restored(image([held], slots, ("zoe", "bob", "eve", "kim")))
    assert customer["v:calls"] == "23 6 3 5 0 0"
    assert entities["p:calls\tzoe"] == "5 16"
    assert "p:calls\tkim" not in entities
    zoe, bob, eve = 2, 3, 4
    assert marks_of(index, 5) == {0: {zoe, eve}, 1: {zoe, eve}, 2: {zoe}, 3: {zoe}, 4: {bob}}


def test_slots_without_a_grant_or_a_floor_are_never_marked_as_at_it() -> None:
    held = stored(slots_of("a", 0, flags="o", floor=0), 5)
    index = restored(image([held], [SlotImage("calls", "zoe", 5, 0)], ("zoe",)))[2]
    assert marks_of(index, 5) == {}


def test_what_entities_hold_is_summed_marked_and_due() -> None:
    rows = [
        stored(row("a", 10, expires_ms=500), 5, 12, "zoe", due_ms=900),
        stored(row("b", 10), 6, -2, "zoe"),
        stored(row("c", 0, flags="u"), 7, 30, "bob"),
        stored(row("d", kind=Kind.FLAG), 8, 0, "eve"),
    ]
    customer, entities, index, due = restored(image(rows, entities=("zoe", "bob", "eve")))
    assert customer["h:calls"] == "22 20 10 2 2 3 1 30"
    assert entities["v:calls\tzoe"] == "12 0 0 5 900 0 -2 0 0 6 0 0"
    assert due == {"calls\tzoe": 500}
    zoe, bob = 2, 3
    assert marks_of(index, 22) == {0: {zoe}, 1: {zoe}, 2: {zoe}, 3: {zoe, bob}, 4: {bob}}
    assert customer["counter"] == 22


def test_rollovers_of_entities_have_sums_and_a_band_of_their_own() -> None:
    rows = [
        stored(row("a", 10), 5, 4, "zoe"),
        stored(row("a~3", 8, flags="r", rank="!1", roll="a", expires_ms=600), 6, 3, "zoe"),
        stored(row("b~3", 2, flags="r", rank="!2", roll="b"), 7, 2, "bob"),
    ]
    customer, entities, index, due = restored(image(rows, entities=("zoe", "bob")))
    assert customer["h:calls"] == "22 10 4 0 0 1 0 0"
    assert customer["o:calls"] == "23 10 5 0 0 2 0 0"
    kept = [line.split("\t")[0] for line in entities["h:calls\tzoe"].split("\n")]
    assert kept == ["a~3", "a"]
    assert entities["v:calls\tzoe"] == "3 0 0 6 0 0 4 0 0 5 0 0"
    assert due == {"calls\tzoe": 600}
    zoe, bob = 2, 3
    assert marks_of(index, 22) == {0: {zoe}, 1: {zoe}, 3: {zoe}}
    assert marks_of(index, 23) == {0: {zoe}, 1: {zoe, bob}, 3: {zoe, bob}}


def test_entities_that_hold_only_rollovers_have_no_other_sums() -> None:
    rolled = row("a~3", 8, flags="r", rank="!1", roll="a")
    customer = restored(image([stored(rolled, 6, owner="zoe")], entities=("zoe",)))[0]
    assert "h:calls" not in customer
    assert customer["o:calls"] == "22 8 0 0 0 1 0 0"


def test_rows_named_by_a_caller_are_found_by_their_name() -> None:
    rows = [
        stored(row("gift"), 1),
        stored(row("bonus"), 2, owner="zoe"),
        stored(row("cus_ent_1"), 3),
        stored(row("gift~1", flags="r", rank="!1", roll="gift"), 4),
    ]
    customer = restored(image(rows, entities=("zoe",)))[0]
    names = {field: text for field, text in customer.items() if field.startswith("i:")}
    assert names == {"i:gift": "calls\t", "i:bonus": "calls\tzoe"}


def test_rules_are_put_back_where_their_owner_is_known() -> None:
    rules, own = {"calls": "o\t1"}, {("calls", "zoe"): "o\t0", ("calls", "ghost"): "o\t1"}
    customer, entities, *_ = mappings(restore_groups(image([], entities=("zoe",)), rules, own))
    assert customer["l:calls"] == "o\t1"
    assert entities["l:calls\tzoe"] == "o\t0"
    assert "l:calls\tghost" not in entities


def receipt(entity: str, units: int, *lines: str) -> str:
    return "\n".join((f"ada\tcalls\t{entity}\t{units}\t700\t9\tcus_1\t{{}}", *lines))


def test_open_locks_and_usage_windows_are_counted_by_scope_and_feature() -> None:
    of_entity = receipt(
        "zoe",
        7,
        "calls\ta\tzoe\t3\t5\t5",
        "credits\tb\t\t4\t20\t2",
        "\tcalls\t\t0a1b2c3d\t900\t7",
        "\tcalls\tzoe\t\t900\t7",
        "w\ta\t\t3\t1\t1",
    )
    of_customer = receipt("", 2, "calls\ta\t\t3\t3\t3", "calls\ta\t\t3\t-1\t-1")
    gone = receipt("ghost", 4, "calls\ta\t\t3\t4\t4")
    nothing = receipt("", 0, "extra\tc\t\t3\t4\t4", "extra\tc\t\t3\t-4\t-4")
    held = image([], entities=("zoe",))._replace(
        locks=[
            LockImage("one", "calls", "zoe", 700, of_entity),
            LockImage("two", "calls", "", 800, of_customer),
            LockImage("three", "calls", "ghost", 900, gone),
            LockImage("four", "extra", "", 950, nothing),
        ],
        windows=[
            WindowImage("calls", "", "0a1b2c3d", 900, 7),
            WindowImage("calls", "zoe", "", 900, 7),
            WindowImage("calls", "ghost", "", 900, 1),
        ],
    )
    customer, entities, _, _, locks, holds = mappings(restore_groups(held))
    assert customer["x:calls"] == "k\t11\nw\t0a1b2c3d\t900\t7"
    assert customer["x:credits"] == "k\t20"
    assert customer["x:w"] == "k\t1"
    assert "x:extra" not in customer
    assert {field: text for field, text in entities.items() if field.startswith("x:")} == {
        "x:calls\tzoe": "k\t5\nw\t\t900\t7",
        "x:credits\tzoe": "k\t20",
        "x:w\tzoe": "k\t1",
    }
    assert locks["live\tone"] == of_entity
    assert set(locks) == {"live\tone", "live\ttwo", "live\tthree", "live\tfour"}
    assert holds["live\tada\ttwo"] == 800


@pytest.mark.parametrize(("more", "is_beside"), [(0, False), (1, True)])
async def test_a_customer_of_many_entities_is_worked_out_beside_other_calls(
    monkeypatch: pytest.MonkeyPatch, more: int, *, is_beside: bool
) -> None:
    made = image([], entities=tuple(f"e{at}" for at in range(ENTITIES_AT_ONCE + more)))
    expected, threads = restore_groups(made, {}, {}), []

    def noted(*of: Any) -> list[Values]:  # noqa: ANN401 - as of restore_groups
        threads.append(current_thread())
        return restore_groups(*of)

    monkeypatch.setattr(images, "restore_groups", noted)
    assert await restore_groups_beside(made, {}, {}) == expected
    assert [one is not main_thread() for one in threads] == [is_beside]
