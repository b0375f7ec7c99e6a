"""``restore_customer``: a customer that Redis lost, from what the outbox said of it."""

from __future__ import annotations

from typing import Any

from gateway import outbox
from gateway.engine.images import restore_groups
from gateway.ports import LockImage, RowImage, WindowImage
from gateway.rows import Kind, encode_row
from gateway.scripts import CustomerReply, Status
from tests.lua.world import ENV, HOUR_MS, KEYS, World, hourly, per_entity, row
from tests.property.readings import normal


async def _rich(world: World) -> None:
    """Make a customer that has some of everything."""
    await world.create(
        calls=[row("a", 50, flags="o", floor=20), per_entity("b", 10, flags="o", floor=5)],
        seats=[row("c", 100, flags="af"), row("d", kind=Kind.FLAG)],
        store=[hourly("e", 10, kind=Kind.PER_ENTITY, entity_feature="seats"), row("f", 0)],
    )
    await world.seats("zoe", "bob", "eve")
    await world.seat("den", "rooms")
    await world.attach("bob", calls=[hourly("g", 7), row("h", 0, flags="u")], store=[row("i", 3)])
    await world.attach(
        seats=[row("c", 100, flags="af"), row("d", kind=Kind.FLAG)], extra=[row("j", 5)]
    )
    for feature, amount, scope, mode in (
        ("calls", 64, "zoe", "cap"),
        ("calls", 12, "bob", "cap"),
        ("calls", -5, "eve", "overflow"),
        ("store", 14, "", "cap"),
        ("store", 2, "bob", "cap"),
        ("extra", -4, "", "overflow"),
    ):
        assert (await world.track(feature, amount, scope, mode)).status is Status.DONE
    await world.leave("eve")
    world.now_ms += HOUR_MS
    await world.track("store", 3, "zoe")


async def _readings(world: World) -> list[CustomerReply]:
    return [normal(await world.read(scope), world.now_ms) for scope in ("", "zoe", "bob", "den")]


async def test_a_restored_customer_is_the_one_that_was_lost(world: World) -> None:
    await _rich(world)
    await world.settle()
    await world.entries()
    before = await _readings(world)
    await world.client.delete(*KEYS[:4])
    groups = restore_groups(world.history.image())
    outbox = await world.client.xlen(KEYS.outbox)
    restored = await world.scripts.restore_customer(world.context, world.seen, groups)
    assert restored is Status.DONE
    assert await _readings(world) == before
    assert await world.client.xlen(KEYS.outbox) == outbox
    await world.check_ledger()


async def test_a_restored_customer_goes_on_where_it_was(world: World) -> None:
    await _rich(world)
    await world.entries()
    await world.client.delete(*KEYS[:4])
    groups = restore_groups(world.history.image())
    await world.scripts.restore_customer(world.context, world.seen, groups)
    assert (await world.read()).status is Status.DUE
    await world.settle()
    await world.seats("kim")
    await world.track("calls", 20, "kim")
    await world.track("store", 100)
    await world.attach(calls=[row("k", 10)])
    await world.leave("zoe")
    world.now_ms += HOUR_MS
    await world.settle()
    assert await world.left("calls", "kim") == 10


async def test_a_live_customer_is_left_alone(world: World) -> None:
    await _rich(world)
    await world.entries()
    groups = restore_groups(world.history.image())
    before = await world.dump()
    status = await world.scripts.restore_customer(world.context, world.seen, groups)
    assert status is Status.EXISTS
    assert await world.dump() == before


