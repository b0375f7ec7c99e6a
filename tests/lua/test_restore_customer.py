"""``restore_customer``: a customer that Redis lost, from what the outbox said of it."""

from __future__ import annotations

from gateway.engine.images import restore_groups
from gateway.rows import Kind
from gateway.scripts import CustomerReply, Status
from tests.lua.world import HOUR_MS, KEYS, World, hourly, per_entity, row
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
    return [normal(await world.read(scope)) for scope in ("", "zoe", "bob", "den")]


async def test_a_restored_customer_is_the_one_that_was_lost(world: World) -> None:
    await _rich(world)
    await world.settle()
    await world.entries()
    before = await _readings(world)
    await world.client.delete(*KEYS[:5])
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
    await world.client.delete(*KEYS[:5])
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
    await world.client.delete(*KEYS[:5])
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
    assert set((await world.state()).order) == {"zoe", "bob"}
    assert await world.left("calls") == 7


async def test_more_values_than_one_command_takes_are_written_in_parts(world: World) -> None:
    names = [f"seat_{number:04d}" for number in range(1201)]
    await world.create(calls=[per_entity("a", 1)])
    await world.entries()
    image = world.history.image()
    await world.seats(*names[:1])
    await world.entries()
    await world.client.delete(*KEYS[:5])
    first = world.history.image().entities[0]
    entities = [
        first._replace(entity_id=name, number=number) for number, name in enumerate(names, 1)
    ]
    groups = restore_groups(image._replace(entities=entities, number_max=1201, seq=2))
    await world.scripts.restore_customer(world.context, world.seen, groups)
    state = await world.state()
    assert len(state.order) == len(state.holdings) == 1201
    assert (await world.track("calls", 1201, mode="reject")).status is Status.DONE
