"""Idle customers leave Redis and come back the same, whatever they have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway import metrics
from gateway.app import Runtime
from gateway.audit.records import Applied
from gateway.background import evictor as evictor_module
from gateway.background.evictor import Evictor
from gateway.background.upkeep import AuditParts
from gateway.errors import UnavailableError
from gateway.scripts import Context, Scripts, Status
from gateway.scripts.residents import Name, Residents
from tests.fixtures.app import Api
from tests.fixtures.shop import done, refused
from tests.waiting import until

MONTH = {"interval": "month"}
ROLLOVER = {"max": 60, "expiry_duration_type": "month", "expiry_duration_length": 2}
NAMES = ("zoe", "bob", "eve")
DAY = 86_400
ADA = Name("sandbox", "ada")
_PASSING = {"id", "customer_id", "balance_id", "subscription_id", "deductions"}
"""What two customers who do the same do not share; and all times."""


class Place:
    """The parts of an evictor beside a running gateway. Its looks have a client of their own: what
    a request does on a connection that looked would not count as use.
    """

    def __init__(self, runtime: Runtime, parts: AuditParts) -> None:
        self.runtime = runtime
        self.redis = parts.client
        self.scripts = parts.scripts
        self.residents = parts.residents
        self.ledger = parts.ledger
        self.auditor = parts.auditor

    def evictor(self, idle_seconds: int = DAY) -> Evictor:
        return Evictor(
            self.scripts, self.residents, self.ledger, self.auditor, idle_seconds=idle_seconds
        )

    async def age(self, customer_id: str, seconds: int = 2 * DAY) -> None:
        """Make a customer look as if nobody had used it for so long."""
        key = self.residents.keys_of(Name("sandbox", customer_id)).customer
        value = await self.redis.dump(key)
        assert value is not None
        await self.redis.restore(key, 0, value, replace=True, idletime=seconds)

    async def is_here(self, customer_id: str) -> bool:
        return await self.residents.place(Name("sandbox", customer_id)) is not None

    async def evict(self, customer_id: str) -> None:
        """Take a customer out as soon as SQL has all of it."""

        async def left() -> bool:
            if not await self.is_here(customer_id):
                return True
            await self.age(customer_id)
            await self.evictor().walk()
            return not await self.is_here(customer_id)

        await until(left)


@pytest.fixture
async def place(live_runtime: Runtime) -> AsyncIterator[Place]:
    parts = AuditParts(live_runtime.settings, live_runtime.wall, live_runtime.guard)
    try:
        yield Place(live_runtime, parts)
    finally:
        await parts.close()


async def _catalog(api: Api) -> None:
    for name, consumable in (("messages", True), ("mails", True), ("seats", False)):
        kind = {"name": name, "type": "metered", "consumable": consumable}
        await done(api, "features.create", feature_id=name, **kind)
    schema = [{"metered_feature_id": "mails", "credit_cost": 0.3}]
    system = {"name": "credits", "type": "credit_system", "credit_schema": schema}
    await done(api, "features.create", feature_id="credits", **system)
    price = {"amount": 1, "interval": "month", "billing_method": "usage_based"}
    each = {"entity_feature_id": "seats"}
    items = [
        {"feature_id": "seats", "included": 1, "price": price},
        {"feature_id": "messages", "included": 50, "reset": MONTH, "rollover": ROLLOVER, **each},
        {"feature_id": "messages", "included": 100, "reset": MONTH, "rollover": ROLLOVER},
        {"feature_id": "mails", "included": 5, "reset": {"interval": "hour"}},
        {"feature_id": "credits", "included": 20, "reset": MONTH},
    ]
    await done(api, "plans.create", plan_id="team", name="Team", items=items)
    own = [{"feature_id": "messages", "included": 7.5, "reset": MONTH, "rollover": ROLLOVER}]
    await done(api, "plans.create", plan_id="own", name="Own", group="own", items=own)


async def _customer(api: Api, customer_id: str) -> None:
    of = {"customer_id": customer_id}
    await done(api, "customers.get_or_create", **of, name="Acme", email="a@example.com")
    await done(api, "billing.attach", **of, plan_id="team")
    for name in NAMES:
        await done(api, "entities.create", **of, entity_id=name, feature_id="seats", name=name)
    await done(api, "billing.attach", **of, plan_id="own", entity_id="bob")
    limits = [{"feature_id": "messages", "enabled": True, "limit": 400, "interval": "day"}]
    await done(api, "customers.update", **of, billing_controls={"usage_limits": limits})
    await done(
        api, "entities.update", **of, entity_id="eve", billing_controls={"usage_limits": limits}
    )


async def _views(api: Api, customer_id: str) -> list[Any]:
    of = {"customer_id": customer_id}
    return [
        await done(api, "customers.get", **of),
        *[await done(api, "entities.get", **of, entity_id=name) for name in NAMES],
        await done(api, "balances.list", **of),
        *[
            await done(api, "balances.check", **of, feature_id=name, explain=True)
            for name in ("messages", "mails", "credits", "seats")
        ],
    ]


async def test_a_customer_with_everything_is_the_same_after_eviction(
    place: Place, live_api: Api
) -> None:
    await _catalog(live_api)
    await _customer(live_api, "ada")
    of = {"customer_id": "ada", "feature_id": "messages"}
    await done(live_api, "balances.track", **of, value=12.5)
    await done(live_api, "balances.track", **of, value=3, entity_id="bob")
    await done(live_api, "clock.advance", by="31d")
    await done(live_api, "balances.track", **of, value=33.25, entity_id="zoe")
    await done(live_api, "balances.track", **of, value=-4, entity_id="eve")
    await done(live_api, "balances.track", customer_id="ada", feature_id="mails", value=9)
    await done(live_api, "balances.create", **of, included_grant=6, balance_id="gift")
    lock = {"lock_id": "hold", "enabled": True}
    held = await done(live_api, "balances.check", **of, required_balance=8, lock=lock)
    assert held["allowed"]
    before = await _views(live_api, "ada")
    assert "rollovers" in str(before)
    assert "'held': " in str(before)

    evictions = metrics.evictions._value.get()  # noqa: SLF001 - it has no reader
    await place.evict("ada")
    assert metrics.evictions._value.get() == evictions + 1  # noqa: SLF001 - as above
    assert await _views(live_api, "ada") == before
    await done(live_api, "balances.finalize", lock_id="hold", action="confirm", override_value=5)
    await place.evict("ada")
    await done(live_api, "balances.track", **of, value=1)
    after = await _views(live_api, "ada")
    shown, was = (one[0]["balances"]["messages"]["usage"] for one in (after, before))
    assert shown == was - 8 + 5 + 1


async def test_spending_between_evictions_is_spending_without_them(
    place: Place, live_api: Api
) -> None:
    await _catalog(live_api)
    for customer_id in ("cold", "warm"):
        await _customer(live_api, customer_id)
    dice = Random(5)
    for turn in range(40):
        operation, body = _operation(dice, turn)
        await place.evict("cold")
        answers = [
            await live_api.call(operation, **body(customer_id)) for customer_id in ("cold", "warm")
        ]
        cold, warm = ((one.status, _lasting(one.body)) for one in answers)
        assert cold == warm, (turn, operation, body("cold"))
        if turn % 10 == 9:
            await done(live_api, "clock.advance", by=dice.choice(["90m", "20d"]))
            await place.runtime.engine.expire()
            cold, warm = [_lasting(await _views(live_api, name)) for name in ("cold", "warm")]
            for views in (cold, warm):
                views[4]["list"].sort(key=str)  # it is in the order of ids
            assert cold == warm, turn


def _operation(dice: Random, turn: int) -> tuple[str, Callable[[str], dict[str, Any]]]:
    feature = dice.choice(["messages", "messages", "mails", "credits"])
    amount = dice.choice([1, 2.5, 17, 60, -3])
    entity = dice.choice([None, *NAMES])
    kind = dice.choice(["track"] * 5 + ["lock", "finalize", "finalize", "update"])
    last_lock = dice.randrange(max(1, turn))

    def body(customer_id: str) -> dict[str, Any]:
        of: dict[str, Any] = {"customer_id": customer_id, "feature_id": feature}
        if entity:
            of["entity_id"] = entity
        if kind == "lock":
            lock = {"lock_id": f"{customer_id}_{turn}", "enabled": True}
            return of | {"required_balance": abs(amount), "lock": lock}
        if kind == "finalize":
            return {"lock_id": f"{customer_id}_{last_lock}", "action": "confirm"}
        if kind == "update":
            return of | {"add_to_balance": 4}
        return of | {"value": amount, "overage_behavior": "cap"}

    names = {"lock": "balances.check", "finalize": "balances.finalize"}
    return names.get(kind) or f"balances.{kind}", body


def _lasting(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return an answer without names, ids and times."""
    if isinstance(value, dict):
        return {
            key: _lasting(one)
            for key, one in value.items()
            if key not in _PASSING and not key.endswith(("_at", "_start", "_end"))
        }
    if isinstance(value, list):
        return [_lasting(one) for one in value]
    if isinstance(value, str):
        return value.replace("cold", "it").replace("warm", "it")
    return value


