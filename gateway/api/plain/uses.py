"""What plain calls ask for, read from their bodies and remembered by them.

A backend asks the same again and again: may this customer use that feature. So what was made of a
body, down to the parts of its command, is kept for the next call with the same bytes, for as long
as the catalog stays what it is.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gateway.amounts import UNITS_MAX, parse_units
from gateway.api.access import Note
from gateway.api.plain.forms import Forms, Scope
from gateway.api.plain.pieces import Memory, Pieces
from gateway.api.plain.repeats import Repeat
from gateway.api.resources import shapes
from gateway.engine.catalog import Catalog
from gateway.engine.engine import Engine
from gateway.engine.outage import Policy
from gateway.engine.principals import Principal
from gateway.engine.snapshot import Snapshot
from gateway.engine.verdicts import PlainUse
from gateway.errors import InvalidInputsError
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


class PlainCheck(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A ``CheckRequest`` with any other field, or that asks for one of the last two, is not
    plain.
    """

    customer_id: str
    feature_id: str
    entity_id: str | None = None
    required_balance: Number = ABSENT
    send_event: bool | None = None
    with_preview: bool | None = None


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
    one: int
    """Units of the amount 1."""
    pieces: Pieces
    pools: tuple[Pool, ...]
    """Credit systems that pay for it."""

    @property
    def is_single(self) -> bool:
        """Whether an answer shows one balance, which pieces know to write."""
        return not self.pools and self.record.type != "boolean"


class Whom(NamedTuple):
    """A customer, or one of its entities, ready to be sent and shown."""

    customer_id: str
    entity_id: str
    entity: bytes
    head: Head
    scope: Scope


class Use(msgspec.Struct, gc=False):
    """What is asked, ready to be sent and shown."""

    plain: PlainUse
    """As the engine takes it."""
    command: Command
    pieces: Pieces
    scope: Scope
    is_single: bool
    """Whether the feature is."""
    repeat: Repeat | None = None
    """What its last answer has in common with the next one, where that is known."""
    reply: bytes | None = None
    """The last reply to a check whose answer holds at any time; as long as nothing is used it comes
    again.
    """
    answer: bytes = b""
    """What that reply was answered with; empty before the first."""

    def keep(self, reply: bytes, answer: bytes) -> None:
        """Remember an answer that a check is given whenever the reply is this one."""
        if len(reply) + len(answer) <= ANSWER_BYTES_MAX:
            self.reply, self.answer = reply, answer


class Asking(msgspec.Struct, kw_only=True):
    """What the head of a plain call says, made once for all calls with the same head."""

    name: str
    """Of the operation."""
    is_check: bool
    authorization: bytes
    request_id: bytes
    """The caller's own; empty, each call gets a new one."""
    note: Note
    """Notes an answer."""
    forms: Forms
    """Of the version asked for."""
    principal: Principal | None = None
    """Whose key it was at the last call."""
    uses: dict[bytes, Use] = {}
    """What that key has asked for, by body."""


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
        self._uses: dict[tuple[bool, Forms, str, str], dict[bytes, Use]] = {}
        self._count = 0
        self._encode = msgspec.json.Encoder().encode
        self._decode_check = msgspec.json.Decoder(PlainCheck).decode
        self._decode_track = msgspec.json.Decoder(PlainTrack).decode

    def meet(self, asking: Asking, principal: Principal) -> None:
        """Have a head ask for a principal, which is another object whenever the catalog changed."""
        if self._catalog.snapshot is not self._snapshot:
            self._snapshot, self._features = self._catalog.snapshot, {}
            self._memory = Memory()
            self._forget()
        whose = (asking.is_check, asking.forms, principal.env, self._key_id(principal))
        asking.principal, asking.uses = principal, self._uses.setdefault(whose, {})

    def read(self, asking: Asking, principal: Principal, body: bytes) -> Use | None:
        """Return what a body asks for; None when that is not plain."""
        try:
            use = self._read(asking, principal, body)
        except (msgspec.DecodeError, InvalidInputsError, RecursionError, UnicodeDecodeError):
            return None  # the longer way says what is wrong with it
        if use is not None and len(body) <= BODY_BYTES_MAX:
            if self._count >= USES_MAX:
                self._forget()
            self._count += 1
            asking.uses[body] = use
        return use

    def _forget(self) -> None:
        for uses in self._uses.values():
            uses.clear()
        self._count = 0

    def _key_id(self, principal: Principal) -> str:
        return principal.key_id if self._packer.is_by_key else ""

    def _read(self, asking: Asking, principal: Principal, body: bytes) -> Use | None:
        if asking.is_check:
            check = self._decode_check(body)
            if check.send_event or check.with_preview:
                return None
            return self._use(principal, check, check.required_balance, None, asking.forms)
        track = self._decode_track(body)
        properties = _properties(track.properties)
        if properties is None:
            return None
        return self._use(principal, track, track.value, properties, asking.forms)

    def _use(
        self,
        principal: Principal,
        asked: PlainCheck | PlainTrack,
        amount: msgspec.Raw,
        properties: bytes | None,
        forms: Forms,
    ) -> Use | None:
        """Return what a body asks for; a check has no properties."""
        env = principal.env
        feature = self._feature(env, asked.feature_id, forms)
        if feature is None or (properties is not None and feature.record.type == "boolean"):
            return None
        key = (env, self._key_id(principal), asked.customer_id, asked.entity_id)
        whom = self._known.get(key) or self._meet(*key)
        units = _units(bytes(amount), feature)
        part = Part(feature.record.id, units, feature.pools)
        if properties is None:
            command = check_of(whom.head, whom.entity, part)
        else:
            command = track_of(whom.head, whom.entity, properties, part)
        plain = PlainUse(
            env, whom.customer_id, whom.entity_id, feature.record, units, feature.pools
        )
        return Use(plain, command, feature.pieces, whom.scope, feature.is_single)

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
        pieces = Pieces(record.id, record.precision, self._memory, forms)
        return Feature(record, 10**record.precision, pieces, pools)


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
