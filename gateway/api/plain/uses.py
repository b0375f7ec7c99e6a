"""What plain calls ask for, read from their bodies and remembered by them.

A backend asks the same again and again: may this customer use that feature. So what was made of a
body, down to the parts of its command, is kept for the next call with the same bytes, for as long
as the catalog stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from gateway.amounts import UNITS_MAX, parse_units
from gateway.api.access import Note
from gateway.api.decoding import decode_body
from gateway.api.operation import Call, Operation
from gateway.api.plain.forms import Forms, Scope
from gateway.api.plain.manners import Around, Manner, around_key, said_around
from gateway.api.plain.pieces import Memory, Pieces
from gateway.api.plain.pooled import Pooled
from gateway.api.plain.repeats import Repeat
from gateway.api.resources import shapes
from gateway.api.resources.balances import spends
from gateway.engine.catalog import Catalog
from gateway.engine.engine import Engine
from gateway.engine.outage import Policy
from gateway.engine.principals import Principal
from gateway.engine.snapshot import Snapshot
from gateway.engine.spending import Spending, properties_of
from gateway.engine.verdicts import PlainUse
from gateway.errors import GatewayError
from gateway.messages.balances import CheckRequest, TrackRequest
from gateway.messages.common import ABSENT, Json, Number, given
from gateway.ports import FeatureRecord
from gateway.scripts import Part, Pool
from gateway.scripts.packed import Command, Head, Packer, check_of, track_of

WHOM_MAX = 20_000
"""Customers and entities remembered, about 1 KiB each; beyond it the memory starts anew."""

USES_MAX = 20_000
BODY_BYTES_MAX = 256
ANSWER_BYTES_MAX = 2_048
"""Bodies remembered, 2 to 4.5 KiB each with what their answers have in common, and how long one
may be, and a reply with its answer; beyond the first as above.
"""

_DIGITS_MAX = len(str(UNITS_MAX))
_NULL = b"\\u0000"
_NO_PROPERTIES = b"{}"


class PlainCheck(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A ``CheckRequest`` with any other field, or that asks for one of the last two, asks for more
    than units.
    """

    customer_id: str
    feature_id: str
    entity_id: str | None = None
    required_balance: Number = ABSENT
    send_event: bool | None = None
    with_preview: bool | None = None


