"""What a process remembers of tokens, and that no revocation is missed for it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.engine import tokens as module
from gateway.engine.catalog import Catalog
from gateway.engine.principals import Principal
from gateway.engine.tokens import REVOKED_MAX, Tokens, is_token
from gateway.errors import EndedTokenError
from gateway.tokens import Revoked, Standing, Token
from tests.fixtures.app import ManualClock
from tests.unit.gateway.engine.scripted_store import ScriptedStore
from tests.waiting import until

MINTER = Principal("sandbox", "key_1")


class Store:
    """A ``TokenStore`` in memory, whose answers a test may hold up."""

    def __init__(self) -> None:
        self.kept = ""
        self.epochs: dict[tuple[str, str], int] = {}
        self.log: list[tuple[str, str]] = []
        self.asked = 0
        self.gates: list[asyncio.Event] = []

    async def secret(self) -> str | None:
        self.asked += 1
        found = self.kept or None
        if self.gates:
            await self.gates.pop(0).wait()
        return found

    async def keep_secret(self, secret: str) -> str:
        self.kept = self.kept or secret
        return self.kept

    async def standing(self, env: str, customer_id: str) -> Standing:
        self.asked += 1
        found = Standing(self.epochs.get((env, customer_id), 0), len(self.log))
        if self.gates:
            await self.gates.pop(0).wait()
        return found

    async def rotate(self, env: str, token: Token, now_ms: int) -> int | None:
        return token.generation + 1

    async def revoke(self, env: str, customer_id: str) -> None:
        self.epochs[env, customer_id] = self.epochs.get((env, customer_id), 0) + 1
        self.log.append((env, customer_id))

    async def revoked_since(self, revocations: int, limit: int) -> Revoked:
        self.asked += 1
        return Revoked(len(self.log), self.log[revocations:][:limit])


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def tokens(store: Store) -> Tokens:
    clock = ManualClock()
    catalog = Catalog(ScriptedStore(), clock)
    await catalog.refresh()
    return Tokens(store, catalog, clock)


async def minted(tokens: Tokens, customer_id: str = "ada") -> bytes:
    found = await tokens.mint(MINTER, customer_id, indefinite=True)
    return f"Bearer {found.access_token}".encode()


async def is_refused(tokens: Tokens, header: bytes) -> bool:
    try:
        await tokens.principal(header)
    except EndedTokenError:
        return True
    return False


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"Bearer am_jwt_x", True),
        (b"bearer  am_jwt_", True),
        (b"Bearer am_sk_test_x", False),
        (b"am_jwt_x", False),
        (b"Bearer AM_JWT_x", False),
        (b"", False),
        (None, False),
    ],
)
def test_a_token_is_told_from_a_key_by_how_it_begins(header: bytes | None, expected: bool) -> None:
    assert is_token(header) is expected


async def test_a_look_for_the_secret_that_comes_late_takes_none_away(
    tokens: Tokens, store: Store
) -> None:
    gate = asyncio.Event()
    store.gates.append(gate)
    late = asyncio.create_task(tokens.are_minted())
    await until(lambda: not store.gates)
    header = await minted(tokens)
    gate.set()
    assert await late
    assert not await is_refused(tokens, header)


async def test_a_token_is_asked_about_once(tokens: Tokens, store: Store) -> None:
    header = await minted(tokens)
    first = await tokens.principal(header)
    asked = store.asked
    assert await tokens.principal(header) is first
    assert await tokens.principal(header + b"  ") is first
    assert store.asked == asked


async def test_nothing_is_followed_while_nothing_is_remembered(
    tokens: Tokens, store: Store
) -> None:
    await minted(tokens)
    asked = store.asked
    await tokens.follow()
    assert store.asked == asked


async def test_a_revocation_forgets_its_customer_alone(tokens: Tokens, store: Store) -> None:
    ada, bob = await minted(tokens), await minted(tokens, "bob")
    await tokens.principal(ada)
    kept = await tokens.principal(bob)
    await store.revoke("sandbox", "ada")
    await store.revoke("live", "bob")
    await tokens.follow()
    assert await is_refused(tokens, ada)
    assert await tokens.principal(bob) is kept


async def test_more_revocations_than_are_told_forget_everybody(
    tokens: Tokens, store: Store
) -> None:
    header = await minted(tokens)
    await tokens.principal(header)
    for one in range(REVOKED_MAX):
        await store.revoke("sandbox", f"c{one}")
    await store.revoke("sandbox", "ada")
    await tokens.follow()
    assert await is_refused(tokens, header)


async def test_what_was_read_before_a_revocation_is_not_remembered_after_it(
    tokens: Tokens, store: Store
) -> None:
    ada, bob = await minted(tokens), await minted(tokens, "bob")
    await tokens.principal(bob)
    gate = asyncio.Event()
    store.gates.append(gate)
    late = asyncio.create_task(tokens.principal(ada))
    await until(lambda: not store.gates)
    await store.revoke("sandbox", "ada")
    await tokens.follow()
    gate.set()
    assert (await late).env == "sandbox"  # it was valid when it was asked about
    assert await is_refused(tokens, ada)


async def test_no_more_tokens_are_remembered_than_there_is_room_for(
    tokens: Tokens, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOKENS_MAX", 2)
    headers = [await minted(tokens, f"c{one}") for one in range(3)]
    for header in headers:
        await tokens.principal(header)
    asked = store.asked
    await tokens.principal(headers[2])
    assert store.asked == asked
    await tokens.principal(headers[0])
    assert store.asked == asked + 1


async def test_forged_tokens_do_not_get_as_far_as_sql(tokens: Tokens, store: Store) -> None:
    header = await minted(tokens)
    asked = store.asked
    assert await is_refused(tokens, header[:-2])
    assert store.asked == asked


async def test_a_revoked_token_gets_as_far_as_sql_once(tokens: Tokens, store: Store) -> None:
    header = await minted(tokens)
    await store.revoke("sandbox", "ada")
    assert await is_refused(tokens, header)
    asked = store.asked
    assert await is_refused(tokens, header)
    assert store.asked == asked


@pytest.mark.parametrize("junk", [b"=", b"!!!!", b"\xe9", b"AAAA"])
async def test_a_token_is_read_in_one_spelling(tokens: Tokens, junk: bytes) -> None:
    header = await minted(tokens)
    assert await is_refused(tokens, header + junk)
    assert await is_refused(tokens, header[:-3] + junk + header[-3:])
    assert not await is_refused(tokens, header)


async def test_a_customer_s_tokens_count_together_and_not_with_the_key(tokens: Tokens) -> None:
    ids = {(await tokens.principal(await minted(tokens))).key_id for _ in range(2)}
    assert ids == {"token:sandbox:ada"}
