"""Locks whose feature has gone, and how locks end by themselves, over HTTP, on real parts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from gateway.app import Runtime
from gateway.engine import locks
from gateway.errors import UnavailableError
from gateway.keys import Key, partition_of
from gateway.ports import FeatureRecord
from tests.fixtures.app import LIVE_KEY, Api
from tests.fixtures.shop import CUSTOMER, balance, create, done, lose_redis, refused

MINUTE_MS = 60_000


async def hold(api: Api, lock_id: str, feature_id: str, **lock: object) -> None:
    body = {"customer_id": CUSTOMER, "feature_id": feature_id, "required_balance": 5}
    answer = await done(api, "balances.check", **body, lock={"lock_id": lock_id, **lock})
    assert answer["allowed"]


async def alone(runtime: Runtime) -> None:
    """Leave sweeping to the test."""
    for sweeper in runtime.sweepers:
        await sweeper.stop()


def lose_mails(
    runtime: Runtime, patch: pytest.MonkeyPatch, failure: Exception | None = None
) -> None:
    """Have the catalog fail for one feature, or not have it."""
    find = runtime.catalog.feature_if_any

    async def lose(env: str, feature_id: str) -> FeatureRecord | None:
        if feature_id != "mails":
            return await find(env, feature_id)
        if failure is not None:
            raise failure
        return None

    patch.setattr(runtime.catalog, "feature_if_any", lose)


async def test_a_lock_ends_though_its_feature_has_gone(
    shop: Api, live_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(shop, "mails", included_grant=20)
    for lock_id in ("a", "b", "c"):
        await hold(shop, lock_id, "mails")
    with monkeypatch.context() as patch:
        lose_mails(live_runtime, patch)
        await done(shop, "balances.finalize", lock_id="a", action="release")
        await done(shop, "balances.finalize", lock_id="b", action="confirm")
        status, message = await refused(
            shop, "balances.finalize", lock_id="c", action="confirm", override_value=2
        )
        assert (status, message) == (404, "Feature mails not found")
        await done(shop, "clock.advance", by="25h")
        await live_runtime.engine.expire()
    shown = await balance(shop, feature_id="mails")
    assert (shown["usage"], "held" in shown) == (5, False)


async def test_a_lock_that_cannot_expire_holds_no_other_up(
    shop: Api, live_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_ms = (await done(shop, "clock.get"))["now"] + MINUTE_MS
    for feature_id in ("mails", "messages"):
        await create(shop, feature_id, included_grant=20)
        await hold(shop, feature_id, feature_id, expires_at=ends_ms)
    with monkeypatch.context() as patch:
        lose_mails(live_runtime, patch, RuntimeError("a fault"))
        await done(shop, "clock.advance", by="1h")
        await live_runtime.engine.expire()
    assert "held" not in await balance(shop)


async def test_locks_that_cannot_expire_in_an_outage_are_one_line_a_minute(
    shop: Api,
    live_runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ends_ms = (await done(shop, "clock.get"))["now"] + MINUTE_MS
    await create(shop, "mails", included_grant=20)
    for lock_id in ("a", "b", "c"):
        await hold(shop, lock_id, "mails", expires_at=ends_ms)
    await alone(live_runtime)  # a sweep that found nothing would say that nothing waits
    with monkeypatch.context() as patch:
        lose_mails(live_runtime, patch, UnavailableError("SQL is unavailable; try again"))
        await done(shop, "clock.advance", by="1h")
        for _ in range(3):
            assert await live_runtime.engine.expire() == 3
    told = [line for line in caplog.messages if "expired lock" in line]
    assert told == ["expired locks wait: SQL is unavailable; try again"]
    await live_runtime.engine.expire()
    assert "held" not in await balance(shop, feature_id="mails")


async def test_more_locks_than_one_look_shows_end_in_one_sweep(
    shop: Api, live_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "SWEEP_MAX", 2)
    ends_ms = (await done(shop, "clock.get"))["now"] + MINUTE_MS
    await create(shop, included_grant=40)
    for number in range(5):
        await hold(shop, f"lock_{number}", "messages", expires_at=ends_ms)
    await alone(live_runtime)  # another sweep would end some of them
    await done(shop, "clock.advance", by="1h")
    assert await live_runtime.engine.expire() == 5
    assert "held" not in await balance(shop)


async def test_locks_of_the_live_environment_hold_none_of_the_sandbox_up(
    shop: Api, live_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "SWEEP_MAX", 1)
    await live_runtime.store.create_key("live", "test", LIVE_KEY)
    await live_runtime.catalog.refresh()
    place = partition_of("sandbox", CUSTOMER, 4)
    other = next(name for name in "abcdefghijklmnop" if partition_of("live", name, 4) == place)
    ends_ms = (await done(shop, "clock.get"))["now"] + 30 * MINUTE_MS
    kind = {"name": "M", "type": "metered", "consumable": True}
    lock = {"lock_id": "early", "expires_at": ends_ms}
    for operation, request in (
        ("features.create", {"feature_id": "messages", **kind}),
        ("customers.get_or_create", {"customer_id": other}),
        ("balances.create", {"customer_id": other, "feature_id": "messages", "included_grant": 9}),
        ("balances.check", {"customer_id": other, "feature_id": "messages", "lock": lock}),
    ):
        body = json.dumps(request).encode()
        answer = await shop.send(operation, body, key=f"Bearer {LIVE_KEY}")
        assert answer.status == 200, answer.body
    await create(shop, included_grant=20)
    await hold(shop, "late", "messages", expires_at=ends_ms + MINUTE_MS)
    await done(shop, "clock.advance", by="1h")
    await live_runtime.engine.expire()
    assert "held" not in await balance(shop)


async def test_finalize_of_a_lock_that_has_ended_leaves_the_next_one_of_its_name(
    shop: Api, live_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(shop, included_grant=20)
    await hold(shop, "a", "messages")
    ended = {"lock_id": "a", "action": "confirm", "override_value": 1}
    await done(shop, "balances.finalize", **ended)
    scripts = live_runtime.engine.scripts
    receipts = scripts.receipts

    async def found_late(places: Sequence[Key], env: str, lock_id: str) -> list[str]:
        found = await receipts(places, env, lock_id)
        monkeypatch.setattr(scripts, "receipts", receipts)
        await hold(shop, "a", "messages")
        return found

    monkeypatch.setattr(scripts, "receipts", found_late)
    await done(shop, "balances.finalize", **ended)
    shown = await balance(shop)
    assert (shown["usage"], shown["held"]) == (6, 5)


@pytest.mark.parametrize("named", [True, False])
async def test_a_lock_is_found_though_redis_has_lost_its_customer(
    shop: Api, live_runtime: Runtime, named: bool
) -> None:
    await create(shop, "mails", included_grant=10)
    await hold(shop, "kept", "mails")
    await lose_redis(live_runtime)
    scope = {"customer_id": CUSTOMER} if named else {}
    await done(shop, "balances.finalize", lock_id="kept", action="release", **scope)
    assert (await balance(shop, feature_id="mails"))["remaining"] == 10