class PlainTrack(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A ``TrackRequest`` with any other field asks for more than units."""

    customer_id: str
    feature_id: str
    entity_id: str | None = None
    value: Number = ABSENT
    properties: Json = ABSENT


class Feature(NamedTuple):
    """A feature that plain calls may ask for."""

    record: FeatureRecord
    one: int
    """Units of the amount 1."""
    pieces: Pieces | Pooled
    pools: tuple[Pool, ...]
    """Credit systems that pay for it."""


class Whom(NamedTuple):
    """A customer, or one of its entities, ready to be sent and shown."""

    customer_id: str
    entity_id: str
    entity: bytes
    head: Head
    scope: Scope


Whose = tuple[bool, bool, Forms, str, str]
"""Whether it is a check, and its head has an idempotency key; version, environment and, where that
makes a difference, API key.
"""


class Use(msgspec.Struct, gc=False):
    """What is asked, ready to be sent and shown."""

    plain: PlainUse
    """As the engine takes it."""
    command: Command | Manner
    """What is sent, but for what differs each time."""
    pieces: Pieces | Pooled
    scope: Scope
    repeat: Repeat | Callable[[], Repeat | None] | None = None
    """What its last answer has in common with the next one, where that is known, or what makes it:
    most of what is asked once is not asked again.
    """
    reply: bytes | None = None
    """The last reply to a check whose answer holds at any time; as long as nothing is used it comes
    again.
    """
    answer: bytes = b""
    """What that reply was answered with; empty before the first."""
    denies: bool = False
    """Whether that was no."""

    def keep(self, reply: bytes, answer: bytes, *, denies: bool = False) -> None:
        """Remember an answer that a check is given whenever the reply is this one."""
        if len(reply) + len(answer) <= ANSWER_BYTES_MAX:
            self.reply, self.answer, self.denies = reply, answer, denies


class Asking(msgspec.Struct, kw_only=True):
    """What the head of a plain call says, made once for all calls with the same head."""

    operation: Operation
    """As it is served in the version asked for."""
    is_check: bool
    authorization: bytes
    request_id: bytes
    """The caller's own; empty, each call gets a new one."""
    key: str | None = None
    """The idempotency key of the head it was made of; another one may stand there by now."""
    note: Note
    """Notes an answer."""
    forms: Forms
    """Of the version asked for."""
    principal: Principal | None = None
    """Whose key it was at the last call."""
    uses: dict[bytes, Use] = {}
    """What that key has asked for, by body."""
    keyed: dict[Around, Use] = {}
    """The same, by what stands around the idempotency key of a body."""


class Uses:
    """Those of one application."""

    def __init__(self, engine: Engine, catalog: Catalog, packer: Packer) -> None:
        """Keep what they are read with."""
        self._engine = engine
        self._catalog = catalog
        self._packer = packer
        self._features: dict[tuple[str, str, Forms], Feature | None] = {}
        self._memory = Memory()
        self._known: dict[tuple[str, str, str, str | None], Whom] = {}
        self._snapshot: Snapshot | None = None
        self._uses: dict[Whose, tuple[dict[bytes, Use], dict[Around, Use]]] = {}
        self._count = 0
        self._encode = msgspec.json.Encoder().encode
        self._decode_check = msgspec.json.Decoder(PlainCheck).decode
        self._decode_track = msgspec.json.Decoder(PlainTrack).decode
        self._checks = msgspec.json.Decoder(CheckRequest)
        self._tracks = msgspec.json.Decoder(TrackRequest)

    def meet(self, asking: Asking, principal: Principal) -> None:
        """Have a head ask for a principal, which is another object whenever the catalog changed."""
        if self._catalog.snapshot is not self._snapshot:
            self._snapshot, self._features = self._catalog.snapshot, {}
            self._memory = Memory()
            self._forget()
        is_keyed = asking.key is not None
        whose = (asking.is_check, is_keyed, asking.forms, principal.env, self._key_id(principal))
        asking.principal = principal
        asking.uses, asking.keyed = self._uses.setdefault(whose, ({}, {}))

    def read(
        self, asking: Asking, principal: Principal, body: bytes
    ) -> tuple[Use | None, str | None]:
        """Return what a body asks for, None when that is not plain, and the idempotency key it
        has.
        """
        keyed = None if asking.is_check else around_key(body)
        if keyed is not None and (use := asking.keyed.get(keyed.around)) is not None:
            return use, keyed.key
        try:
            use = self._read(asking, principal, body)
        except (msgspec.DecodeError, GatewayError, RecursionError, UnicodeDecodeError):
            return None, None  # the longer way says what is wrong with it
        if use is None:
            return None, None
        manner = use.command if isinstance(use.command, Manner) else None
        own = manner.key if manner else None
        if len(body) <= BODY_BYTES_MAX and not (manner and manner.is_once):
            self._make_room()
            if own is None:
                asking.uses[body] = use
            elif keyed is not None and keyed.is_sure(own, body):
                asking.keyed[keyed.around] = use
        return use, own

    def _make_room(self) -> None:
        if self._count >= USES_MAX:
            self._forget()
        self._count += 1

    def _forget(self) -> None:
        for uses, keyed in self._uses.values():
            uses.clear()
            keyed.clear()
        self._count = 0

    def _key_id(self, principal: Principal) -> str:
        return principal.key_id if self._packer.is_by_key else ""

    def _read(self, asking: Asking, principal: Principal, body: bytes) -> Use | None:
        try:
            if asking.is_check:
                check = self._decode_check(body)
                if not (check.send_event or check.with_preview):
                    amount = check.required_balance
                    return self._use(asking, principal, check, amount, _NO_PROPERTIES)
            elif asking.key is None:
                track = self._decode_track(body)
                properties = _properties(track.properties)
                if properties is not None:
                    return self._use(asking, principal, track, track.value, properties)
        except msgspec.ValidationError:
            pass  # it asks for more
        return self._read_more(asking, principal, body)

    def _read_more(self, asking: Asking, principal: Principal, body: bytes) -> Use | None:
        """Return what a body asks for, read as the longer way reads it."""
        request: Spending = decode_body(self._checks if asking.is_check else self._tracks, body)
        now_ms = self._engine.clock.now_ms(principal.env)
        call = Call(request_id="", env=principal.env, now_ms=now_ms)
        asking.operation.rule(call, request)
        if isinstance(request, CheckRequest):
            if request.explain or request.with_preview:
                return None
            amount = request.required_balance
            if not spends(request):
                properties = properties_of(request.properties).encode()
                return self._use(asking, principal, request, amount, properties)
            return self._use(asking, principal, request, amount, request)
        if request.dry_run:
            return None
        return self._use(asking, principal, request, request.value, request)

    def _use(
        self,
        asking: Asking,
        principal: Principal,
        asked: PlainCheck | PlainTrack | Spending,
        amount: msgspec.Raw,
        told: bytes | Spending,
    ) -> Use | None:
        """Return what a body asks for; ``told`` are its properties or, in a manner of its own, all
        of it.
        """
        env, is_check = principal.env, asking.is_check and isinstance(told, bytes)
        event = asked.event_name if isinstance(asked, TrackRequest) else None
        feature_id = self._of_event(env, event) if event else asked.feature_id
        feature = self._feature(env, feature_id or "", asking.forms)
        if feature is None or not (is_check or feature.record.type != "boolean"):
            return None
        key = (env, self._key_id(principal), asked.customer_id, asked.entity_id)
        whom = self._known.get(key) or self._meet(*key)
        units = _units(bytes(amount), feature)
        part = Part(feature.record.id, units, feature.pools)
        command: Command | Manner
        if not isinstance(told, bytes):
            by_head = asking.key is not None
            said = said_around(asking.operation.name, told, by_head=by_head)
            command = Manner(told, said, whom.head)
        elif is_check:
            command = check_of(whom.head, whom.entity, told, part)
        else:
            command = track_of(whom.head, whom.entity, told, part)
        plain = PlainUse(
            env, whom.customer_id, whom.entity_id, feature.record, units, feature.pools
        )
        scope = whom.scope._replace(event=self._encode(event)) if event else whom.scope
        return Use(plain, command, feature.pieces, scope)

    def _of_event(self, env: str, event: str) -> str | None:
        """Return the one feature that lists an event; None when there are more, or none."""
        found = self._catalog.snapshot.events.get((env, event), ())
        return found[0].id if len(found) == 1 else None

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

    def _feature(self, env: str, feature_id: str, forms: Forms) -> Feature | None:
        try:
            return self._features[env, feature_id, forms]
        except KeyError:
            record = self._catalog.find_feature(env, feature_id)
        if record is None:
            return None
        made = self._features[env, feature_id, forms] = self._made(record, forms)
        return made

    def _made(self, record: FeatureRecord, forms: Forms) -> Feature | None:
        pools = self._catalog.pools(record)
        systems = [self._catalog.find_feature(record.env, pool.feature) for pool in pools]
        if (
            not all(one is not None and one.in_use for one in (record, *systems))
            or self._engine.policy_of(record) is Policy.LAST_KNOWN  # whose answers are remembered
        ):
            return None
        pieces = [
            Pieces(one.id, one.precision, self._memory, forms) for one in (record, *systems) if one
        ]
        return Feature(record, 10**record.precision, Pooled(pieces) if pools else pieces[0], pools)


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
        return _NO_PROPERTIES
    properties = bytes(shapes.properties(sent))
    return properties if properties.isascii() and _NULL not in properties else None
