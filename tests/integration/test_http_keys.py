"""Keys that may do less: publishable ones, those with scopes, those that were rotated."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fake_engine import CUSTOMER_ID
from tests.fixtures.app import Api, FakeApi

PUBLISHABLE = "am_pk_test_" + "p" * 40
BOUND = "am_sk_test_" + "b" * 40
CHECK = {"customer_id": CUSTOMER_ID, "feature_id": "f"}


class Caller:
    """Calls with one key; what it is told is the status and, of a refusal, the code."""

    def __init__(self, api: Api, key: str) -> None:
        self._client = api.client
        self._key = key

    async def told(self, name: str, body: object = None, **headers: str) -> tuple[int, Any]:
        sent = {"authorization": f"Bearer {self._key}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self._client.post(f"/v1/{name}", json=body or {}, headers=sent)
        return response.status_code, response.json().get("code")


@pytest.fixture
async def page(fake_api: FakeApi) -> Caller:
    """A web page with a publishable key."""
    await fake_api.api.call("features.create", feature_id="f", name="F", type="boolean")
    await fake_api.store.create_key("sandbox", "page", PUBLISHABLE)
    return Caller(fake_api.api, PUBLISHABLE)


async def _bound(fake_api: FakeApi, *scopes: str) -> Caller:
    await fake_api.api.call("features.create", feature_id="f", name="F", type="boolean")
    await fake_api.store.create_key("sandbox", "bound", BOUND, scopes)
    return Caller(fake_api.api, BOUND)


async def test_a_publishable_key_reads_what_a_page_shows(page: Caller) -> None:
    assert (await page.told("balances.check", CHECK))[0] == 200
    assert (await page.told("balances.check", CHECK))[0] == 200  # and from memory too
    assert (await page.told("customers.get", {"customer_id": CUSTOMER_ID}))[0] == 200
    assert (await page.told("plans.list"))[0] == 200
    assert (await page.told("check", CHECK))[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        "balances.track",
        "track",
        "customers.get_or_create",
        "customers.list",
        "entities.get",
        "features.list",
        "plans.create",
        "billing.attach",
        "events.list",
        "clock.get",
    ],
)
async def test_a_publishable_key_may_not_call_the_rest(page: Caller, name: str) -> None:
    assert await page.told(name, CHECK) == (401, "endpoint_not_public")


@pytest.mark.parametrize("version", ["1.2", "2.3.0"])
@pytest.mark.parametrize(
    "change",
    [
        {"send_event": True},
        {"lock": {"lock_id": "l"}},
        {"customer_data": {"name": "x"}},
        {"entity_data": {"feature_id": "f"}},
    ],
)
async def test_a_check_with_a_publishable_key_changes_nothing(
    fake_api: FakeApi, page: Caller, change: dict[str, object], version: str
) -> None:
    told = await page.told("balances.check", CHECK | change, x_api_version=version)

    assert told == (400, "invalid_request")
    assert fake_api.engine.requests == []


async def test_a_check_of_1_2_creates_no_customer_for_a_page(
    fake_api: FakeApi, page: Caller
) -> None:
    unknown = CHECK | {"customer_id": "nobody"}

    assert await page.told("check", unknown, x_api_version="1.2") == (404, "customer_not_found")
    assert fake_api.engine.requests[0].customer_data is None  # type: ignore[attr-defined]


async def test_an_unknown_publishable_key_is_named_as_such(page: Caller, api: Api) -> None:
    wrong = Caller(api, "am_pk_test_wrong")

    assert await wrong.told("balances.check", CHECK) == (401, "invalid_publishable_key")


async def test_a_page_of_any_origin_may_read_the_answer_and_the_refusal(
    page: Caller, api: Api
) -> None:
    key = f"Bearer {PUBLISHABLE}"
    answered = await api.send("plans.list", b"{}", key=key, origin="https://shop.example")
    refused = await api.send("balances.check", b"{", key=key, origin="https://shop.example")
    stranger = await api.send("balances.check", b"{}", key=None, origin="https://shop.example")
    backend = await api.send("plans.list", b"{}", origin="https://shop.example")

    assert answered.headers["access-control-allow-origin"] == "*"
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (400, "*")
    assert (stranger.status, stranger.headers["access-control-allow-origin"]) == (401, "*")
    assert "access-control-allow-origin" not in backend.headers


@pytest.mark.parametrize(
    ("path", "methods"),
    [("balances.check", "POST"), ("check", "POST"), ("customers/ada", "GET"), ("products", "GET")],
)
async def test_a_browser_may_ask_before_it_calls(api: Api, path: str, methods: str) -> None:
    answer = await api.fetch(
        f"/v1/{path}",
        "OPTIONS",
        headers={"origin": "https://shop.example", "access-control-request-method": methods},
    )

    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == methods
    assert "authorization" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("path", ["balances.track", "track", "customers/ada/entities"])
async def test_a_browser_may_not_call_the_rest(api: Api, path: str) -> None:
    answer = await api.fetch(f"/v1/{path}", "OPTIONS")

    assert answer.status == 405
    assert "access-control-allow-origin" not in answer.headers


async def test_a_scope_allows_its_resource_and_no_other(fake_api: FakeApi) -> None:
    caller = await _bound(fake_api, "balances:write", "features:read")

    assert (await caller.told("balances.track", CHECK))[0] == 200
    assert (await caller.told("balances.check", CHECK))[0] == 200  # to write is to read
    assert (await caller.told("features.list"))[0] == 200
    assert await caller.told("features.delete", {"feature_id": "f"}) == (403, "insufficient_scopes")
    assert await caller.told("customers.list") == (403, "insufficient_scopes")


async def test_a_refusal_names_the_missing_scope(fake_api: FakeApi) -> None:
    await _bound(fake_api, "balances:read")

    answer = await fake_api.api.send("entities.list", b"{}", key=f"Bearer {BOUND}")

    assert (answer.status, answer.body["message"]) == (
        403,
        "This key has not the scope customers:read",
    )


async def test_a_scope_to_read_does_not_spend(fake_api: FakeApi) -> None:
    caller = await _bound(fake_api, "balances:read")

    assert (await caller.told("balances.check", CHECK))[0] == 200
    spending = await caller.told("balances.check", CHECK | {"send_event": True})
    assert spending == (403, "insufficient_scopes")
    assert (await caller.told("balances.track", CHECK | {"dry_run": True}))[0] == 200


async def test_creating_a_customer_on_the_way_needs_its_own_scope(fake_api: FakeApi) -> None:
    caller = await _bound(fake_api, "balances:write")
    creating = CHECK | {"customer_data": {"name": "x"}}

    assert await caller.told("balances.track", creating) == (403, "insufficient_scopes")
    batch = [CHECK, creating]
    assert await caller.told("balances.batch_track", batch) == (403, "insufficient_scopes")
    old = await caller.told("track", CHECK | {"customer_id": "nobody"}, x_api_version="1.2")
    assert old == (404, "customer_not_found")


async def test_admin_is_every_scope(fake_api: FakeApi) -> None:
    caller = await _bound(fake_api, "admin")

    assert (await caller.told("features.delete", {"feature_id": "f"}))[0] == 200


async def test_a_rotated_key_works_until_its_time_and_its_successor_may_do_the_same(
    fake_api: FakeApi,
) -> None:
    caller = await _bound(fake_api, "features:read")
    (key,) = [one for one in await fake_api.store.list_keys() if one.name == "bound"]
    successor = "am_sk_test_" + "s" * 40

    new = await fake_api.store.rotate_key(key, successor, fake_api.clock.ms + 1_000)
    again = await fake_api.store.rotate_key(key, "am_sk_test_other", fake_api.clock.ms)
    await fake_api.catalog.refresh()
    both = [await each.told("features.list") for each in (caller, Caller(fake_api.api, successor))]
    fake_api.clock.ms += 1_000
    await fake_api.catalog.refresh()
    ended = await caller.told("features.list")
    narrow = await Caller(fake_api.api, successor).told("customers.list")

    assert (new is not None, again) == (True, None)
    assert [status for status, _ in both] == [200, 200]
    assert ended == (401, "invalid_secret_key")
    assert narrow == (403, "insufficient_scopes")
