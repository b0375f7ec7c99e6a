"""Idempotency: what a caller claims with its key, and what became of the claim (hot-path section
6.6, with the replay of the first answer instead of a refusal).
"""

from __future__ import annotations

import hashlib

import msgspec

from gateway.cycles import DAY_MS

KEEP_MS = DAY_MS
"""How long an answer can be replayed."""

KEY_MAX = 255
"""Characters of a key."""


class Claim(msgspec.Struct, kw_only=True):
    """One key of a caller, and the call it stands for.

    ``fingerprint`` identifies operation and body; another one under the same key is refused.
    ``replayed`` is set when the answer is that of an earlier call.
    """

    key: str
    fingerprint: str
    replayed: bool = False


_encode = msgspec.json.Encoder().encode


def claim_of(key: str, operation: str, request: object) -> Claim:
    """Return the claim of a call; ``request`` is its decoded body."""
    return Claim(key=key, fingerprint=fingerprint(said_of(operation, request)))


def said_of(operation: str, request: object) -> bytes:
    """Return what identifies a call, whole."""
    return operation.encode() + b"\n" + _encode(request)


def fingerprint(said: bytes) -> str:
    """Return what is kept of it."""
    return hashlib.sha256(said).hexdigest()[:32]
