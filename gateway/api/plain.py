"""Plain calls: a check or a track that asks for units of one feature and nothing else.

That is what stands in front of every request of somebody's backend, so it goes a way of its own
that makes nothing it can do without: no coroutine, no decoded rows, no answer that is encoded
again. It decides nothing: the scripts are the same, and the bytes of an answer are those the
exchange would have given. Whatever is not plain, in the request (a lock, an idempotency key, a
durability level), in the catalog (credit systems, a feature nobody has used yet), in the agenda (a
plan whose time has come) or in the reply (a customer that has to be brought first), goes the longer
way, before anything was changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from gateway.amounts import UNITS_MAX, parse_units
from gateway.api import shapes
from gateway.api.access import Noted
from gateway.api.errors import JSON, Reply, error_reply
from gateway.api.exchange import DEGRADED, Headers, ReadBody, request_id_of
from gateway.api.operation import Operation
from gateway.api.pieces import Pieces, Scope
from gateway.api.versions import is_known
from gateway.engine.backlog import Backlog
from gateway.engine.catalog import Catalog
from gateway.engine.engine import Engine
from gateway.engine.outage import Policy
from gateway.engine.principals import Principal
from gateway.engine.snapshot import Snapshot
from gateway.engine.verdicts import PlainUse
from gateway.errors import GatewayError, InvalidInputsError, UnavailableError
from gateway.messages.common import ABSENT, Json, Number, given
from gateway.ports import Clock, FeatureRecord
from gateway.scripts import Scripts, check_reply, track_reply
from gateway.scripts.packed import Head, Packer, check_command, track_command
from gateway.scripts.rates import TICKET
from gateway.stepping import Ask, Done

log = logging.getLogger(__name__)

Told = tuple[str, str, bytes, float]
"""Operation, environment, request id and beginning of a call."""

_LONGER = frozenset({b"idempotency-key", b"x-durability"})
"""Headers that ask for more than units."""

WHOM_MAX = 20_000
"""Customers and entities remembered, about 1 KiB each; beyond it the memory starts anew."""

_DIGITS_MAX = len(str(UNITS_MAX))
_NULL = b"\\u0000"


class PlainCheck(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A ``CheckRequest`` with any other field is not plain."""

    customer_id: str
    feature_id: str
    entity_id: str | None = None
    required_balance: Number = ABSENT


