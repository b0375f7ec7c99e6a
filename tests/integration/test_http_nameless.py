"""Customers without an id: found by their email, and given an id once, whatever dies on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product
from typing import Any

import msgspec
import pytest

from gateway.app import Runtime, build_app, started
from gateway.audit.records import Scope
from gateway.background.upkeep import AuditParts
from gateway.errors import UnavailableError
from gateway.ids import nameless_id
from persistence.incidents import SqlInstallation
from tests.fixtures.app import KEY, Api
from tests.fixtures.shop import done, refused

EMAIL = "First@Example.com"
FIRST = "First Customer"


@pytest.fixture
async def desk(live_api: Api) -> Api:
    """Messages, and a plan with 100 of them that enables itself."""
    kind = {"name": "messages", "type": "metered", "consumable": True}
    await done(live_api, "features.create", feature_id="messages", **kind)
    items = [{"feature_id": "messages", "included": 100}]
    free = {"plan_id": "free", "name": "Free", "auto_enable": True, "items": items}
    await done(live_api, "plans.create", **free)
    return live_api


@pytest.fixture
async def audit(live_runtime: Runtime) -> AsyncIterator[AuditParts]:
    parts = AuditParts(live_runtime.settings, live_runtime.wall, live_runtime.guard)
    try:
        yield parts
    finally:
        await parts.close()


async def asked(
    desk: Api, customer_id: str | None, name: str | None = None, email: str = EMAIL
) -> Any:  # noqa: ANN401 - JSON
    of = {"customer_id": customer_id, "email": email, "name": name}
    return await done(desk, "customers.get_or_create", **of)


async def known(runtime: Runtime, email: str = EMAIL) -> dict[str, str]:
    """Return the ids of the customers SQL knows with an email, by their internal ids."""
    await runtime.engine.subjects.caught_up()
    found = await SqlInstallation(runtime.database, runtime.wall).touched(0, None, 1000)
    return {one.internal_id: one.customer_id for one in found if one.email == email}


async def assert_clean(audit: AuditParts) -> None:
    for steps in (audit.auditor.audit_ledger, audit.auditor.audit_redis):
        async for step in steps(Scope()):
            assert (step.drifts, step.unsettled) == ([], [])


async def test_an_email_is_one_customer(desk: Api) -> None:
    first = await asked(desk, None, FIRST)
    assert (first["id"], first["email"], first["name"]) == (None, EMAIL, FIRST)
    assert [one["plan_id"] for one in first["subscriptions"]] == ["free"]
    assert first["balances"]["messages"]["remaining"] == 100
    assert await asked(desk, None, "Second", EMAIL.upper()) == first
    await asked(desk, None, "Other", "other@example.com")
    listed = (await done(desk, "customers.list"))["list"]
    assert [one["name"] for one in listed] == ["Other", FIRST]
    assert listed[1] == first


async def test_all_who_create_it_at_once_get_the_same_one(desk: Api, live_runtime: Runtime) -> None:
    views = await asyncio.gather(*(asked(desk, None, f"Name {at}") for at in range(20)))
    assert all(view == views[0] for view in views)
    assert len(await known(live_runtime)) == 1


async def test_an_id_takes_the_customer_over_as_it_is(
    desk: Api, live_runtime: Runtime, audit: AuditParts
) -> None:
    first = await asked(desk, None, FIRST)
    before = await known(live_runtime)
    claimed = await asked(desk, "x", "Second", EMAIL.upper())
    assert claimed == {**first, "id": "x"}
    assert await known(live_runtime) == dict.fromkeys(before, "x")
    body = {"customer_id": "x", "feature_id": "messages", "value": 30}
    await done(desk, "balances.track", **body)
    assert (await done(desk, "customers.get", customer_id="x"))["balances"]["messages"][
        "remaining"
    ] == 70
    assert [one["id"] for one in (await done(desk, "customers.list"))["list"]] == ["x"]
    assert (await asked(desk, "x", "Third"))["name"] == FIRST
    await assert_clean(audit)


async def test_a_check_that_brings_the_email_takes_it_over_too(
    desk: Api, live_runtime: Runtime
) -> None:
    await asked(desk, None, FIRST)
    before = await known(live_runtime)
    body = {"customer_id": "x", "feature_id": "messages", "customer_data": {"email": EMAIL}}
    assert (await done(desk, "balances.check", **body))["balance"]["remaining"] == 100
    assert await known(live_runtime) == dict.fromkeys(before, "x")


async def test_an_id_that_is_taken_takes_nothing_over(desk: Api, live_runtime: Runtime) -> None:
    taken = await asked(desk, "x", "Taken", "taken@example.com")
    first = await asked(desk, None, FIRST)
    assert await asked(desk, "x", "Second") == taken
    assert await asked(desk, None, "Third") == first
    assert list((await known(live_runtime)).values()) == [nameless_id(EMAIL)]


async def test_a_customer_that_left_redis_is_taken_over_from_sql(
    desk: Api, live_runtime: Runtime, audit: AuditParts
) -> None:
    first = await asked(desk, None, FIRST)
    before = await known(live_runtime)
    await live_runtime.redis.delete(*await live_runtime.redis.keys("tg:*:customer:*"))
    assert await asked(desk, "x") == {**first, "id": "x"}
    assert await known(live_runtime) == dict.fromkeys(before, "x")
    await assert_clean(audit)


async def test_what_has_become_due_goes_along(
    desk: Api, live_runtime: Runtime, audit: AuditParts
) -> None:
    month = {"interval": "month"}
    rollover = {"max": 60, "expiry_duration_type": "forever"}
    items = [{"feature_id": "messages", "included": 100, "reset": month, "rollover": rollover}]
    monthly = {"plan_id": "monthly", "name": "Monthly", "auto_enable": True, "items": items}
    await done(desk, "plans.create", **monthly, group="monthly")
    assert (await asked(desk, None))["balances"]["messages"]["remaining"] == 200
    await done(desk, "clock.advance", by="32d")
    assert (await asked(desk, "x"))["balances"]["messages"]["remaining"] == 260
    await assert_clean(audit)


async def test_the_next_without_an_id_is_another_customer(desk: Api, live_runtime: Runtime) -> None:
    await asked(desk, None, FIRST)
    await asked(desk, "x")
    second = await asked(desk, None, "Second")
    assert (second["id"], second["name"]) == (None, "Second")
    assert (await asked(desk, "y"))["name"] == "Second"
    assert (await asked(desk, "x"))["name"] == FIRST
    assert sorted((await known(live_runtime)).values()) == ["x", "y"]


async def test_who_has_neither_id_nor_email_is_refused(desk: Api) -> None:
    for email in ({}, {"email": None}, {"email": ""}):
        answer = await desk.call("customers.get_or_create", customer_id=None, **email)
        assert answer.status == 400
        assert answer.body["message"] == "email: is required where customer_id is null"
    answer = await desk.call("customers.get_or_create", email=EMAIL)
    assert (answer.status, answer.body["message"]) == (400, "customer_id: is required")
    for operation in ("balances.check", "balances.track", "customers.get", "customers.delete"):
        answer = await desk.call(operation, customer_id=None, feature_id="messages")
        assert answer.status == 400
        assert answer.body["message"].startswith("customer_id: must be a string")
    for operation in ("customers.get", "customers.get_or_create"):
        reserved = {"customer_id": nameless_id(EMAIL), "email": EMAIL}
        status, message = await refused(desk, operation, **reserved)
        assert (status, message[:11]) == (400, "customer_id")


async def test_the_routes_of_1_2_know_customers_without_an_id(desk: Api) -> None:
    headers = {"authorization": f"Bearer {KEY}", "x-api-version": "1.2"}
    for customer_id in (None, None, "x"):
        body = msgspec.json.encode({"id": customer_id, "email": EMAIL, "name": FIRST})
        answer = await desk.fetch("/v1/customers", "POST", content=body, headers=headers)
        assert (answer.status, answer.body["id"]) == (200, customer_id)
        assert [one["id"] for one in answer.body["products"]] == ["free"]


@pytest.mark.parametrize("version", ["1.2", "2.3"])
async def test_the_clients_of_1_2_may_leave_the_id_out(desk: Api, version: str) -> None:
    headers = {"authorization": f"Bearer {KEY}", "x-api-version": version}
    made = []
    for body in ({"email": EMAIL}, {"email": EMAIL, "id": None}, {"name": FIRST}):
        content = msgspec.json.encode(body)
        made.append(await desk.fetch("/v1/customers", "POST", content=content, headers=headers))
    assert [answer.status for answer in made] == [200, 200, 400]
    assert made[0].body == made[1].body
    assert made[0].body["id"] is None
    assert made[2].body["message"] == "email: is required where customer_id is null"


async def test_lists_search_no_reserved_id_and_name_its_balances_nowhere(desk: Api) -> None:
    await asked(desk, None, FIRST)
    for text, found in ((nameless_id(EMAIL)[1:9], []), ("first@", [None]), (FIRST, [None])):
        listed = (await done(desk, "customers.list", search=text))["list"]
        assert [one["id"] for one in listed] == found
    assert (await desk.call("balances.list")).body["list"] == []
    await asked(desk, "x")
    assert [one["customer_id"] for one in (await desk.call("balances.list")).body["list"]] == ["x"]


async def test_of_two_gateways_that_give_it_ids_one_does(
    desk: Api, live_runtime: Runtime, audit: AuditParts
) -> None:
    async with started(Runtime(live_runtime.settings)) as other:
        beside = Api(build_app(other))
        for number in range(5):
            email, names = f"{number}@a.b", [f"x-{number}", f"y-{number}", None]
            await asked(desk, None, FIRST, email)
            (internal_id,) = await known(live_runtime, email)
            await asyncio.gather(
                *(asked(api, name, "Second", email) for api in (desk, beside) for name in names)
            )
            owner = (await known(live_runtime, email))[internal_id]
            assert owner in names
            views = [await asked(desk, name, "Third", email) for name in names]
            assert [one["id"] for one in views if one["name"] == FIRST] == [owner]
        await beside.client.aclose()
    await assert_clean(audit)


BOTH = (False, True)
Follow = Callable[[Api, str], Awaitable[Any]]

FOLLOWERS: dict[str, Follow] = {
    "the same id": lambda desk, email: asked(desk, f"x-{email[:-4]}", "Second", email),
    "another id": lambda desk, email: asked(desk, f"y-{email[:-4]}", "Second", email),
    "no id": lambda desk, email: asked(desk, None, "Second", email),
    "a list": lambda desk, email: done(desk, "customers.list", search=email),
}
"""Who comes after a crash; the email is told apart by its first letters."""


@pytest.mark.parametrize(
    "crash",
    list(product(("release_customer", "adopt_customer", "restore_customer"), BOTH, BOTH)),
    ids=str,
)
async def test_a_crash_at_any_step_leaves_one_customer_whole(
    crash: tuple[str, bool, bool],
    desk: Api,
    live_runtime: Runtime,
    audit: AuditParts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A script that is the last thing a gateway does, or comes too late, and whether SQL has all of
    it before somebody else comes.
    """
    step, happens, waits = crash
    real = getattr(live_runtime.scripts, step)

    async def die(*arguments: Any) -> Any:  # noqa: ANN401 - those of any script
        if happens:
            await real(*arguments)
        raise UnavailableError("crashed")

    for number, follow in enumerate(FOLLOWERS.values()):
        email = f"{number}@a.b"
        await asked(desk, None, FIRST, email)
        (internal_id,) = await known(live_runtime, email)
        with monkeypatch.context() as patched:
            patched.setattr(live_runtime.scripts, step, die)
            body = {"customer_id": f"x-{number}", "email": email}
            assert (await desk.call("customers.get_or_create", **body)).status == 503
        if waits:
            await live_runtime.engine.subjects.caught_up()
        view = await follow(desk, email)
        names = await known(live_runtime, email)
        owner = names[internal_id]
        assert len(set(names.values())) == len(names) <= 2
        shown = view.get("list", [view])
        is_first = [one["name"] == FIRST for one in shown]
        called = [one["id"] or nameless_id(email) for one in shown]
        assert is_first == [one == owner for one in called]
        # Whoever asks with the id now gets the one customer, or another that took the id's place.
        assert (await asked(desk, f"x-{number}", "Third", email))["subscriptions"]
    await assert_clean(audit)
