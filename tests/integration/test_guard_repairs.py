"""A Redis that went back in time, and how the guard brings it up to SQL."""

from __future__ import annotations

import asyncio
import inspect
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import create_engine, text

from gateway.guard import streams
from gateway.ids import nameless_id
from gateway.keys import customer_keys, outbox_key, partition_of
from gateway.scripts import Scripts
from persistence.incidents import SqlInstallation
from tests.fixtures.redis_processes import RedisProcess
from tests.integration.guarding import CUSTOMERS, PARTITIONS, Shop, shop_on
from tests.waiting import until

CUTS = 2


@pytest.fixture
async def shop(own_redis: RedisProcess, migrated_sqlite: str) -> AsyncIterator[Shop]:
    """A shop on a server a test may kill."""
    async with shop_on(own_redis.url, migrated_sqlite) as made:
        await made.fill()
        yield made


async def test_an_older_file_is_recognised_and_brought_up_to_sql(
    shop: Shop, own_redis: RedisProcess, tmp_path: Path
) -> None:
    await shop.track("ada", 10)
    await shop.caught_up()
    own_redis.copy_file(tmp_path / "older")
    await shop.track("ada", 5)
    await shop.track("bob", 7)
    await shop.done("customers.get_or_create", customer_id="new")
    await shop.done("customers.delete", customer_id="eve")
    await shop.caught_up()
    generation = shop.runtime.guard.generation
    own_redis.kill()
    own_redis.put_back(tmp_path / "older")
    own_redis.start()

    assert await shop.left("ada") == 85
    assert await shop.left("bob") == 93
    assert await shop.left("kim") == 100
    assert (await shop.call("customers.get", customer_id="eve")).status == 404
    assert (await shop.call("customers.get", customer_id="new")).status == 200
    assert shop.runtime.guard.generation > generation
    touched = {partition_of("sandbox", name, PARTITIONS) for name in ("ada", "bob", "new", "eve")}
    assert {at for kind, at in await shop.incidents() if kind == "redis_behind"} == touched
    reseeded = sum(row[0] for row in shop.rows("reseeded"))
    assert reseeded >= 3  # ada, bob and the deleted eve were there in the older file
    assert all(row[0] is not None for row in shop.rows("ended_at"))
    await shop.track("ada", 1)
    await shop.caught_up()
    assert await shop.left("ada") == 84


async def test_an_id_that_was_given_stays_given(
    shop: Shop, own_redis: RedisProcess, tmp_path: Path
) -> None:
    ada = partition_of("sandbox", "ada", PARTITIONS)
    emails = (f"first-{number}@example.com" for number in range(100))
    email = next(
        one for one in emails if partition_of("sandbox", nameless_id(one), PARTITIONS) == ada
    )
    of = {"email": email}
    await shop.done("customers.get_or_create", customer_id=None, name="First", **of)
    await shop.track("ada", 1)
    await shop.caught_up()
    # What is left to tell of the one without an id is SQL's to tell.
    await shop.runtime.redis.xtrim(outbox_key(ada), maxlen=1, approximate=False)
    own_redis.copy_file(tmp_path / "older")
    claimed = await shop.done("customers.get_or_create", customer_id="new", **of)
    assert (claimed["id"], claimed["name"]) == ("new", "First")
    await shop.caught_up()
    own_redis.kill()
    own_redis.put_back(tmp_path / "older")
    own_redis.start()

    assert await shop.done("customers.get", customer_id="new") == claimed
    second = await shop.done("customers.get_or_create", customer_id=None, name="Second", **of)
    assert (second["id"], second["name"]) == (None, "Second")


async def test_a_flush_while_it_runs_is_recognised_by_the_first_touch(
    shop: Shop, own_redis: RedisProcess
) -> None:
    await shop.track("ada", 10)
    await shop.caught_up()
    with own_redis.client() as client:
        client.flushall()
    assert await shop.left("ada") == 90
    await shop.track("ada", 1)
    await shop.caught_up()
    assert await shop.left("ada") == 89
    kinds = {kind for kind, _ in await shop.incidents()}
    assert kinds == {"redis_flushed"}


