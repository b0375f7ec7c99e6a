r"""The outbox entry: the contract between the scripts that write it and the writer that carries it
to SQL.

An entry is one stream field ``e`` whose value is lines of tab-separated columns. The first line is
the header, the others are changes; free text (JSON) is always the last column. It holds the state
*after* the change as well as the difference, so SQL can be rebuilt from entries alone::

    kind env customer_id internal_id seq at_ms request_id         the header
    E feature_id event_name entity_id value applied timestamp_ms properties     a usage event
    D feature_id balance_id entity_id period delta used total     units moved
    R feature_id balance_id entity_id period due_ms               the row was reset; its used is 0
    B feature_id entity_id used period due_ms row                 a row was added
    U feature_id entity_id due_ms row             the text of the row, or its next reset, is another
    G feature_id balance_id                                       a row ended
    W feature_id entity_id key end_ms used        a usage window: units used until end_ms, if any
    L lock_id feature_id entity_id state at_ms units receipt      a lock was made, or ended
    A kind feature_id entity_id body                              an alert, for whoever listens
    S entity_id document                                          a subscription, whole
    C document                                                    the customer document, whole
    X                                                             the customer was deleted
    N entity_id number feature_id document                        the entity document, whole
    Z entity_id                                                   the entity was deleted
    Q env customer_id feature_id operation day_ms denied          calls answered with no in a day

An entry of kind ``denials`` has ``Q`` lines alone, of any customers of the partition; what its
header says of a customer is empty and 0. ``day_ms`` is midnight in UTC.

``seq`` counts the changes of the customer. ``total`` is used of the whole row, over all its slots;
``row`` is a line of ``gateway.rows``. A ``D`` belongs to the ``E`` before it even if its feature is
another one: the credit system that paid.

``key`` names one usage window of a feature: empty for the one without a filter. Of a lock that is
open ``at_ms`` is when it expires and ``units`` what it holds; of one that has ended, when it ended
and what was used of it. ``receipt``, of an open one, is the text it has in Redis, what each row
gave, with ``LINE_END`` for each of its line ends; ``last_number`` is that of the newest entity
there was::

    customer_id feature_id entity_id units expires_ms last_number internal_id properties
    feature_id balance_id entity_id period delta covered      each row, in the order of the moves
    (empty) feature_id entity_id key end_ms units             each usage window that it raised

Amounts are units of 10^-precision of their feature; times are Unix milliseconds. ``entity_id`` is
empty for what the customer holds. In ``D`` the entity is the slot of a per-entity row or the owner
of an entity-held row.

Failure: an entry that does not parse raises ``OutboxError`` and nothing else; the writer moves it
to the dead letters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

from gateway.errors import GatewayError

FIELD = b"e"
"""The one field of a stream entry."""

LINE_END = "\x1f"
"""Stands for a line end inside the receipt of a lock, which is text of several lines."""


class OutboxError(GatewayError):
    """The outbox entry does not follow the contract."""


class EntryKind(StrEnum):
    """Which operation wrote the entry."""

    TRACK = "track"
    CUSTOMER = "customer"
    CUSTOMER_DELETE = "customer_delete"
    ENTITY = "entity"
    ENTITY_DELETE = "entity_delete"
    PLAN = "plan"
    RESET = "reset"
    BALANCE = "balance"
    LOCK = "lock"
    DENIALS = "denials"


class LockState(StrEnum):
    """What became of a lock."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    EXPIRED = "expired"


class AlertKind(StrEnum):
    """What an alert tells."""

    LIMIT_REACHED = "limit_reached"
    USAGE_ALERT_TRIGGERED = "usage_alert_triggered"


class Event(NamedTuple):
    """A usage event. ``value`` is what was asked for, ``applied`` what moved."""

    feature_id: str
    event_name: str
    entity_id: str
    value: int
    applied: int
    timestamp_ms: int
    properties: str


class Deduction(NamedTuple):
    """Units moved on one slot: ``delta`` > 0 is consumed, < 0 given back; ``used`` is the slot
    after the move.
    """

    feature_id: str
    balance_id: str
    entity_id: str
    period: int
    delta: int
    used: int
    total: int


class Reset(NamedTuple):
    """A row began a new period."""

    feature_id: str
    balance_id: str
    entity_id: str
    period: int
    due_ms: int


class RowAdded(NamedTuple):
    """A row exists from now on; ``row`` is its line as written by ``gateway.rows``."""

    feature_id: str
    entity_id: str
    used: int
    period: int
    due_ms: int
    row: str


class RowUpdated(NamedTuple):
    """The text of a row, or when it resets next, is another; what was used of it stays."""

    feature_id: str
    entity_id: str
    due_ms: int
    row: str


class RowEnded(NamedTuple):
    """A row exists no longer."""

    feature_id: str
    balance_id: str


class WindowSet(NamedTuple):
    """A usage window after the change; ``entity_id`` is empty for the customer's."""

    feature_id: str
    entity_id: str
    key: str
    end_ms: int
    used: int


class LockSet(NamedTuple):
    """A lock after the change; ``receipt`` has its lines again and is empty unless it is open."""

    lock_id: str
    feature_id: str
    entity_id: str
    state: LockState
    at_ms: int
    units: int
    receipt: str


class AlertRaised(NamedTuple):
    """Something a customer wants to be told of; ``body`` is JSON."""

    kind: AlertKind
    feature_id: str
    entity_id: str
    body: str


class SubscriptionSet(NamedTuple):
    """A subscription, whole, as JSON."""

    entity_id: str
    document: str


