"""``tallygate verify`` and ``repair`` beside a gateway that serves: what was changed is found."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from contextlib import closing
from typing import NamedTuple

import pytest

from gateway.keys import Key, customer_keys
from gateway.rows import decode_live, encode_live
from tests import commands
from tests.acceptance.test_concurrency import send_all
from tests.acceptance.world import World
from tests.fixtures.gateways import Gateway, Json
from tests.waiting import wait_until

PARTITIONS = 64
UNIT = 10**6
"""Units of a message."""
LOOKS_MAX = 10


class Ran(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def found(self) -> Json:
        return json.loads(self.out)


def run(gateway: Gateway, *arguments: str, apart: bool = False) -> Ran:
    """Run a command on the data folder of a gateway; apart from the test if that matters."""
    command = commands.run_process if apart else commands.run
    done = command(*arguments, "--data-dir", gateway.folder)
    return Ran(done.returncode, done.stdout, done.stderr)


def verify(gateway: Gateway, *arguments: str, apart: bool = False) -> Ran:
    return run(gateway, "verify", "--json", *arguments, apart=apart)


def verify_one(world: World, *, apart: bool = False) -> Ran:
    return verify(world.gateway, "--env", "sandbox", "--customer", world.customer, apart=apart)


def repair(world: World, *options: str, apart: bool = False) -> Ran:
    return run(world.gateway, "repair", "--customer", world.customer, *options, apart=apart)


def change_sql(gateway: Gateway, statement: str, *values: object) -> None:
    """Change a row behind everybody's back."""
    with closing(sqlite3.connect(gateway.folder / "tallygate.db", timeout=20)) as connection:
        assert connection.execute(statement, values).rowcount == 1
        connection.commit()


def change_live(world: World, used: int) -> None:
    """Set what Redis holds as used of the first balance of messages."""
    key, field = key_of(world), f"v:{world.name('messages')}"
    with closing(world.gateway.redis()) as client:
        text = client.hget(key, field)
        assert isinstance(text, bytes)
        first, *others = decode_live(text.decode())
        client.hset(key, field, encode_live([first._replace(used=used), *others]))


def key_of(world: World) -> Key:
    return customer_keys("sandbox", world.customer, PARTITIONS).customer


@pytest.fixture
def spent(world: World) -> World:
    """A customer with slots of two seats and a balance of its own, and something used of each."""
    world.attach(world.monthly(100), world.monthly(10, **world.each))
    world.entities("ann", "ben")
    world.track(3.5)
    world.track(2, "ann")
    world.track(40)
    world.gateway.wait_for_writer()
    return world


def shared_balance(world: World) -> str:
    ((balance_id,),) = world.gateway.sql(
        "SELECT id FROM balances WHERE feature_id = ? AND kind = 'c'", world.name("messages")
    )
    return str(balance_id)


def test_a_random_history_verifies_clean(clock_gateway: Gateway) -> None:
    world = World(clock_gateway)
    world.actions()
    rollover = {"max": 60, "expiry_duration_type": "month", "expiry_duration_length": 2}
    world.attach(
        world.monthly(100, rollover=rollover),
        world.pay_per_use(3, feature="users"),
        world.hourly(10, "messages", **world.each),
        world.monthly(50, "credits"),
        world.lifetime(20, "action1"),
        world.monthly(30, "action3", rollover=rollover, **world.each),
    )
    names = [f"user_{number}" for number in range(6)]
    world.entities(*names)
    world.attach(world.monthly(25, rollover=rollover), entity="user_1")
    world.control(world.usage_limit(500) | world.overage(enabled=True))
    world.control(world.usage_limit(80), "user_2")
    dice = random.Random(11)
    for turn in range(6):
        operations = [operation(dice, world, names) for _ in range(120)]
        answers = asyncio.run(send_all(clock_gateway, operations))
        assert {one.status_code for one in answers} <= {200, 400, 404, 409}
        if turn % 2:
            world.advance("20d" if turn == 1 else "90m")
    ran = verify(clock_gateway)
    assert (ran.code, ran.found["drifts"]) == (0, []), ran
    assert ran.found["clean"]
    assert (ran.found["customers"], ran.found["residents"]) == (1, 1)
    assert ran.found["balances"] >= 10
    plain = run(clock_gateway, "verify", apart=True)
    assert (plain.code, plain.out.startswith("no drift: 1 customers and ")) == (0, True)
    assert "Redis" in plain.err