async def test_every_flush_is_an_incident_of_its_own(shop: Shop, own_redis: RedisProcess) -> None:
    at = partition_of("sandbox", "ada", PARTITIONS)
    for left in (90, 80, 70):
        await shop.track("ada", 10)
        await shop.caught_up()
        with own_redis.client() as client:
            client.flushall()
        assert await shop.left("ada") == left
    assert (await shop.incidents()).count(("redis_flushed", at)) == 3


async def test_entries_that_sql_never_got_are_reported_once(
    shop: Shop, own_redis: RedisProcess, tmp_path: Path
) -> None:
    await shop.caught_up()
    at = partition_of("sandbox", "ada", PARTITIONS)
    with own_redis.client() as client:
        last = client.xinfo_stream(outbox_key(at))["last-generated-id"].decode()
    milliseconds = int(last.split("-")[0]) + 5
    engine = create_engine(shop.runtime.settings.resolved_database_url)
    with engine.begin() as connection:
        seen = text("UPDATE cursors SET seen_id = :seen WHERE partition = :at")
        connection.execute(seen, {"seen": f"{milliseconds}-0", "at": at})
    engine.dispose()
    await shop.runtime.guard.verify()
    await shop.runtime.guard.verify()
    assert shop.rows("kind, from_id, to_id, lost") == [
        ("entries_lost", last, f"{milliseconds}-0", None)
    ]
    assert await shop.left("ada") == 100


async def test_a_locks_receipt_from_the_lost_time_is_what_sql_says(
    shop: Shop, own_redis: RedisProcess, tmp_path: Path
) -> None:
    lock = {"customer_id": "ada", "feature_id": "messages", "required_balance": 10}
    await shop.done("balances.check", **lock, lock={"enabled": True, "lock_id": "before"})
    await shop.caught_up()
    own_redis.copy_file(tmp_path / "older")
    await shop.done("balances.finalize", lock_id="before", action="release")
    await shop.done("balances.check", **lock, lock={"enabled": True, "lock_id": "within"})
    await shop.caught_up()
    own_redis.kill()
    own_redis.put_back(tmp_path / "older")
    own_redis.start()

    assert await shop.left("ada") == 90
    again = await shop.call("balances.finalize", lock_id="before", action="release")
    assert again.status == 400
    await shop.done("balances.finalize", lock_id="within", action="release")
    assert await shop.left("ada") == 100


@pytest.mark.parametrize("older", [False, True])
async def test_a_lock_of_a_customer_nobody_asks_for_ends_though_redis_has_lost_it(
    shop: Shop, own_redis: RedisProcess, tmp_path: Path, older: bool
) -> None:
    own_redis.copy_file(tmp_path / "older")
    lock = {"enabled": True, "lock_id": "held", "expires_at": shop.runtime.wall.now_ms() + 2_000}
    body = {"customer_id": "ada", "feature_id": "messages", "required_balance": 10}
    await shop.done("balances.check", **body, lock=lock)
    await shop.caught_up()
    own_redis.kill()
    if older:
        own_redis.put_back(tmp_path / "older")
    else:
        shutil.rmtree(own_redis.folder / "appendonlydir")
    own_redis.start()

    async def has_ended() -> bool:
        return shop.rows("state", "locks", "lock_id") == [("expired",)]

    await until(has_ended)
    assert await shop.left("ada") == 100


async def test_a_restart_that_lost_nothing_is_admitted_without_an_incident(
    shop: Shop, own_redis: RedisProcess
) -> None:
    await shop.track("ada", 10)
    await shop.caught_up()
    own_redis.kill()
    own_redis.start()
    assert await shop.left("ada") == 90
    assert await shop.incidents() == []


