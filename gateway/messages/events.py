"""``events.list`` (hot-path section 1.8)."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.messages.balances import DeductionView
from gateway.messages.common import Integer, Json, Number

FEATURES_MAX = 100
"""Features one query may name."""


class TimeRange(msgspec.Struct, kw_only=True):
    """Unix milliseconds; ``start`` is inclusive, ``end`` exclusive."""

    start: Integer | None = None
    end: Integer | None = None


class EventListRequest(msgspec.Struct, kw_only=True):
    """Page through events, newest first; ``start_cursor`` from 2.3 on, ``offset`` before."""

    customer_id: str | None = None
    entity_id: str | None = None
    feature_id: str | Annotated[list[str], Meta(max_length=FEATURES_MAX)] | None = None
    custom_range: TimeRange | None = None
    start_cursor: str | None = None
    offset: Integer | None = None
    limit: Integer | None = None

    @property
    def feature_ids(self) -> tuple[str, ...]:
        """The features asked for, one or many; empty is all."""
        if self.feature_id is None:
            return ()
        return (self.feature_id,) if isinstance(self.feature_id, str) else tuple(self.feature_id)


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


Events = list[EventView]  # a field named list hides the builtin from its own annotation


class EventListResponse(msgspec.Struct, kw_only=True):
    """One page of events; the cursor from 2.3 on, offset paging before."""

    list: Events
    next_cursor: str | UnsetType | None = UNSET
    has_more: bool | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    total: int | UnsetType = UNSET
