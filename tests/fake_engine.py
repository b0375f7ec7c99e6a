"""An engine that knows one customer, for tests of what HTTP itself does.

``FakeEngine`` is no model of the real one: it reads amounts, looks ids up, answers the least that
fits the schemas, and raises what a test tells it to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from gateway.amounts import format_units, parse_units
from gateway.api.resources.examples import CUSTOMER, ENTITY
from gateway.engine.catalog import Catalog
from gateway.engine.claims import Claim
from gateway.engine.engine import Engine
from gateway.engine.replies import Kept, Replies
from gateway.errors import CustomerNotFoundError, EntityNotFoundError
from gateway.lifecycle.catalog import StoredPlan
from gateway.messages.balances import (
    CheckRequest,
    CheckResponse,
    FinalizeRequest,
    FinalizeResponse,
    FlagView,
    TrackRequest,
    TrackResponse,
)
from gateway.messages.billing import (
    AttachPreview,
    AttachRequest,
    AttachResponse,
    MultiAttachRequest,
    SubscriptionUpdateRequest,
    UpdatePreview,
)
from gateway.messages.common import given
from gateway.messages.customers import (
    CustomerCreateRequest,
    CustomerDeleteRequest,
    CustomerGetRequest,
    CustomerListRequest,
    CustomerListResponse,
    CustomerUpdateRequest,
    CustomerView,
)
from gateway.messages.entities import (
    EntityCreateRequest,
    EntityGetRequest,
    EntityListRequest,
    EntityListResponse,
    EntityUpdateRequest,
    EntityView,
)
from gateway.messages.events import (
    AggregateRequest,
    AggregateResponse,
    EventListRequest,
    EventListResponse,
)
from gateway.messages.grants import (
    BalanceListRequest,
    BalanceListResponse,
    BalanceUpdateRequest,
    BatchTrackResponse,
)
from gateway.messages.plans import Eligibility, PlanListRequest

CUSTOMER_ID = "cus_1"
ENTITY_ID = "seat_1"
PRECISION = 6

_NO_CHANGE: dict[str, Any] = {
    "customer_id": CUSTOMER_ID,
    "line_items": [],
    "subtotal": msgspec.Raw(b"0"),
    "total": msgspec.Raw(b"0"),
    "currency": "usd",
    "incoming": [],
    "outgoing": [],
}


class FakeReplies(Replies):
    """Keeps no answer: every call is the first."""

    def __init__(self) -> None:
        """Need nothing."""

    async def once(
        self, env: str, claim: Claim, act: Callable[[], Awaitable[Kept]], *, owner: str = ""
    ) -> Kept:
        del env, claim, owner
        return await act()


class FakeEngine(Engine):
    """See the module docstring. ``requests`` holds what arrived; ``failure`` is raised instead."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.requests: list[msgspec.Struct] = []
        self.paging: list[bool] = []
        self.failure: Exception | None = None
        self.statuses: set[str] = set()

    async def check(
        self, env: str, request: CheckRequest, request_id: str, claim: Claim | None = None
    ) -> CheckResponse:
        del claim
        self._arrive(request, request.customer_id, request.entity_id)
        feature = await self.catalog.feature(env, request.feature_id)
        units = self._units(request.required_balance, "required_balance")
        return CheckResponse(
            allowed=True,
            customer_id=request.customer_id,
            entity_id=request.entity_id or UNSET,
            required_balance=units,
            balance=None,
            flag=FlagView(id=request_id, plan_id=None, expires_at=None, feature_id=feature.id),
        )

    async def finalize(
        self, env: str, request: FinalizeRequest, request_id: str
    ) -> FinalizeResponse:
        del env, request_id
        self._arrive(request)
        return FinalizeResponse()

    async def track(
        self, env: str, request: TrackRequest, request_id: str, claim: Claim | None = None
    ) -> TrackResponse:
        del claim
        self._arrive(request, request.customer_id, request.entity_id)
        if request.feature_id is not None:
            await self.catalog.feature(env, request.feature_id)
        else:
            await self.catalog.features_by_event(env, request.event_name or "")
        return TrackResponse(
            customer_id=request.customer_id,
            value=self._units(request.value, "value"),
            balance=None,
            deductions=[],
        )

    async def get_or_create_customer(
        self, env: str, request: CustomerCreateRequest
    ) -> CustomerView:
        self._arrive(request)
        return self._customer(request.customer_id)

    async def get_customer(self, env: str, request: CustomerGetRequest) -> CustomerView:
        self._arrive(request, request.customer_id)
        return self._customer(request.customer_id)

    async def update_customer(self, env: str, request: CustomerUpdateRequest) -> CustomerView:
        self._arrive(request, request.customer_id)
        return self._customer(request.customer_id)

    async def delete_customer(self, env: str, request: CustomerDeleteRequest) -> None:
        self._arrive(request, request.customer_id)

    async def list_customers(
        self, env: str, request: CustomerListRequest, *, cursor_paging: bool
    ) -> CustomerListResponse:
        self._arrive(request)
        self.paging.append(cursor_paging)
        return CustomerListResponse(list=[self._customer(CUSTOMER_ID)], next_cursor=None)

    async def create_entity(self, env: str, request: EntityCreateRequest) -> EntityView:
        self._arrive(request)
        await self.catalog.feature(env, request.feature_id)
        return self._entity(request.entity_id)

    async def check_entities(self, env: str, requests: Sequence[EntityCreateRequest]) -> None:
        for request in requests:
            await self.catalog.feature(env, request.feature_id)

    async def get_entity(self, env: str, request: EntityGetRequest) -> EntityView:
        self._arrive(request, request.customer_id or CUSTOMER_ID, request.entity_id)
        return self._entity(request.entity_id)

    async def update_entity(self, env: str, request: EntityUpdateRequest) -> EntityView:
        self._arrive(request, request.customer_id or CUSTOMER_ID, request.entity_id)
        return self._entity(request.entity_id)

    async def delete_entity(self, env: str, request: EntityGetRequest) -> None:
        self._arrive(request, request.customer_id or CUSTOMER_ID, request.entity_id)

    async def list_entities(
        self, env: str, request: EntityListRequest, *, cursor_paging: bool
    ) -> EntityListResponse:
        self._arrive(request)
        self.paging.append(cursor_paging)
        return EntityListResponse(list=[self._entity(ENTITY_ID)], next_cursor=None)

    async def attach(self, env: str, request: AttachRequest) -> AttachResponse:
        self._arrive(request, request.customer_id, request.entity_id)
        await self.catalog.plan(env, request.plan_id)
        return AttachResponse(customer_id=request.customer_id)

    async def preview_attach(self, env: str, request: AttachRequest) -> AttachPreview:
        await self.attach(env, request)
        return AttachPreview(**_NO_CHANGE)

    async def multi_attach(self, env: str, request: MultiAttachRequest) -> AttachResponse:
        for one in request.each():
            await self.attach(env, one)
        return AttachResponse(customer_id=request.customer_id)

    async def preview_multi_attach(self, env: str, request: MultiAttachRequest) -> AttachPreview:
        await self.multi_attach(env, request)
        return AttachPreview(**_NO_CHANGE)

    async def update_subscription(
        self, env: str, request: SubscriptionUpdateRequest
    ) -> AttachResponse:
        del env
        self._arrive(request, request.customer_id, request.entity_id)
        return AttachResponse(customer_id=request.customer_id)

    async def preview_update(self, env: str, request: SubscriptionUpdateRequest) -> UpdatePreview:
        await self.update_subscription(env, request)
        return UpdatePreview(**_NO_CHANGE, intent="none")

    async def eligibilities(self, env: str, request: PlanListRequest) -> dict[str, Eligibility]:
        self._arrive(request, request.customer_id, request.entity_id)
        found = Eligibility(attach_action="activate", canceling=False)
        return {plan.record.id: found for plan in self.catalog.plans(env)}

    async def held_plans(
        self, env: str, customer_id: str, entity_id: str | None
    ) -> dict[tuple[str, int], StoredPlan]:
        del env, customer_id, entity_id
        return {}

    async def plan_statuses(self, env: str, plan_id: str) -> set[str]:
        del env, plan_id
        return self.statuses

    async def clock_moved(self) -> None:
        return

    async def list_events(
        self, env: str, request: EventListRequest, *, cursor_paging: bool
    ) -> EventListResponse:
        self._arrive(request)
        self.paging.append(cursor_paging)
        return EventListResponse(list=[], next_cursor=None)

    async def aggregate_events(self, env: str, request: AggregateRequest) -> AggregateResponse:
        self._arrive(request, request.customer_id, request.entity_id)
        return AggregateResponse(list=[], total={})

    async def create_balance(self, env: str, request: Any, request_id: str) -> None:  # noqa: ANN401 - any of the four
        self._arrive(request, request.customer_id, request.entity_id)

    update_balance = delete_balance = set_usage = create_balance

    async def check_update(self, env: str, request: BalanceUpdateRequest) -> None:
        await self.catalog.feature(env, request.feature_id)

    async def list_balances(self, env: str, request: BalanceListRequest) -> BalanceListResponse:
        self._arrive(request, request.customer_id, request.entity_id)
        return BalanceListResponse(list=[], has_more=False, next_cursor=None)

    async def batch_track(
        self, env: str, requests: Sequence[TrackRequest], request_id: str
    ) -> BatchTrackResponse:
        for request in requests:
            await self.track(env, request, request_id)
        return BatchTrackResponse()

    def _arrive(
        self, request: msgspec.Struct, customer_id: str | None = None, entity_id: str | None = None
    ) -> None:
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        if customer_id not in (None, CUSTOMER_ID):
            raise CustomerNotFoundError(f"Customer {customer_id} not found")
        if entity_id not in (None, ENTITY_ID):
            raise EntityNotFoundError(f"Entity {entity_id} not found")

    @staticmethod
    def _units(raw: msgspec.Raw, field: str) -> msgspec.Raw:
        units = parse_units(bytes(raw), PRECISION, field=field) if given(raw) else 10**PRECISION
        return msgspec.Raw(format_units(units, PRECISION).encode())

    @staticmethod
    def _customer(customer_id: str | None) -> CustomerView:
        return CustomerView(**{**CUSTOMER, "id": customer_id})

    @staticmethod
    def _entity(entity_id: str) -> EntityView:
        return EntityView(**{**ENTITY, "id": entity_id})