async def test_one_that_is_in_use_stays(place: Place, live_api: Api) -> None:
    await done(live_api, "customers.get_or_create", customer_id="ada")
    await place.age("ada", DAY - 100)
    assert await place.evictor().walk() == 0
    await place.age("ada", DAY + 100)
    await done(live_api, "customers.get", customer_id="ada")
    assert await place.evictor().walk() == 0
    assert await place.is_here("ada")


async def test_one_that_sql_has_not_whole_stays(place: Place, live_api: Api) -> None:
    await done(live_api, "customers.get_or_create", customer_id="ada")
    await place.evict("ada")
    await done(live_api, "customers.get", customer_id="ada")
    assert place.runtime.writer is not None
    await place.runtime.writer.stop()
    place.runtime.writer = None
    await done(live_api, "customers.update", customer_id="ada", name="Ada")
    await place.age("ada")
    assert await place.evictor().walk() == 0
    assert (await done(live_api, "customers.get", customer_id="ada"))["name"] == "Ada"


async def test_one_that_the_dead_letters_know_more_of_stays(
    place: Place, live_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await done(live_api, "customers.get_or_create", customer_id="ada")

    async def set_aside() -> dict[tuple[str, str], list[str]]:
        return {("sandbox", "ada"): ["1-1 of partition 0"]}

    monkeypatch.setattr(place.ledger, "set_aside", set_aside)
    await place.age("ada")
    assert await place.evictor().walk() == 0


async def test_one_of_which_something_is_set_aside_during_the_walk_stays(
    place: Place, live_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await done(live_api, "customers.get_or_create", customer_id="ada")
    applied, letters = place.ledger.applied, dict[tuple[str, str], list[str]]()

    async def late_letter(names: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Applied]:
        letters["sandbox", "ada"] = ["1-1 of partition 0"]
        return await applied(names)

    async def set_aside() -> dict[tuple[str, str], list[str]]:
        return dict(letters)

    monkeypatch.setattr(place.ledger, "applied", late_letter)
    monkeypatch.setattr(place.ledger, "set_aside", set_aside)
    await place.runtime.engine.subjects.caught_up()
    await place.age("ada")
    assert await place.evictor().walk() == 0
    assert letters


async def test_a_customer_may_be_used_while_it_is_being_evicted(
    place: Place, live_api: Api
) -> None:
    await _catalog(live_api)
    await _customer(live_api, "ada")
    body = {"customer_id": "ada", "feature_id": "messages", "value": 1}
    evictor = place.evictor(0)
    used = 0

    async def use() -> None:
        nonlocal used
        await done(live_api, "balances.track", **body)
        used += 1

    async def leave() -> None:
        while used < 40:
            await evictor.walk()

    await asyncio.gather(leave(), *(use() for _ in range(40)))
    shown = await done(live_api, "customers.get", customer_id="ada")
    assert shown["balances"]["messages"]["usage"] == 40


async def test_a_customer_that_leaves_while_it_is_being_deleted_is_deleted(
    place: Place, live_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await done(live_api, "customers.get_or_create", customer_id="ada")
    scripts = place.runtime.scripts
    delete = scripts.delete_customer

    async def left_first(*words: Any) -> Any:  # noqa: ANN401 - as it is
        monkeypatch.setattr(scripts, "delete_customer", delete)
        await place.evict("ada")
        return await delete(*words)

    monkeypatch.setattr(scripts, "delete_customer", left_first)
    await done(live_api, "customers.delete", customer_id="ada")
    assert await refused(live_api, "customers.get", customer_id="ada") == (
        404,
        "Customer ada not found",
    )


@pytest.mark.parametrize("failure", [UnavailableError("Redis does not answer"), ValueError("odd")])
async def test_a_walk_that_fails_is_tried_again_until_it_is_stopped(
    place: Place, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    monkeypatch.setattr(evictor_module, "WALK_SECONDS_MIN", 0.001)
    tries = 0

    class Failing(Residents):
        async def scan(self, cursor: int) -> tuple[int, list[Name]]:
            nonlocal tries
            tries += 1
            raise failure

    residents = Failing(place.redis, 4)
    evictor = Evictor(place.scripts, residents, place.ledger, place.auditor, idle_seconds=0)
    running = asyncio.create_task(evictor.run())
    await until(lambda: tries > 1)
    evictor.stop()
    await running


@pytest.fixture
async def residents(redis_client: Redis) -> Residents:
    looked_at = Residents(redis_client, 64)
    context = Context(looked_at.keys_of(ADA), *ADA, "req_1", 1)
    create = Scripts(redis_client).create_customer
    assert await create(context, "0-0", "cus_1", "{}", "[]", "", "", []) is Status.DONE
    return looked_at


@pytest.mark.redis_kinds("embedded", "debian")
async def test_what_is_looked_at_stays_idle_where_the_server_can_tell(
    residents: Residents, redis_client: Redis, redis_kind: str
) -> None:
    key = residents.keys_of(ADA).customer
    value = await redis_client.dump(key)
    assert value is not None
    await redis_client.restore(key, 0, value, replace=True, idletime=5000)
    dump = await residents.read(ADA)
    assert dump is not None
    assert dump.place == ("cus_1", "1")
    (seconds,) = await residents.idle_seconds([ADA])
    assert residents.touches is (redis_kind == "debian")
    assert (seconds >= 5000) is not residents.touches


@pytest.mark.redis_kinds("embedded", "debian", "cluster")
async def test_a_walk_meets_every_customer_and_nothing_else(
    residents: Residents, redis_client: Redis
) -> None:
    wanted = {ADA}
    for number in range(1500):
        name = Name("live", f"c:customer:{number}")
        await redis_client.hset(residents.keys_of(name).customer, "id", "x")
        await redis_client.set(f"other:{number}", "x")
        wanted.add(name)
    met: set[Name] = set()
    cursor = 0
    while True:
        cursor, names = await residents.scan(cursor)
        met.update(names)
        if cursor == 0:
            break
    assert met == wanted
    assert await residents.idle_seconds([Name("live", "gone")]) == [-1]
    assert await residents.read(Name("live", "gone")) is None
    assert await residents.size(Name("live", "gone")) == -1
