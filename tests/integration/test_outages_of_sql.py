"""What is answered while SQL is not there, and that it ends by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import metrics
from gateway.errors import UnavailableError
from tests.fixtures.redis_processes import MakeRedis
from tests.fixtures.shop import CUSTOMER
from tests.integration.test_outages import check, degraded, shop
from tests.waiting import until


async def test_without_sql_a_cold_customer_is_answered_by_policy_and_a_resident_one_as_ever(
    make_redis: MakeRedis, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_redis()

    async def gone(*_: object) -> None:
        raise UnavailableError("SQL is unavailable; try again")

    async with shop(server, migrated_sqlite) as place:
        monkeypatch.setattr(place.runtime.reader, "load", gone)
        assert (await place.track("memory")).status == 200
        cold = {"customer_id": "cold"}
        assert degraded(await check(place, "closed", **cold)) == (200, False, "sql")
        assert degraded(await check(place, "open", **cold)) == (202, True, "sql")
        body = {**cold, "feature_id": "open"}
        assert (await place.api.call("balances.track", **body)).error[0] == 503
        assert (await place.api.call("customers.get", **cold)).error[0] == 503


async def test_without_sql_no_trial_is_promised_nor_given_twice(
    make_redis: MakeRedis, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who had one stands in SQL alone (cold-path section 3.8)."""

    async def gone(*_: object) -> None:
        raise UnavailableError("SQL is unavailable; try again")

    async with shop(make_redis(), migrated_sqlite) as place:
        call = place.api.call
        trial = {"duration_length": 7, "duration_type": "day"}
        await call("plans.create", plan_id="tried", name="Tried", free_trial=trial)
        assert (await place.track("memory")).status == 200
        whose = {"customer_id": CUSTOMER}
        known = await call("plans.list", **whose)
        monkeypatch.setattr(place.runtime.reader, "tried_plans", gone)
        unknown = await call("plans.list", **whose)
        offered = [
            one.body["list"][-1]["customer_eligibility"]["trial_available"]
            for one in (known, unknown)
        ]
        assert offered == [True, False]
        assert (await call("billing.attach", **whose, plan_id="tried")).error[0] == 503


async def test_customers_on_their_way_from_sql_are_bounded(
    make_redis: MakeRedis, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_redis()
    load = asyncio.Event()
    loading: list[object] = []
    async with shop(server, migrated_sqlite, restores_max=20) as place:
        real = place.runtime.reader.load

        async def slow(env: str, customer_id: str, partition: int) -> Any:  # noqa: ANN401 - as it is
            loading.append(customer_id)
            await load.wait()
            return await real(env, customer_id, partition)

        monkeypatch.setattr(place.runtime.reader, "load", slow)
        waiting = [
            asyncio.create_task(place.api.call("customers.get", customer_id=f"c{at}"))
            for at in range(20)
        ]
        on_their_way = metrics.restores_waiting._value.get  # noqa: SLF001 - no public way
        await until(lambda: (len(loading), on_their_way()) == (8, 20))
        full = await place.api.call("customers.get", customer_id="one_more")
        assert full.error == (503, "service_unavailable")
        assert "Too many customers" in full.body["message"]
        assert len(loading) == 8, "more are loaded at a time than SQL has threads for"
        load.set()
        assert {answer.error for answer in await asyncio.gather(*waiting)} == {
            (404, "customer_not_found")
        }
        assert len(loading) == len(set(loading)) == 20


async def test_who_waits_for_a_turn_while_sql_hangs_is_answered_with_those_who_had_one(
    make_redis: MakeRedis, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gives_up = asyncio.Event()
    loading: list[str] = []

    async def hanging(_env: str, customer_id: str, _partition: int) -> None:
        loading.append(customer_id)
        await gives_up.wait()
        raise UnavailableError("SQL did not answer in time; try again")

    async with shop(make_redis(), migrated_sqlite) as place:
        with monkeypatch.context() as patched:
            patched.setattr(place.runtime.reader, "load", hanging)
            asked = [{"customer_id": f"c{at}", "feature_id": "open"} for at in range(30)]
            calls = (place.api.call("balances.check", **one) for one in asked)
            waiting = [asyncio.create_task(one) for one in calls]
            on_their_way = metrics.restores_waiting._value.get  # noqa: SLF001 - no public way
            await until(lambda: (len(loading), on_their_way()) == (8, 30))
            gives_up.set()
            answers = await asyncio.gather(*waiting)
        assert {degraded(answer) for answer in answers} == {(202, True, "sql")}
        assert len(loading) == 8
        later = await place.api.call("balances.check", customer_id="c29", feature_id="open")
        assert later.error == (404, "customer_not_found")
