"""The first key of an installation: the one the settings name, else one that is made and told.

One that was revoked stays so, and the gateway starts all the same: there are other keys.
"""

from __future__ import annotations

import logging

from gateway.api_keys import PREFIXES, digest_of, new_secret
from gateway.config import Settings
from gateway.errors import InvalidRequestError
from persistence.catalog import SqlCatalog

log = logging.getLogger(__name__)


async def make_first_key(store: SqlCatalog, settings: Settings) -> str | None:
    """Make sure that some key works; return it if it was made just now and nobody knows it."""
    preset = settings.bootstrap_key
    if preset:
        digest = digest_of(preset)
        if not await _is_known(store, digest):
            env = "live" if preset.startswith(PREFIXES["live"]) else "sandbox"
            try:
                await store.create_key(env, "bootstrap", preset)
            except InvalidRequestError:
                # A gateway that started at the same time was first, unless the key was revoked.
                if not await _is_known(store, digest):
                    log.warning(
                        "TALLYGATE_BOOTSTRAP_KEY was revoked and is not accepted: leave it out, or "
                        "set another one"
                    )
        return None
    if await store.has_keys():
        return None
    secret = new_secret("sandbox")
    await store.create_key("sandbox", "first", secret)
    return secret


async def _is_known(store: SqlCatalog, digest: str) -> bool:
    return any(key.digest == digest for key in (await store.load()).keys)
