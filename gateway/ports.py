"""What the engine needs from outside, as protocols: SQL and time are handed in by ``gateway.app``.

``persistence`` implements them; a test may hand in its own. Every method of a store may raise
``gateway.errors.UnavailableError`` when SQL cannot be reached in time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from gateway.api_keys import KeyRecord
from gateway.holders import HolderReader, PlanFilter
from gateway.listing import BalanceReader

Made = TypeVar("Made")

PROPERTY_PREFIX = "properties."
"""Begins a group of events by a property; its name follows."""

NO_GROUP = "null"
"""The group of events that have nothing to be grouped by."""

OTHER_GROUPS = "Other"
"""The group that all groups beyond the largest become."""

GROUP_NAME_MAX = 255
"""Characters of a group's name; values that differ only beyond them are one group."""

Item = TypeVar("Item")
"""What a page is of."""


class RowImage(NamedTuple):
    """A live balance row; ``line`` is that of ``gateway.rows``, ``entity_id`` empty if shared."""

    feature_id: str
    entity_id: str
    line: str
    used: int
    period: int
    due_ms: int


class SlotImage(NamedTuple):
    """One slot of a per-entity row."""

    feature_id: str
    entity_id: str
    period: int
    used: int


class WindowImage(NamedTuple):
    """What a usage window counted until ``end_ms``; ``entity_id`` is empty for the customer's."""

    feature_id: str
    entity_id: str
    key: str
    end_ms: int
    used: int


class LockImage(NamedTuple):
    """An open lock; ``receipt`` is its text as ``gateway.outbox`` defines it."""

    lock_id: str
    feature_id: str
    entity_id: str
    expires_ms: int
    receipt: str


class EntityImage(NamedTuple):
    """A live entity; ``document`` is the JSON of ``gateway.documents.EntityDocument``."""

    entity_id: str
    number: int
    feature_id: str
    document: str


class CustomerImage(NamedTuple):
    """A customer as SQL knows it, read in one snapshot together with its partition's cursor."""

    env: str
    customer_id: str
    internal_id: str
    seq: int
    counter: int
    """Highest period number any row or slot of the customer ever had."""
    number_max: int
    """Highest entity number ever given, deleted entities included."""
    document: str
    subscriptions: list[str]
    """Those of the customer that have not ended, JSON of ``gateway.documents.Subscription``."""
    rows: list[RowImage]
    slots: list[SlotImage]
    entities: list[EntityImage]
    windows: list[WindowImage]
    locks: list[LockImage]


class LoadResult(NamedTuple):
    """``customer`` is None if SQL has none; ``cursor`` is the last stream id SQL has applied."""

    cursor: str
    customer: CustomerImage | None


class EntityRef(NamedTuple):
    """Where an entity lives."""

    customer_id: str
    entity_id: str


class Page(NamedTuple, Generic[Item]):
    """One page in the order asked for; ``next_cursor`` is None on the last one.

    ``total`` counts all that match, where the page is asked for by its offset: that costs as much
    as there is, and a page by cursor only what is on it.
    """

    items: list[Item]
    next_cursor: str | None
    total: int | None = None


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of ``customers.list`` and ``entities.list``; ``cursor`` and ``offset`` exclude each
    other. One of ``plans`` must be held, and be of the ``status``, active or scheduled. Customers
    alone are asked for by ``created``, the first and the last time of it, and ``oldest_first``.
    """

    env: str
    limit: int
    cursor: str = ""
    offset: int | None = None
    customer_id: str | None = None
    search: str | None = None
    plans: tuple[PlanFilter, ...] = ()
    status: str | None = None
    processors: tuple[str, ...] = ()
    created: tuple[int | None, int | None] = (None, None)
    oldest_first: bool = False


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a query is about; ``start_ms`` is inclusive, ``end_ms`` exclusive.

    ``properties`` are names and texts, and an event has all of them: a string as it is, a number or
    a boolean as JSON spells it.
    """

    env: str
    customer_id: str | None = None
    entity_id: str | None = None
    feature_ids: tuple[str, ...] = ()
    start_ms: int | None = None
    end_ms: int | None = None
    properties: tuple[tuple[str, str], ...] = ()


class EventQuery(EventFilter, frozen=True, kw_only=True):
    """A page of ``events.list``; ``cursor`` and ``offset`` exclude each other."""

    limit: int
    cursor: str = ""
    offset: int | None = None


class UsageQuery(EventFilter, frozen=True, kw_only=True):
    """Sums of ``events.aggregate`` for each hour or day, whatever ``step_ms`` is the length of.

    ``group`` is a property name after ``properties.``, or one of ``$customer_id``, ``$entity_id``,
    ``$plan_id`` and ``$feature_id``; groups beyond the ``groups_max`` largest become one. At most
    ``cells_max`` + 1 cells are returned, so that whoever asks can tell a cut.
    """

    step_ms: int
    cells_max: int
    group: str | None = None
    groups_max: int = 0
    deducted: bool = False


class DeductionRecord(NamedTuple):
    """One touched balance of an event; ``interval`` is None for a balance that never resets."""

    balance_id: str
    feature_id: str
    plan_id: str | None
    interval: str | None
    interval_count: int
    resets_at: int | None
    value: int


class EventRecord(NamedTuple):
    """A stored event; ``value`` is in units, ``feature_id`` falls back to the event name."""

    id: str
    timestamp_ms: int
    feature_id: str
    event_name: str
    customer_id: str
    entity_id: str
    value: int
    properties: str
    deductions: list[DeductionRecord]


