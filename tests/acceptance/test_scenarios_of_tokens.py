"""Scenario S110 of the reference, over HTTP: tokens that act for one customer."""

from __future__ import annotations

import base64
import json

import httpx
import jwt
import pytest

from gateway.tokens import PREFIX
from tests.acceptance.world import World
from tests.fixtures.gateways import Json

FORGED_WITH = "not the secret of this installation"


class Holder:
    """Whoever has a token, and nothing else."""

    def __init__(self, world: World, token: str) -> None:
        self.token = token
        self._world = world

    def post(self, name: str, /, **body: object) -> httpx.Response:
        return self.post_at("2.3.0", name, **body)

    def post_at(self, version: str, name: str, /, **body: object) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", "x-api-version": version}
        return self._world.gateway.post(name, body, **headers)

    def status(self, name: str, /, **body: object) -> int:
        return self.post(name, **body).status_code

    def refusal(self, name: str, /, **body: object) -> tuple[int, str]:
        answer = self.post(name, **body)
        return answer.status_code, answer.json()["code"]


def mint(world: World, customer: str | None = None, **more: object) -> Json:
    return world.gateway.call("keys.mint", customer_id=customer or world.customer, **more)


@pytest.fixture
def minted(world: World) -> Json:
    world.attach(world.monthly(100))
    return mint(world)


@pytest.fixture
def app(world: World, minted: Json) -> Holder:
    """Somebody with an access token of a customer who has 100 messages a month."""
    return Holder(world, minted["access_token"])


def test_s110_a_mint_gives_two_tokens_and_two_expiries(world: World, minted: Json) -> None:
    assert set(minted) == {"access_token", "refresh_token", "expires_at", "refresh_expires_at"}
    assert minted["access_token"].startswith(PREFIX)
    assert minted["refresh_token"].startswith(PREFIX)
    assert minted["refresh_expires_at"] - minted["expires_at"] == 23 * 3_600_000
    header = jwt.get_unverified_header(minted["access_token"].removeprefix(PREFIX))
    assert header == {"alg": "HS256", "typ": "JWT"}


def test_s110_an_access_token_checks_tracks_and_reads_its_own_customer(
    world: World, app: Holder
) -> None:
    messages = world.name("messages")
    world.entities("a")
    assert app.post("balances.check", feature_id=messages).json()["customer_id"] == world.customer
    tracked = app.post("balances.track", customer_id="other", feature_id=messages, value=10)
    assert (tracked.status_code, tracked.json()["customer_id"]) == (200, world.customer)
    assert world.state() == [100, 90, 10]
    assert app.post("customers.get", customer_id="other").json()["id"] == world.customer
    assert app.post("entities.get", entity_id="a").json()["customer_id"] == world.customer
    world.gateway.wait_for_writer()
    (event,) = app.post("events.list", customer_id="other", feature_id=messages).json()["list"]
    assert (event["customer_id"], event["value"]) == (world.customer, 10)
    sums = app.post("events.aggregate", customer_id="other", feature_id=messages, range="24h")
    assert sums.json()["total"] == {messages: {"count": 1, "sum": 10}}


def test_s110_an_access_token_may_call_nothing_else(world: World, app: Holder) -> None:
    for name in ("customers.list", "keys.mint", "keys.revoke", "keys.refresh", "balances.update"):
        told = app.refusal(name, customer_id=world.customer)
        assert told == (403, "insufficient_scopes"), name
    for version in ("2.2", "2.1", "1.2"):
        old = app.post_at(version, "balances.check", feature_id=world.name("messages"))
        assert (old.status_code, old.json()["code"]) == (400, "invalid_api_version")


def test_s110_the_entity_of_another_customer_is_not_found(world: World, app: Holder) -> None:
    other = World(world.gateway)
    other.entities("seat_of_another")
    told = app.refusal("entities.get", entity_id="seat_of_another", customer_id=other.customer)
    assert told == (404, "entity_not_found")


def test_s110_a_refresh_token_is_for_the_refresh_alone(world: World, minted: Json) -> None:
    refresher = Holder(world, minted["refresh_token"])
    told = refresher.refusal("balances.check", feature_id=world.name("messages"))
    assert told == (403, "insufficient_scopes")
    assert refresher.refusal("keys.mint", customer_id=world.customer)[0] == 403
    following = refresher.post("keys.refresh").json()
    assert set(following) == set(minted)
    app = Holder(world, following["access_token"])
    assert app.status("balances.check", feature_id=world.name("messages")) == 200


def test_s110_a_refresh_token_of_two_rotations_ago_ends_the_family(
    world: World, minted: Json
) -> None:
    first = Holder(world, minted["refresh_token"])
    second = Holder(world, first.post("keys.refresh").json()["refresh_token"])
    again = first.post("keys.refresh")
    assert again.status_code == 200  # the one before the newest: its answer may have been lost
    newest = second.post("keys.refresh").json()
    assert first.refusal("keys.refresh") == (401, "invalid_request")
    third = Holder(world, newest["refresh_token"])
    assert third.refusal("keys.refresh") == (401, "invalid_request")
    for access in (minted, again.json(), newest):
        holder = Holder(world, access["access_token"])
        assert holder.status("balances.check", feature_id=world.name("messages")) == 401


def test_s110_revoking_ends_every_token_until_the_next_mint(world: World, minted: Json) -> None:
    app = Holder(world, minted["access_token"])
    kept = Holder(world, mint(world, indefinite=True)["access_token"])
    messages = world.name("messages")
    assert [one.status("balances.check", feature_id=messages) for one in (app, kept)] == [200, 200]
    told = world.gateway.call("keys.revoke", customer_id=world.customer)
    assert told == {"revoked": True}
    assert [one.status("balances.check", feature_id=messages) for one in (app, kept)] == [401, 401]
    assert Holder(world, minted["refresh_token"]).status("keys.refresh") == 401
    new = Holder(world, mint(world)["access_token"])
    assert new.status("balances.check", feature_id=messages) == 200


def test_s110_an_indefinite_token_has_no_end_and_no_refresh_token(world: World) -> None:
    minted = mint(world, indefinite=True)
    assert set(minted) == {"access_token", "expires_at"}
    assert minted["expires_at"] is None
    assert Holder(world, minted["access_token"]).status("customers.get") == 200


def test_s110_forged_tokens_are_refused(world: World, minted: Json) -> None:
    token = minted["access_token"].removeprefix(PREFIX)
    claims = jwt.decode(token, options={"verify_signature": False})
    head, body, signature = token.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=")
    for forged in (
        jwt.encode(claims, FORGED_WITH, "HS256"),
        jwt.encode(claims, "", "none"),
        f"{none.decode()}.{body}.",
        f"{none.decode()}.{body}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body[:-2]}.{signature}",
        "not.a.token",
        "",
        "x" * 5_000,
    ):
        holder = Holder(world, PREFIX + forged)
        assert holder.refusal("customers.get") == (401, "invalid_request"), forged
        assert holder.refusal("keys.refresh") == (401, "invalid_request"), forged


def test_s110_nobody_mints_for_a_customer_who_is_not_there(world: World) -> None:
    told = world.gateway.refusal("keys.mint", customer_id="nobody_at_all")
    assert told == (404, "customer_not_found")
