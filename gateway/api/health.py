"""``/health`` and ``/ready``: what an operator's probe asks, without a key.

``/health`` always answers 200 and says what is wrong; ``/ready`` answers 503 until Redis, SQL and
the catalog all answer, so that a load balancer sends requests elsewhere. Neither may show a URL.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

State = Literal["ok", "unavailable"]


class WriterHealth(msgspec.Struct, kw_only=True):
    """How far SQL is behind Redis, and whether the writer of this process runs."""

    state: Literal["running", "stopped", "failed", "apart"]
    """``apart``: this process has no writer of its own."""
    lag_seconds: float | None
    """Age of the oldest change that is not in SQL yet; null when it could not be found out."""
    partitions_behind: int | None


class Health(msgspec.Struct, kw_only=True):
    """The state of the gateway and of what it needs."""

    status: Literal["ok", "degraded"]
    version: str
    redis: State
    sql: State
    catalog: State
    writer: WriterHealth

    @property
    def is_ready(self) -> bool:
        """Whether requests can be answered."""
        return (self.redis, self.sql, self.catalog) == ("ok", "ok", "ok")


class Probe(Protocol):
    """What knows the state."""

    async def health(self) -> Health:
        """Return the state now; never raises."""
