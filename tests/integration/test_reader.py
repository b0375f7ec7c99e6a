"""What the gateway gets back from SQL."""

from __future__ import annotations

import pytest
from msgspec import structs
from sqlalchemy import Engine

from gateway.errors import InvalidCursorError, UnavailableError
from gateway.holders import PlanFilter
from gateway.ports import DeductionRecord, EntityRef, EventQuery, ListQuery, Reader
from gateway.rows import Kind, RowDocument, decode_row
from gateway.stream_ids import BEGINNING
from persistence.database import Database, EngineOptions, make_engine
from persistence.reads.reader import SqlReader
from tests.integration.carrying import carry
from tests.unit.persistence.entries import (
    BASE_MS,
    DELETED,
    History,
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
    window,
)


async def test_unknown_customer_still_has_a_cursor(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(customer())
    cursor = carry(engine, history)
    assert await reader.load("sandbox", "nobody", 7) == (cursor, None)
    assert await reader.load("live", "acme", 7) == (cursor, None)
    assert await reader.load("sandbox", "acme", 8) != (cursor, None)


async def test_load_returns_what_is_live(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(
        customer("Acme"),
        row("shared", used=4, period=1, due_ms=77),
        row("slots", kind=Kind.PER_ENTITY, period=2),
        row("held", entity="seat_1", period=3),
        row("gone"),
        subscription("sub_1"),
        subscription("sub_2", status="expired"),
        subscription("sub_3", entity="seat_1"),
        entity("seat_1", 1),
        entity("seat_2", 2),
        entity("seat_3", 3),
    )
    history.add(deduct("slots", used=5, total=8, entity="seat_1", period=2))
    history.add(deduct("slots", used=3, total=8, entity="seat_2", period=2))
    history.add(ended("gone"), deleted_entity("seat_2"))
    cursor = carry(engine, history)
    result = await reader.load("sandbox", "acme", 7)
    image = result.customer
    assert image is not None
    assert result.cursor == cursor
    assert (image.env, image.customer_id) == ("sandbox", "acme")
    assert (image.internal_id, image.seq, image.counter, image.number_max) == ("cus_1", 4, 3, 3)
    assert [(decode_row(item.line).id, item.entity_id, item.used) for item in image.rows] == [
        ("shared", "", 4),
        ("slots", "", 8),
        ("held", "seat_1", 0),
    ]
    assert (image.rows[0].period, image.rows[0].due_ms) == (1, 77)
    assert image.slots == [("messages", "seat_1", 2, 5)]
    assert [item.entity_id for item in image.entities] == ["seat_1", "seat_3"]
    assert len(image.subscriptions) == 1
    assert (image.windows, image.locks) == ([], [])


async def test_load_returns_usage_windows_and_open_locks(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(
        customer(), entity(), window(3, 900, entity="seat_1"), window(4, 800, key="0a1b2c3d")
    )
    history.add(lock("b", at_ms=700, entity="seat_1", receipt="acme\tmessages\nline"), lock("a"))
    history.add(lock("c"), customer_id="other", internal_id="cus_2")
    history.add(lock("a", "released"), kind="lock")
    carry(engine, history)
    image = (await reader.load("sandbox", "acme", 7)).customer
    assert image is not None
    assert image.windows == [
        ("messages", "", "0a1b2c3d", 800, 4),
        ("messages", "seat_1", "", 900, 3),
    ]
    assert image.locks == [("b", "messages", "seat_1", 700, "acme\tmessages\nline")]


async def test_slot_of_an_older_period_stays_behind(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(customer(), row("p", kind=Kind.PER_ENTITY, period=1), entity())
    history.add(deduct("p", entity="seat_1", period=1))
    history.add(reset("p", period=2))
    carry(engine, history)
    image = (await reader.load("sandbox", "acme", 7)).customer
    assert image is not None
    assert image.slots == []


async def test_deleted_customer_is_nowhere(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(customer(), entity())
    history.add(DELETED)
    carry(engine, history)
    assert (await reader.load("sandbox", "acme", 7)).customer is None
    assert await reader.find_entity("sandbox", "seat_1") == []
    query = ListQuery(env="sandbox", limit=9, offset=0)
    assert await reader.list_customers(query) == ([], None, 0)
    assert await reader.list_entities(query) == ([], None, 0)


async def test_find_entity_shows_at_most_two(engine: Engine, reader: Reader) -> None:
    history = History()
    for name in ("a", "b", "c"):
        history.add(customer(), entity(), customer_id=name, internal_id=f"cus_{name}")
    history.add(deleted_entity(), customer_id="a", internal_id="cus_a")
    carry(engine, history)
    found = await reader.find_entity("sandbox", "seat_1")
    assert found == [EntityRef("b", "seat_1"), EntityRef("c", "seat_1")]
    assert await reader.find_entity("live", "seat_1") == []


def _crowd() -> History:
    history = History()
    people = [("ann", "Ann 100%", "ann@x.io"), ("bob", "Bob_B", None), ("cy", None, "CY@x.io")]
    for number, (name, title, email) in enumerate(people):
        created = BASE_MS + number // 2  # The first two were created in one millisecond.
        history.add(
            customer(title, email, created),
            subscription(plan_id="pro" if name == "bob" else "free"),
            entity(f"{name}-1", 1, name=title, created_at=created),
            entity(f"{name}-2", 2, created_at=created),
            subscription("own", "team", entity=f"{name}-2"),
            customer_id=name,
            internal_id=f"cus_{name}",
        )
    return history


async def test_customers_page_newest_first(engine: Engine, reader: Reader) -> None:
    carry(engine, _crowd())
    first = await reader.list_customers(ListQuery(env="sandbox", limit=2))
    assert [name for name, _ in first.items] == ["cy", "bob"]
    assert first.next_cursor is not None
    query = ListQuery(env="sandbox", limit=2, cursor=first.next_cursor)
    assert await reader.list_customers(query) == ([("ann", "")], None, None)
    query = ListQuery(env="sandbox", limit=1, offset=1)
    page = await reader.list_customers(query)
    assert (page.items, page.total) == ([("bob", "")], 3)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ANN", ["ann"]),
        ("bob_b", ["bob"]),
        ("cy@X.IO", ["cy"]),
        ("100%", ["ann"]),
        ("%", ["ann"]),
        ("_", ["bob"]),
        ("x.io", ["cy", "ann"]),
        ("\\", []),
    ],
)
async def test_search_looks_at_id_name_and_email(
    engine: Engine, reader: Reader, search: str, found: list[str]
) -> None:
    carry(engine, _crowd())
    page = await reader.list_customers(ListQuery(env="sandbox", limit=9, search=search))
    assert [name for name, _ in page.items] == found


async def test_plans_filter_by_active_subscription(engine: Engine, reader: Reader) -> None:
    history = _crowd()
    history.add(
        subscription(plan_id="free", status="expired"), customer_id="ann", internal_id="cus_ann"
    )
    carry(engine, history)
    query = ListQuery(env="sandbox", limit=9, plans=(PlanFilter("pro"), PlanFilter("free")))
    assert [name for name, _ in (await reader.list_customers(query)).items] == ["cy", "bob"]
    query = ListQuery(env="sandbox", limit=9, plans=(PlanFilter("team"),), customer_id="bob")
    assert (await reader.list_entities(query)).items == [("bob", "bob-2")]
    query = ListQuery(env="sandbox", limit=9, plans=(PlanFilter("pro"),))
    assert (await reader.list_entities(query)).items == [("bob", "bob-2"), ("bob", "bob-1")]


async def test_entities_page_newest_first(engine: Engine, reader: Reader) -> None:
    carry(engine, _crowd())
    items: list[tuple[str, str]] = []
    cursor = ""
    for _ in range(3):
        page = await reader.list_entities(ListQuery(env="sandbox", limit=2, cursor=cursor))
        items += page.items
        cursor = page.next_cursor or ""
    assert [name for _, name in items] == ["cy-2", "cy-1", "bob-2", "bob-1", "ann-2", "ann-1"]
    assert cursor == ""
    query = ListQuery(env="sandbox", limit=9, offset=0, search="ann", customer_id="ann")
    assert (await reader.list_entities(query)).total == 2


async def test_events_page_newest_first_with_their_deductions(
    engine: Engine, reader: Reader
) -> None:
    history = History()
    plan = RowDocument(plan_id="pro", interval="month", interval_count=3)
    history.add(customer(), row(due_ms=BASE_MS + 9, document=plan))
    paid = [deduct(delta=5), deduct("bal_2", 40, feature="credits")]
    history.add(event(value=5, timestamp_ms=BASE_MS, properties='{"a":1}'), *paid)
    history.add(event("", name="sent", timestamp_ms=BASE_MS + 2))
    history.add(event("seats", entity="seat_1", timestamp_ms=BASE_MS + 1), kind="entity")
    carry(engine, history)
    page = await reader.list_events(EventQuery(env="sandbox", limit=2))
    assert [item.feature_id for item in page.items] == ["sent", "seats"]
    assert await reader.list_events(EventQuery(env="sandbox", limit=2, offset=0)) == (
        page.items,
        page.next_cursor,
        3,
    )
    assert page.next_cursor is not None
    query = EventQuery(env="sandbox", limit=2, cursor=page.next_cursor)
    (last,), cursor, _ = await reader.list_events(query)
    assert cursor is None
    assert (last.id, last.value, last.properties) == (f"evt_p07_{BASE_MS + 2}-0", 5, '{"a":1}')
    assert last.deductions == [
        DeductionRecord("bal_1", "messages", "pro", "month", 3, BASE_MS + 9, 5),
        DeductionRecord("bal_2", "credits", None, None, 1, None, 40),
    ]


@pytest.mark.parametrize("customer_id", [None, "acme"])
async def test_events_of_one_time_are_on_one_page_each_with_their_own_deductions(
    engine: Engine, reader: Reader, customer_id: str | None
) -> None:
    """The index of the newest ends with the time, so a page sorts what has the same one."""
    history = History()
    history.add(customer(), row())
    for value in range(1, 6):
        spent = deduct(delta=value, used=value * (value + 1) // 2)
        history.add(event(value=value, timestamp_ms=BASE_MS), spent)
    carry(engine, history)
    query = EventQuery(env="sandbox", limit=2, customer_id=customer_id)
    pages = [await reader.list_events(query)]
    while cursor := pages[-1].next_cursor:
        pages.append(await reader.list_events(structs.replace(query, cursor=cursor)))
    by_offset = [await reader.list_events(structs.replace(query, offset=at)) for at in (0, 2, 4)]
    assert [page.items for page in by_offset] == [page.items for page in pages]
    assert [[item.value for item in page.items] for page in pages] == [[5, 4], [3, 2], [1]]
    for item in (item for page in pages for item in page.items):
        assert [one.value for one in item.deductions] == [item.value]


async def test_event_filters(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(customer())
    for number, feature in enumerate(["a", "b", "c"]):
        history.add(
            event(
                feature,
                entity="seat_1" * (number % 2),
                timestamp_ms=BASE_MS + number,
                properties=f'{{"number": {number}, "name": "{feature}"}}',
            )
        )
    carry(engine, history)

    async def features(query: EventQuery) -> list[str]:
        return [item.feature_id for item in (await reader.list_events(query)).items]

    assert await features(EventQuery(env="live", limit=9)) == []
    assert await features(EventQuery(env="sandbox", limit=9, feature_ids=("a", "c"))) == ["c", "a"]
    assert await features(EventQuery(env="sandbox", limit=9, entity_id="seat_1")) == ["b"]
    window = EventQuery(env="sandbox", limit=9, start_ms=BASE_MS + 1, end_ms=BASE_MS + 2)
    assert await features(window) == ["b"]
    assert await features(EventQuery(env="sandbox", limit=9, customer_id="nobody")) == []
    named = EventQuery(env="sandbox", limit=9, properties=(("number", "1"), ("name", "b")))
    assert await features(named) == ["b"]
    wrong = EventQuery(env="sandbox", limit=9, properties=(("number", "1"), ("name", "a")))
    assert await features(wrong) == []


async def test_new_owner_of_an_id_sees_no_older_events(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(customer(), event("old"), internal_id="cus_1")
    history.add(DELETED, internal_id="cus_1")
    history.add(customer(), event("new"), internal_id="cus_2")
    carry(engine, history)
    page = await reader.list_events(EventQuery(env="sandbox", limit=9, customer_id="acme"))
    assert [item.feature_id for item in page.items] == ["new"]


async def test_foreign_cursor_is_refused(reader: Reader) -> None:
    with pytest.raises(InvalidCursorError):
        await reader.list_customers(ListQuery(env="sandbox", limit=1, cursor="bm9uc2Vuc2U"))
    with pytest.raises(InvalidCursorError):
        await reader.list_events(EventQuery(env="sandbox", limit=1, cursor="?"))


async def test_cursors_of_all_partitions(engine: Engine, reader: Reader) -> None:
    history = History()
    history.add(customer())
    cursor = carry(engine, history)
    assert await reader.cursors([6, 7]) == {6: BEGINNING, 7: cursor}


async def test_lost_server_is_unavailable() -> None:
    engine = make_engine("postgres://nobody@127.0.0.1:1/nothing", EngineOptions())
    database = Database(engine, threads=1, answer_ms=5_000)
    with pytest.raises(UnavailableError):
        await SqlReader(database).ping()
    await database.close()
