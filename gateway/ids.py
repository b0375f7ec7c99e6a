"""Identifiers made by the gateway: a prefix that says what it names, then time and randomness.

They sort by creation time, so SQL indexes on them stay compact, and what one process makes at once
has an order.
"""

from __future__ import annotations

import os
import time
from hashlib import sha256

ROW_PREFIX = "cus_ent"
"""Of the ids of balance rows; a caller who chooses one may not begin with it."""

NAMELESS = "@"
"""What the reserved ids of customers without an id begin with; no id a caller may choose has it."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_TIME_CHARACTERS = 10
_RANDOM_CHARACTERS = 16


def new_id(prefix: str) -> str:
    """Return ``prefix_`` and 26 characters: 50 bits of milliseconds, 20 of the nanoseconds beside
    them, 60 random bits.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    number = milliseconds << 80 | nanoseconds << 60 | int.from_bytes(os.urandom(8)) >> 4
    characters = []
    for _ in range(_TIME_CHARACTERS + _RANDOM_CHARACTERS):
        number, digit = divmod(number, 32)
        characters.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(characters))}"


def nameless_id(email: str) -> str:
    """Return the reserved id of the customer without an id that has this email."""
    return NAMELESS + sha256(email.lower().encode()).hexdigest()[:40]


def public_id(customer_id: str) -> str | None:
    """Return a customer's id as answers show it: None for a reserved one."""
    return None if customer_id.startswith(NAMELESS) else customer_id
