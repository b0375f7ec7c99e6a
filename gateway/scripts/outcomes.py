"""What an error that came instead of a reply means to whoever called."""

from __future__ import annotations

import re

from redis.exceptions import OutOfMemoryError

from gateway.cluster.refusals import REFUSALS
from gateway.cluster.topology import told_of
from gateway.errors import GatewayError, RedisUnavailableError, UnknownOutcomeError
from gateway.scripts.faults import PipeUnsentError

CROWDED = re.compile(r"No connection available|Too many connections|Too many calls")
"""How it is worded that every connection is busy, which says nothing of the server."""

_UNWILLING = {
    "OOM": "Redis is full (maxmemory) and refuses changes; nothing was changed. "
    "Raise maxmemory, or see why the writer lags",
    "MISCONF": "Redis cannot write: its disk is full or does not work; nothing was changed. "
    "Try again.",
    "NOREPLICAS": "Redis has fewer replicas than it needs (min-replicas-to-write) and refuses "
    "changes; nothing was changed. Try again.",
}
"""What a server that answers means by the first word of its refusal."""

_UNSENT = re.compile(rf" connecting to |{CROWDED.pattern}")
"""How redis-py words a fault before anything was sent; it has no class of its own for it."""


def meaning_of(error: Exception, *, changes: bool) -> GatewayError:
    """Return what a lost or late call means: of one that changes something, whether it was carried
    out is known only where it never left.
    """
    if not changes or isinstance(error, (PipeUnsentError, *REFUSALS)) or _UNSENT.search(str(error)):
        return unavailable(error)
    return UnknownOutcomeError()


def unavailable(error: Exception) -> RedisUnavailableError:
    """Return the error for a server that does not answer, or that refuses to."""
    # Of its class redis-py takes the word away.
    word = "OOM" if isinstance(error, OutOfMemoryError) else str(error).partition(" ")[0]
    if word in _UNWILLING:
        return RedisUnavailableError(_UNWILLING[word])
    return RedisUnavailableError(reason=f"Redis does not answer: {told_of(error)}")
