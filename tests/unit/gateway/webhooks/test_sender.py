"""What keeps the sender from sending comes back as a value."""

from __future__ import annotations

import pytest

from gateway.webhooks.sender import Sender


def _unreadable() -> None:
    raise FileNotFoundError(2, "No such file", "/authorities.pem")


async def test_authorities_that_cannot_be_read_fail_the_attempt_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.webhooks.sender._trusted", _unreadable)
    async with Sender(connections_max=1) as sender:
        outcome = await sender.send("http://127.0.0.1:1/hook", "{}", {})
    assert not outcome.is_delivered
    assert outcome.error.startswith("FileNotFoundError: ")
    assert "/authorities.pem" in outcome.error
