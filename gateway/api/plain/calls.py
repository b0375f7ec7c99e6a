"""Plain calls: a check or a track that asks for units of one feature and nothing else.

That is what stands in front of every request of somebody's backend, so it goes a way of its own
that makes nothing it can do without: no coroutine, no decoded rows, no answer that is encoded
again. It decides nothing: the scripts are the same, and the bytes of an answer are those the
exchange would have given. Whatever is not plain, in the request (a lock, an idempotency key, a
durability level), in the catalog (a feature nobody has used yet), in the agenda (a
plan whose time has come) or in the reply (a customer that has to be brought first), goes the longer
way, before anything was changed.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, Protocol

from gateway.api.access import Noted
from gateway.api.errors import JSON, Reply, error_reply
from gateway.api.exchange import DEGRADED, Headers, ReadBody, given_id, new_request_id
from gateway.api.operation import Operation
from gateway.api.plain.forms import FORMS, Forms
from gateway.api.plain.pieces import Answer
from gateway.api.plain.repeats import repeat_of_check, repeat_of_track, repeated
from gateway.api.plain.uses import Asking, Use, Uses
from gateway.api.versions import known_version
from gateway.engine.backlog import Backlog
from gateway.engine.catalog import Catalog
from gateway.engine.engine import Engine
from gateway.engine.outage import Policy
from gateway.engine.verdicts import PlainUse
from gateway.errors import GatewayError, UnavailableError
from gateway.ports import Clock
from gateway.scripts import Scripts, check_reply, track_reply
from gateway.scripts.packed import Packer, check_command, track_command
from gateway.scripts.pipe import Later
from gateway.scripts.rates import TICKET, Ticket

log = logging.getLogger(__name__)

Told = tuple[Asking, Use, int, bytes, float]
"""Of a call: head, body, time of its environment, request id and when it began."""

_LONGER = frozenset({b"idempotency-key", b"x-durability"})
"""Headers that ask for more than units."""

_OWN = _LONGER | {b"x-request-id"}
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


class PlainCalls:
    """Answers plain calls, and hands all others to ``longer``. Also ``Answers`` itself."""

    def __init__(self, parts: PlainParts, longer: Noted) -> None:
        self._engine, catalog, self._scripts, self._clock, self._backlog, packer = parts
        self._limits = packer.limits
        self._uses = Uses(self._engine, catalog, packer)
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
        authorization = version = request_id = None
        for name, value in headers:
            if name == b"authorization":
                authorization = value
            elif name == b"x-api-version":
                version = value
            elif name == b"x-request-id":
                request_id = value
            elif name in _LONGER:
                return None
        served = known_version(version)
        forms = None if served is None else FORMS.get(served)
        if authorization is None or forms is None:
            return None
        return Asking(
            name=operation.name,
            is_check=operation.name == "balances.check",
            authorization=authorization,
            request_id=given_id(request_id),
            note=self._longer.noting(operation.name),
            forms=forms,
        )

    def ask(self, asking: Asking, body: bytes, caller: Caller) -> None:
        """Answer a call, or have its caller go the longer way."""
        began = perf_counter()
        principal = self._principal(asking.authorization)
        if principal is None or self._backlog.is_full:
            caller.go_longer()
            return
        if principal is not asking.principal:
            self._uses.meet(asking, principal)
        use = asking.uses.get(body) or self._uses.read(asking, principal, body)
        if use is None or (self._agenda.known and self._is_due(use.plain)):
            caller.go_longer()
            return
        now_ms = self._clock.now_ms(principal.env)
        request_id = asking.request_id or new_request_id()
        if asking.is_check:
            command = check_command(use.command, now_ms)
        else:
            command = track_command(use.command, request_id, now_ms)
        told = (asking, use, now_ms, request_id, began)
        if not self._scripts.begin(command, partial(self._tell, caller, told)):
            caller.go_longer()

    def _is_due(self, plain: PlainUse) -> bool:
        """Whether a plan of the customer is to begin or end before anything else is decided."""
        env, customer_id = plain.env, plain.customer_id
        return bool(self._agenda.due(env, customer_id, self._clock.now_ms(env)))

    def _tell(self, caller: Caller, told: Told, reply: Any) -> Later | None:  # noqa: ANN401 - a reply or a fault
        asking, use, now_ms, request_id, began = told
        try:
            answer: bytes | Reply | None = None
            if use.answer and use.reply == reply:
                answer = use.answer
            elif use.repeat is not None:
                answer = repeated(use.repeat, reply)
                if asking.is_check and answer is not None:
                    use.keep(reply, answer)
            if answer is not None:
                self._scripts.heard()
            else:
                answer = (self._checked if asking.is_check else self._tracked)(use, now_ms, reply)
        except Exception:
            # A fault of ours is answered like any other: nobody else would tell the caller.
            named = {"request_id": request_id.decode(), "env": use.plain.env}
            log.exception("request %s: %s failed", named["request_id"], asking.name, extra=named)
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

    def _checked(self, use: Use, now_ms: int, reply: Any) -> bytes | Reply | None:  # noqa: ANN401 - as above
        """Return the body of the usual answer, or another answer; None for the longer way."""
        forms = use.pieces.forms
        if isinstance(reply, Exception):
            return self._failed_check(use.plain, reply, forms)
        self._scripts.heard()
        if isinstance(reply, int):  # a status alone: it was not carried out
            return None
        told = reply.split(b"\x01")
        answer = use.pieces.checked(use.scope, told, now_ms) if use.is_single else None
        allowed = told[1] == b"1"
        if answer is None:
            shown = self._engine.shown_check(use.plain, check_reply(reply), now_ms)
            answer, allowed = Answer(forms.encode(shown)), shown.allowed
        if not allowed:
            env, customer_id, _, feature, *_ = use.plain
            self._engine.denials.count(env, customer_id, feature.id, "check")
            return answer.body
        if answer.lone is not None:
            use.repeat = repeat_of_check(use.pieces, use.scope, told, answer.lone)
        if use.pieces.is_timeless(told[4]):
            use.keep(reply, answer.body)
        return answer.body

    def _failed_check(self, plain: PlainUse, fault: Exception, forms: Forms) -> Reply | None:
        error = self._scripts.outcome(fault, changes=False)
        if error is None:
            return None
        if not isinstance(error, UnavailableError):
            return error_reply(error, plain.env)
        stand_in = self._engine.stand_in(plain, error)
        status = 202 if stand_in.policy is Policy.OPEN else 200
        headers = (JSON, (DEGRADED, stand_in.missing.encode()))
        return Reply(status, forms.encode(stand_in.response), headers)

    def _tracked(self, use: Use, now_ms: int, reply: Any) -> bytes | Reply | None:  # noqa: ANN401 - as above
        if isinstance(reply, Exception):
            error = self._scripts.outcome(reply, changes=True)
            return None if error is None else error_reply(error, use.plain.env)
        self._scripts.heard()
        if isinstance(reply, int):
            return None
        told, units = reply.split(b"\x01"), use.plain.units
        answer = use.pieces.tracked(use.scope, units, told, now_ms) if use.is_single else None
        if answer is None:
            shown = self._engine.shown_track(use.plain, track_reply(reply), now_ms)
            return use.pieces.forms.encode(shown)
        if answer.lone is not None:
            use.repeat = repeat_of_track(use.pieces, use.scope, units, told, answer.lone)
        return answer.body


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
