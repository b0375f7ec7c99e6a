"""What the engine needs from outside, as protocols: SQL and time are handed in by ``gateway.app``.

``persistence`` implements them; a test may hand in its own. Every method of a store may raise
``gateway.errors.UnavailableError`` when SQL cannot be reached in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class RowImage(NamedTuple):
    """A live balance row as SQL knows it; ``line`` is the text of ``gateway.rows``, ``entity_id``
    empty if shared.
    """

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


class EntityImage(NamedTuple):
    """A live entity; ``document`` is the JSON of ``gateway.documents.EntityDocument``."""

    entity_id: str
    number: int
    feature_id: str
    document: str


class CustomerImage(NamedTuple):
    """A customer as SQL knows it, read in one snapshot together with its partition's cursor."""

    internal_id: str
    seq: int
    counter: int
    """Highest period number any row or slot of the customer ever had."""
    number_max: int
    """Highest entity number ever given, deleted entities included."""
    document: str
    subscriptions: list[str]
    """Active customer-level subscriptions, each the JSON of ``gateway.documents.Subscription``."""
    rows: list[RowImage]
    slots: list[SlotImage]
    entities: list[EntityImage]


class LoadResult(NamedTuple):
    """``customer`` is None when SQL has no such customer; ``cursor`` is the last stream id SQL has
    applied.
    """

    cursor: str
    customer: CustomerImage | None


class EntityRef(NamedTuple):
    """Where an entity lives."""

    customer_id: str
    entity_id: str


class Page(NamedTuple):
    """One page of ids, newest first. ``total`` counts all that match; ``next_cursor`` is None on
    the last page.
    """

    items: list[tuple[str, str]]
    next_cursor: str | None
    total: int


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of ``customers.list`` and ``entities.list``; ``cursor`` and ``offset`` exclude each
    other.
    """

    env: str
    limit: int
    cursor: str = ""
    offset: int = 0
    customer_id: str | None = None
    search: str | None = None
    plan_ids: tuple[str, ...] = ()


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of ``events.list``; ``start_ms`` is inclusive, ``end_ms`` exclusive."""

    env: str
    limit: int
    cursor: str = ""
    offset: int = 0
    customer_id: str | None = None
    entity_id: str | None = None
    feature_ids: tuple[str, ...] = ()
    start_ms: int | None = None
    end_ms: int | None = None


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
    """A stored event. ``value`` is units of the feature's precision; ``feature_id`` falls back to
    the event name.
    """

    id: str
    timestamp_ms: int
    feature_id: str
    event_name: str
    customer_id: str
    entity_id: str
    value: int
    properties: str
    deductions: list[DeductionRecord]


class EventPage(NamedTuple):
    """One page of events, newest first."""

    items: list[EventRecord]
    next_cursor: str | None
    total: int


class Reader(Protocol):
    """Reads of what the writer has carried to SQL."""

    async def load(self, env: str, customer_id: str, partition: int) -> LoadResult:
        """Return a customer and its partition's cursor from one snapshot."""

    async def find_entity(self, env: str, entity_id: str) -> list[EntityRef]:
        """Return where live entities with this id are, at most two."""

    async def list_customers(self, query: ListQuery) -> Page:
        """Return (customer_id, "") pairs, newest first. Raises ``InvalidCursorError``."""

    async def list_entities(self, query: ListQuery) -> Page:
        """Return (customer_id, entity_id) pairs, newest first. Raises ``InvalidCursorError``."""

    async def list_events(self, query: EventQuery) -> EventPage:
        """Return events, newest first. Raises ``InvalidCursorError``."""

    async def cursors(self, partitions: Sequence[int]) -> dict[int, str]:
        """Return the last applied stream id of each partition, ``0-0`` where there is none."""

    async def ping(self) -> None:
        """Return when SQL answers."""


class KeyRecord(NamedTuple):
    """A live API key: only the SHA-256 of the secret is known."""

    id: str
    env: str
    digest: str


class FeatureRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A feature of the catalog. ``document`` is JSON of what only responses show."""

    env: str
    id: str
    name: str
    type: str
    consumable: bool
    precision: int
    in_use: bool
    archived: bool
    event_names: tuple[str, ...] = ()
    document: str = "{}"
    created_at: int = 0


class PlanRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The latest version of a plan. ``document`` is the JSON of the plan as
    ``gateway.messages.plans`` defines it.
    """

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
    """The whole catalog with the keys; ``revision`` grows with every change of either."""

    revision: int
    features: list[FeatureRecord]
    plans: list[PlanRecord]
    keys: list[KeyRecord]


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


class CatalogStore(Protocol):
    """Features, plans and API keys: written to SQL first, then read by every process."""

    async def revision(self) -> int:
        """Return the current revision."""

    async def load(self) -> CatalogImage:
        """Return everything, from one snapshot."""

    async def apply(self, change: CatalogChange) -> bool:
        """Write a change as a whole, if the catalog still has its revision; else return False.

        Raises ``FeatureExistsError`` or ``PlanExistsError``, and nothing was written then.
        """

    async def use_feature(self, env: str, feature_id: str, precision: int) -> bool:
        """Mark a feature as used with this precision; False when the precision has changed."""


class Clock(Protocol):
    """Time as the engine sees it."""

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