async def test_what_sql_has_not_read_yet_is_waited_for(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await world.entries()
    groups, read = restore_groups(world.history.image()), world.seen
    await world.track("calls", 3)
    await world.entries()
    await world.client.delete(*KEYS[:4])
    before = await world.dump()
    restore = world.scripts.restore_customer
    assert await restore(world.context, read, groups) is Status.BUSY
    assert await world.dump() == before
    groups = restore_groups(world.history.image())
    assert await restore(world.context, world.seen, groups) is Status.DONE
    assert await world.left("calls") == 7


async def test_a_reading_from_before_the_outbox_was_trimmed_is_too_old(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await world.entries()
    groups, read = restore_groups(world.history.image()), world.seen
    await world.scripts.delete_customer(world.context)
    await world.entries()
    await world.client.xtrim(KEYS.outbox, minid=world.seen, approximate=False)
    restore, create = world.scripts.restore_customer, world.create
    assert await restore(world.context, read, groups) is Status.BUSY
    assert await create("0-0") is Status.BUSY
    assert await create(world.seen) is Status.DONE


async def test_leftovers_of_the_lost_customer_do_not_mix_in(world: World) -> None:
    await world.create(calls=[per_entity("a", 10)])
    await world.seats("zoe", "bob")
    await world.track("calls", 13)
    await world.entries()
    await world.client.delete(KEYS.customer)
    await world.client.hset(KEYS.entities, "e:ghost", "1\t9\tseats\t{}")
    groups = restore_groups(world.history.image())
    await world.scripts.restore_customer(world.context, world.seen, groups)
    assert set((await world.state()).entity_index.names.values()) == {"zoe", "bob"}
    assert await world.left("calls") == 7


async def test_more_values_than_one_command_takes_are_written_in_parts(world: World) -> None:
    names = [f"seat_{number:04d}" for number in range(1201)]
    await world.create(calls=[per_entity("a", 1)])
    await world.entries()
    image = world.history.image()
    await world.seats(*names[:1])
    await world.entries()
    await world.client.delete(*KEYS[:4])
    first = world.history.image().entities[0]
    entities = [
        first._replace(entity_id=name, number=number) for number, name in enumerate(names, 1)
    ]
    groups = restore_groups(image._replace(entities=entities, number_max=1201, seq=2))
    await world.scripts.restore_customer(world.context, world.seen, groups)
    state = await world.state()
    assert len(state.entity_index.names) == len(state.holdings) == 1201
    assert (await world.track("calls", 1201, mode="reject")).status is Status.DONE


def _lock(lock_id: str, scope: str, units: int) -> LockImage:
    receipt = f"ada\tcalls\t{scope}\t{units}\t900\t9\tcus_1\t{{}}\ncalls\ta\t\t1\t{units}\t{units}"
    return LockImage(lock_id, "calls", scope, 900, receipt)


async def _kept(world: World, lock_id: str) -> tuple[str, int]:
    """Return the receipt of a lock and when it expires."""
    client: Any = world.client
    receipt = await client.hget(KEYS.locks, f"{ENV}\t{lock_id}")
    score = await client.zscore(KEYS.holds, f"{ENV}\tada\t{lock_id}")
    return receipt.decode(), int(score)


async def test_open_locks_and_usage_windows_come_back(world: World) -> None:
    await world.create(calls=[row("a", 50)])
    await world.seats("zoe")
    await world.entries()
    await world.client.delete(*KEYS[:4])
    locks = [_lock("one", "zoe", 4), _lock("two", "", 3)]
    windows = [WindowImage("calls", "", "", 800, 7), WindowImage("calls", "zoe", "", 800, 4)]
    world.history.locks |= {lock.lock_id: lock for lock in locks}
    world.history.windows |= {window[:3]: window for window in windows}
    image = world.history.image()
    restored = await world.scripts.restore_customer(
        world.context, world.seen, restore_groups(image)
    )
    assert restored is Status.DONE
    assert [await _kept(world, "one"), await _kept(world, "two")] == [
        (locks[0].receipt, 900),
        (locks[1].receipt, 900),
    ]
    state = await world.state()
    assert state.customer["x:calls"] == "k\t7\nw\t\t800\t7"
    assert state.holdings["x:calls\tzoe"] == "k\t4\nw\t\t800\t4"
    await world.check_ledger()


async def test_a_lock_that_is_known_stays_as_it_is(world: World) -> None:
    await world.create(calls=[row("a", 50)])
    await world.entries()
    await world.client.delete(*KEYS[:4])
    await world.client.hset(KEYS.locks, f"{ENV}\tone", "ended")
    await world.client.zadd(KEYS.holds, {f"{ENV}\tada\tone": 5})
    locks = [_lock("one", "", 4), _lock("two", "", 3)]
    world.history.locks |= {lock.lock_id: lock for lock in locks}
    image = world.history.image()
    await world.scripts.restore_customer(world.context, world.seen, restore_groups(image))
    assert await _kept(world, "one") == ("ended", 5)
    assert await _kept(world, "two") == (_lock("two", "", 3).receipt, 900)


async def test_rules_and_names_of_rows_come_back(world: World) -> None:
    await world.create(calls=[row("gift", 50), row("cus_ent_1", 5)])
    await world.seats("zoe")
    await world.entries()
    await world.client.delete(*KEYS[:4])
    rules, own = {"calls": "o\t1"}, {("calls", "zoe"): "o\t0"}
    groups = restore_groups(world.history.image(), rules, own)
    await world.scripts.restore_customer(world.context, world.seen, groups)
    state = await world.state()
    assert state.customer["l:calls"] == "o\t1"
    assert state.holdings["l:calls\tzoe"] == "o\t0"
    assert state.customer["i:gift"] == "calls\t"
    assert "i:cus_ent_1" not in state.customer


async def test_rollovers_of_entities_come_back_apart_from_their_other_rows(world: World) -> None:
    await world.create(calls=[row("a", 50)])
    await world.seats("zoe", "bob")
    await world.entries()
    await world.client.delete(*KEYS[:4])
    rolled = row("b~3", 8, flags="r", rank="!1", roll="b", expires_ms=world.now_ms + HOUR_MS)
    image = world.history.image()
    rows = [
        *image.rows,
        RowImage("calls", "zoe", encode_row(row("b", 10)), 4, 2, 0),
        RowImage("calls", "zoe", encode_row(rolled), 3, 3, 0),
    ]
    groups = restore_groups(image._replace(rows=rows, counter=3))
    await world.scripts.restore_customer(world.context, world.seen, groups)
    state = await world.state()
    assert state.customer["h:calls"].split()[1:3] == ["10", "4"]
    assert state.customer["o:calls"].split()[1:3] == ["8", "3"]
    assert state.due == {"calls\tzoe": world.now_ms + HOUR_MS}
    await world.check_ledger()


async def test_nothing_comes_back_to_a_partition_that_lost_its_seal(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await world.entries()
    await world.client.delete(*KEYS[:4])
    groups = restore_groups(world.history.image())
    world.scripts.seal = "inst_1"
    before = await world.dump()
    restore = world.scripts.restore_customer
    assert await restore(world.context, world.seen, groups) is Status.FENCED
    await world.client.set(KEYS.seal, "inst_2")
    assert await restore(world.context, world.seen, groups) is Status.FENCED
    await world.client.delete(KEYS.seal)
    assert await world.dump() == before
    await world.client.set(KEYS.seal, "inst_1")
    assert await restore(world.context, world.seen, groups) is Status.DONE
    await world.client.delete(KEYS.seal)


async def test_a_reading_from_before_the_stream_was_raised_is_too_old(world: World) -> None:
    await world.create(calls=[row("a", 10)])
    await world.entries()
    await world.client.delete(*KEYS[:4])
    groups, read = restore_groups(world.history.image()), world.seen
    raised = f"{read.split('-')[0]}-9"
    await world.client.xadd(KEYS.outbox, {outbox.FIELD: b""}, id=raised)
    restore = world.scripts.restore_customer
    assert await restore(world.context, read, groups) is Status.BUSY
    assert await restore(world.context, raised, groups) is Status.DONE
    await world.client.xdel(KEYS.outbox, raised)