def test_a_sql_row_that_was_changed_is_named_with_its_events_and_mended(spent: World) -> None:
    balance_id = shared_balance(spent)
    change_sql(spent.gateway, "UPDATE balances SET used = 1 WHERE id = ?", balance_id)

    ran = verify_one(spent, apart=True)
    assert ran.code == 1
    by_events, by_redis = ran.found["drifts"]
    for drift in (by_events, by_redis):
        assert (drift["customer_id"], drift["balance_id"]) == (spent.customer, balance_id)
        assert (drift["what"], drift["sql"], drift["events"]) == ("used", 1, 43.5 * UNIT)
        assert [one["delta"] for one in drift["trail"]["moves"]] == [3.5 * UNIT, 40 * UNIT]
        assert drift["trail"]["moves"][-1]["event_id"].startswith("evt_p")
    assert (by_events["kind"], by_redis["kind"]) == ("events", "redis")
    assert by_redis["redis"] == 43.5 * UNIT

    plan = repair(spent)
    assert plan.code == 1
    assert f"SQL    set used of {spent.customer} (sandbox)" in plan.out
    assert f"from 1 to {43_500_000}, what its 2 deductions add up to" in plan.out
    assert f"Redis  take {spent.customer} (sandbox) out; it comes back as SQL has it" in plan.out
    assert "nothing was done" in plan.out
    assert verify_one(spent).code == 1

    assert repair(spent, "--yes", apart=True).code == 0
    assert verify_one(spent).code == 0
    assert spent.state()[1:] == [74.5, 45.5]
    spent.track(1, "ben")
    spent.gateway.wait_for_writer()
    assert verify_one(spent).code == 0


def test_a_redis_field_that_was_changed_is_named_with_its_events_and_mended(spent: World) -> None:
    change_live(spent, 7 * UNIT)
    assert spent.state()[2] == 9
    ran = verify_one(spent)
    assert ran.code == 1
    (drift,) = ran.found["drifts"]
    assert (drift["kind"], drift["balance_id"]) == ("redis", shared_balance(spent))
    numbers = (drift["redis"], drift["sql"], drift["events"])
    assert numbers == (7 * UNIT, 43.5 * UNIT, 43.5 * UNIT)
    told = run(spent.gateway, "verify", "--customer", spent.customer)
    assert told.code == 1
    assert "used: SQL 43500000, Redis 7000000, events 43500000" in told.out
    assert "2 deductions add up to 43500000; the newest:" in told.out
    assert repair(spent, "--yes").code == 0
    assert (spent.state()[2], verify_one(spent).code) == (45.5, 0)


def test_a_slot_that_was_changed_in_sql_is_named_with_its_entity(spent: World) -> None:
    changed = "UPDATE slots SET used = 9 WHERE entity_id = 'ann' AND feature_id = ?"
    change_sql(spent.gateway, changed, spent.name("messages"))
    drifts = verify_one(spent).found["drifts"]
    assert {(one["kind"], one["what"], one.get("entity_id", "")) for one in drifts} == {
        ("events", "used", "ann"),
        ("sum", "used by all slots", ""),
        ("redis", "used", "ann"),
        ("redis", "used", ""),  # what a restore would add up
    }
    assert repair(spent, "--yes").code == 0
    assert verify_one(spent).code == 0


def test_an_event_that_was_deleted_is_named_and_cannot_be_brought_back(spent: World) -> None:
    gateway = spent.gateway
    ((event_id,),) = gateway.sql(
        "SELECT id FROM events WHERE customer_id = ? AND value = ?", spent.customer, 40 * UNIT
    )
    change_sql(gateway, "DELETE FROM events WHERE id = ?", event_id)

    ran = verify_one(spent)
    assert ran.code == 1
    (drift,) = ran.found["drifts"]
    assert (drift["kind"], drift["what"], drift["event_id"]) == ("event", "event", event_id)
    assert (drift["balance_id"], drift["events"]) == (shared_balance(spent), 40 * UNIT)
    told = f"{event_id}: 1 deductions of it add up to 40000000, and there is no such event"
    repaired = repair(spent, "--yes")
    assert repaired.code == 1
    assert told in repaired.out
    assert f"{event_id} cannot be brought back from deductions" in repaired.out
    assert "nothing was done" not in repaired.out
    assert spent.state()[2] == 45.5


def test_deductions_that_were_deleted_are_not_taken_for_use_that_never_was(spent: World) -> None:
    gateway = spent.gateway
    change_sql(
        gateway,
        "DELETE FROM deductions WHERE feature_id = ? AND delta = ?",
        *(spent.name("messages"), 40 * UNIT),
    )
    ran = verify_one(spent)
    assert ran.code == 1
    half = next(one for one in ran.found["drifts"] if one["kind"] == "event")
    assert (half["what"], half["sql"]) == ("deductions", 40 * UNIT)
    repaired = repair(spent, "--yes")
    assert repaired.code == 1
    assert f"leave  {spent.customer} (sandbox) alone: what {half['event_id']}" in repaired.out
    assert spent.state()[2] == 45.5
    ((used,),) = gateway.sql("SELECT used FROM balances WHERE id = ?", shared_balance(spent))
    assert used == 43.5 * UNIT


