"""Identifiers made by the gateway: a prefix that says what it names, then time and randomness.

They sort by creation time, so SQL indexes on them stay compact.
"""

from __future__ import annotations

import os
import time

ROW_PREFIX = "cus_ent"
"""Of the ids of balance rows; a caller who chooses one may not begin with it."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_TIME_CHARACTERS = 10
_RANDOM_CHARACTERS = 16


def new_id(prefix: str) -> str:
    """Return ``prefix_`` and 26 characters: 50 bits of milliseconds, 80 random bits."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    characters = []
    for _ in range(_TIME_CHARACTERS + _RANDOM_CHARACTERS):
        number, digit = divmod(number, 32)
        characters.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(characters))}"
