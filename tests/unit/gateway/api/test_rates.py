"""The headers of rate limits."""

from __future__ import annotations

import pytest

from gateway.api.rates import rate_headers
from gateway.scripts.rates import Limit, Standing

LIMIT = Limit("key", 100, 60_000)


@pytest.mark.parametrize(("resets_ms", "seconds"), [(1, b"1"), (1_000, b"1"), (1_001, b"2")])
def test_time_is_told_in_whole_seconds_never_too_few(resets_ms: int, seconds: bytes) -> None:
    assert rate_headers(Standing(LIMIT, 7, resets_ms, refused=False)) == (
        (b"ratelimit-limit", b"100"),
        (b"ratelimit-remaining", b"7"),
        (b"ratelimit-reset", seconds),
    )


def test_a_refusal_says_when_to_come_back() -> None:
    headers = dict(rate_headers(Standing(LIMIT, 0, 41_500, refused=True)))
    assert headers[b"ratelimit-remaining"] == b"0"
    assert headers[b"retry-after"] == headers[b"ratelimit-reset"] == b"42"