class CustomerSet(NamedTuple):
    """The customer document, whole, as JSON."""

    document: str


class CustomerDeleted(NamedTuple):
    """The customer and all it held are gone."""


class EntitySet(NamedTuple):
    """The entity document, whole, as JSON; ``number`` is its place in creation order."""

    entity_id: str
    number: int
    feature_id: str
    document: str


class EntityDeleted(NamedTuple):
    """The entity and all it held are gone."""

    entity_id: str


class Denied(NamedTuple):
    """How often an operation (check or track) on a feature was answered with no."""

    env: str
    customer_id: str
    feature_id: str
    operation: str
    day_ms: int
    denied: int


Change = (
    Event
    | Deduction
    | Reset
    | RowAdded
    | RowUpdated
    | RowEnded
    | WindowSet
    | LockSet
    | AlertRaised
    | SubscriptionSet
    | CustomerSet
    | CustomerDeleted
    | EntitySet
    | EntityDeleted
    | Denied
)


class Entry(NamedTuple):
    """One outbox entry, decoded."""

    partition: int
    stream_id: str
    kind: EntryKind
    env: str
    customer_id: str
    internal_id: str
    seq: int
    at_ms: int
    request_id: str
    changes: list[Change]


# A line is cut once, and its letter stays in front of its columns. Made by hand, a NamedTuple costs
# half of what its constructor does, and there are several in every entry the writer carries.
_new = tuple.__new__


def _event(cut: list[str]) -> Event:
    _, feature_id, name, entity_id, value, applied, at_ms, properties = cut
    columns = (feature_id, name, entity_id, int(value), int(applied), int(at_ms), properties)
    return _new(Event, columns)


def _deduction(cut: list[str]) -> Deduction:
    _, feature_id, balance_id, entity_id, period, delta, used, total = cut
    columns = (feature_id, balance_id, entity_id, int(period), int(delta), int(used), int(total))
    return _new(Deduction, columns)


def _reset(cut: list[str]) -> Reset:
    return Reset(cut[1], cut[2], cut[3], int(cut[4]), int(cut[5]))


def _row_added(cut: list[str]) -> RowAdded:
    return RowAdded(cut[1], cut[2], int(cut[3]), int(cut[4]), int(cut[5]), cut[6])


def _row_updated(cut: list[str]) -> RowUpdated:
    return RowUpdated(cut[1], cut[2], int(cut[3]), cut[4])


def _window(cut: list[str]) -> WindowSet:
    return WindowSet(cut[1], cut[2], cut[3], int(cut[4]), int(cut[5]))


def _lock(cut: list[str]) -> LockSet:
    _, lock_id, feature_id, entity_id, state, at_ms, units, receipt = cut
    lines = receipt.replace(LINE_END, "\n")
    return LockSet(lock_id, feature_id, entity_id, LockState(state), int(at_ms), int(units), lines)


def _alert(cut: list[str]) -> AlertRaised:
    return AlertRaised(AlertKind(cut[1]), *cut[2:])


def _denied(cut: list[str]) -> Denied:
    return Denied(cut[1], cut[2], cut[3], cut[4], int(cut[5]), int(cut[6]))


_PARSERS: dict[str, tuple[int, Callable[[list[str]], Change]]] = {
    "E": (7, _event),
    "D": (7, _deduction),
    "R": (5, _reset),
    "B": (6, _row_added),
    "U": (4, _row_updated),
    "G": (2, lambda cut: RowEnded(cut[1], cut[2])),
    "W": (5, _window),
    "L": (7, _lock),
    "A": (4, _alert),
    "S": (2, lambda cut: SubscriptionSet(cut[1], cut[2])),
    "C": (1, lambda cut: CustomerSet(cut[1])),
    "X": (0, lambda _: CustomerDeleted()),
    "N": (4, lambda cut: EntitySet(cut[1], int(cut[2]), cut[3], cut[4])),
    "Z": (1, lambda cut: EntityDeleted(cut[1])),
    "Q": (6, _denied),
}
_KINDS = {str(kind): kind for kind in EntryKind}


def decode(partition: int, stream_id: str, payload: bytes) -> Entry:
    """Return the entry of a payload. Raises ``OutboxError`` for anything that does not follow
    the contract.
    """
    try:
        head, *lines = payload.decode().split("\n")
        kind, env, customer_id, internal_id, seq, at_ms, request_id = head.split("\t")
        place = (
            customer_id,
            internal_id,
            int(seq),
            int(at_ms),
            request_id,
            [_change(line) for line in lines],
        )
        return _new(Entry, (partition, stream_id, _KINDS[kind], env, *place))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise OutboxError(
            f"outbox entry {stream_id} of partition {partition} is not readable: {error}"
        ) from error


def _change(line: str) -> Change:
    letter = line[0]
    columns, parse = _PARSERS[letter]
    cut = line.split("\t", columns)
    if len(cut) <= columns or cut[0] != letter:
        raise ValueError(f"{letter} has {len(cut) - 1} columns, not {columns}")
    return parse(cut)


def join(letter: str, *columns: str | int) -> str:
    """Return one change line; only the last column may hold free text."""
    return "\t".join((letter, *map(str, columns)))


def customer_of(payload: bytes) -> tuple[str, str]:
    """Return (env, customer_id) of a payload without decoding the rest."""
    header: Sequence[str] = payload.split(b"\n", 1)[0].decode().split("\t")
    return header[1], header[2]
