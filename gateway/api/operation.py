"""What an operation is, and what its handler is given.

An operation is described once: the route, the schemas, the examples and the error codes of the API
page all come from the same record the router uses, so they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import msgspec

from gateway.api.versions import NEWEST, Version
from gateway.engine.catalog import Catalog
from gateway.engine.claims import Claim
from gateway.engine.durability import Level
from gateway.engine.outage import StandIn
from gateway.engine.principals import NOBODY, Principal
from gateway.engine.replies import Replies
from gateway.engine.tokens import Tokens
from gateway.errors import GatewayError
from gateway.lifecycle.catalog import StoredPlan
from gateway.messages.balances import (
    CheckRequest,
    CheckResponse,
    FinalizeRequest,
    FinalizeResponse,
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
    BalanceCreateRequest,
    BalanceDeleteRequest,
    BalanceListRequest,
    BalanceListResponse,
    BalanceUpdateRequest,
    BatchTrackResponse,
    UsageSetRequest,
)
from gateway.messages.plans import Eligibility, PlanListRequest
from gateway.scripts.rates import Ticket


class Engine(Protocol):
    """The operations behind the API; every method may raise any ``GatewayError`` it documents.

    ``cursor_paging`` says how a list is asked for and answered: by cursor, or by offset.
    """

    async def check(
        self, env: str, request: CheckRequest, request_id: str, claim: Claim | None = None
    ) -> CheckResponse | StandIn: ...

    async def track(
        self, env: str, request: TrackRequest, request_id: str, claim: Claim | None = None
    ) -> TrackResponse: ...

    async def finalize(
        self, env: str, request: FinalizeRequest, request_id: str
    ) -> FinalizeResponse: ...

    async def batch_track(
        self, env: str, requests: Sequence[TrackRequest], request_id: str
    ) -> BatchTrackResponse: ...

    async def create_balance(
        self, env: str, request: BalanceCreateRequest, request_id: str
    ) -> None: ...

    async def update_balance(
        self, env: str, request: BalanceUpdateRequest, request_id: str
    ) -> None: ...

    async def check_update(self, env: str, request: BalanceUpdateRequest) -> None: ...

    async def delete_balance(
        self, env: str, request: BalanceDeleteRequest, request_id: str
    ) -> None: ...

    async def list_balances(self, env: str, request: BalanceListRequest) -> BalanceListResponse: ...

    async def set_usage(self, env: str, request: UsageSetRequest, request_id: str) -> None: ...

    async def get_or_create_customer(
        self, env: str, request: CustomerCreateRequest
    ) -> CustomerView: ...

    async def get_customer(self, env: str, request: CustomerGetRequest) -> CustomerView: ...

    async def update_customer(self, env: str, request: CustomerUpdateRequest) -> CustomerView: ...

    async def delete_customer(self, env: str, request: CustomerDeleteRequest) -> None: ...

    async def list_customers(
        self, env: str, request: CustomerListRequest, *, cursor_paging: bool
    ) -> CustomerListResponse: ...

    async def create_entity(self, env: str, request: EntityCreateRequest) -> EntityView: ...

    async def check_entities(self, env: str, requests: Sequence[EntityCreateRequest]) -> None: ...

    async def get_entity(self, env: str, request: EntityGetRequest) -> EntityView: ...

    async def update_entity(self, env: str, request: EntityUpdateRequest) -> EntityView: ...

    async def delete_entity(self, env: str, request: EntityGetRequest) -> None: ...

    async def list_entities(
        self, env: str, request: EntityListRequest, *, cursor_paging: bool
    ) -> EntityListResponse: ...

    async def attach(self, env: str, request: AttachRequest) -> AttachResponse: ...

    async def preview_attach(self, env: str, request: AttachRequest) -> AttachPreview: ...

    async def multi_attach(self, env: str, request: MultiAttachRequest) -> AttachResponse: ...

    async def preview_multi_attach(
        self, env: str, request: MultiAttachRequest
    ) -> AttachPreview: ...

    async def update_subscription(
        self, env: str, request: SubscriptionUpdateRequest
    ) -> AttachResponse: ...

    async def preview_update(
        self, env: str, request: SubscriptionUpdateRequest
    ) -> UpdatePreview: ...

    async def eligibilities(self, env: str, request: PlanListRequest) -> dict[str, Eligibility]: ...

    async def held_plans(
        self, env: str, customer_id: str, entity_id: str | None
    ) -> dict[tuple[str, int], StoredPlan]: ...

    async def plan_statuses(self, env: str, plan_id: str) -> set[str]: ...

    async def clock_moved(self) -> None: ...

    async def list_events(
        self, env: str, request: EventListRequest, *, cursor_paging: bool
    ) -> EventListResponse: ...

    async def aggregate_events(self, env: str, request: AggregateRequest) -> AggregateResponse: ...


class Services(NamedTuple):
    """What handlers call."""

    engine: Engine
    catalog: Catalog
    replies: Replies
    tokens: Tokens


_NAMES_OF_TODAY: Mapping[str, str] = MappingProxyType({})


class Call(msgspec.Struct, kw_only=True, gc=False):
    """One request on its way through the shared steps; ``status`` is what a success answers,
    ``key`` the caller's idempotency key, and ``claim`` what it stands for. ``level`` is what a
    change must have reached, and ``degraded`` the part without which the answer was given.
    ``restricted`` says that the key may not create customers, so that none is created on the way;
    ``public`` that the caller is a web page, which has to be allowed to read the answer. ``ticket``
    is what the request is counted by, where calls are limited. ``principal`` is who asks, and
    ``customer_id`` the customer a token acts for, whatever the body says. ``sent_as`` says what the
    caller calls a field of the body, where that is not today's name.
    """

    request_id: str
    env: str
    version: Version = NEWEST
    query: bytes = b""
    now_ms: int = 0
    status: int = 200
    key: str | None = None
    claim: Claim | None = None
    level: Level = Level.MEMORY
    degraded: str = ""
    restricted: bool = False
    public: bool = False
    ticket: Ticket | None = None
    principal: Principal = NOBODY
    customer_id: str = ""
    sent_as: Mapping[str, str] = _NAMES_OF_TODAY


Handler = Callable[[Services, Call, Any], Awaitable[msgspec.Struct]]
Rule = Callable[[Call, Any], None]


class Example(NamedTuple):
    """A request and its answer, as the API page shows them."""

    request: dict[str, Any] | list[dict[str, Any]]
    response: dict[str, Any]


def always(_: object) -> bool:
    """Return True: what ``reads`` of an operation is that never changes anything."""
    return True


_SQL_FIRST = ("features", "plans", "keys", "clock")


class Operation(NamedTuple):
    """One operation, ``POST /v1/<name>``; with ``@`` and a version after its name, the shapes it
    has in that version.
    """

    name: str
    summary: str
    description: str
    request: Any
    """What the body decodes to: a struct, or a list of them."""
    response: type[msgspec.Struct]
    handle: Handler
    rule: Rule
    errors: tuple[type[GatewayError], ...]
    example: Example
    queues: bool = False
    """Whether ``async: true`` answers 202."""
    status: int = 200
    """What a success answers."""
    claims: Callable[[Any], bool] = lambda _: False
    """Whether the script of a request takes its idempotency key along."""
    reads: Callable[[Any], bool] = lambda _: False
    """Whether a request changes nothing, so that an idempotency key means nothing to it."""
    sent_as: Mapping[str, str] = _NAMES_OF_TODAY
    """``sent_as`` of every call by this route."""
    hot: bool = False
    """Whether it stands in front of every request of somebody's backend: the fast lane takes it."""

    @property
    def path(self) -> str:
        """The route."""
        return f"/v1/{self.name}"

    @property
    def base(self) -> str:
        """The name, whatever the version."""
        return self.name.partition("@")[0]

    @property
    def resource(self) -> str:
        """The part before the dot."""
        return self.base.partition(".")[0]

    @property
    def is_in_sql(self) -> bool:
        """Whether what it changes is written to SQL at once, and not to Redis."""
        return self.resource in _SQL_FIRST
