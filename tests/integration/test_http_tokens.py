"""Tokens of customers over HTTP: what they may, when they end, and what they cost."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import jwt
import pytest

from gateway.app import Runtime
from gateway.engine.tokens import Tokens
from gateway.errors import UnavailableError
from gateway.tokens import ACCESS_SECONDS, CHARACTERS_MAX, PREFIX, REFRESH_SECONDS
from persistence.tokens import SqlTokens
from tests.fake_engine import CUSTOMER_ID, ENTITY_ID
from tests.fixtures.app import KEY, LIVE_KEY, Answer, Api, FakeApi
from tests.fixtures.fronts import Front
from tests.integration.test_lane import in_process
from tests.waiting import until
from tests.wire import check_body, request

BOUND = "am_sk_test_" + "b" * 40
CALLS = {
    "balances.check": {"feature_id": "f"},
    "balances.track": {"feature_id": "f"},
    "customers.get": {},
    "entities.get": {"entity_id": ENTITY_ID},
    "events.list": {},
    "events.aggregate": {"feature_id": "f"},
}
REFUSED = (403, "insufficient_scopes")
ENDED = (401, "invalid_request")

Json = dict[str, Any]


class Desk:
    """Mints with a key, and calls with what it is given."""

    def __init__(self, fake: FakeApi) -> None:
        self.fake = fake

    async def mint(self, key: str = KEY, **more: object) -> Json:
        body = json.dumps({"customer_id": CUSTOMER_ID, **more}).encode()
        answer = await self.fake.api.send("keys.mint", body, key=f"Bearer {key}")
        assert answer.status == 200, answer.body
        return dict(answer.body)

    async def send(self, token: str, name: str, body: object = None, **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        return await self.fake.api.send(name, content, key=f"Bearer {token}", **headers)

    async def told(self, token: str, name: str, body: object = None) -> tuple[int, str | None]:
        answer = await self.send(token, name, body)
        return answer.status, answer.body.get("code")

    async def key(self, *scopes: str) -> str:
        """Make a key with scopes; return its id."""
        return (await self.fake.store.create_key("sandbox", "bound", BOUND, scopes)).id


@pytest.fixture
async def desk(fake_api: FakeApi) -> Desk:
    await fake_api.api.call("features.create", feature_id="f", name="F", type="boolean")
    return Desk(fake_api)


@pytest.mark.parametrize("name", CALLS)
async def test_an_access_token_names_its_customer_itself(desk: Desk, name: str) -> None:
    token = (await desk.mint())["access_token"]
    for body in (CALLS[name], CALLS[name] | {"customer_id": "other"}):
        assert (await desk.send(token, name, body)).status == 200
        assert desk.fake.engine.requests[-1].customer_id == CUSTOMER_ID  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "body", [b"", b" \n", b'{"customer_id": 7}', b'{"customer_id": "a", "customer_id": "b"}']
)
async def test_whatever_a_body_says_of_the_customer_is_overwritten(desk: Desk, body: bytes) -> None:
    token = (await desk.mint())["access_token"]
    assert (await desk.send(token, "customers.get", body)).body["id"] == CUSTOMER_ID


@pytest.mark.parametrize(
    "body", [b"[]", b"7", b"{", b'"x"', b"\xff", b'{"\xff": 1}', b"[" * 2_000, b'{"a": "\\u0000"}']
)
async def test_what_is_no_object_is_refused_as_with_a_key(desk: Desk, body: bytes) -> None:
    token = (await desk.mint())["access_token"]
    with_key = await desk.fake.api.send("customers.get", body)
    assert (await desk.send(token, "customers.get", body)).body == with_key.body
    assert with_key.status == 400


async def test_a_body_just_too_deep_for_one_reader_names_nobody_else(desk: Desk) -> None:
    token = (await desk.mint())["access_token"]

    async def told(depth: int) -> tuple[int, object]:
        deep = b'{"customer_id": "other", "a": %b%b}' % (b"[" * depth, b"]" * depth)
        answer = await desk.send(token, "customers.get", deep)
        return answer.status, answer.body.get("id")

    # How deep a reader goes is for Python to say, and differs from release to release.
    read, refused = 100, 500_000
    while refused - read > 1:
        depth = (read + refused) // 2
        if (await told(depth))[0] == 200:
            read = depth
        else:
            refused = depth
    around = {await told(depth) for depth in range(read - 500, read + 500)}
    assert around == {(200, CUSTOMER_ID), (400, None)}


async def test_rest_routes_take_a_token_too(desk: Desk) -> None:
    headers = {"authorization": f"Bearer {(await desk.mint())['access_token']}"}
    other = await desk.fake.api.fetch("/v1/customers/other", headers=headers)
    listed = await desk.fake.api.fetch("/v1/customers", headers=headers)
    checked = await desk.fake.api.fetch(
        "/v1/check", "POST", content=b'{"feature_id": "f"}', headers=headers
    )
    assert (other.status, other.body["id"]) == (200, CUSTOMER_ID)
    assert listed.error == REFUSED
    assert (checked.status, checked.body["customer_id"]) == (200, CUSTOMER_ID)


async def test_nobody_is_created_on_the_way(desk: Desk) -> None:
    token = (await desk.mint())["access_token"]
    for more in ({"customer_data": {"name": "x"}}, {"entity_data": {"feature_id": "f"}}):
        assert await desk.told(token, "balances.check", {"feature_id": "f", **more}) == REFUSED


async def test_a_token_may_do_what_the_key_may_that_minted_it(desk: Desk) -> None:
    await desk.key("apiKeys:write", "balances:read")
    token = (await desk.mint(BOUND))["access_token"]
    assert (await desk.send(token, "balances.check", {"feature_id": "f"})).status == 200
    assert await desk.told(token, "balances.track", {"feature_id": "f"}) == REFUSED
    assert await desk.told(token, "customers.get") == REFUSED


async def test_to_mint_takes_a_scope(desk: Desk) -> None:
    await desk.key("apiKeys:read", "balances:write", "customers:write")
    for name in ("keys.mint", "keys.revoke"):
        assert await desk.told(BOUND, name, {"customer_id": CUSTOMER_ID}) == REFUSED


async def test_a_page_mints_nothing(desk: Desk) -> None:
    publishable = "am_pk_test_" + "p" * 40
    await desk.fake.store.create_key("sandbox", "page", publishable)
    for name in ("keys.mint", "keys.refresh", "keys.revoke"):
        told = await desk.told(publishable, name, {"customer_id": CUSTOMER_ID})
        assert told == (401, "endpoint_not_public")


async def test_a_key_is_no_refresh_token(desk: Desk) -> None:
    assert await desk.told(KEY, "keys.refresh") == REFUSED


async def test_tokens_end_by_the_clock_of_the_machine(desk: Desk) -> None:
    minted = await desk.mint()
    access, refresh = minted["access_token"], minted["refresh_token"]
    began = desk.fake.clock.ms
    await desk.fake.api.call("clock.advance", by="30d")
    assert minted["expires_at"] == began + ACCESS_SECONDS * 1_000
    assert minted["refresh_expires_at"] == began + REFRESH_SECONDS * 1_000
    desk.fake.clock.ms = minted["expires_at"] - 1
    assert (await desk.send(access, "customers.get")).status == 200
    desk.fake.clock.ms = minted["expires_at"]
    assert await desk.told(access, "customers.get") == ENDED
    assert await desk.told(access, "customers.get") == ENDED  # and not from memory
    desk.fake.clock.ms = minted["refresh_expires_at"] - 1
    following = (await desk.send(refresh, "keys.refresh")).body
    desk.fake.clock.ms = minted["refresh_expires_at"]
    assert await desk.told(refresh, "keys.refresh") == ENDED
    assert (await desk.send(following["refresh_token"], "keys.refresh")).status == 200


async def test_tokens_end_with_their_key_if_it_is_revoked_but_not_if_it_is_rotated(
    desk: Desk,
) -> None:
    key_id = await desk.key("apiKeys:write", "customers:read")
    minted = await desk.mint(BOUND, indefinite=True)
    (old,) = [one for one in await desk.fake.store.list_keys() if one.id == key_id]
    successor = "am_sk_test_" + "s" * 40
    new = await desk.fake.store.rotate_key(old, successor, desk.fake.clock.ms)
    assert new is not None
    await desk.fake.catalog.refresh()
    assert await desk.told(BOUND, "customers.get") == (401, "invalid_secret_key")
    assert (await desk.send(minted["access_token"], "customers.get")).status == 200
    await desk.fake.store.revoke_key(key_id)
    await desk.fake.catalog.refresh()
    assert await desk.told(minted["access_token"], "customers.get") == ENDED


async def test_a_token_is_of_the_environment_of_its_key(desk: Desk) -> None:
    token = (await desk.mint(LIVE_KEY))["access_token"]
    answer = await desk.send(token, "balances.check", {"feature_id": "f"})  # of the sandbox
    assert (answer.status, answer.body["env"]) == (404, "live")
    await desk.fake.api.call("keys.revoke", customer_id=CUSTOMER_ID)
    assert (await desk.send(token, "customers.get")).status == 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "\xe9.\xe9.\xe9",
        f"{base64.urlsafe_b64encode(b'[' * 700).decode()}.e30.e30",
        "x" * (CHARACTERS_MAX + 1),
    ],
)
async def test_a_text_that_is_no_token_is_refused(desk: Desk, text: str) -> None:
    await desk.mint()
    header = f"Bearer {PREFIX}{text}".encode("latin-1")
    url = "/v1/customers.get"
    response = await desk.fake.api.client.post(url, headers={b"authorization": header})
    assert (response.status_code, response.json()["code"]) == ENDED


async def test_claims_that_are_not_ours_are_refused_though_the_signature_is(desk: Desk) -> None:
    await desk.mint()
    secret = await desk.fake.tokens._store.secret()  # noqa: SLF001 - to sign what nobody signs
    assert secret is not None
    for claims in ({}, {"aud": "other", "sub": CUSTOMER_ID, "key": "k", "family": "f", "epoch": 0}):
        token = PREFIX + jwt.encode(claims, secret, "HS256")
        assert await desk.told(token, "customers.get") == ENDED


async def test_a_token_that_was_met_costs_sql_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    met, new = (await desk.mint())["access_token"], (await desk.mint())["access_token"]
    assert (await desk.send(met, "customers.get")).status == 200
    for name in ("secret", "standing", "revoked_since", "rotate"):
        monkeypatch.setattr(desk.fake.tokens._store, name, _down)  # noqa: SLF001 - SQL goes away
    assert (await desk.send(met, "customers.get")).status == 200
    await desk.fake.tokens.follow()
    assert (await desk.send(met, "customers.get")).status == 200
    assert await desk.told(new, "customers.get") == (503, "service_unavailable")


async def test_what_another_process_revokes_is_followed(desk: Desk) -> None:
    token = (await desk.mint())["access_token"]
    assert (await desk.send(token, "customers.get")).status == 200
    fake = desk.fake
    another = Tokens(fake.tokens._store, fake.catalog, fake.clock)  # noqa: SLF001 - the same SQL
    header = f"Bearer {token}".encode()
    assert (await another.principal(header)).env == "sandbox"
    await another.revoke("sandbox", CUSTOMER_ID)
    await fake.tokens.follow()
    assert await desk.told(token, "customers.get") == ENDED


async def test_a_gateway_follows_by_itself_what_others_revoke(
    live_api: Api, live_runtime: Runtime
) -> None:
    await live_api.call("customers.get_or_create", customer_id="ada")
    token = (await live_api.call("keys.mint", customer_id="ada")).body["access_token"]

    async def is_refused() -> bool:
        return (await live_api.send("customers.get", b"{}", key=f"Bearer {token}")).status == 401

    assert not await is_refused()
    store = SqlTokens(live_runtime.database)
    await Tokens(store, live_runtime.catalog, live_runtime.wall).revoke("sandbox", "ada")
    await until(is_refused)


async def test_tokens_end_with_their_customer(desk: Desk) -> None:
    token = (await desk.mint())["access_token"]
    assert (await desk.send(token, "customers.get")).status == 200
    nobody = await desk.told(KEY, "customers.delete", {"customer_id": "other"})
    assert nobody == (404, "customer_not_found")
    assert (await desk.fake.api.call("customers.delete", customer_id=CUSTOMER_ID)).status == 200
    assert await desk.told(token, "customers.get") == ENDED


@pytest.mark.parametrize("minted", [False, True])
async def test_without_sql_a_customer_is_deleted_only_if_nobody_has_a_token(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, minted: bool
) -> None:
    if minted:
        await desk.mint()
    for name in ("secret", "revoke"):
        monkeypatch.setattr(desk.fake.tokens._store, name, _down)  # noqa: SLF001 - SQL goes away
    deleted = await desk.fake.api.call("customers.delete", customer_id=CUSTOMER_ID)
    assert deleted.status == (503 if minted else 200)
    arrived = [type(one).__name__ for one in desk.fake.engine.requests]
    assert ("CustomerDeleteRequest" in arrived) is not minted


async def _down(*_: object) -> None:
    raise UnavailableError


async def test_no_token_and_no_secret_is_ever_logged(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        minted = await desk.mint()
        await desk.send(minted["access_token"], "customers.get", b"{")
        await desk.send(minted["access_token"][:-3], "customers.get")
        await desk.send(minted["refresh_token"], "keys.refresh")
        desk.fake.engine.failure = RuntimeError("a fault of ours")
        assert (await desk.send(minted["access_token"], "customers.get")).status == 500
    secret = await desk.fake.tokens._store.secret()  # noqa: SLF001 - to look for it
    assert secret is not None
    for hidden in (secret, minted["access_token"][:40], minted["refresh_token"].split(".")[1]):
        assert hidden not in caplog.text


async def test_both_tiers_take_a_token_alike(front: Front) -> None:
    tokens = await Desk(front.fake).mint()
    access, refresh = tokens["access_token"], tokens["refresh_token"]
    line, other = await front.line(), check_body(customer_id="other")
    for sent in (
        request(other, key=access, x_request_id="a"),
        request(other, name="balances.track", key=access, x_request_id="a"),
        request(b'{"feature_id": "calls"}', key=access, x_request_id="a"),
        request(b"{", key=access, x_request_id="a"),
        request(key=access, x_api_version="2.2", x_request_id="a"),
        request(key=access, x_api_version="1.2", x_request_id="a"),
        request(key=refresh, x_request_id="a"),
        request(key=access[:-2], x_request_id="a"),
        request(name="features.list", key=access, x_request_id="a"),
    ):
        expected = await in_process(front.fake.api, sent)
        for _ in range(3):  # the head is known the next time
            reply = await line.ask(sent)
            assert (reply.status, reply.body) == (expected.status_code, expected.content)
            assert reply.headers == dict(expected.headers)
