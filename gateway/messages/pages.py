"""Lists: how a page of one is asked for, and what answers, whatever is listed."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from gateway.messages.common import Integer, JsonObject

Item = TypeVar("Item")
Items = list[Item]  # a field named list hides the builtin from its own annotation


class PageRequest(msgspec.Struct, kw_only=True):
    """Which page; ``start_cursor`` from 2.3 on, ``offset`` in any."""

    start_cursor: str | None = None
    offset: Integer | None = None
    limit: Integer | None = None


class SubjectsRequest(PageRequest, kw_only=True):
    """Which customers or entities, by their names and by the plans they hold."""

    search: str | None = None
    plans: list[JsonObject] | None = None
    subscription_status: str | None = None
    processors: list[str] | None = None


class Listed(msgspec.Struct, Generic[Item], kw_only=True):
    """All that is asked for."""

    list: Items[Item]


class Page(Listed[Item], Generic[Item], kw_only=True):
    """One page; with the cursor from 2.3 on, or by offset."""

    next_cursor: str | UnsetType | None = UNSET
    has_more: bool | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    total: int | UnsetType = UNSET


class SubjectsPage(Page[Item], Generic[Item], kw_only=True):
    """One page of customers or entities, with what else clients call its total."""

    total_count: int | UnsetType = UNSET
    total_filtered_count: int | UnsetType = UNSET
