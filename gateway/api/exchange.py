"""The steps every request takes, in one order, whatever speaks HTTP around them.

Request id, key, version, body, decoder, rule, handler, encoder. Nothing here knows Litestar or
ASGI: headers and bytes go in, a ``Reply`` comes out, always, so that a leaner server may call it
too. It must never let an exception out (but the one that
says nobody is there any more), and never log a key or a body.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from gateway.api.decoding import decode_body, named_customer
from gateway.api.errors import ENV_UNKNOWN, JSON, Reply, error_reply
from gateway.api.operation import Call, Operation, Services
from gateway.api.permits import READABLE, is_public, permitted
from gateway.api.rates import Rates, rate_headers
from gateway.api.versions import OlderVersionError, Version, parse_version
from gateway.engine.backlog import Backlog
from gateway.engine.claims import KEY_MAX, Claim, claim_of
from gateway.engine.durability import Durability, Level, level_of, partitions_touched
from gateway.engine.replies import Kept
from gateway.engine.tokens import is_token
from gateway.errors import (
    GatewayError,
    IdempotencyKeyError,
    InvalidInputsError,
    MethodNotAllowedError,
)
from gateway.logs import REQUEST
from gateway.messages.balances import CheckRequest
from gateway.ports import Clock

log = logging.getLogger(__name__)

REPLAYED = (b"idempotency-replayed", b"true")

DEGRADED = b"x-tallygate-degraded"
"""Names the part without which a check was answered."""


class ClientGoneError(Exception):
    """The client left before its body was complete; nobody waits for an answer."""


Headers = Iterable[tuple[bytes, bytes]]
ReadBody = Callable[[], Awaitable[bytes]]


class Answers(Protocol):
    """What answers requests: an ``Exchange``, or what is put around one."""

    async def answer(
        self, operation: Operation, method: str, query: bytes, headers: Headers, read_body: ReadBody
    ) -> Reply:
        """Return the answer to one request."""


_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_OWN_ID = b"req_" + os.urandom(8).hex().encode()
_numbers = itertools.count(1)


class Exchange:
    """Answers requests of one application."""

    def __init__(
        self,
        services: Services,
        operations: Iterable[Operation],
        clock: Clock,
        *,
        older: Mapping[tuple[str, Version], Operation] | None = None,
        conflict: bool = False,
        durability: Durability | None = None,
        backlog: Backlog | None = None,
        rates: Rates | None = None,
    ) -> None:
        self._rates = rates
        self._durability = durability
        self._level = durability.level if durability is not None else Level.MEMORY
        self._backlog = backlog
        self._services = services
        self._clock = clock
        self._conflict = conflict
        self._encode = msgspec.json.Encoder().encode
        self._older = older or {}
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {
            operation.name: msgspec.json.Decoder(operation.request)
            for operation in (*operations, *self._older.values())
        }

    async def answer(
        self, operation: Operation, method: str, query: bytes, headers: Headers, read_body: ReadBody
    ) -> Reply:
        """Return the answer to one request; ``read_body`` is asked once it may be read."""
        call = Call(
            request_id="",
            env=ENV_UNKNOWN,
            query=query,
            status=operation.status,
            sent_as=operation.sent_as,
        )
        REQUEST.set(call)
        try:
            operation = await self._admit(operation, call, method, headers)
            reply = await self._run(operation, call, await read_body())
        except GatewayError as error:
            if type(error) is GatewayError:
                log.exception("request %s: %s failed", call.request_id, operation.name)
            is_claimed = call.claim is not None
            reply = error_reply(error, call.env, repeatable=is_claimed, sent_as=call.sent_as)
            call.public = is_public(operation)
        except ClientGoneError:
            raise
        except Exception:
            log.exception("request %s: %s failed", call.request_id, operation.name)
            reply = error_reply(GatewayError(), call.env)
        headers = (*reply.headers, (b"x-request-id", call.request_id.encode()))
        if call.ticket is not None and call.ticket.standing is not None:
            headers = (*headers, *rate_headers(call.ticket.standing))
        if call.public:
            headers = (*headers, *READABLE)
        return Reply(reply.status, reply.body, headers)

    async def _admit(  # noqa: C901 - a part taken out would be one more call for every request
        self, operation: Operation, call: Call, method: str, headers: Headers
    ) -> Operation:
        """Return the operation as this caller may call it, in the shape of its version."""
        authorization = version = given_id = key = level = None
        for name, value in headers:
            if name == b"authorization":
                authorization = value
            elif name == b"x-api-version":
                version = value
            elif name == b"x-request-id":
                given_id = value
            elif name == b"idempotency-key":
                key = value
            elif name == b"x-durability":
                level = value
        call.request_id = request_id_of(given_id)
        if method != "POST":
            raise MethodNotAllowedError
        catalog = self._services.catalog
        principal = catalog.known(authorization)
        access = None
        if principal is None:
            tokens = self._services.tokens
            find = tokens.principal if is_token(authorization) else catalog.principal
            principal = await find(authorization)
            access = principal.access
        call.principal, call.env = principal, principal.env
        try:
            call.version = parse_version(version)
        except OlderVersionError as error:
            operation = self._in_older_shape(operation, error)
            call.version = error.version
        call.now_ms = self._clock.now_ms(call.env)
        if self._rates is not None:
            call.ticket = self._rates.ticket(principal, call.now_ms)
        call.key = None if key is None else idempotency_key(key)
        call.level = self._level
        if level is not None:
            await self._raise_level(call, level)
        return operation if access is None else permitted(operation, call, access)

    def _in_older_shape(self, operation: Operation, error: OlderVersionError) -> Operation:
        older = self._older.get((operation.name, error.version))
        if older is None:
            raise error
        return older

    async def _raise_level(self, call: Call, header: bytes) -> None:
        call.level = level_of(header)
        if self._durability is not None:
            call.level = await self._durability.available(call.level)

    async def _run(self, operation: Operation, call: Call, body: bytes) -> Reply:
        if call.customer_id:
            body = named_customer(body, call.customer_id)
        request = decode_body(self._decoders[operation.name], body)
        operation.rule(call, request)
        if self._backlog is not None and self._backlog.is_full:
            self._refuse_changes(self._backlog, operation, request)
        if self._rates is not None:
            await self._rates.count(operation, call, request)
        if call.level and self._durability is not None:
            return await self._confirmed(self._durability, operation, call, request)
        return await self._carry_out(operation, call, request)

    @staticmethod
    def _refuse_changes(backlog: Backlog, operation: Operation, request: object) -> None:
        # A check that uses units asks for itself: its feature may have a policy.
        if not (
            operation.is_in_sql or operation.reads(request) or isinstance(request, CheckRequest)
        ):
            backlog.admit()

    async def _confirmed(
        self, durability: Durability, operation: Operation, call: Call, request: object
    ) -> Reply:
        """Answer once what was changed has reached the level of the call."""
        generation = durability.trust.generation
        reply = await self._carry_out(operation, call, request)
        if not (operation.is_in_sql or operation.reads(request) or call.degraded):
            key = None if operation.claims(request) else key_of(call, request)
            touched = partitions_touched(call.env, request, durability.partitions, key)
            await durability.confirm(call.level, generation, touched)
        return reply

    async def _carry_out(self, operation: Operation, call: Call, request: Any) -> Reply:  # noqa: ANN401 - what its operation decodes to
        key = key_of(call, request)
        if key is not None and not operation.reads(request):
            claim = claim_of(key, operation.name, request)
            own = getattr(request, "idempotency_key", None)
            if own not in (None, key):
                return await self._run_under_both(operation, call, request, claim, own)
            return await self._run_once(operation, call, request, claim)
        return self._reply(call, await operation.handle(self._services, call, request))

    def _reply(self, call: Call, response: msgspec.Struct) -> Reply:
        headers = (JSON, (DEGRADED, call.degraded.encode())) if call.degraded else (JSON,)
        return Reply(call.status, self._encode(response), headers)

    async def _run_once(
        self, operation: Operation, call: Call, request: object, claim: Claim
    ) -> Reply:
        """Answer a call with an idempotency key: inside its script where it can, else around it.

        Raises ``IdempotencyKeyError`` when the key belongs to another call.
        """
        if operation.claims(request):
            call.claim = claim
            reply = self._reply(call, await operation.handle(self._services, call, request))
        else:

            async def act() -> Kept:
                response = await operation.handle(self._services, call, request)
                return Kept(call.status, self._encode(response))

            kept = await self._services.replies.once(call.env, claim, act)
            reply = Reply(kept.status, kept.body, (JSON,))
        return self._replayed(reply) if claim.replayed else reply

    async def _run_under_both(
        self,
        operation: Operation,
        call: Call,
        request: Any,  # noqa: ANN401 - as above
        claim: Claim,
        own: str,
    ) -> Reply:
        """Answer a track whose header and body each have a key: what either has seen is not carried
        out again. That of the body is part of its script; so a call may be sent again whatever
        became of it.
        """
        replies: list[Reply] = []

        async def act() -> Kept:
            inner = claim_of(own, operation.name, request)
            replies.append(await self._run_once(operation, call, request, inner))
            return Kept(replies[0].status, replies[0].body)

        kept = await self._services.replies.once(call.env, claim, act, owner=request.customer_id)
        if claim.replayed:
            return self._replayed(Reply(kept.status, kept.body, (JSON,)))
        return replies[0]

    def _replayed(self, reply: Reply) -> Reply:
        if self._conflict:
            raise IdempotencyKeyError("A call with this idempotency key has been carried out")
        return Reply(reply.status, reply.body, (*reply.headers, REPLAYED))


def key_of(call: Call, request: object) -> str | None:
    """Return the idempotency key of a call: that of its header, else that of its body."""
    return call.key or getattr(request, "idempotency_key", None)


def idempotency_key(header: bytes) -> str:
    """Return a caller's key. Raises ``InvalidInputsError`` for one that is empty or too long."""
    if not 1 <= len(header) <= KEY_MAX:
        raise InvalidInputsError(f"idempotency-key: must be 1 to {KEY_MAX} characters")
    return header.decode("latin-1")


def request_id_of(header: bytes | None) -> str:
    """Return the caller's request id if it is harmless to repeat, else a new one."""
    return (given_id(header) or new_request_id()).decode()


def given_id(header: bytes | None) -> bytes:
    """Return the caller's request id if it is harmless to repeat, else nothing."""
    return header if header is not None and _REQUEST_ID.fullmatch(header) else b""


def new_request_id() -> bytes:
    """Return a request id that nobody else has."""
    return b"%b%x" % (_OWN_ID, next(_numbers))
