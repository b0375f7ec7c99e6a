"""Which calls give their idempotency key free."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from gateway.engine.claims import KEEP_MS, Claim
from gateway.engine.replies import Kept, Replies
from gateway.errors import (
    IdempotencyKeyError,
    InvalidRequestError,
    UnavailableError,
    UnknownOutcomeError,
)


class Shelf:
    """Keeps what is put under a key, and for how long."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, int]] = {}

    async def take_reply(self, key: str, mark: bytes, keep_ms: int) -> bytes | None:
        before = self.kept.get(key)
        if before is None:
            self.kept[key] = (mark + b"\n", keep_ms)
            return None
        return before[0]

    async def keep_reply(self, key: str, answer: bytes, keep_ms: int) -> None:
        self.kept[key] = (answer, keep_ms)

    async def free_reply(self, key: str) -> None:
        del self.kept[key]


async def send(shelf: Shelf, failure: BaseException | None = None, owner: str = "") -> Kept:
    """Make the one call all tests make; it fails as told."""

    async def act() -> Kept:
        if failure is not None:
            raise failure
        return Kept(200, b"{}")

    claim = Claim(key="k", fingerprint="print")
    return await Replies(cast("Any", shelf), 4).once("sandbox", claim, act, owner=owner)


@pytest.mark.parametrize("failure", [InvalidRequestError(), UnavailableError()])
async def test_a_call_that_failed_runs_again(failure: Exception) -> None:
    shelf = Shelf()
    with pytest.raises(type(failure)):
        await send(shelf, failure)
    assert shelf.kept == {}
    assert await send(shelf) == (200, b"{}")


@pytest.mark.parametrize(
    "failure", [UnknownOutcomeError(), RuntimeError("a fault"), asyncio.CancelledError()]
)
async def test_a_call_whose_outcome_is_unknown_never_runs_again(failure: BaseException) -> None:
    shelf = Shelf()
    with pytest.raises(type(failure)):
        await send(shelf, failure)
    assert [keep_ms for _, keep_ms in shelf.kept.values()] == [KEEP_MS]
    with pytest.raises(IdempotencyKeyError, match="under way, or its outcome is unknown"):
        await send(shelf)


async def test_what_may_run_again_does_until_there_is_an_answer() -> None:
    shelf = Shelf()
    with pytest.raises(UnknownOutcomeError):
        await send(shelf, UnknownOutcomeError(), "ada")
    assert await send(shelf, owner="ada") == (200, b"{}")
    with pytest.raises(IdempotencyKeyError):
        await send(shelf, IdempotencyKeyError(), "bob")
    assert await send(shelf, RuntimeError(), "ada") == (200, b"{}")