class PlainTrack(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A ``TrackRequest`` with any other field is not plain."""

    customer_id: str
    feature_id: str
    entity_id: str | None = None
    value: Number = ABSENT
    properties: Json = ABSENT


class Feature(NamedTuple):
    """A feature that plain calls may ask for."""

    record: FeatureRecord
    name: bytes
    one: int
    """Units of the amount 1."""
    pieces: Pieces


class Whom(NamedTuple):
    """A customer, or one of its entities, ready to be sent and shown."""

    customer_id: str
    entity_id: str
    entity: bytes
    head: Head
    scope: Scope


class Use(NamedTuple):
    """What is asked."""

    env: str
    feature: Feature
    whom: Whom
    units: int

    @property
    def plain(self) -> PlainUse:
        """What the engine needs to answer."""
        record, whom = self.feature.record, self.whom
        return PlainUse(self.env, whom.customer_id, whom.entity_id, record, self.units)


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
        self._engine, self._catalog, self._scripts, self._clock, self._backlog, self._packer = parts
        self._agenda = self._engine.planner.agenda
        self._longer = longer
        self._features: dict[tuple[str, str], Feature | None] = {}
        self._known: dict[tuple[str, str, str, str | None], Whom] = {}
        self._snapshot: Snapshot | None = None
        self._encode = msgspec.json.Encoder().encode
        self._decode_check = msgspec.json.Decoder(PlainCheck).decode
        self._decode_track = msgspec.json.Decoder(PlainTrack).decode

    async def answer(
        self, operation: Operation, method: str, query: bytes, headers: Headers, read_body: ReadBody
    ) -> Reply:
        """Return the answer to one request, plain or not."""
        if not operation.hot or method != "POST" or query:
            return await self._longer.answer(operation, method, query, headers, read_body)
        longer = partial(self._longer.answer, operation, method, query, headers)
        if self._admitted(headers) is None:
            return await longer(read_body)
        try:
            body = await read_body()
        except GatewayError as error:
            return await longer(partial(_raise, error))
        reply = await Ask(partial(self._ask, operation, headers, body))
        if isinstance(reply, Reply):
            return reply
        TICKET.set(reply)
        return await longer(partial(_return, body))

    def _ask(
        self,
        operation: Operation,
        headers: Headers,
        body: bytes,
        receiver: Callable[[Any], None],
    ) -> None:
        def done(reply: Reply | None, _: BaseException | None) -> None:
            receiver(reply)

        def otherwise() -> None:
            receiver(TICKET.get())  # whoever waits has a context of its own

        self.begin(operation, headers, body, done, otherwise)

    def begin(
        self,
        operation: Operation,
        headers: Headers,
        body: bytes,
        done: Done,
        otherwise: Callable[[], Any],
    ) -> None:
        """Answer a POST without a query: ``done`` gets the reply, later; or, when the call is not
        plain, ``otherwise`` is called, now or later.
        """
        began = perf_counter()
        admitted = self._admitted(headers)
        if admitted is None or self._backlog.is_full:
            otherwise()
            return
        principal, request_id = admitted
        told = (operation.name, principal.env, request_id, began)
        tell = partial(self._tell, done, otherwise, told)
        ask = self._check if operation.name == "balances.check" else self._track
        try:
            is_asked = ask(principal, request_id, body, tell)
        except (msgspec.DecodeError, InvalidInputsError, RecursionError, UnicodeDecodeError):
            is_asked = False  # the longer way says what is wrong with it
        if not is_asked:
            otherwise()

    def _admitted(self, headers: Headers) -> tuple[Principal, bytes] | None:
        """Return who asks and the request id of a call whose headers are plain."""
        authorization = version = given_id = None
        for name, value in headers:
            if name == b"authorization":
                authorization = value
            elif name == b"x-api-version":
                version = value
            elif name == b"x-request-id":
                given_id = value
            elif name in _LONGER:
                return None
        if authorization is None or not is_known(version):
            return None
        principal = self._catalog.known(authorization)
        if principal is None:
            return None
        return principal, request_id_of(given_id).encode()

    def _check(
        self, principal: Principal, request_id: bytes, body: bytes, tell: Callable[..., None]
    ) -> bool:
        del request_id  # of a check nothing is kept
        asked = self._decode_check(body)
        use = self._use(principal, asked, asked.required_balance)
        if use is None:
            return False
        now_ms = self._clock.now_ms(use.env)
        whom = use.whom
        command = check_command(whom.head, now_ms, whom.entity, use.feature.name, use.units)
        return self._scripts.begin(command, partial(tell, partial(self._checked, use, now_ms)))

    def _track(
        self, principal: Principal, request_id: bytes, body: bytes, tell: Callable[..., None]
    ) -> bool:
        asked = self._decode_track(body)
        properties = _properties(asked.properties)
        use = self._use(principal, asked, asked.value)
        if use is None or properties is None:
            return False
        now_ms = self._clock.now_ms(use.env)
        whom = use.whom
        told = (request_id, now_ms, whom.entity, properties)
        command = track_command(whom.head, told, use.feature.name, use.units)
        return self._scripts.begin(command, partial(tell, partial(self._tracked, use, now_ms)))

    def _use(
        self, principal: Principal, asked: PlainCheck | PlainTrack, amount: msgspec.Raw
    ) -> Use | None:
        env = principal.env
        feature = self._feature(env, asked.feature_id)
        if feature is None or (self._agenda.known and self._is_due(env, asked.customer_id)):
            return None
        key_id = principal.key_id if self._packer.is_by_key else ""
        key = (env, key_id, asked.customer_id, asked.entity_id)
        whom = self._known.get(key) or self._meet(*key)
        return Use(env, feature, whom, _units(bytes(amount), feature))

    def _meet(self, env: str, key_id: str, customer_id: str, entity_id: str | None) -> Whom:
        """Remember a customer or an entity; its ids must be such."""
        head = self._packer.known(env, customer_id, key_id)
        if head is None:
            shapes.customer_id(customer_id)
            head = self._packer.head(env, customer_id, key_id)
        scope = Scope(b'"%b"' % customer_id.encode())
        if entity_id is not None:
            shapes.text_id(entity_id, "entity_id")
            scope = Scope(scope.customer, self._encode(entity_id))
        whom = Whom(customer_id, entity_id or "", (entity_id or "").encode(), head, scope)
        if len(self._known) >= WHOM_MAX:
            self._known = {}
        self._known[env, key_id, customer_id, entity_id] = whom
        return whom

    def _is_due(self, env: str, customer_id: str) -> bool:
        """Whether a plan of the customer is to begin or end before anything else is decided."""
        return bool(self._agenda.due(env, customer_id, self._clock.now_ms(env)))

    def _feature(self, env: str, feature_id: str) -> Feature | None:
        snapshot = self._catalog.snapshot
        if snapshot is not self._snapshot:
            self._snapshot, self._features = snapshot, {}
        try:
            return self._features[env, feature_id]
        except KeyError:
            record = self._catalog.find_feature(env, feature_id)
        if record is None:
            return None
        made = self._features[env, feature_id] = self._made(record)
        return made

    def _made(self, record: FeatureRecord) -> Feature | None:
        if (
            record.type == "boolean"
            or not record.in_use
            or self._catalog.pools(record)
            or self._engine.policy_of(record) is Policy.LAST_KNOWN  # whose answers are remembered
        ):
            return None
        pieces = Pieces(record.id, record.precision)
        return Feature(record, record.id.encode(), 10**record.precision, pieces)

    def _checked(self, use: Use, now_ms: int, reply: Any) -> Reply | None:  # noqa: ANN401 - a reply or a fault
        if isinstance(reply, Exception):
            return self._failed_check(use, reply)
        self._scripts.heard()
        if isinstance(reply, int):  # a status alone: it was not carried out
            return None
        told = reply.split(b"\x01")
        body = use.feature.pieces.checked(use.whom.scope, told, now_ms)
        if body is None:
            body = self._encode(self._engine.shown_check(use.plain, check_reply(reply), now_ms))
        if told[1] != b"1":
            self._engine.denials.count(
                use.env, use.whom.customer_id, use.feature.record.id, "check"
            )
        return Reply(200, body, (JSON,))

    def _failed_check(self, use: Use, fault: Exception) -> Reply | None:
        error = self._scripts.outcome(fault, changes=False)
        if error is None:
            return None
        if not isinstance(error, UnavailableError):
            return error_reply(error, use.env)
        stand_in = self._engine.stand_in(use.plain, error)
        status = 202 if stand_in.policy is Policy.OPEN else 200
        headers = (JSON, (DEGRADED, stand_in.missing.encode()))
        return Reply(status, self._encode(stand_in.response), headers)

    def _tracked(self, use: Use, now_ms: int, reply: Any) -> Reply | None:  # noqa: ANN401 - as above
        if isinstance(reply, Exception):
            error = self._scripts.outcome(reply, changes=True)
            return None if error is None else error_reply(error, use.env)
        self._scripts.heard()
        if isinstance(reply, int):
            return None
        told = reply.split(b"\x01")
        body = use.feature.pieces.tracked(use.whom.scope, use.units, told, now_ms)
        if body is None:
            body = self._encode(self._engine.shown_track(use.plain, track_reply(reply), now_ms))
        return Reply(200, body, (JSON,))

    def _tell(
        self,
        done: Done,
        otherwise: Callable[[], Any],
        told: Told,
        answer: Callable[[Any], Reply | None],
        reply: Any,  # noqa: ANN401 - as above
    ) -> None:
        name, env, request_id, began = told
        try:
            answered = answer(reply)
        except Exception:
            log.exception("request %s: %s failed", request_id.decode(), name)
            answered = error_reply(GatewayError(), env)
        if answered is None:
            otherwise()
            return
        status, body, headers = answered
        self._longer.note(name, status, began)
        done(Reply(status, body, (*headers, (b"x-request-id", request_id))), None)


def _units(amount: bytes, feature: Feature) -> int:
    """Return the units of an amount. Raises ``InvalidInputsError``."""
    if amount.isdigit() and len(amount) < _DIGITS_MAX:  # Python reads no number of 4,301 digits
        units = int(amount) * feature.one
        if units <= UNITS_MAX:
            return units
    elif amount in (b"", b"null"):
        return feature.one
    return parse_units(amount, feature.record.precision, field="value")


def _properties(sent: msgspec.Raw) -> bytes | None:
    """Return properties as the script takes them; None when they need a closer look."""
    if not given(sent):
        return b"{}"
    properties = bytes(shapes.properties(sent))
    return properties if properties.isascii() and _NULL not in properties else None


async def _return(body: bytes) -> bytes:
    return body


async def _raise(error: GatewayError) -> bytes:
    raise error
