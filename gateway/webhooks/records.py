"""What SQL keeps of webhooks, and what the deliverer asks of it: the contract with ``persistence``.

Times are Unix milliseconds. Every method of the store may raise ``UnavailableError``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

ENDPOINTS_MAX = 100
"""Endpoints of an installation: each alert makes a delivery for every one that wants it."""


class EventType(StrEnum):
    """What an endpoint can be told of; the name on the wire."""

    LIMIT_REACHED = "balances.limit_reached"
    USAGE_ALERT_TRIGGERED = "balances.usage_alert_triggered"


class DeliveryState(StrEnum):
    """Where a delivery stands; only a pending one is ever sent."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Alert(NamedTuple):
    """An alert as the writer carried it; ``entity_id`` is empty for the customer itself.

    ``body`` is the JSON of the script, with amounts in units; ``precision`` is that of the feature,
    None when there is no such feature any more.
    """

    id: str
    env: str
    customer_id: str
    entity_id: str
    feature_id: str
    kind: str
    body: str
    created_at: int
    precision: int | None


class Message(NamedTuple):
    """What an endpoint is told; ``body`` is the JSON that is signed and sent, byte for byte."""

    event: EventType
    body: str


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A URL that wants the events of an environment; no ``events`` means all of them."""

    id: str
    env: str
    url: str
    secret: str
    events: tuple[EventType, ...]
    created_at: int
    disabled_at: int | None = None

    def wants(self, env: str, event: EventType) -> bool:
        """Whether an event of an environment is for this endpoint."""
        return env == self.env and (not self.events or event in self.events)

    def __repr__(self) -> str:
        """Name the endpoint without its secret and its URL, which may hold a token."""
        return f"Endpoint({self.id})"


class Claim(NamedTuple):
    """A delivery that one worker may send now; ``attempt`` counts from 1 and names this claim."""

    delivery_id: str
    alert_id: str
    body: str
    attempt: int


class Outcome(NamedTuple):
    """How an attempt ended: the HTTP status, or 0 and why there is none."""

    status: int
    error: str = ""

    @property
    def is_delivered(self) -> bool:
        """Whether the endpoint has taken it."""
        return 200 <= self.status < 300


class Result(NamedTuple):
    """What a claim ends with; a pending one is tried again at ``next_attempt_at``."""

    claim: Claim
    outcome: Outcome
    state: DeliveryState
    next_attempt_at: int


class DeliveryInfo(NamedTuple):
    """A delivery as people see it."""

    id: str
    endpoint_id: str
    alert_id: str
    event: str
    state: str
    attempts: int
    next_attempt_at: int
    last_status: int | None
    last_error: str | None
    created_at: int
    updated_at: int


class Work(NamedTuple):
    """What there is to do: alerts nobody was told of yet, endpoints with a due delivery."""

    has_alerts: bool
    endpoints: list[Endpoint]


class WebhookStore(Protocol):
    """Alerts, endpoints and deliveries; several workers may use it at once."""

    async def find_work(self, now_ms: int, *, busy: Sequence[str], endpoints_max: int) -> Work:
        """Return what is due, the endpoint that has waited longest first, without the busy ones."""

    async def dispatch(
        self, tell: Callable[[Alert], Message | None], now_ms: int, *, alerts_max: int
    ) -> int:
        """Make the deliveries of the oldest new alerts, one for each endpoint that wants one.

        Returns how many alerts were taken. What ``tell`` has no message for is taken all the same.
        """

    async def claim(
        self, endpoint_id: str, now_ms: int, *, lease_ms: int, deliveries_max: int
    ) -> list[Claim]:
        """Take due deliveries of an endpoint; nobody else can until the lease is over."""

    async def settle(self, results: Sequence[Result], now_ms: int) -> None:
        """Keep results. One whose delivery was claimed again meanwhile changes nothing."""

    async def disable(self, endpoint_id: str, now_ms: int) -> None:
        """Stop sending to an endpoint; what it has not got by now has failed."""
