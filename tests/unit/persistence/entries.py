"""Outbox entries for tests, built from lines as the scripts write them."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

import msgspec
from sqlalchemy import Engine, select

from gateway.documents import CustomerDocument, EntityDocument, Subscription
from gateway.outbox import LINE_END, Entry, decode, join
from gateway.rows import Kind, Row, RowDocument, encode_row
from persistence import models

BASE_MS = 1_770_000_000_000


class StillClock:
    """Time that does not pass."""

    def now_ms(self) -> int:
        return BASE_MS


def header(
    *,
    kind: str = "track",
    env: str = "sandbox",
    customer_id: str = "acme",
    internal_id: str = "cus_1",
    seq: int = 1,
    at_ms: int = BASE_MS,
    request_id: str = "req_1",
) -> str:
    return "\t".join((kind, env, customer_id, internal_id, str(seq), str(at_ms), request_id))


class Fields(TypedDict, total=False):
    """Columns of the header, by name."""

    kind: str
    env: str
    customer_id: str
    internal_id: str
    seq: int
    at_ms: int
    request_id: str


def payload(*lines: str, **fields: Unpack[Fields]) -> bytes:
    """Return what a script would write to the stream."""
    return "\n".join((header(**fields), *lines)).encode()


class History:
    """A stream of one partition: ids and the seq of each customer rise with every entry."""

    def __init__(self, partition: int = 7) -> None:
        self.partition = partition
        self.entries: list[Entry] = []
        self.payloads: list[bytes] = []
        self._seqs: dict[str, int] = {}

    def add(self, *lines: str, **fields: Unpack[Fields]) -> Entry:
        """Append an entry and return it."""
        internal_id = fields.setdefault("internal_id", "cus_1")
        seq = self._seqs[internal_id] = self._seqs.get(internal_id, 0) + 1
        number = len(self.entries) + 1
        fields.setdefault("seq", seq)
        fields.setdefault("at_ms", BASE_MS + number)
        text = payload(*lines, **fields)
        entry = decode(self.partition, f"{BASE_MS + number}-0", text)
        self.entries.append(entry)
        self.payloads.append(text)
        return entry


def event(
    feature: str = "messages",
    value: int = 1,
    *,
    entity: str = "",
    applied: int | None = None,
    name: str = "",
    timestamp_ms: int = BASE_MS,
    properties: str = "{}",
) -> str:
    moved = value if applied is None else applied
    return join("E", feature, name, entity, value, moved, timestamp_ms, properties)


def deduct(
    balance: str = "bal_1",
    delta: int = 1,
    used: int = 1,
    *,
    total: int | None = None,
    feature: str = "messages",
    entity: str = "",
    period: int = 1,
) -> str:
    return join(
        "D", feature, balance, entity, period, delta, used, used if total is None else total
    )


def reset(
    balance: str = "bal_1",
    period: int = 2,
    due_ms: int = 0,
    *,
    feature: str = "messages",
    entity: str = "",
) -> str:
    return join("R", feature, balance, entity, period, due_ms)


def row(
    balance: str = "bal_1",
    *,
    feature: str = "messages",
    entity: str = "",
    kind: Kind = Kind.SHARED,
    grant: int = 100,
    used: int = 0,
    period: int = 1,
    due_ms: int = 0,
    document: RowDocument | None = None,
    flags: str = "",
) -> str:
    line = _line(balance, kind, grant, document, flags)
    return join("B", feature, entity, used, period, due_ms, line)


def updated(
    balance: str = "bal_1",
    *,
    feature: str = "messages",
    entity: str = "",
    kind: Kind = Kind.SHARED,
    grant: int = 100,
    due_ms: int = 0,
    document: RowDocument | None = None,
    flags: str = "",
) -> str:
    line = _line(balance, kind, grant, document, flags)
    return join("U", feature, entity, due_ms, line)


def _line(balance: str, kind: Kind, grant: int, document: RowDocument | None, flags: str) -> str:
    return encode_row(
        Row(
            id=balance,
            kind=kind,
            grant=grant,
            flags=flags,
            entity_feature="seats" if kind is Kind.PER_ENTITY else "",
            document=document or RowDocument(),
        )
    )


def window(
    used: int, end_ms: int = BASE_MS, *, feature: str = "messages", entity: str = "", key: str = ""
) -> str:
    return join("W", feature, entity, key, end_ms, used)


def lock(
    lock_id: str = "lock_1",
    state: str = "open",
    units: int = 3,
    *,
    at_ms: int = BASE_MS,
    feature: str = "messages",
    entity: str = "",
    receipt: str = "receipt",
) -> str:
    lines = receipt.replace("\n", LINE_END)
    return join("L", lock_id, feature, entity, state, at_ms, units, lines)


def alert(
    kind: str = "limit_reached",
    body: str = '{"limit_type":"included"}',
    *,
    feature: str = "messages",
    entity: str = "",
) -> str:
    return join("A", kind, feature, entity, body)


def denied(
    denials: int = 1,
    *,
    customer_id: str = "acme",
    feature: str = "messages",
    operation: str = "check",
    day_ms: int = BASE_MS - BASE_MS % 86_400_000,
) -> str:
    return join("Q", "sandbox", customer_id, feature, operation, day_ms, denials)


def ended(balance: str = "bal_1", feature: str = "messages") -> str:
    return join("G", feature, balance)


def customer(name: str | None = None, email: str | None = None, created_at: int = BASE_MS) -> str:
    document = CustomerDocument(created_at=created_at, name=name, email=email)
    return join("C", msgspec.json.encode(document).decode())


def entity(
    entity_id: str = "seat_1",
    number: int = 1,
    *,
    name: str | None = None,
    feature: str = "seats",
    created_at: int = BASE_MS,
) -> str:
    document = EntityDocument(created_at=created_at, name=name)
    return join("N", entity_id, number, feature, msgspec.json.encode(document).decode())


def subscription(
    subscription_id: str = "sub_1",
    plan_id: str = "pro",
    *,
    entity: str = "",
    status: str = "active",
    ended_at: int | None = None,
    started_at: int = 0,
    expires_at: int | None = None,
    trial_ends_at: int | None = None,
    anchor_ms: int = 0,
) -> str:
    """Return the line of a subscription; its cycles are months where they have an anchor."""
    document = Subscription(
        anchor_ms=anchor_ms,
        cycle_unit="m" if anchor_ms else "",
        cycle_every=1 if anchor_ms else 0,
        id=subscription_id,
        plan_id=plan_id,
        version=1,
        status=status,
        started_at=started_at,
        ended_at=ended_at,
        expires_at=expires_at,
        trial_ends_at=trial_ends_at,
    )
    return join("S", entity, msgspec.json.encode(document).decode())


def deleted_entity(entity_id: str = "seat_1") -> str:
    return join("Z", entity_id)


DELETED = "X"


def contents(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, without the time and the count of the cursors."""
    found = {}
    with engine.connect() as connection:
        for name, table in models.Base.metadata.tables.items():
            columns = [
                column for column in table.c if column.name not in {"updated_at_ms", "event_names"}
            ]
            rows = connection.execute(select(*columns).order_by(*table.primary_key))
            found[name] = [tuple(row) for row in rows]
    return found
