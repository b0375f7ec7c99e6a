"""What Redis holds of a customer, read key by key, and what must be true of it at any time.

Everything a script keeps beside the numbers themselves (sums, classes of the index, order, times)
is computed anew from the numbers and compared. Formats are those of ``gateway.keys``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from gateway.entity_index import EntityIndex, Set, decode_index
from gateway.keys import CustomerKeys
from gateway.outbox import FIELD
from gateway.rows import Kind, Live, Row, decode_live, decode_rows

Texts = dict[str, str]
Scores = dict[str, int]
Sets = dict[Set, set[int]]


@lru_cache(maxsize=10_000)
def _rows(text: str) -> Sequence[Row]:
    """Return rows, which are looked at after each step and rarely change."""
    return tuple(decode_rows(text))


class State(NamedTuple):
    """The keys of a customer, decoded, and the names of all keys there are."""

    customer: Texts
    holdings: Texts
    entity_index: EntityIndex
    due: Scores
    names: frozenset[str]

    @property
    def marks(self) -> Sets:
        """The sets of the index but those of all entities of a feature."""
        bands = {int(text.split()[0]) for _, text in _family(self.customer, "n:")}
        return {
            one: found for one, found in self.entity_index.members.items() if one.band not in bands
        }


class EntityPlace(NamedTuple):
    band: int
    number: int
    feature: str


async def read_state(client: Redis, keys: CustomerKeys) -> State:
    """Read the keys in one go."""
    pipeline = cast("Any", client).pipeline(transaction=False)
    for hashed in keys[:3]:
        pipeline.hgetall(hashed)
    pipeline.zrange(keys.due, 0, -1, withscores=True)
    pipeline.keys("*")
    replies: list[Any] = await pipeline.execute()
    hashes = [
        {name.decode(): value.decode() for name, value in reply.items()} for reply in replies[:3]
    ]
    due = {pair[0].decode(): int(pair[1]) for pair in replies[3]}
    names = frozenset(name.decode() for name in replies[4])
    return State(hashes[0], hashes[1], decode_index(hashes[2]), due, names)


async def read_outbox(client: Redis, keys: CustomerKeys, after: str) -> list[tuple[str, bytes]]:
    """Return (stream id, payload) of every entry after one."""
    entries: Any = await client.xrange(keys.outbox, f"({after}")
    return [(stream_id.decode(), fields[FIELD]) for stream_id, fields in entries]


def assert_consistent(state: State, keys: CustomerKeys) -> None:
    """Check everything that is derived, and that nothing is left over."""
    assert state.names <= set(keys)
    if not state.customer:
        assert state.names <= {keys.outbox, keys.locks, keys.holds}
        return
    entities = {name: _entity_place(text) for name, text in _family(state.holdings, "e:")}
    _assert_fields_belong_together(state, entities)
    assert state.entity_index.names == {entity.number: name for name, entity in entities.items()}
    assert state.entity_index.members == _sets(state, entities)
    due: Scores = {}
    for feature, name, row, live in all_rows(state):
        if not name:
            continue
        field = f"{feature}\t{name}"
        for moment in filter(None, (live.due_ms, row.expires_ms)):
            due[field] = min(moment, due.get(field, moment))
        assert f"{'o' if row.rollover else 'h'}:{feature}" in state.customer
    assert state.due == due


def _sets(state: State, entities: Mapping[str, EntityPlace]) -> Sets:
    """Return the sets of the index as they have to be, and check the sums on the way."""
    sets: Sets = defaultdict(set)
    for entity in entities.values():
        sets[Set(entity.band, 0)].add(entity.number)
    for feature, row, live in _per_entity_rows(state):
        for place, number in _slot_members(state, feature, row, live, entities):
            sets[Set(live.period, place)].add(number)
    for family, rolled in (("h:", False), ("o:", True)):
        for feature, text in _family(state.customer, family):
            band, *sums = map(int, text.split())
            totals = [0] * 7
            for name, entity in entities.items():
                rows = [one for one in _own(state, feature, name) if one[0].rollover is rolled]
                for place in _held_classes(rows, totals):
                    sets[Set(band, place)].add(entity.number)
            assert totals == sums
    return sets


def _per_entity_rows(state: State) -> Iterator[tuple[str, Row, Live]]:
    for feature, _, row, live in all_rows(state):
        if row.kind is Kind.PER_ENTITY:
            yield feature, row, live
            prepared = state.customer.get(f"y:{row.id}")
            if prepared:  # what it begins its next period with
                _, period, _, used, over, credit, first, _ = map(int, prepared.split())
                yield feature, row, Live(used, over, credit, period, 0, first)


def _slot_members(
    state: State, feature: str, row: Row, live: Live, entities: Mapping[str, EntityPlace]
) -> Iterator[tuple[int, int]]:
    """Yield class and number of each slot that is in a class."""
    used = slots(state, feature, live.period)
    assert _sums(row, used) == live[:3]
    for name, units in used.items():
        for place in _slot_classes(row, units):
            yield place, entities[name].number
    for name, entity in entities.items():
        if entity.feature == row.entity_feature and entity.number < live.first:
            assert used.get(name, 0) >= row.grant  # nothing is left where nobody looks


def _assert_fields_belong_together(state: State, entities: Mapping[str, EntityPlace]) -> None:
    own = {"id", "seq", "rev", "doc", "subs", "entities", "counter", "plain"}
    families = {name[:2] for name in state.customer if name not in own}
    assert families <= {"r:", "v:", "h:", "o:", "n:", "l:", "x:", "i:", "y:", "z:"}
    assert own <= set(state.customer)
    assert _names(state.customer, "v:") == _names(state.customer, "r:")
    holdings = {name for name in state.holdings if not name.startswith("e:")}
    assert {name[:2] for name in holdings} <= {"p:", "h:", "v:", "l:", "x:"}
    assert _names(state.holdings, "h:") == _names(state.holdings, "v:")
    seldom = {name[:2] for name in (*state.customer, *holdings)} & {"l:", "o:", "x:"}
    assert state.customer["plain"] == "" or not seldom  # else nobody would ask for them
    assert {name.split("\t", 1)[1] for name in holdings} <= set(entities)
    counts: dict[str, int] = {}
    for feature, text in _family(state.customer, "n:"):
        band, count = map(int, text.split())
        counts[feature] = count
        assert {place.band for place in entities.values() if place.feature == feature} <= {band}
    for feature in counts.keys() | {place.feature for place in entities.values()}:
        live = sum(place.feature == feature for place in entities.values())
        assert counts.get(feature, 0) == live
    highest = max((place.number for place in entities.values()), default=0)
    assert int(state.customer["entities"]) >= highest


def all_rows(state: State) -> Iterator[tuple[str, str, Row, Live]]:
    """Yield feature, owner, row and live numbers of every row."""
    for feature, text in _family(state.customer, "r:"):
        lives = decode_live(state.customer[f"v:{feature}"])
        for row, live in zip(_rows(text), lives, strict=True):
            yield feature, "", row, live
    for field, _ in _family(state.holdings, "h:"):
        feature, name = field.split("\t", 1)
        for row, live in _own(state, feature, name):
            yield feature, name, row, live


def slots(state: State, feature: str, period: int) -> dict[str, int]:
    """Return what each entity used of a per-entity row in a period."""
    used = {}
    for field, text in _family(state.holdings, "p:"):
        of_feature, name = field.split("\t", 1)
        numbers = list(map(int, text.split()))
        pairs = dict(zip(numbers[::2], numbers[1::2], strict=True))
        if of_feature == feature and period in pairs:
            used[name] = pairs[period]
    return used


def _entity_place(text: str) -> EntityPlace:
    band, number, feature, _ = text.split("\t", 3)
    return EntityPlace(int(band), int(number), feature)


def _family(texts: Texts, prefix: str) -> Iterator[tuple[str, str]]:
    for name, text in texts.items():
        if name.startswith(prefix):
            yield name[len(prefix) :], text


def _names(texts: Texts, prefix: str) -> set[str]:
    return {name for name, _ in _family(texts, prefix)}


def _own(state: State, feature: str, name: str) -> list[tuple[Row, Live]]:
    field = f"{feature}\t{name}"
    rows = _rows(state.holdings.get(f"h:{field}", ""))
    return list(zip(rows, decode_live(state.holdings.get(f"v:{field}", "")), strict=True))


def _sums(row: Row, used: Mapping[str, int]) -> tuple[int, int, int]:
    units = used.values()
    over = sum(max(0, one - row.grant) for one in units)
    return sum(units), over, sum(max(0, -one) for one in units)


def _slot_classes(row: Row, used: int) -> list[int]:
    beyond = used - row.grant
    members = (
        row.grant > 0 and beyond >= 0,
        used > 0,
        beyond > 0,
        bool(row.floor) and beyond >= (row.floor or 0),
        used < 0,
    )
    return [place for place, member in enumerate(members) if member]


def _held_classes(rows: list[tuple[Row, Live]], totals: list[int]) -> set[int]:
    places: set[int] = set()
    for row, live in rows:
        if row.kind is not Kind.SHARED:
            continue
        used = live.used
        places.add(3)
        totals[4] += 1
        if row.unlimited:
            places.add(4)
            totals[5] += 1
            totals[6] += used
            continue
        for at, units in enumerate((row.grant, used, max(0, used - row.grant), max(0, -used))):
            totals[at] += units
        beyond = used - row.grant
        places |= {at for at, is_in in enumerate((beyond < 0, used > 0, beyond > 0)) if is_in}
    return places
