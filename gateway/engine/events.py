"""``events.list`` and ``events.aggregate``: usage events from SQL and their sums, after the writer
has carried what was acknowledged before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import UNSET, Raw

from gateway.documents import decode_customer, decode_subscriptions, held_entity
from gateway.engine.aggregates import (
    BILLING_RANGES,
    CELLS_MAX,
    RANGE_DEFAULT,
    RANGE_DEFAULT_ALL,
    Cycle,
    Measured,
    Period,
    billing_cycle,
    bins_of,
    check_cells,
    deduction_bins,
    range_period,
    step_ms,
    usage_bins,
    usage_totals,
)
from gateway.engine.creation import Creation
from gateway.engine.paging import page_of, place_of
from gateway.engine.views import reset_of
from gateway.errors import EntityNotFoundError
from gateway.messages.balances import DeductionView
from gateway.messages.common import integer, number_of
from gateway.messages.events import (
    AggregateRequest,
    AggregateResponse,
    EventListRequest,
    EventListResponse,
    EventView,
)
from gateway.ports import DeductionRecord, EventQuery, EventRecord, FeatureRecord, UsageQuery

LIMIT_DEFAULT_OFFSET = 100
"""Page size before version 2.3."""

GROUPS_DEFAULT = 9
"""Groups shown by name when ``max_groups`` does not say."""


class Events(Creation):
    """Usage events."""

    async def list_events(
        self, env: str, request: EventListRequest, *, cursor_paging: bool
    ) -> EventListResponse:
        """Return one page of events. Raises ``InvalidCursorError``."""
        start_ms, end_ms = await self._list_period(env, request)
        await self.caught_up(env, request.customer_id)
        query = EventQuery(
            env=env,
            customer_id=request.customer_id,
            entity_id=request.entity_id,
            feature_ids=request.feature_ids,
            start_ms=start_ms,
            end_ms=end_ms,
            properties=tuple((request.filter_by or {}).items()),
            **page_of(request, cursor_paging=cursor_paging, by_offset=LIMIT_DEFAULT_OFFSET),
        )
        page = await self.reader.list_events(query)
        shown = [await self._event_view(env, event) for event in page.items]
        place = place_of(query, page, cursor_paging=cursor_paging)
        return EventListResponse(list=shown, **place)

    async def aggregate_events(self, env: str, request: AggregateRequest) -> AggregateResponse:
        """Return usage summed in bins.

        Raises ``FeatureNotFoundError``, ``CustomerNotFoundError`` and, beyond the limits of
        ``gateway.engine.aggregates``, ``InvalidInputsError``. Costs O(m log m) in SQL for the m
        events of the customer (without one, of the environment) in the range, then O(bins + sums)
        here.
        """
        features = [await self.catalog.feature(env, each) for each in request.feature_ids]
        bin_size = request.bin_size or ("hour" if request.range == "24h" else "day")
        period = await self._aggregate_period(env, request)
        begins = bins_of(period, bin_size, len(features))
        await self.caught_up(env, request.customer_id)
        usage = await self.reader.sum_events(
            UsageQuery(
                env=env,
                customer_id=request.customer_id,
                entity_id=request.entity_id,
                feature_ids=tuple(each.id for each in features),
                start_ms=period.start_ms,
                end_ms=period.end_ms,
                properties=tuple((request.filter_by or {}).items()),
                step_ms=step_ms(bin_size),
                cells_max=CELLS_MAX,
                group=request.group_by,
                groups_max=integer(request.max_groups, field="max_groups") or GROUPS_DEFAULT,
                deducted=request.aggregate_on is not None,
            )
        )
        check_cells(*usage)
        measured = {each.id: self._measured(each) for each in features}
        grouped = request.group_by is not None
        answer = AggregateResponse(
            list=usage_bins(
                usage.cells,
                begins,
                measured,
                grouped=grouped,
                counted=request.measure == "count",
            ),
            total=usage_totals(usage.cells, measured),
        )
        if request.aggregate_on is not None:
            owners = {
                each: await self._owner(env, each)
                for each in dict.fromkeys(cell.feature_id for cell in usage.deductions)
            }
            answer.deductions = deduction_bins(
                usage.deductions, usage.draws, begins, owners, grouped=grouped
            )
        return answer

    async def _list_period(
        self, env: str, request: EventListRequest
    ) -> tuple[int | None, int | None]:
        if request.range is not None:
            cycle = None
            if request.customer_id and request.range in BILLING_RANGES:
                cycle = await self._billing_cycle(env, request.customer_id, request.entity_id)
            return range_period(request.range, self.clock.now_ms(env), cycle)
        custom = request.custom_range
        if custom is None:
            return None, None
        return (
            integer(custom.start, field="custom_range.start"),
            integer(custom.end, field="custom_range.end"),
        )

    async def _aggregate_period(self, env: str, request: AggregateRequest) -> Period:
        cycle = None
        if request.customer_id:  # whatever the range, a customer that does not exist is a 404
            cycle = await self._billing_cycle(env, request.customer_id, request.entity_id)
        if request.custom_range is not None:
            start_ms = integer(request.custom_range.start, field="custom_range.start")
            end_ms = integer(request.custom_range.end, field="custom_range.end")
            return Period(start_ms or 0, end_ms or 0)
        name = request.range or (RANGE_DEFAULT if cycle else RANGE_DEFAULT_ALL)
        return range_period(name, self.clock.now_ms(env), cycle)

    async def _billing_cycle(self, env: str, customer_id: str, entity_id: str | None) -> Cycle:
        """Return the cycle of the entity's own plans, if it has a paid one, else the customer's."""
        try:
            subject = self.subjects.subject(env, customer_id, entity_id=entity_id)
            reply = await self.read(subject)
        except EntityNotFoundError:  # deleted; its events are still there
            reply = await self.read(self.subjects.subject(env, customer_id))
        cycle = billing_cycle(
            decode_subscriptions(reply.subscriptions), decode_customer(reply.document).created_at
        )
        if not reply.entity:
            return cycle
        own = held_entity(reply.entity).document.subscriptions
        return billing_cycle(own, 0) if any(one.cycle_unit for one in own) else cycle

    def _measured(self, feature: FeatureRecord) -> Measured:
        schema = self.catalog.document(feature).credit_schema
        costs = {one.metered_feature_id: one.credit_cost for one in schema}
        costs.pop(feature.id, None)
        return Measured(feature.type, feature.precision, costs)

    async def _owner(self, env: str, feature_id: str) -> Measured:
        feature = await self.catalog.feature_if_any(env, feature_id)
        return Measured("metered", 0, {}) if feature is None else self._measured(feature)

    async def _event_view(self, env: str, event: EventRecord) -> EventView:
        precision = await self._precision(env, event.feature_id)
        deductions = [await self._deduction(env, one) for one in _by_balance(event.deductions)]
        return EventView(
            id=event.id,
            timestamp=event.timestamp_ms,
            feature_id=event.feature_id,
            customer_id=event.customer_id,
            entity_id=event.entity_id or UNSET,
            value=number_of(event.value, precision),
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
            value=number_of(one.value, precision),
        )

    async def _precision(self, env: str, feature_id: str) -> int:
        """Return the precision of a feature; 0 where nothing but events may still name it."""
        feature = await self.catalog.feature_if_any(env, feature_id)
        return 0 if feature is None else feature.precision


def _by_balance(deductions: Sequence[DeductionRecord]) -> Iterable[DeductionRecord]:
    """Add up what slots of one balance gave, as the answer of the track did."""
    added: dict[str, DeductionRecord] = {}
    for one in deductions:
        before = added.get(one.balance_id)
        added[one.balance_id] = one._replace(value=before.value + one.value) if before else one
    return added.values()