async def test_a_repair_that_ended_half_way_is_done_again(
    shop: Shop, own_redis: RedisProcess, tmp_path: Path, migrated_sqlite: str
) -> None:
    """The stream is raised last, so whatever was done before it is only done once more."""
    own_redis.copy_file(tmp_path / "older")
    await shop.track("ada", 10)
    await shop.track("bob", 10)
    await shop.caught_up()
    own_redis.kill()
    own_redis.put_back(tmp_path / "older")
    own_redis.start()
    keys = customer_keys("sandbox", "ada", PARTITIONS)
    with own_redis.client() as client:
        client.unlink(*keys.own[:5])
    async with shop_on(own_redis.url, migrated_sqlite) as other:
        assert await other.left("ada") == 90
        assert await other.left("bob") == 90
    assert await shop.left("bob") == 90


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (SqlInstallation, "fence"),
        (streams, "locks_in"),
        (SqlInstallation, "touched"),
        (Scripts, "discard_customer"),
        (SqlInstallation, "report"),
        (streams, "raise_streams"),
        (streams, "write_seals"),
        (SqlInstallation, "admit"),
    ],
)
@pytest.mark.parametrize("is_done", [False, True])
async def test_a_repair_that_is_cut_off_anywhere_is_done_again(  # noqa: PLR0917 - fixtures
    shop: Shop,
    own_redis: RedisProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,  # noqa: ANN401 - a class or a module
    name: str,
    is_done: bool,
) -> None:
    """Before a step, and after it with its answer lost."""
    own_redis.copy_file(tmp_path / "older")
    for customer_id in CUSTOMERS[:4]:
        await shop.track(customer_id, 10)
    await shop.caught_up()
    cuts = CUTS
    step = getattr(place, name)

    def cut(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - those of any step
        nonlocal cuts
        cuts -= 1
        if cuts < 0:
            return step(*arguments, **more)
        return _cut(step(*arguments, **more) if is_done else None)

    monkeypatch.setattr(place, name, cut)
    own_redis.kill()
    own_redis.put_back(tmp_path / "older")
    own_redis.start()
    found = [await shop.left(customer_id) for customer_id in CUSTOMERS]
    assert found == [90.0] * 4 + [100.0] * 2
    assert cuts < CUTS
    for customer_id in CUSTOMERS:
        await shop.track(customer_id, 1)
    await shop.caught_up()
    found = [await shop.left(customer_id) for customer_id in CUSTOMERS]
    assert found == [89.0] * 4 + [99.0] * 2
    touched = {partition_of("sandbox", one, PARTITIONS) for one in CUSTOMERS[:4]}
    assert {at for _, at in await shop.incidents()} == touched
    assert len(await shop.incidents()) == len(touched)


async def _cut(step: Any) -> Any:  # noqa: ANN401 - a coroutine or an iterator of any step
    if inspect.isawaitable(step):
        await step
    raise RedisConnectionError("the connection is cut here")


async def test_many_processes_may_compare_at_the_same_time(
    shop: Shop, own_redis: RedisProcess, migrated_sqlite: str, tmp_path: Path
) -> None:
    await shop.caught_up()
    own_redis.copy_file(tmp_path / "older")
    for customer_id in CUSTOMERS:
        await shop.track(customer_id, 10)
    await shop.caught_up()
    async with (
        shop_on(own_redis.url, migrated_sqlite) as one,
        shop_on(own_redis.url, migrated_sqlite) as two,
    ):
        own_redis.kill()
        own_redis.put_back(tmp_path / "older")
        own_redis.start()
        shops = [shop, one, two]
        for turn in range(3):
            found = await asyncio.gather(*(each.left(name) for each in shops for name in CUSTOMERS))
            assert set(found) == {90.0 - turn * len(shops)}
            await asyncio.gather(*(each.track(name, 1) for each in shops for name in CUSTOMERS))
    await shop.caught_up()
    partitions = [at for kind, at in await shop.incidents() if kind == "redis_behind"]
    assert len(partitions) == len(set(partitions))
