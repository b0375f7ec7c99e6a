"""Heads of requests that were parsed before, known by their bytes.

A client sends the same head again and again, and a parser in Python's hands spends more on it than
on the body. What is remembered is what the parser made of exactly these bytes, where a body of a
known length followed and the connection was to stay open; whose key it names is looked up each
time. An idempotency key is another one each time, so a head with one is known by what stands around
it.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec

from gateway.api.operation import Operation
from gateway.api.plain.uses import Asking

HEADS_MAX = 1_000
KNOWN_BYTES_MAX = 2_048
"""Heads remembered, and how long one may be; beyond the first the memory starts anew."""


Said = TypeVar("Said", bytes, tuple[bytes, bytes])

IDEMPOTENCY_KEY: Final = b"idempotency-key"

_KEYED = re.compile(rb"\r\n(?i:%b): ?([!-~]{1,255})(?=\r\n)" % IDEMPOTENCY_KEY)
"""A key without anything a parser might take for something else."""


class Head(msgspec.Struct):
    """What the bytes before a body say; ``asking`` is what they say of a plain call, once that is
    known.
    """

    operation: Operation
    headers: list[tuple[bytes, bytes]]
    body_bytes: int = 0
    asking: Asking | None = None


class Heads:
    """Those of one application; ``known`` is all a request without an idempotency key looks at."""

    __slots__ = ("_around", "known")

    def __init__(self) -> None:
        self.known: dict[bytes, Head] = {}
        self._around: dict[tuple[bytes, bytes], Head] = {}

    def keyed(self, data: bytes, end: int) -> tuple[Head, bytes] | None:
        """Return a head that is known but for its idempotency key, and that key."""
        found = _KEYED.search(data, 0, end)
        if found is None:
            return None
        head = self._around.get((data[: found.start(1)], data[found.end(1) : end]))
        return None if head is None else (head, found[1])

    def remember(self, data: bytes, head: Head) -> None:
        """Know a head, the end of it included."""
        if len(data) > KNOWN_BYTES_MAX:
            return
        keys = [value for name, value in head.headers if name == IDEMPOTENCY_KEY]
        if not keys:
            _put(self.known, data, head)
        elif (found := _KEYED.search(data)) is not None and keys == [found[1]]:
            _put(self._around, (data[: found.start(1)], data[found.end(1) :]), head)


def _put(known: dict[Said, Head], said: Said, head: Head) -> None:
    if len(known) >= HEADS_MAX:
        known.clear()
    known[said] = head
