"""Cursors of lists: opaque to callers, the sort key of the last item to us.

A cursor names its list and, where there are two, its order, so one from elsewhere is refused; every
part has bounds, so a made-up one never reaches SQL.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from gateway.errors import InvalidCursorError

_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Name = Annotated[str, Meta(max_length=300, pattern="^[!-~]*$")]


class CustomerKey(NamedTuple):
    """Where a customer stands in ``customers.list``."""

    created_at: _Number
    internal_id: _Name
    kind: Literal["customer"] = "customer"


class OldestCustomerKey(NamedTuple):
    """Where a customer stands in ``customers.list`` when the oldest come first."""

    created_at: _Number
    internal_id: _Name
    kind: Literal["oldest_customer"] = "oldest_customer"


class EntityKey(NamedTuple):
    """Where an entity stands in ``entities.list``."""

    created_at: _Number
    internal_id: _Name
    number: _Number
    kind: Literal["entity"] = "entity"


class EventKey(NamedTuple):
    """Where an event stands in ``events.list``."""

    timestamp_ms: _Number
    id: _Name
    kind: Literal["event"] = "event"


class BalanceKey(NamedTuple):
    """Where a balance stands in ``balances.list``."""

    created_at: _Number
    internal_id: _Name
    id: _Name
    kind: Literal["balance"] = "balance"


Key = CustomerKey | OldestCustomerKey | EntityKey | EventKey | BalanceKey
_Key = TypeVar("_Key", bound=Key)


def encode_cursor(key: Key) -> str:
    """Return the cursor that continues after an item."""
    return urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode_cursor(text: str, kind: type[_Key]) -> _Key:
    """Return the key of a cursor; ``kind`` has to be in it. Raises ``InvalidCursorError``."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return msgspec.json.decode(urlsafe_b64decode(padded), type=kind)
    except (binascii.Error, UnicodeError, msgspec.MsgspecError) as error:
        raise InvalidCursorError from error