class UsageCell(NamedTuple):
    """Use of a feature by one group within a step; ``group`` is empty when none was asked for.

    ``units`` are of the feature's precision.
    """

    feature_id: str
    at_ms: int
    group: str
    units: int
    events: int


class DeductionCell(NamedTuple):
    """What a balance gave to the events of ``source_id``, the tracked feature, within a step.

    ``units`` are of the precision of ``feature_id``, which owns the balance.
    """

    at_ms: int
    feature_id: str
    balance_id: str
    source_id: str
    entity_id: str | None
    plan_id: str | None
    interval: str | None
    interval_count: int
    resets_at: int | None
    group: str
    units: int
    events: int


class DrawCell(NamedTuple):
    """How many events drew on balances of a feature within a step, each counted once."""

    at_ms: int
    feature_id: str
    events: int


class Usage(NamedTuple):
    """The sums of one snapshot; the last two are empty unless deductions were asked for."""

    cells: list[UsageCell]
    deductions: list[DeductionCell]
    draws: list[DrawCell]


class Reader(BalanceReader, HolderReader, Protocol):
    """Reads of what the writer has carried to SQL."""

    async def load(self, env: str, customer_id: str, partition: int) -> LoadResult:
        """Return a customer and its partition's cursor from one snapshot."""

    async def find_entity(self, env: str, entity_id: str) -> list[EntityRef]:
        """Return where live entities with this id are, at most two."""

    async def find_lock(self, env: str, lock_id: str) -> list[str]:
        """Return the customers that have an open lock with this id, at most two."""

    async def list_customers(self, query: ListQuery) -> Page[tuple[str, str]]:
        """Return (customer_id, "") pairs. Raises ``InvalidCursorError``."""

    async def list_entities(self, query: ListQuery) -> Page[tuple[str, str]]:
        """Return (customer_id, entity_id) pairs, newest first. Raises ``InvalidCursorError``."""

    async def list_events(self, query: EventQuery) -> Page[EventRecord]:
        """Return events, newest first. Raises ``InvalidCursorError``."""

    async def sum_events(self, query: UsageQuery) -> Usage:
        """Return what was used within a finite range; empty steps have no cell."""

    async def cursors(self, partitions: Sequence[int]) -> dict[int, str]:
        """Return the last applied stream id of each partition, ``0-0`` where there is none."""

    async def ping(self) -> None:
        """Return when SQL answers."""


class FeatureRecord(msgspec.Struct, frozen=True):
    """A feature of the catalog. ``document`` is JSON of what only responses show."""

    env: str
    id: str
    name: str
    type: str
    consumable: bool
    precision: int
    in_use: bool
    archived: bool
    document: str = "{}"
    created_at: int = 0
    event_names: tuple[str, ...] = ()


class PlanRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a plan; ``document`` is JSON as ``gateway.messages.plans`` defines it."""

    env: str
    id: str
    version: int
    group: str
    add_on: bool
    auto_enable: bool
    archived: bool
    document: str
    created_at: int


class CatalogImage(NamedTuple):
    """Features, every version of each plan, keys and clock; each change raises ``revision``."""

    revision: int
    features: list[FeatureRecord]
    plans: list[PlanRecord]
    keys: list[KeyRecord]
    clock_offset_ms: int = 0
    """How far the sandbox's clock is ahead of the machine's; it only ever grows."""


class CatalogChange(NamedTuple):
    """What one change of the catalog writes, decided on the catalog of one ``revision``."""

    revision: int
    features: tuple[tuple[str | None, FeatureRecord], ...] = ()
    """Each with the id it had, which may differ from the record's, or None for one to insert."""
    deleted_features: tuple[tuple[str, str], ...] = ()
    """Environment and id of each."""
    plans: tuple[PlanRecord, ...] = ()
    """To insert."""
    replaced_plans: tuple[PlanRecord, ...] = ()
    deleted_plans: tuple[PlanRecord, ...] = ()
    clock_offset_ms: int | None = None
    """To set, if it is more than it was; None leaves the sandbox's clock alone."""


class CatalogStore(Protocol):
    """Features, plans, API keys and the sandbox's clock: written to SQL first, then read by all."""

    async def revision(self) -> int:
        """Return the current revision."""

    async def load(self) -> CatalogImage:
        """Return everything, from one snapshot."""

    async def load_as(self, make: Callable[[CatalogImage], Made]) -> Made:
        """Return what is made of everything, in the thread that has read it."""

    async def apply(self, change: CatalogChange) -> bool:
        """Write a change as a whole, if the catalog still has its revision; else return False.

        Raises ``FeatureExistsError`` or ``PlanExistsError``, and nothing was written then.
        """

    async def use_feature(self, feature: FeatureRecord) -> bool:
        """Mark a feature as used; False when its precision or its kind has changed."""


class WallClock(Protocol):
    """The time of the machine, whatever the environment: for the writer and the API keys."""

    def now_ms(self) -> int:
        """Return Unix milliseconds."""


class Clock(Protocol):
    """Time as the operations see it: that of an environment, for the sandbox's can be moved."""

    def now_ms(self, env: str) -> int:
        """Return Unix milliseconds."""


class Guard(Protocol):
    """Whoever knows whether Redis is what SQL knows of it; the writer asks when it has a doubt."""

    @property
    def trusted(self) -> str:
        """The run id of the server that is trusted, empty while none is."""

    async def verify(self) -> None:
        """Return once Redis may be trusted again. Raises ``UnavailableError`` while it may not."""
