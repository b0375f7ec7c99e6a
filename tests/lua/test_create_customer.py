"""``create_customer``: a customer with the rows it starts with, once."""

from __future__ import annotations

from gateway import outbox
from gateway.outbox import CustomerSet, EntryKind, RowAdded, SubscriptionSet
from gateway.rows import encode_row
from gateway.scripts import Status
from tests.lua.world import HOUR_MS, NOW_MS, World, groups, hourly, per_entity, row


async def test_a_new_customer_has_its_rows_and_its_entry(world: World) -> None:
    rows = {"calls": [hourly("a", 10)], "seats": [row("b", 5), per_entity("c", 1)]}
    status = await world.scripts.create_customer(
        world.context,
        "0-0",
        "cus_1",
        '{"created_at":1}',
        '[{"id":"sub_1"}]',
        'S\t\t{"id":"sub_1"}',
        "",
        groups(rows),
    )
    assert status is Status.DONE
    entry = await world.entry()
    assert (entry.kind, entry.internal_id, entry.seq) == (EntryKind.CUSTOMER, "cus_1", 1)
    due_ms = NOW_MS + HOUR_MS
    assert entry.changes == [
        CustomerSet('{"created_at":1}'),
        SubscriptionSet("", '{"id":"sub_1"}'),
        RowAdded("calls", "", 0, 1, due_ms, encode_row(rows["calls"][0])),
        RowAdded("seats", "", 0, 2, 0, encode_row(rows["seats"][0])),
        RowAdded("seats", "", 0, 3, 0, encode_row(rows["seats"][1])),
    ]
    reply = await world.read()
    assert (reply.internal_id, reply.revision) == ("cus_1", str(NOW_MS))
    assert (reply.document, reply.subscriptions) == ('{"created_at":1}', '[{"id":"sub_1"}]')
    assert [seen.feature for seen in reply.descriptions] == ["calls", "seats"]


async def test_a_customer_that_exists_is_left_alone(world: World) -> None:
    await world.create(calls=[row("a")])
    before = await world.dump()
    assert await world.create(calls=[row("b")]) is Status.EXISTS
    assert await world.dump() == before


async def test_a_customer_sql_does_not_know_yet_waits_for_the_writer(world: World) -> None:
    await world.create(calls=[row("a")])
    read = (await world.entry()).stream_id
    await world.scripts.delete_customer(world.context)
    before = await world.dump()
    assert await world.create(cursor=read) is Status.BUSY
    assert await world.dump() == before
    await world.entries()
    assert await world.create(cursor=world.seen) is Status.DONE


async def test_entries_of_other_customers_are_not_waited_for(world: World) -> None:
    line = outbox.join("track", "sandbox", "adam", "cus_9", 1, NOW_MS, "req_9")
    await world.client.xadd(world.context.keys.outbox, {outbox.FIELD: line.encode()})
    world.seen = await world.scripts.last_entry(world.context.keys.outbox)
    assert await world.create(calls=[row("a")]) is Status.DONE


async def test_a_long_tail_of_the_outbox_is_waited_for(world: World) -> None:
    pipeline = world.client.pipeline(transaction=False)
    line = outbox.join("track", "sandbox", "adam", "cus_9", 1, NOW_MS, "req_9").encode()
    for _ in range(1000):
        pipeline.xadd(world.context.keys.outbox, {outbox.FIELD: line})  # type: ignore[unused-awaitable]
    ids = await pipeline.execute()
    world.seen = ids[-1].decode()
    assert await world.create() is Status.BUSY
    assert await world.create(cursor=ids[0].decode()) is Status.DONE


async def test_nobody_is_created_in_a_partition_that_lost_its_seal(world: World) -> None:
    world.scripts.seal = "inst_1"
    assert await world.create(calls=[row("a")]) is Status.FENCED
    assert await world.dump() == {}
    await world.client.set(world.context.keys.seal, "inst_1")
    assert await world.create(calls=[row("a")]) is Status.DONE
    await world.client.delete(world.context.keys.seal)
