"""Cursors come back as they went out; anything else is refused by name."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidCursorError
from persistence.reads.pages import (
    BalanceKey,
    CustomerKey,
    EntityKey,
    EventKey,
    OldestCustomerKey,
    decode_cursor,
    encode_cursor,
)


@given(st.integers(0, 2**63 - 1), st.from_regex("^[!-~]{0,40}$", fullmatch=True))
def test_cursor_round_trip(at_ms: int, name: str) -> None:
    event = EventKey(at_ms, name)
    assert decode_cursor(encode_cursor(event), EventKey) == event
    entity = EntityKey(at_ms, name, 3)
    assert decode_cursor(encode_cursor(entity), EntityKey) == entity
    balance = BalanceKey(at_ms, "cus_1", name)
    assert decode_cursor(encode_cursor(balance), BalanceKey) == balance


@given(st.text())
def test_junk_raises_nothing_else(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        decode_cursor(text, EventKey)


def test_cursor_of_another_order_is_refused() -> None:
    newest, oldest = CustomerKey(1, "cus_1"), OldestCustomerKey(1, "cus_1")
    assert decode_cursor(encode_cursor(oldest), OldestCustomerKey) == oldest
    with pytest.raises(InvalidCursorError):
        decode_cursor(encode_cursor(newest), OldestCustomerKey)
    with pytest.raises(InvalidCursorError):
        decode_cursor(encode_cursor(oldest), CustomerKey)


def test_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidCursorError):
        decode_cursor(encode_cursor(CustomerKey(1, "cus_1")), EventKey)


@pytest.mark.parametrize("key", [b'[9223372036854775808,"x"]', b'[-1,"x"]', b'[1,"\\u0000"]'])
def test_values_sql_would_refuse_never_reach_it(key: bytes) -> None:
    with pytest.raises(InvalidCursorError):
        decode_cursor(urlsafe_b64encode(key).decode(), EventKey)
