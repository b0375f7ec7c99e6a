"""What the scripts are asked and what they answer, typed; texts as ``gateway.rows`` and
``gateway.lifecycle.rules`` define them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import NamedTuple

from gateway.keys import CustomerKeys, Key


class Status(IntEnum):
    """First integer of every reply; the meaning of each is in the header of the script that returns
    it.
    """

    DONE = 1
    CUSTOMER_MISSING = 2
    ENTITY_MISSING = 3
    DENIED = 4
    DUE = 5
    EXISTS = 6
    STALE = 7
    BUSY = 8
    OUT_OF_RANGE = 9
    CAPPED = 10
    LOCK_EXISTS = 11
    LOCK_MISSING = 12
    REPLAYED = 13
    MISMATCH = 14
    FENCED = 15
    LIMITED = 16
    UNSTAGED = 17

    @property
    def status(self) -> Status:
        """Itself: the reply of a script that says nothing else."""
        return self


class Description(NamedTuple):
    """A feature as ``describe_feature`` returns it; texts as ``gateway.rows`` defines them."""

    feature: str
    rows: str
    live: str
    held: str
    counts: str
    own_rows: str
    own_live: str
    slots: str
    rules: str = ""
    extras: str = ""
    own_rules: str = ""
    own_extras: str = ""
    rolled: str = ""

    @property
    def granted(self) -> bool:
        """Whether any row of the feature exists here."""
        return bool(self.rows or self.own_rows or self.held or self.rolled)


class CheckReply(NamedTuple):
    """Reply of ``check``; one description for each pool, ``answering`` is the place of the one
    whose balance answers and ``required`` the amount in its units.
    """

    status: Status
    allowed: bool = False
    answering: int = 0
    required: int = 0
    descriptions: Sequence[Description] = ()
    explanation: Sequence[str] = ()


class Move(NamedTuple):
    """Units one row gave (positive) or got back, with its feature, line and next reset."""

    feature: str
    line: str
    delta: int
    due_ms: int


class TrackReply(NamedTuple):
    """Reply of ``track``, for each part: units applied, the state each pool is left in, moves."""

    status: Status
    applied: list[int]
    descriptions: list[list[Description]]
    moves: list[list[Move]]


GAVE_ALL = b"="
"""What a reply says of moves when the one row it describes gave all that was applied."""


class Pool(NamedTuple):
    """A credit system that pays for a feature: ``num`` units of it for ``den`` of the feature."""

    feature: str
    num: int
    den: int


class Part(NamedTuple):
    """One feature a use names, the units of it, and the credit systems that pay for it too."""

    feature: str
    amount: int
    pools: Sequence[Pool] = ()

    @property
    def values(self) -> tuple[str | int, ...]:
        """The arguments ``read_parts`` reads."""
        flat = (value for pool in self.pools for value in pool)
        return (self.feature, self.amount, len(self.pools), *flat)


class Hold(NamedTuple):
    """A lock a use asks for; one of a check is refused where nothing is held of the feature."""

    lock_id: str
    expires_ms: int
    of_check: bool = False

    @property
    def text(self) -> str:
        """As ``include/read_manner`` reads it."""
        return f"{self.lock_id}\t{self.expires_ms}" + ("\t" if self.of_check else "")


class HoldDue(NamedTuple):
    """A hold that ends, or whose end is to be forgotten."""

    env: str
    customer_id: str
    lock_id: str
    expires_ms: int


class Ending(NamedTuple):
    """How a lock ends: action confirm, release, expire or forget; ``final`` units to confirm, None
    for those that were held; ``keep_ms`` how long its end is remembered.
    """

    lock_id: str
    action: str
    keep_ms: int
    final: int | None = None
    properties: str = ""


class Idempotency(NamedTuple):
    """Where the reply of a call is kept, what identifies the call, and for how long."""

    key: Key
    fingerprint: str
    keep_ms: int


class Use(NamedTuple):
    """What ``track`` applies. ``mode`` is cap, reject or overflow; ``properties`` JSON."""

    entity: str
    parts: Sequence[Part]
    timestamp_ms: int
    mode: str = "cap"
    event_name: str = ""
    properties: str = "{}"
    dry: bool = False
    hold: Hold | None = None
    idempotency: Idempotency | None = None

    @property
    def manner_words(self) -> tuple[str, str, int]:
        """What stands in its manner before and behind the time, and behind what identifies it."""
        held = self.hold.text if self.hold else ""
        keep_ms = self.idempotency.keep_ms if self.idempotency else 0
        before = f"{self.mode}\1{self.event_name}\1"
        return before, f"\1{'1' if self.dry else ''}\1{held}\1", keep_ms

    def manner(self, now_ms: int) -> str:
        """Return in which manner it is recorded, as ``include/read_manner`` reads it."""
        said = (self.mode, self.event_name, self.dry, self.hold, self.idempotency)
        if self.timestamp_ms == now_ms and said == ("cap", "", False, None, None):
            return ""
        before, after, keep_ms = self.manner_words
        call = self.idempotency.fingerprint if self.idempotency else ""
        return f"{before}{self.timestamp_ms}{after}{call}\1{keep_ms}"


class CustomerReply(NamedTuple):
    """Reply of ``read_customer``."""

    status: Status
    internal_id: str = ""
    revision: str = ""
    document: str = ""
    subscriptions: str = ""
    entity: str = ""
    descriptions: Sequence[Description] = ()


class FeatureRows(NamedTuple):
    """New rows of one feature: their text, their resets in order (of a row that stays ``=`` and the
    next one where that moves), and what one entity of the feature counts for.
    """

    feature: str
    rows: str
    dues: str
    unit: int


class PooledGroups(NamedTuple):
    """What a change of an entity makes of the rows of its customer."""

    rules: str = ""
    """The rules of the customer they change."""
    rows: Sequence[FeatureRows] = ()


NOTHING_POOLED = PooledGroups()


class Target(StrEnum):
    """What ``adjust_balance`` makes of what is left or used."""

    NONE = ""
    REMAINING = "remaining"
    """So much is left."""
    USAGE = "usage"
    """So much is used."""
    ADD = "add"
    """So much more is left."""
    CARRY = "carry"
    """What was used of the rows that end is taken from those that stay."""


class RowEdit(NamedTuple):
    """Another line for one row (empty: the row ends) and its next reset (empty: as it was)."""

    row_id: str
    due_ms: str
    line: str


class Context(NamedTuple):
    """What every change says of itself: who it is about, which request, what time."""

    keys: CustomerKeys
    env: str
    customer_id: str
    request_id: str
    now_ms: int

    @property
    def head(self) -> str:
        """The first argument of every changing script."""
        return f"{self.env}\t{self.customer_id}"

    @property
    def words(self) -> tuple[str, str, int]:
        """The first arguments of every script a request changes a customer with."""
        return self.head, self.request_id, self.now_ms


def track_words(context: Context, use: Use) -> tuple[tuple[Key, ...], tuple[str | int, ...]]:
    """Return the keys and the values ``track`` is asked with."""
    keys: tuple[Key, ...] = context.keys if use.hold or use.idempotency else context.keys.own
    if use.idempotency:
        keys = (*keys, use.idempotency.key)
    values = (
        context.head,
        context.request_id,
        context.now_ms,
        use.entity,
        use.properties,
        use.manner(context.now_ms),
        *(value for part in use.parts for value in part.values),
    )
    return keys, values


def description_of(text: bytes) -> Description:
    return Description(*text.decode().split("\x04"))


def check_reply(reply: bytes | int) -> CheckReply:
    """Return what ``check`` said, a text as ``pack_reply`` writes it or a status alone."""
    if isinstance(reply, int):
        return CheckReply(Status(reply))
    status, allowed, answering, required, described, explained = reply.split(b"\x01")
    return CheckReply(
        Status(int(status)),
        allowed == b"1",
        int(answering) - 1,
        int(required),
        [description_of(text) for text in described.split(b"\x02")],
        explained.decode().split("\x02") if explained else [],
    )


def track_reply(reply: bytes | int) -> TrackReply:
    """Return what ``track`` said, as above; a reply that is replayed is whole but for its status,
    REPLAYED.
    """
    if isinstance(reply, int):
        return TrackReply(Status(reply), [], [], [])
    status, applied, described, moved = reply.split(b"\x01")
    if moved == GAVE_ALL:
        lone = description_of(described)
        line, due = lone_row(described)
        move = Move(lone.feature, line.decode(), int(applied), int(due))
        return TrackReply(Status(int(status)), [int(applied)], [[lone]], [[move]])
    return TrackReply(
        Status(int(status)),
        [int(units) for units in applied.split(b"\x02") if units],
        [
            [description_of(pool) for pool in part.split(b"\x03")]
            for part in described.split(b"\x02")
        ],
        [
            [_move_of(move) for move in part.split(b"\x03") if move]
            for part in moved.split(b"\x02")
            if applied
        ],
    )


def lone_row(described: bytes) -> tuple[bytes, bytes]:
    """Return the line and the next reset of the row that a description shows alone."""
    _, text, live, _, _, own_text, own_live, *_ = described.split(b"\x04")
    return text or own_text, (live if text else own_live).split()[4]


def _move_of(text: bytes) -> Move:
    feature, line, delta, due = text.decode().split("\x04")
    return Move(feature, line, int(delta), int(due))
