"""What one transaction of the writer does, as plain rows.

It is the contract between ``persistence.sync.fold``, which decides, and ``persistence.sync.store``,
which writes: field names are column names. Nothing here computes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class EventRow(NamedTuple):
    """A row of ``events``."""

    id: str
    env: str
    internal_id: str
    customer_id: str
    entity_id: str
    feature_id: str
    event_name: str
    kind: str
    value: int
    applied: int
    properties: str
    timestamp_ms: int
    recorded_at_ms: int
    request_id: str
    seq: int


class DeductionRow(NamedTuple):
    """A row of ``deductions``.

    ``resets_at`` 0 is never; None is what SQL knows of the period. ``delta`` None is what ``total``
    adds to the used that SQL knows of the period; nothing is written if that is 0. ``seq`` is not
    kept: it tells whether SQL's balance is the one before the entry.
    """

    event_id: str
    position: int
    internal_id: str
    balance_id: str
    entity_id: str
    feature_id: str
    period: int
    delta: int | None
    used: int
    total: int
    resets_at: int | None
    at_ms: int
    seq: int


class ResetRow(NamedTuple):
    """A row of ``resets``."""

    entry_id: str
    position: int
    internal_id: str
    balance_id: str
    entity_id: str
    feature_id: str
    period: int
    due_ms: int
    at_ms: int


class CustomerRow(NamedTuple):
    """A row of ``customers``, whole."""

    internal_id: str
    env: str
    id: str
    name: str | None
    email: str | None
    document: str
    created_at: int
    deleted_at: int | None
    seq: int
    counter: int
    number_max: int
    applied_ms: int
    applied_hour: int


class CustomerChange(NamedTuple):
    """Columns of a customer whose document did not change; None leaves ``deleted_at``."""

    internal_id: str
    deleted_at: int | None
    seq: int
    counter: int
    number_max: int
    applied_ms: int
    applied_hour: int


class EntityRow(NamedTuple):
    """A row of ``entities``, whole."""

    internal_id: str
    number: int
    env: str
    entity_id: str
    feature_id: str
    name: str | None
    document: str
    created_at: int
    deleted_at: int | None
    seq: int


class SubscriptionRow(NamedTuple):
    """A row of ``subscriptions``, whole."""

    internal_id: str
    id: str
    entity_id: str
    plan_id: str
    version: int
    status: str
    document: str
    started_at: int
    ended_at: int | None
    due_at: int | None
    seq: int


class BalanceRow(NamedTuple):
    """A row of ``balances``, whole."""

    internal_id: str
    id: str
    entity_id: str
    feature_id: str
    kind: str
    plan_id: str | None
    subscription_id: str | None
    interval: str | None
    interval_count: int
    granted: int
    used: int
    unlimited: bool
    period: int
    due_ms: int
    expires_ms: int
    entity_feature: str
    line: str
    created_at: int
    ended_at: int | None
    seq: int


class BalanceChange(NamedTuple):
    """Columns of a balance an earlier batch added; None leaves a column as it is.

    Those from ``granted`` on are what the text of the row says, and stay unless ``line`` is given.
    """

    internal_id: str
    id: str
    used: int | None
    period: int | None
    due_ms: int | None
    ended_at: int | None
    seq: int
    granted: int | None = None
    unlimited: bool | None = None
    expires_ms: int | None = None
    plan_id: str | None = None
    subscription_id: str | None = None
    interval: str | None = None
    interval_count: int | None = None
    line: str | None = None


class SlotRow(NamedTuple):
    """A row of ``slots``; unless ``certain``, only if SQL knows its balance as a per-entity one."""

    internal_id: str
    entity_id: str
    balance_id: str
    feature_id: str
    period: int
    used: int
    seq: int
    certain: bool


class WindowRow(NamedTuple):
    """A row of ``usage_windows``, whole."""

    internal_id: str
    feature_id: str
    entity_id: str
    key: str
    ends_at: int
    used: int
    seq: int


class LockRow(NamedTuple):
    """A row of ``locks``, whole."""

    internal_id: str
    lock_id: str
    feature_id: str
    entity_id: str
    state: str
    units: int
    receipt: str
    expires_at: int
    ended_at: int | None
    created_at: int
    seq: int


class LockEnd(NamedTuple):
    """Columns of a lock an earlier batch opened; its receipt stays."""

    internal_id: str
    lock_id: str
    state: str
    units: int
    ended_at: int
    seq: int


class AlertRow(NamedTuple):
    """A row of ``alerts``."""

    id: str
    env: str
    internal_id: str
    customer_id: str
    feature_id: str
    entity_id: str
    kind: str
    body: str
    created_at: int


class DenialRow(NamedTuple):
    """How often an operation on a feature was denied; added to a row of ``denials_daily``."""

    env: str
    customer_id: str
    feature_id: str
    operation: str
    day_ms: int
    denied: int


class EntityEnd(NamedTuple):
    """An entity was deleted: what an earlier batch wrote of it ends."""

    internal_id: str
    env: str
    entity_id: str
    at_ms: int
    seq: int


class CustomerEnd(NamedTuple):
    """A customer was deleted: what an earlier batch wrote of it ends."""

    internal_id: str
    at_ms: int
    seq: int


class DeadLetterRow(NamedTuple):
    """A row of ``dead_letters``."""

    partition: int
    stream_id: str
    payload: bytes
    error: str
    at_ms: int


class CursorMove(NamedTuple):
    """The last entry of a partition in the batch, and how many there were."""

    partition: int
    stream_id: str
    applied: int


@dataclass(frozen=True)
class Batch:
    """What one transaction does. No key occurs twice in a list."""

    cursors: list[CursorMove] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    deductions: list[DeductionRow] = field(default_factory=list)
    resets: list[ResetRow] = field(default_factory=list)
    entity_ends: list[EntityEnd] = field(default_factory=list)
    customer_ends: list[CustomerEnd] = field(default_factory=list)
    slots: list[SlotRow] = field(default_factory=list)
    windows: list[WindowRow] = field(default_factory=list)
    locks: list[LockRow] = field(default_factory=list)
    lock_ends: list[LockEnd] = field(default_factory=list)
    alerts: list[AlertRow] = field(default_factory=list)
    denials: list[DenialRow] = field(default_factory=list)
    customers: list[CustomerRow] = field(default_factory=list)
    customer_changes: list[CustomerChange] = field(default_factory=list)
    balances: list[BalanceRow] = field(default_factory=list)
    balance_changes: list[BalanceChange] = field(default_factory=list)
    entities: list[EntityRow] = field(default_factory=list)
    subscriptions: list[SubscriptionRow] = field(default_factory=list)
    dead_letters: list[DeadLetterRow] = field(default_factory=list)
