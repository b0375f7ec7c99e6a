"""``events.list`` and ``events.aggregate`` (hot-path section 1.8, cold-path section 8)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.messages.balances import DeductionView, ResetView
from gateway.messages.common import Integer, Json, Number
from gateway.messages.pages import Items, Listed, Page, PageRequest

FEATURES_MAX = 100
"""Features one query may name."""

FILTERS_MAX = 5
"""Properties one query may filter by."""

FeatureIds = str | Annotated[list[str], Meta(max_length=FEATURES_MAX)]


def one_or_many(feature_id: FeatureIds | None) -> tuple[str, ...]:
    """Return the features asked for, each once; empty is all."""
    if feature_id is None:
        return ()
    return (feature_id,) if isinstance(feature_id, str) else tuple(dict.fromkeys(feature_id))


class TimeRange(msgspec.Struct, kw_only=True):
    """Unix milliseconds; ``start`` is inclusive, ``end`` exclusive."""

    start: Integer | None = None
    end: Integer | None = None


class EventListRequest(PageRequest, kw_only=True):
    """Page through events, newest first; ``start_cursor`` from 2.3 on, ``offset`` in any."""

    customer_id: str | None = None
    entity_id: str | None = None
    feature_id: FeatureIds | None = None
    custom_range: TimeRange | None = None
    range: str | None = None
    filter_by: dict[str, str] | None = None

    @property
    def feature_ids(self) -> tuple[str, ...]:
        """The features asked for, one or many; empty is all."""
        return one_or_many(self.feature_id)


class EventView(msgspec.Struct, kw_only=True):
    """A usage event: ``value`` was asked for, ``deductions`` moved; null when nothing did."""

    id: str
    timestamp: int
    feature_id: str
    customer_id: str
    entity_id: str | UnsetType = UNSET
    value: Number
    properties: Json
    deductions: list[DeductionView] | None


class EventListResponse(Page[EventView], kw_only=True):
    """One page of events; with the cursor from 2.3 on, or by offset."""


class AggregateRequest(msgspec.Struct, kw_only=True):
    """Sum usage in bins of time; ``range`` and ``custom_range`` exclude each other."""

    feature_id: FeatureIds
    customer_id: str | None = None
    entity_id: str | None = None
    group_by: str | None = None
    range: str | None = None
    custom_range: TimeRange | None = None
    bin_size: str | None = None
    timezone: str | None = None
    filter_by: dict[str, str] | None = None
    max_groups: Integer | None = None
    measure: str | None = None
    aggregate_on: str | None = None

    @property
    def feature_ids(self) -> tuple[str, ...]:
        """The features asked for, one or many."""
        return one_or_many(self.feature_id)


class UsageBin(msgspec.Struct, kw_only=True):
    """One bin: what was used of each feature and, when a group was asked for, by whom.

    ``period`` is when the bin begins; a feature that was not used is 0.
    """

    period: int
    values: dict[str, Number]
    grouped_values: dict[str, dict[str, Number]] | UnsetType = UNSET


class UsageTotal(msgspec.Struct, kw_only=True):
    """All bins of a feature together: events, and the sum of their values."""

    count: int
    sum: Number


class BalanceDraw(msgspec.Struct, kw_only=True):
    """What one balance gave within a bin.

    ``credit_cost`` is what one unit of the tracked feature costs today; null when the balance is of
    the tracked feature itself, or features of different costs drew on it.
    """

    balance_id: str
    entity_id: str | None
    plan_id: str | None
    reset: ResetView | None
    credit_cost: Number | None
    deducted: Number
    events: int


class FeatureDraw(msgspec.Struct, kw_only=True):
    """What the balances of one feature gave within a bin, in units of that feature."""

    feature_type: str
    deducted: Number
    events: int
    balances: list[BalanceDraw]


class GroupDraw(msgspec.Struct, kw_only=True):
    """What one group took from a balance within a bin."""

    deducted: Number
    credit_cost: Number | None


class DeductionBin(msgspec.Struct, kw_only=True):
    """One bin of deductions, by the feature that owns the balance; groups by balance."""

    period: int
    values: dict[str, FeatureDraw]
    grouped_values: dict[str, dict[str, GroupDraw]] | UnsetType = UNSET


class AggregateResponse(Listed[UsageBin], kw_only=True):
    """Every bin of the range, oldest first, empty ones included."""

    total: dict[str, UsageTotal]
    deductions: Items[DeductionBin] | UnsetType = UNSET
