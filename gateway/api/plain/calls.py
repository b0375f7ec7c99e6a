"""Plain calls: a check or a track of one feature.

That is what stands in front of every request of somebody's backend, so it goes a way of its own
that makes nothing it can do without: no coroutine, no decoded rows, no answer that is encoded
again. It decides nothing: the scripts are the same, and the bytes of an answer are those the
exchange would have given. Most ask for units and nothing else, and their commands are ready but for
the time; what uses units in a manner of its own (under an idempotency key, on hold, in a check, all
or nothing) is put together by the engine, as on the longer way. Whatever is not plain, in the
request (a durability level, a dry run), in the catalog (a feature nobody has used yet, an event of
several), in the agenda (a plan whose time has come) or in the reply (a customer that has to be
brought first, a key of another call), goes the longer way, before anything was changed.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, Protocol

from gateway.api.access import Noted
from gateway.api.errors import JSON, Reply, error_reply
from gateway.api.exchange import (
    Headers,
    ReadBody,
    given_id,
    idempotency_key,
    new_request_id,
)
from gateway.api.legacy.operations import OLDER
from gateway.api.operation import Operation
from gateway.api.plain.answers import Answering
from gateway.api.plain.forms import FORMS
from gateway.api.plain.manners import Manner
from gateway.api.plain.repeats import Repeat, repeated
from gateway.api.plain.uses import Asking, Use, Uses
from gateway.api.versions import known_version
from gateway.engine.backlog import Backlog
from gateway.engine.catalog import Catalog
from gateway.engine.engine import Engine
from gateway.engine.verdicts import PlainUse
from gateway.errors import GatewayError
from gateway.ports import Clock
from gateway.scripts import Context, Idempotency, Scripts
from gateway.scripts.packed import Packer, check_command, track_command, use_command
from gateway.scripts.pipe import Later
from gateway.scripts.rates import TICKET, Ticket

log = logging.getLogger(__name__)

Told = tuple[Asking, Use, int, bytes, float]
"""Of a call: head, body, time of its environment, request id, and when it began."""

_REACHED = b"memory"
"""The level every change has reached that is answered (``gateway.app.make_plain``)."""

_OWN = frozenset({b"idempotency-key", b"x-durability", b"x-request-id"})
"""Headers that a caller gives to one call."""

ASKINGS_MAX = 1_000
"""Keys and versions remembered; beyond it the memory starts anew."""


class Caller(Protocol):
    """Who asks: exactly one of these is called, once, now or later."""

    def take(self, request_id: bytes, body: bytes) -> Later | None:
        """Take the usual answer: 200, and no header but those every answer has. Returns what there
        is to do once all replies that came with this one were taken.
        """

    def end(self, reply: Reply) -> None:
        """Take any other answer, whole."""

    def go_longer(self) -> None:
        """Ask the longer way: the call is not plain, and nothing was changed."""


class PlainParts(NamedTuple):
    """What answers plain calls."""

    engine: Engine
    catalog: Catalog
    scripts: Scripts
    clock: Clock
    backlog: Backlog
    packer: Packer
    conflict: bool
    """Whether a repeated idempotency key is refused."""
    spools: bool
    """Whether tracks are kept while Redis is gone."""


class PlainCalls:
    """Answers plain calls, and hands all others to ``longer``. Also ``Answers`` itself."""

    def __init__(self, parts: PlainParts, longer: Noted) -> None:
        self._engine, self._scripts = parts.engine, parts.scripts
        self._clock, self._backlog = parts.clock, parts.backlog
        catalog, packer = parts.catalog, parts.packer
        self._limits, self._packer = packer.limits, packer
        self._uses = Uses(self._engine, catalog, packer)
        self._answering = Answering(
            self._engine, self._scripts, conflict=parts.conflict, spools=parts.spools
        )
        self._principal = catalog.known
        self._agenda = self._engine.planner.agenda
        self._longer = longer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._askings: dict[tuple[str, bytes | None, bytes | None], Asking] = {}

    async def answer(
        self, operation: Operation, method: str, query: bytes, headers: Headers, read_body: ReadBody
    ) -> Reply:
        """Return the answer to one request, plain or not."""
        if not operation.hot or method != "POST" or query:
            return await self._longer.answer(operation, method, query, headers, read_body)
        longer = self._longer.answer
        asking = self._remembered(operation, headers)
        if asking is None or self._principal(asking.authorization) is None:
            return await longer(operation, method, query, headers, read_body)
        try:
            body = await read_body()
        except GatewayError as error:
            return await longer(operation, method, query, headers, partial(_raise, error))
        waiting = _Waiting((self._loop or self._take_loop()).create_future())
        self.ask(asking, body, waiting)
        reply = await waiting.answer
        if isinstance(reply, Reply):
            return reply
        TICKET.set(reply)
        return await longer(operation, method, query, headers, partial(_return, body))

    def _take_loop(self) -> asyncio.AbstractEventLoop:
        # As for the pipe: to be asked for the loop costs Python a system call each time.
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _remembered(self, operation: Operation, headers: Headers) -> Asking | None:
        """Return ``asking``, made once for all heads that say no more than a key and a version."""
        authorization = version = None
        for name, value in headers:
            if name == b"authorization":
                authorization = value
            elif name == b"x-api-version":
                version = value
            elif name in _OWN:
                return self.asking(operation, headers)
        said = (operation.name, authorization, version)
        asking = self._askings.get(said)
        if asking is None:
            asking = self.asking(operation, headers)
            if asking is not None and self._principal(authorization) is not None:
                if len(self._askings) >= ASKINGS_MAX:
                    self._askings.clear()
                self._askings[said] = asking
        return asking

    def asking(self, operation: Operation, headers: Headers) -> Asking | None:
        """Return what a POST without a query says before its body; None when that is not plain,
        which it may be later: a version is known once it was served.
        """
        authorization = version = request_id = key = None
        for name, value in headers:
            if name == b"authorization":
                authorization = value
            elif name == b"x-api-version":
                version = value
            elif name == b"x-request-id":
                request_id = value
            elif name == b"idempotency-key":
                key = value
            elif name == b"x-durability" and value != _REACHED:
                return None
        served = known_version(version)
        forms = None if served is None else FORMS.get(served)
        if authorization is None or served is None or forms is None:
            return None
        try:
            named = None if key is None else idempotency_key(key)
        except GatewayError:
            return None
        return Asking(
            operation=OLDER.get((operation.name, served), operation),
            is_check=operation.name == "balances.check",
            authorization=authorization,
            request_id=given_id(request_id),
            key=named,
            note=self._longer.noting(operation.name),
            forms=forms,
        )

    def ask(self, asking: Asking, body: bytes, caller: Caller, key: bytes | None = None) -> None:
        """Answer a call, or have its caller go the longer way. With an idempotency ``key`` that is
        the one of its head, which is known but for that.
        """
        began = perf_counter()
        principal = self._principal(asking.authorization)
        if principal is None or self._backlog.is_full:
            caller.go_longer()
            return
        if principal is not asking.principal:
            self._uses.meet(asking, principal)
        use, own = asking.uses.get(body), None
        if use is None:
            use, own = self._uses.read(asking, principal, body)
        if use is None or (self._agenda.known and self._is_due(use.plain)):
            caller.go_longer()
            return
        now_ms = self._clock.now_ms(principal.env)
        request_id = asking.request_id or new_request_id()
        parts = use.command
        if isinstance(parts, Manner):
            named = asking.key if key is None else idempotency_key(key)
            if own is not None and named not in {None, own}:
                caller.go_longer()
                return
            named = named or own
            kept = None if named is None else parts.kept(use.plain, named)
            packed = self._in_manner(use.plain, parts, kept, request_id, now_ms)
            if packed is None:
                caller.go_longer()
                return
            command = packed
        elif asking.is_check:
            command = check_command(parts, now_ms)
        else:
            command = track_command(parts, request_id, now_ms)
        told = (asking, use, now_ms, request_id, began)
        if not self._scripts.begin(command, partial(self._tell, caller, told)):
            caller.go_longer()

    def _is_due(self, plain: PlainUse) -> bool:
        """Whether a plan of the customer is to begin or end before anything else is decided."""
        env, customer_id = plain.env, plain.customer_id
        return bool(self._agenda.due(env, customer_id, self._clock.now_ms(env)))

    def _in_manner(
        self,
        plain: PlainUse,
        manner: Manner,
        kept: Idempotency | None,
        request_id: bytes,
        now_ms: int,
    ) -> bytes | None:
        """Return what is asked in a manner of its own as it is sent; None where it is refused."""
        if manner.command is None:
            try:
                sent = self._engine.sent(plain, manner.request, now_ms, kept)
            except GatewayError:
                return None
            head, told = manner.head, (plain.env, plain.customer_id, request_id.decode(), now_ms)
            context = Context(head.keys, *told)
            if not manner.was_sent:
                manner.was_sent = True
                return self._packer.pack_use(head, context, sent)
            manner.command = self._packer.use_of(head, context, sent)
        return use_command(manner.command, request_id, now_ms, kept)

    def _tell(self, caller: Caller, told: Told, reply: Any) -> Later | None:  # noqa: ANN401 - a reply or a fault
        asking, use, now_ms, request_id, began = told
        try:
            answer: bytes | Reply | None = None
            if use.answer and use.reply == reply:
                answer = use.answer
                if use.denies:
                    self._answering.deny(use.plain)
            elif (repeat := use.repeat) is not None:
                if not isinstance(repeat, Repeat):
                    repeat = use.repeat = repeat()
                answer = None if repeat is None else repeated(repeat, reply)
                if asking.is_check and answer is not None:
                    use.keep(reply, answer)
            if answer is not None:
                self._scripts.heard()
            else:
                answer = self._answering.answer(asking, use, now_ms, reply)
        except Exception:
            # A fault of ours is answered like any other: nobody else would tell the caller.
            named = {"request_id": request_id.decode(), "env": use.plain.env}
            name = asking.operation.base
            log.exception("request %s: %s failed", named["request_id"], name, extra=named)
            answer = error_reply(GatewayError(), use.plain.env)
        if isinstance(answer, bytes):
            asking.note(200, began, request_id, use.plain)
            return caller.take(request_id, answer)
        if answer is None:
            caller.go_longer()
        else:
            self._end(caller, told, answer)
        return None

    @staticmethod
    def _end(caller: Caller, told: Told, answer: Reply) -> None:
        asking, use, _, request_id, began = told
        status, body, headers = answer
        asking.note(status, began, request_id, use.plain)
        caller.end(Reply(status, body, (*headers, (b"x-request-id", request_id))))


class _Waiting:
    """A caller that waits in a task for a ``Reply``, or for the ticket of a call that is not plain
    (whoever waits has a context of its own).
    """

    __slots__ = ("answer",)

    def __init__(self, answer: asyncio.Future[Reply | Ticket | None]) -> None:
        self.answer = answer

    def take(self, request_id: bytes, body: bytes) -> None:
        self._settle(usual(request_id, body))

    def end(self, reply: Reply) -> None:
        self._settle(reply)

    def go_longer(self) -> None:
        self._settle(TICKET.get())

    def _settle(self, answer: Reply | Ticket | None) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


def usual(request_id: bytes, body: bytes) -> Reply:
    """Return the usual answer, whole."""
    return Reply(200, body, (JSON, (b"x-request-id", request_id)))


async def _return(body: bytes) -> bytes:
    return body


async def _raise(error: GatewayError) -> bytes:
    raise error
