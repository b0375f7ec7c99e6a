"""Heads of requests that were parsed before, known by their bytes.

A client sends the same head again and again, and a parser in Python's hands spends more on it than
on the body. What is remembered is what the parser made of exactly these bytes, where a body of a
known length followed and the connection was to stay open; whose key it names is looked up each
time.
"""

from __future__ import annotations

import msgspec

from gateway.api.operation import Operation
from gateway.api.plain.uses import Asking

HEADS_MAX = 1_000
KNOWN_BYTES_MAX = 2_048
"""Heads remembered, and how long one may be; beyond the first the memory starts anew."""


class Head(msgspec.Struct):
    """What the bytes before a body say; ``asking`` is what they say of a plain call, once that is
    known.
    """

    operation: Operation
    headers: list[tuple[bytes, bytes]]
    body_bytes: int = 0
    asking: Asking | None = None


class Heads:
    """Those of one application; ``known`` is all a request looks at."""

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: dict[bytes, Head] = {}

    def remember(self, data: bytes, head: Head) -> None:
        """Know a head, the end of it included."""
        if len(data) > KNOWN_BYTES_MAX:
            return
        if len(self.known) >= HEADS_MAX:
            self.known.clear()
        self.known[data] = head
