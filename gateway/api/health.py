"""``/health`` and ``/ready``: what an operator's probe asks, without a key.

``/health`` always answers 200 and says what is wrong; ``/ready`` answers 503 until Redis, SQL and
the catalog all answer, so that a load balancer sends requests elsewhere. A server of a Cluster that
is gone is so for every gateway, and no reason to take customers of the others from all of them.
Neither may show a URL, a customer or a key.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from gateway.installation import IncidentsHealth

State = Literal["ok", "unavailable"]

RedisState = Literal["ok", "partial", "unavailable"]
"""``partial``: some servers of a Cluster do not serve; what the others have is answered."""

Reason = Literal[
    "redis", "sql", "catalog", "writer", "unwritten", "fenced", "breaker", "incidents", "drift"
]
"""What may be wrong. ``unwritten``: no writer owns some partition; ``fenced``: Redis is not trusted
and no call goes to it; ``breaker``: calls to Redis are not tried for the moment; ``incidents``:
some are open; ``drift``: balances differ between Redis, SQL and events.
"""


class WriterHealth(msgspec.Struct, kw_only=True):
    """How far SQL is behind Redis, and whether the writer of this process runs."""

    state: Literal["running", "stopped", "failed", "apart"]
    """``apart``: this process has no writer of its own."""
    lag_seconds: float | None
    """Age of the oldest change that is not in SQL yet, as far as servers of a Cluster answer; null
    when it could not be found out.
    """
    partitions_behind: int | None
    partitions_owned: dict[str, int] = msgspec.field(default_factory=dict)
    """How many partitions each writer of the installation writes; an empty name is nobody."""


class Versions(msgspec.Struct, kw_only=True):
    """What runs here; null when it could not be asked."""

    gateway: str
    redis: str | None = None
    sql: str | None = None
    """Revision of the schema."""


class Health(msgspec.Struct, kw_only=True):
    """The state of the gateway and of what it needs."""

    status: Literal["ok", "degraded"]
    """``degraded`` when there is any reason in ``degraded``."""
    redis: RedisState
    sql: State
    catalog: State
    writer: WriterHealth
    versions: Versions
    degraded: list[Reason] = msgspec.field(default_factory=list)
    incidents: IncidentsHealth | None = None
    """Null when SQL could not be asked."""
    drift_balances: int | None = None
    """Balances that differed when this process last compared them; null when it does not."""

    @property
    def is_ready(self) -> bool:
        """Whether requests can be answered, those about some customers at least."""
        return self.redis != "unavailable" and (self.sql, self.catalog) == ("ok", "ok")


class Probe(Protocol):
    """What knows the state."""

    async def health(self) -> Health:
        """Return the state now; never raises."""
