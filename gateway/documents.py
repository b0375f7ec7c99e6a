"""The JSON documents that Redis keeps opaque and SQL keeps in columns: customers, entities,
subscriptions.

Scripts never look inside them. They are small, written when lifecycle changes, and read when a
response shows them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

JsonObject = dict[str, Any]

ACTIVE = "active"
SCHEDULED = "scheduled"
PAUSED = "paused"
EXPIRED = "expired"
"""What a subscription can be."""


class CustomerDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a customer is, apart from its balances. Times are Unix milliseconds."""

    created_at: int
    name: str | None = None
    email: str | None = None
    fingerprint: str | None = None
    stripe_id: str | None = None
    metadata: JsonObject = {}
    send_email_receipts: bool = False
    billing_controls: JsonObject = {}
    config: JsonObject = {}
    released: bool = False
    """Whether it has no id, is in SQL alone and waits for one."""


class PooledGrant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a plan of an entity gives to a pooled row of its customer (``gateway.lifecycle.pools``);
    all but ``units`` says to which one.
    """

    feature_id: str
    units: int = 0
    flags: str = ""
    interval: str | None = None
    interval_count: int = 1


class RestingRow(msgspec.Struct, kw_only=True):
    """A balance row of a plan that is paused, with the numbers it comes back with: those it had
    when it left, which the script that takes it away writes. They and the id stand at the end.
    """

    feature_id: str
    line: str
    """As ``gateway.rows`` writes it."""
    due_ms: int = 0
    period: int = 0
    used: dict[int, int] = {}
    """Of a per-entity row, of each slot by the number of its entity; of any other one, under 0."""
    rolled: list[str] = []
    """What rolled over of slots: number of the entity, ``=``, units used of it, ``=``, line."""
    id: str


class Subscription(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A plan attached to a customer or to an entity.

    ``status`` is ``active``, ``scheduled`` until ``started_at``, ``paused`` while the trial of
    another plan takes its place, or ``expired``; a one-off plan is shown under ``purchases``
    instead of ``subscriptions``. An active one ends at ``expires_at``.
    """

    id: str
    plan_id: str
    version: int
    group: str = ""
    status: str = "active"
    auto_enable: bool = False
    add_on: bool = False
    one_off: bool = False
    started_at: int = 0
    ended_at: int | None = None
    canceled_at: int | None = None
    expires_at: int | None = None
    trial_ends_at: int | None = None
    """When its free trial ends, or has ended; None if it never had one."""
    ends_with_trial: bool = False
    reverts_to: str = ""
    """The subscription that is paused until its trial is over."""
    resting: list[RestingRow] = []
    """The rows of one that is paused."""
    anchor_ms: int = 0
    """Where billing cycles are counted from; 0 for a plan without a recurring price."""
    cycle_unit: str = ""
    cycle_every: int = 0
    quantity: int = 1
    billing_controls: JsonObject = {}
    """Those of the plan, as they were when it was attached."""
    custom: JsonObject | None = None
    """``gateway.messages.plans.PlanDocument`` of a plan that is this customer's alone."""
    quantities: dict[str, str] = {}
    """Units of each prepaid feature, the included ones counted, as decimal texts."""
    pending: dict[str, str] = {}
    """Quantities that count from ``pending_at`` on."""
    pending_at: int | None = None
    pooled: list[PooledGrant] = []
    """What it gives to the customer of its entity while it is active."""

    @property
    def is_main(self) -> bool:
        """Whether it is one of those of which a group has one."""
        return not self.add_on and not self.one_off

    @property
    def ends_at(self) -> int | None:
        """When it ends by itself."""
        ends_at = self.trial_ends_at if self.ends_with_trial else None
        return min(filter(None, (self.expires_at, ends_at)), default=None)

    @property
    def due_at(self) -> int | None:
        """When something happens to it by itself: it begins, ends or gets other quantities.
        While it is paused it can only end.
        """
        if self.status == SCHEDULED:
            return self.started_at
        if self.status == PAUSED:
            return self.ends_at
        if self.status != ACTIVE:
            return None
        return min(filter(None, (self.ends_at, self.pending_at)), default=None)


class EntityDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What an entity is, apart from its balances, with the subscriptions attached to it."""

    created_at: int
    name: str | None = None
    billing_controls: JsonObject = {}
    subscriptions: list[Subscription] = []


class HeldEntity(NamedTuple):
    """An entity as the entities hash spells it."""

    number: int
    feature_id: str
    document: EntityDocument


decode_customer = msgspec.json.Decoder(CustomerDocument).decode
decode_entity = msgspec.json.Decoder(EntityDocument).decode
decode_subscription = msgspec.json.Decoder(Subscription).decode
decode_subscriptions = msgspec.json.Decoder(list[Subscription]).decode
_encode = msgspec.json.Encoder().encode


def encode_document(document: msgspec.Struct | list[Subscription]) -> str:
    """Return a document as the JSON text Redis and SQL keep."""
    return _encode(document).decode()


def held_entity(text: str) -> HeldEntity:
    """Return the entity of its text in the entities hash."""
    _, number, feature_id, document = text.split("\t", 3)
    return HeldEntity(int(number), feature_id, decode_entity(document))
