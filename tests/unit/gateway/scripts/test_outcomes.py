"""What a refusal of Redis tells whoever called: why, where it is a thing to mend."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ResponseError

from gateway.scripts.outcomes import unavailable


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "is full"),
        (ResponseError("OOM command not allowed when used memory > 'maxmemory'."), "is full"),
        (ResponseError("MISCONF Errors writing to the AOF file: No space left"), "disk is full"),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), "fewer replicas"),
        (ResponseError("LOADING Redis is loading the dataset in memory"), "does not answer"),
        (RedisConnectionError("refused"), "does not answer"),
    ],
)
def test_the_message_says_why_and_that_nothing_was_changed(error: Exception, reason: str) -> None:
    message = unavailable(error).message
    assert reason in message
    assert "nothing was changed" in message
