"""What SQL keeps of tokens: one secret, rotations in a row, and revocations others can follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Engine, text

from gateway.tokens import REFRESH_SECONDS, Kind, Revoked, Standing, Token
from persistence.database import Database
from persistence.tokens import CLEARED_MAX, SqlTokens
from tests.unit.persistence.entries import BASE_MS

ENV = "sandbox"
DAY_MS = REFRESH_SECONDS * 1_000


@pytest.fixture
async def empty(engine: Engine) -> AsyncIterator[SqlTokens]:
    database = Database(engine, threads=4, answer_ms=5_000)
    yield SqlTokens(database)
    await database.close()


@pytest.fixture
async def store(empty: SqlTokens) -> SqlTokens:
    """A store with a secret, as the first mint leaves it."""
    await empty.keep_secret("secret")
    return empty


def refresh_token(generation: int = 0, *, family: str = "tok_1", epoch: int = 0) -> Token:
    return Token(
        kind=Kind.REFRESH,
        customer_id="ada",
        key_id="key_1",
        family=family,
        epoch=epoch,
        generation=generation,
    )


async def rotated(store: SqlTokens, *generations: int, now_ms: int = BASE_MS) -> list[int | None]:
    return [await store.rotate(ENV, refresh_token(one), now_ms) for one in generations]


async def test_the_secret_is_made_once_by_whoever_is_first(empty: SqlTokens) -> None:
    assert await empty.secret() is None
    kept = await asyncio.gather(*(empty.keep_secret(f"secret {one}") for one in range(4)))
    assert {await empty.secret(), *kept} == {kept[0]}


async def test_each_rotation_gives_the_next_generation(store: SqlTokens) -> None:
    assert await rotated(store, 0, 1, 2) == [1, 2, 3]


async def test_the_generation_before_the_newest_gets_the_newest_again(store: SqlTokens) -> None:
    assert await rotated(store, 0, 0, 1, 1, 0) == [1, 1, 2, 2, None]


async def test_many_who_rotate_one_token_at_once_all_get_the_next(store: SqlTokens) -> None:
    ten = (store.rotate(ENV, refresh_token(), BASE_MS) for _ in range(10))
    assert await asyncio.gather(*ten) == [1] * 10
    assert await rotated(store, 1) == [2]


async def test_an_older_generation_revokes_all_tokens_of_the_customer(store: SqlTokens) -> None:
    assert await rotated(store, 0, 1, 0) == [1, 2, None]
    assert await store.standing(ENV, "ada") == Standing(epoch=1, revocations=1)
    assert await rotated(store, 2) == [None]
    assert await store.rotate(ENV, refresh_token(family="tok_2"), BASE_MS) is None
    assert await store.rotate(ENV, refresh_token(family="tok_3", epoch=1), BASE_MS) == 1
    assert await store.standing(ENV, "ada") == Standing(epoch=1, revocations=1)


async def test_families_do_not_get_in_each_other_s_way(store: SqlTokens) -> None:
    await rotated(store, 0, 1, 2)
    assert await store.rotate(ENV, refresh_token(family="tok_2"), BASE_MS) == 1


async def test_revocations_are_told_in_their_order(store: SqlTokens) -> None:
    for env, customer in (("live", "ada"), (ENV, "bob"), (ENV, "ada"), (ENV, "bob")):
        await store.revoke(env, customer)
    assert await store.standing(ENV, "bob") == Standing(epoch=2, revocations=4)
    assert await store.standing("live", "ada") == Standing(epoch=1, revocations=4)
    assert await store.standing(ENV, "eve") == Standing(epoch=0, revocations=4)
    every = [("live", "ada"), (ENV, "ada"), (ENV, "bob")]
    assert await store.revoked_since(0, 10) == Revoked(4, every)
    assert await store.revoked_since(3, 10) == Revoked(4, [(ENV, "bob")])
    assert await store.revoked_since(0, 2) == Revoked(4, every[:2])
    assert await store.revoked_since(4, 10) == Revoked(4, [])


async def test_revocations_at_once_are_numbered_one_by_one(store: SqlTokens) -> None:
    await asyncio.gather(*(store.revoke(ENV, f"c{one}") for one in range(20)))
    told = [await store.revoked_since(one, 1) for one in range(20)]
    assert len({customer for one in told for customer in one.customers}) == 20


async def test_nobody_is_revoked_before_the_first_mint(empty: SqlTokens) -> None:
    await empty.revoke(ENV, "ada")
    assert await empty.standing(ENV, "ada") == Standing(epoch=0, revocations=0)
    assert await empty.revoked_since(0, 10) == Revoked(0, [])


async def test_families_leave_when_their_last_token_has_ended(
    store: SqlTokens, engine: Engine
) -> None:
    for one in range(CLEARED_MAX + 3):
        await store.rotate(ENV, refresh_token(family=f"old_{one}"), BASE_MS)

    def kept() -> int:
        with engine.connect() as connection:
            return int(connection.scalars(text("SELECT COUNT(*) FROM token_families")).one())

    await rotated(store, 0, now_ms=BASE_MS + DAY_MS - 1)
    assert kept() == CLEARED_MAX + 4
    await rotated(store, 1, now_ms=BASE_MS + DAY_MS)
    assert kept() == 4
    await rotated(store, 2, now_ms=BASE_MS + DAY_MS)
    assert kept() == 1
