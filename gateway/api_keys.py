"""API keys as SQL hands them over: what they may do, and never the keys themselves."""

from __future__ import annotations

from typing import NamedTuple

PUBLISHABLE_PREFIX = "am_pk_"
"""How a key begins that stands in web pages."""


class KeyRecord(NamedTuple):
    """An API key that is not revoked: of the secret only its SHA-256 and its beginning are known.
    No scopes are all of them; ``expires_ms``, of a key that was rotated, may have passed.
    """

    id: str
    env: str
    digest: str
    prefix: str = ""
    scopes: tuple[str, ...] = ()
    expires_ms: int | None = None
