"""``events.list``: usage events from SQL, newest first, after the writer has carried what was
acknowledged before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Raw

from gateway.amounts import format_units
from gateway.engine.creation import Creation
from gateway.engine.views import reset_of
from gateway.errors import FeatureNotFoundError
from gateway.messages.balances import DeductionView
from gateway.messages.common import integer
from gateway.messages.events import EventListResponse, EventView
from gateway.ports import EventQuery

if TYPE_CHECKING:
    from gateway.messages.events import EventListRequest
    from gateway.ports import DeductionRecord, EventRecord

LIMIT_DEFAULT = 50
LIMIT_DEFAULT_OFFSET = 100
"""Page size before version 2.3."""


class Events(Creation):
    """Usage events."""

    async def list_events(
        self, env: str, request: EventListRequest, *, cursor_paging: bool
    ) -> EventListResponse:
        """Return one page of events. Raises ``InvalidCursorError``."""
        partitions = None
        if request.customer_id:
            partitions = [self.subjects.subject(env, request.customer_id).partition]
        await self.subjects.caught_up(partitions)
        period = request.custom_range
        limit = integer(request.limit, field="limit")
        offset = integer(request.offset, field="offset")
        query = EventQuery(
            env=env,
            limit=limit or (LIMIT_DEFAULT if cursor_paging else LIMIT_DEFAULT_OFFSET),
            cursor=(request.start_cursor or "") if cursor_paging else "",
            offset=0 if cursor_paging else offset or 0,
            customer_id=request.customer_id,
            entity_id=request.entity_id,
            feature_ids=request.feature_ids,
            start_ms=integer(period.start, field="custom_range.start") if period else None,
            end_ms=integer(period.end, field="custom_range.end") if period else None,
        )
        page = await self.reader.list_events(query)
        shown = [await self._event_view(env, event) for event in page.items]
        if cursor_paging:
            return EventListResponse(list=shown, next_cursor=page.next_cursor)
        return EventListResponse(
            list=shown,
            has_more=query.offset + len(page.items) < page.total,
            offset=query.offset,
            limit=query.limit,
            total=page.total,
        )

    async def _event_view(self, env: str, event: EventRecord) -> EventView:
        precision = await self._precision(env, event.feature_id)
        deductions = [await self._deduction(env, one) for one in event.deductions]
        return EventView(
            id=event.id,
            timestamp=event.timestamp_ms,
            feature_id=event.feature_id,
            customer_id=event.customer_id,
            entity_id=event.entity_id or UNSET,
            value=Raw(format_units(event.value, precision).encode()),
            properties=Raw(event.properties.encode()),
            deductions=deductions or None,
        )

    async def _deduction(self, env: str, one: DeductionRecord) -> DeductionView:
        precision = await self._precision(env, one.feature_id)
        return DeductionView(
            balance_id=one.balance_id,
            feature_id=one.feature_id,
            plan_id=one.plan_id,
            reset=reset_of(one.interval, one.interval_count, one.resets_at),
            value=Raw(format_units(one.value, precision).encode()),
        )

    async def _precision(self, env: str, feature_id: str) -> int:
        try:
            return (await self.catalog.feature(env, feature_id)).precision
        except FeatureNotFoundError:  # deleted since; nothing but events may still name it
            return 0
