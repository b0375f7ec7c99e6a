"""How much of a body is read."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api import asgi
from gateway.api.decoding import DRAIN_BYTES_MAX
from gateway.api.exchange import ClientGoneError
from gateway.errors import BodyTooLargeError

LIMIT = 100


class Sender:
    """A client that sends chunks of a size, and counts how many were taken."""

    def __init__(self, *sizes: int, leaves: bool = False) -> None:
        self.sizes = list(sizes)
        self.leaves = leaves
        self.taken = 0

    async def __call__(self) -> Any:  # noqa: ANN401 - an ASGI message
        if self.taken == len(self.sizes):
            return {"type": "http.disconnect"}
        body = b"x" * self.sizes[self.taken]
        self.taken += 1
        more = self.leaves or self.taken < len(self.sizes)
        return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize("sizes", [(0,), (100,), (40, 60), (0, 0, 100)])
async def test_a_body_up_to_the_limit_is_read(sizes: tuple[int, ...]) -> None:
    body = await asgi._read_body(Sender(*sizes), LIMIT)  # noqa: SLF001 - the unit under test

    assert len(body) == sum(sizes)


@pytest.mark.parametrize("sizes", [(101,), (60, 60), (99, 1, 1)])
async def test_a_body_over_the_limit_is_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(BodyTooLargeError, match="larger than 100 bytes"):
        await asgi._read_body(Sender(*sizes), LIMIT)  # noqa: SLF001 - the unit under test


async def test_an_endless_body_is_not_taken_for_ever() -> None:
    chunk = 1024 * 1024
    sender = Sender(*[chunk] * 100)

    with pytest.raises(BodyTooLargeError):
        await asgi._read_body(sender, LIMIT)  # noqa: SLF001 - the unit under test

    assert sender.taken * chunk <= DRAIN_BYTES_MAX + 2 * chunk


@pytest.mark.parametrize("sizes", [(), (10,), (200,)])
async def test_a_client_that_leaves_gets_no_answer(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ClientGoneError):
        await asgi._read_body(Sender(*sizes, leaves=True), LIMIT)  # noqa: SLF001 - as above
