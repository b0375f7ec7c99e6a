"""Who is remembered by the header they sent."""

from __future__ import annotations

import pytest

from gateway.engine.principals import (
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    Access,
    Principal,
    Principals,
    secret_of,
)
from gateway.errors import InvalidTokenError, NoSecretKeyError
from gateway.wall import SystemClock

PUBLIC = Principal("live", "key_1", Access(public=True, scopes=frozenset()))
FREE = Principal("live", "key_2")


@pytest.mark.parametrize("principal", [PUBLIC, FREE])
def test_a_header_that_was_blown_up_is_not_kept(principal: Principal) -> None:
    principals = Principals(SystemClock())
    usual = b"Bearer am_pk_live_0"
    blown_up = b"Bearer " + b" " * HEADER_BYTES_MAX + b"am_pk_live_0"
    for header in (usual, blown_up):
        principals.remember(header, principal)
    found = [principals.known(header) or principals.bound(header) for header in (usual, blown_up)]
    assert found == [principal, None]


@pytest.mark.parametrize("principal", [PUBLIC, FREE])
def test_remembered_headers_are_bounded(principal: Principal) -> None:
    principals = Principals(SystemClock())
    headers = [b"Bearer am_pk_live_%d" % number for number in range(HEADERS_MAX + 1)]
    for header in headers:
        principals.remember(header, principal)
    found = [principals.known(header) or principals.bound(header) for header in headers]
    assert found == [None] * HEADERS_MAX + [principal]


@pytest.mark.parametrize(
    ("header", "error"),
    [
        (None, NoSecretKeyError),
        (b"", NoSecretKeyError),
        (b" ", NoSecretKeyError),
        (b"Bearer", InvalidTokenError),
        (b"Bearer hello", InvalidTokenError),
        (b"am_sk_test_0123456789abcdefghij", InvalidTokenError),
    ],
)
def test_a_header_without_a_key_has_its_error(header: bytes | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        secret_of(header)
