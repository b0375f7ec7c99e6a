"""Pages of lists: which one a request asks for, and what the answer says of its place."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from gateway.holders import PlanFilter
from gateway.messages.common import integer
from gateway.messages.pages import PageRequest, SubjectsRequest
from gateway.ports import EventQuery, ListQuery, Page

LIMIT_DEFAULT = 50
"""Rows of a page that is asked for by cursor."""

SUBJECTS_DEFAULT = 10
"""Customers or entities of a page before version 2.3."""


def page_of(request: PageRequest, *, cursor_paging: bool, by_offset: int) -> dict[str, Any]:
    """Return the page a list request asks for: by cursor or by offset, each with a limit of its
    own.
    """
    limit = integer(request.limit, field="limit")
    if cursor_paging:
        return {"limit": limit or LIMIT_DEFAULT, "cursor": request.start_cursor or ""}
    return {"limit": limit or by_offset, "offset": integer(request.offset, field="offset") or 0}


def subjects_of(request: SubjectsRequest, *, cursor_paging: bool) -> dict[str, Any]:
    """Return the page of customers or entities that is asked for, and of which of them."""
    return {
        "search": request.search,
        "plans": tuple(
            PlanFilter(str(plan["id"]), tuple(map(int, plan.get("versions") or ())))
            for plan in request.plans or ()
        ),
        "status": request.subscription_status,
        "processors": tuple(request.processors or ()),
        **page_of(request, cursor_paging=cursor_paging, by_offset=SUBJECTS_DEFAULT),
    }


def place_among(query: ListQuery, page: Page[Any], *, cursor_paging: bool) -> dict[str, Any]:
    """Return what a list of customers or entities says of where its page is."""
    place = place_of(query, page, cursor_paging=cursor_paging)
    total = place.get("total", UNSET)
    return {**place, "total_count": total, "total_filtered_count": total}


def place_of(
    query: ListQuery | EventQuery, page: Page[Any], *, cursor_paging: bool
) -> dict[str, Any]:
    """Return what a list says of where its page is: how to go on, or its place among all."""
    if cursor_paging:
        return {"next_cursor": page.next_cursor}
    return {
        "has_more": page.next_cursor is not None,
        "offset": query.offset,
        "limit": query.limit,
        "total": page.total,
    }