def test_what_only_redis_has_is_never_thrown_away(spent: World) -> None:
    gateway = spent.gateway
    key = key_of(spent)
    with closing(gateway.redis()) as client:
        client.hincrby(key, "seq", 1)
    assert verify_one(spent).code == 1
    ran = repair(spent, "--yes")
    assert ran.code == 1
    assert f"leave  {spent.customer} (sandbox) alone: SQL lacks changes" in ran.out
    with closing(gateway.redis()) as client:
        assert client.exists(key)
        client.hincrby(key, "seq", -1)
    assert verify_one(spent).code == 0


def test_use_that_goes_on_meanwhile_is_no_drift(spent: World) -> None:
    names = ("ann", "ben", None)
    tracks = [("balances.track", spent.body(names[at % 3], "messages")) for at in range(30)]

    async def both() -> tuple[Ran, int]:
        looking = asyncio.create_task(asyncio.to_thread(verify_one, spent, apart=True))
        rounds = 0
        while not looking.done():
            answers = await send_all(spent.gateway, tracks)
            assert {one.status_code for one in answers} == {200}
            rounds += 1
        return await looking, rounds

    # Where somebody stood still, next to nothing was used meanwhile, and another look shows more.
    rounds = 0
    for _ in range(LOOKS_MAX):
        ran, rounds = asyncio.run(both())
        assert (ran.code in {0, 2}, ran.found["drifts"]) == (True, []), ran
        assert (ran.code == 2) is bool(ran.found["unsettled"])
        if rounds > 1:
            break
    assert rounds > 1
    assert verify_one(spent).code == 0


def test_the_gateway_tells_of_a_drift_by_itself(tmp_path_factory: pytest.TempPathFactory) -> None:
    eager = {"TALLYGATE_DRIFT_PER_SECOND": "100"}
    gateway = Gateway(tmp_path_factory.mktemp("gateway") / "data", environment=eager)
    try:
        world = World(gateway.start())
        world.attach(world.monthly(100))
        world.track(5)
        gateway.wait_for_writer()
        change_live(world, 0)
        log = gateway.folder / "stdout.log"
        told = f"customer {world.customer} of sandbox differs in 1 places, first in used"
        wait_until(lambda: told in log.read_text(), 60, log.read_text)
        assert "SQL has 5000000, Redis 0, the events 5000000" in log.read_text()
        # With the gateway stopped, the embedded server is started for the command alone.
        assert gateway.stop() == 0
        assert verify(gateway).code == 1
        assert repair(world, "--yes").code == 0
        assert verify(gateway).code == 0
        assert not list((gateway.folder / "redis").glob("*.sock"))
    finally:
        gateway.stop()


def test_what_cannot_be_checked_is_exit_code_2(spent: World) -> None:
    nobody = verify(spent.gateway, "--customer", "nobody", apart=True)
    assert (nobody.code, nobody.err.splitlines()[-1]) == (
        2,
        "tallygate: there is no customer nobody",
    )
    apart = run(spent.gateway, "verify", "--redis-url", "redis://127.0.0.1:1/0")
    assert apart.code == 2
    assert apart.err.startswith("tallygate: Redis cannot be reached at 127.0.0.1:1")
    assert run(spent.gateway, "verify", "--env", "elsewhere").code == 2


def operation(dice: random.Random, world: World, names: list[str]) -> tuple[str, Json]:
    scope = dice.choice([None, *names])
    feature = dice.choice(["messages"] * 4 + ["action1", "workflows", "credits"])
    choice = dice.random()
    if choice < 0.05:
        kind = dice.choice(["entities.create", "entities.delete"])
        body = {"customer_id": world.customer, "entity_id": dice.choice([*names, "user_x"])}
        more = {"feature_id": world.name("users")} if kind == "entities.create" else {}
        return kind, body | more
    if choice < 0.12:
        lock = f"lock_{dice.randrange(30)}"
        return "balances.check", world.lock_body(lock, dice.choice([1, 2.5]), scope, feature)
    if choice < 0.18:
        ending: Json = {
            "lock_id": world.name(f"lock_{dice.randrange(30)}"),
            "action": dice.choice(["confirm", "release"]),
        }
        if dice.random() < 0.5:
            ending["override_value"] = 0.5
        return "balances.finalize", ending
    if choice < 0.22:
        body = world.body(scope, feature, included_grant=dice.choice([5, 12.5]))
        if dice.random() < 0.5:
            body["reset"] = {"interval": "hour"}
        return "balances.create", body
    if choice < 0.27:
        change = dice.choice([{"add_to_balance": 3}, {"remaining": 4}, {"usage": 2}])
        return "balances.update", world.body(scope, feature, **change)
    value = dice.choice([1, 2.5, 0.1, 7, -3, -0.25, 30])
    behavior = dice.choice(["cap", "reject", "overflow"])
    body = world.body(scope, feature, value=value, overage_behavior=behavior)
    return "balances.track", body
