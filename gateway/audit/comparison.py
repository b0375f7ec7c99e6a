"""Say how Redis and SQL differ in what they know of one customer. Pure.

What Redis should hold is what ``restore_customer`` would put there: both sides become *facts*, and
facts are compared one by one, the derived ones too (sums, creation order, marks, what is due). Left
out is what only one side can have: band numbers, hints, revisions, windows that have ended, and the
rules of spending, which come from the catalog.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.audit.records import Drift, Kind
from gateway.engine.images import restore_groups
from gateway.entity_index import Set, decode_index
from gateway.lifecycle.rules import decode_extras
from gateway.ports import CustomerImage
from gateway.rows import Kind as RowKind
from gateway.rows import Live, Row, decode_live, decode_rows, encode_row
from gateway.scripts.residents import Dump

_SUM_ROWS = 4
"""Which number of the sums over entity-held rows counts them."""


class Place(NamedTuple):
    """What a fact is about."""

    feature_id: str
    balance_id: str
    entity_id: str
    what: str


Facts = dict[Place, int | str]


def compare(image: CustomerImage, dump: Dump, now_ms: int) -> list[Drift]:
    """Return every fact that differs; both sides are the customer after the same change."""
    return _differences(image, _facts(_as_restored(image), now_ms), _facts(dump, now_ms))


def stranger(name: tuple[str, str], dump: Dump, image: CustomerImage | None) -> Drift:
    """Return the drift of a customer that is not the one SQL knows, or not as far."""
    internal_id, seq = dump.place
    if image is None or image.internal_id != internal_id:
        known = None if image is None else image.internal_id
        what, sql, redis = "customer", known, internal_id
    else:
        what, sql, redis = "seq", str(image.seq), seq
    return Drift(
        kind=Kind.REDIS,
        env=name[0],
        customer_id=name[1],
        internal_id=internal_id,
        what=what,
        sql=sql,
        redis=redis,
    )


def lacks_changes(drift: Drift) -> bool:
    """Whether SQL does not have what Redis has: to take that out of Redis would lose it."""
    if drift.kind is not Kind.REDIS or drift.what != "seq":
        return False
    sql, redis = str(drift.sql), str(drift.redis)
    return redis.isdecimal() and int(redis) > int(sql)


def _differences(image: CustomerImage, sql: Facts, redis: Facts) -> list[Drift]:
    return [
        Drift(
            kind=Kind.REDIS,
            env=image.env,
            customer_id=image.customer_id,
            internal_id=image.internal_id,
            feature_id=place.feature_id,
            balance_id=place.balance_id,
            entity_id=place.entity_id,
            what=place.what,
            sql=sql.get(place),
            redis=redis.get(place),
        )
        for place in sorted(sql.keys() | redis.keys())
        if sql.get(place) != redis.get(place)
    ]


def _as_restored(image: CustomerImage) -> Dump:
    groups = [list(zip(group[::2], group[1::2], strict=True)) for group in restore_groups(image)]
    customer, holdings, index, receipts = (
        {str(name): str(text) for name, text in groups[at]} for at in (0, 1, 2, 4)
    )
    due, holds = ({str(member): int(score) for score, member in groups[at]} for at in (3, 5))
    return Dump(
        customer,
        holdings,
        index,
        due,
        {name.split("\t", 1)[1]: text for name, text in receipts.items()},
        {member.split("\t", 2)[2]: score for member, score in holds.items()},
    )


def _facts(dump: Dump, now_ms: int) -> Facts:
    """Return the facts of a dump. A text that cannot be read is a fact of its own."""
    facts: Facts = {}
    for gather in (_identity, _rows, _slots, _sums, _entities, _index, _locks):
        try:
            facts |= dict(gather(dump))
        except (ValueError, TypeError, IndexError, KeyError) as error:
            name = gather.__name__.lstrip("_")
            facts[Place("", "", "", name)] = f"unreadable: {error!r}"
    try:
        facts |= dict(_extras(dump, now_ms))
    except (ValueError, IndexError) as error:
        facts[Place("", "", "", "extras")] = f"unreadable: {error!r}"
    for field, moment in dump.due.items():
        feature, _, entity = field.partition("\t")
        facts[Place(feature, "", entity, "due next")] = moment
    return facts


_Found = Iterator[tuple[Place, int | str]]


def _identity(dump: Dump) -> _Found:
    fields = dump.customer
    yield Place("", "", "", "document"), _canonical(fields.get("doc", "null"))
    yield Place("", "", "", "entities ever"), fields.get("entities", "")
    for one in json.loads(fields.get("subs", "[]")):
        yield Place("", str(one["id"]), "", "subscription"), _canonical(one)
    for field, text in fields.items():
        if field.startswith("i:"):
            yield Place("", field[2:], "", "owner of the name"), text


def _rows(dump: Dump) -> _Found:
    for feature, entity, row, live in _all_rows(dump):
        numbers: dict[str, int | str] = {
            "text": encode_row(row),
            "used": live.used,
            "over": live.over,
            "credit": live.credit,
            "period": live.period,
            "next reset": live.due_ms,
        }
        for what, number in numbers.items():
            yield Place(feature, row.id, entity, what), number


def _all_rows(dump: Dump) -> Iterator[tuple[str, str, Row, Live]]:
    """Yield feature, owner, row and live numbers of every row."""
    for family, lives, fields in (
        ("r:", "v:", dump.customer),
        ("h:", "v:", dump.holdings),
    ):
        for field, text in fields.items():
            if field.startswith(family):
                feature, _, entity = field[2:].partition("\t")
                numbers = decode_live(fields.get(lives + field[2:], ""))
                for row, live in zip(decode_rows(text), numbers, strict=True):
                    yield feature, entity, row, live


def _slots(dump: Dump) -> _Found:
    current = {
        (feature, live.period): row.id
        for feature, _, row, live in _all_rows(dump)
        if row.kind is RowKind.PER_ENTITY
    }
    for field, text in dump.holdings.items():
        if field.startswith("p:"):
            feature, _, entity = field[2:].partition("\t")
            numbers = list(map(int, text.split()))
            for period, used in zip(numbers[::2], numbers[1::2], strict=True):
                if used and (feature, period) in current:
                    yield Place(feature, current[feature, period], entity, "used"), used


def _sums(dump: Dump) -> _Found:
    for field, text in dump.customer.items():
        if field.startswith(("h:", "o:")):
            _, *sums = text.split()
            if sums[_SUM_ROWS] != "0":
                name = "held by entities" if field[0] == "h" else "rollovers of entities"
                yield Place(field[2:], "", "", name), " ".join(sums)
        elif field.startswith("n:"):
            _, count = text.split()
            if count != "0":
                yield Place(field[2:], "", "", "entities"), count


def _entities(dump: Dump) -> _Found:
    for field, text in dump.holdings.items():
        if field.startswith("e:"):
            _, number, feature, document = text.split("\t", 3)
            yield Place(feature, "", field[2:], "number"), number
            yield Place(feature, "", field[2:], "document"), _canonical(document)


def _index(dump: Dump) -> _Found:
    index = decode_index(dump.entity_index)
    for number, entity in index.names.items():
        band = dump.holdings.get(f"e:{entity}", "0").split("\t", 1)[0]
        known = number in index.members[Set(int(band), 0)]
        placed = str(number) if known else f"{number} of another band"
        yield Place("", "", entity, "place in creation order"), placed
    bands = {str(live.period): (feature, row.id) for feature, _, row, live in _all_rows(dump)}
    names = {"h": "held", "o": "rolled over", "n": "entities"}
    for field, text in dump.customer.items():
        if field[:2] in {"h:", "o:", "n:"}:
            bands[text.split(" ", 1)[0]] = (field[2:], names[field[0]])
    for (of_band, place), numbers in index.members.items():
        feature, name = bands.get(str(of_band), ("", f"band {of_band}"))
        for number in numbers:
            yield Place(feature, name, index.names.get(number, ""), f"mark {place}"), number


def _extras(dump: Dump, now_ms: int) -> _Found:
    for fields in (dump.customer, dump.holdings):
        for field, text in fields.items():
            if field.startswith("x:"):
                feature, _, entity = field[2:].partition("\t")
                extras = decode_extras(text)
                if extras.held:
                    yield Place(feature, "", entity, "held by locks"), extras.held
                for key, (end_ms, used) in extras.windows.items():
                    if end_ms > now_ms and used:
                        what = f"usage window {key}".rstrip()
                        yield Place(feature, "", entity, what), f"{used} until {end_ms}"


def _locks(dump: Dump) -> _Found:
    for lock_id, text in dump.receipts.items():
        yield Place("", lock_id, "", "receipt of the lock"), text
    for lock_id, moment in dump.holds.items():
        yield Place("", lock_id, "", "expiry of the lock"), moment


def _canonical(value: object) -> str:
    whole = json.loads(value) if isinstance(value, str) else value
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def lock_ids(image: CustomerImage | None) -> Sequence[str]:
    """Return the open locks SQL knows."""
    return [] if image is None else [lock.lock_id for lock in image.locks]
