"""Who is remembered by the header they sent."""

from __future__ import annotations

import pytest

from gateway.engine.principals import HEADER_BYTES_MAX, Access, Principal, Principals
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
