"""What an operation is, and what its handler is given.

An operation is described once: the route, the schemas, the examples and the error codes of the API
page all come from the same record the router uses, so they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from gateway.api.versions import NEWEST, Version
from gateway.engine.catalog import Catalog
from gateway.engine.claims import Claim
from gateway.engine.durability import Level
from gateway.engine.engine import Engine
from gateway.engine.principals import NOBODY, Principal
from gateway.engine.replies import Replies
from gateway.engine.spooling import Spooling
from gateway.engine.tokens import Tokens
from gateway.errors import GatewayError
from gateway.messages.common import ACKNOWLEDGED
from gateway.scripts.rates import Ticket


class Services(NamedTuple):
    """What handlers call."""

    engine: Engine
    catalog: Catalog
    replies: Replies
    tokens: Tokens
    spooling: Spooling | None = None
    """What keeps tracks while Redis is gone, where anything does."""


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


def asking(act: Callable[[Engine, Call, Any], Awaitable[msgspec.Struct | None]]) -> Handler:
    """Return what answers as the engine does; what that has done without a word is acknowledged."""

    async def handle(services: Services, call: Call, request: object) -> msgspec.Struct:
        answer = await act(services.engine, call, request)
        return ACKNOWLEDGED if answer is None else answer

    return handle


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
    example: Example = Example({}, {})
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
