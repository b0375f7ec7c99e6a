"""One customer on one server: short names for what the script tests do and look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from redis.asyncio import Redis

from gateway import outbox
from gateway.cycles import next_boundary
from gateway.engine.views import held_of, parts_of
from gateway.keys import customer_keys, partition_of
from gateway.lifecycle.order import arrange
from gateway.lifecycle.rules import decode_extras
from gateway.rows import Kind, Row, decode_row, encode_rows
from gateway.scripts import (
    CheckReply,
    Context,
    CustomerReply,
    FeatureRows,
    Part,
    PooledGroups,
    Scripts,
    Status,
    TrackReply,
    Use,
)
from tests.property.history import History
from tests.property.state import State, assert_consistent, read_outbox, read_state

ENV, CUSTOMER, PARTITIONS = "sandbox", "ada", 64
KEYS = customer_keys(ENV, CUSTOMER, PARTITIONS)
PARTITION = partition_of(ENV, CUSTOMER, PARTITIONS)
NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
SEAT = 100
"""Units one entity counts for."""

Dump = dict[bytes, Any]


def row(row_id: str, grant: int = 100, **columns: Any) -> Row:  # noqa: ANN401 - columns of a row
    """Return a shared row that never resets, in the order of its id."""
    given: dict[str, Any] = {"id": row_id, "kind": Kind.SHARED, "grant": grant, "rank": row_id}
    return Row(**given | columns)


def per_entity(row_id: str, grant: int = 100, **columns: Any) -> Row:  # noqa: ANN401 - as above
    """Return a row that gives each seat its own slot."""
    return row(row_id, grant, **{"kind": Kind.PER_ENTITY, "entity_feature": "seats"} | columns)


_HOURLY = {"unit": "f", "every": HOUR_MS, "anchor_ms": NOW_MS}


def hourly(row_id: str, grant: int = 100, **columns: Any) -> Row:  # noqa: ANN401 - as above
    """Return a row that is full again an hour after the beginning, and each hour from then on."""
    return row(row_id, grant, **_HOURLY | columns)


def slots(row_id: str, grant: int = 100, **columns: Any) -> Row:  # noqa: ANN401 - as above
    """Return a per-entity row that is full again each hour."""
    return per_entity(row_id, grant, **_HOURLY | columns)


def rules(**texts: str) -> str:
    """Return rules texts by feature as the scripts take them."""
    return "\x1e".join(f"{feature}\x1f{text}" for feature, text in texts.items())


def groups(
    rows: dict[str, list[Row]], moves: Mapping[str, int] = MappingProxyType({})
) -> list[FeatureRows]:
    """Return new rows as the scripts take them; those that reset first do so a cycle after their
    anchor. ``moves`` are the next resets of rows that stay, by id.
    """
    return [
        FeatureRows(
            feature,
            encode_rows(made),
            " ".join(
                f"={moves[one.id]}"
                if one.id in moves
                else str(next_boundary(one.anchor_ms, one.unit, one.every, one.anchor_ms))
                for one in made
            ),
            SEAT,
        )
        for feature, made in ((feature, arrange(held)) for feature, held in rows.items())
    ]


class World:
    """A customer, the scripts, the time, and how far the outbox has been read."""

    def __init__(self, client: Redis, scripts: Scripts) -> None:
        self.client = client
        self.scripts = scripts
        self.now_ms = NOW_MS
        self.history = History()
        self.seen = "0-0"

    @property
    def context(self) -> Context:
        return Context(KEYS, ENV, CUSTOMER, "req_1", self.now_ms)

    async def create(self, cursor: str = "0-0", rules: str = "", **rows: list[Row]) -> Status:
        return await self.scripts.create_customer(
            self.context, cursor, "cus_1", '{"created_at":1}', "[]", "", rules, groups(rows)
        )

    async def seat(
        self, name: str, feature: str = "seats", entities_max: int = 1000, rules: str = ""
    ) -> Status:
        return await self.scripts.create_entity(
            self.context, name, feature, '{"created_at":2}', SEAT, entities_max, rules
        )

    async def seats(self, *names: str) -> None:
        for name in names:
            assert await self.seat(name) is Status.DONE

    async def leave(self, name: str, revision: str = "", **pooled: list[Row]) -> Status:
        """Delete an entity, and replace rows of the customer."""
        shared = PooledGroups("", groups(pooled))
        return await self.scripts.delete_entity(self.context, name, SEAT, revision, shared)

    async def attach(
        self,
        scope: str = "",
        revision: str | None = None,
        rules: str = "",
        carries: str = "",
        pooled: PooledGroups | None = None,
        *,
        moves: Mapping[str, int] = MappingProxyType({}),
        **rows: list[Row],
    ) -> Status:
        """Replace the rows of a scope, and with those of an entity rows of its customer."""
        document, line = '[{"id":"sub_1"}]', 'S\t\t{"id":"sub_1"}'
        if scope:
            held = await self.holding(f"e:{scope}") or "0\t0\t\t"
            _, number, feature, _ = held.split("\t", 3)
            document = '{"created_at":3}'
            if pooled is not None:
                document = '{"created_at":3,"subscriptions":[{"pooled":[{"units":1}]}]}'
            line = outbox.join("N", scope, number, feature, document)
        return await self.scripts.apply_plan(
            self.context,
            revision or await self.revision(),
            scope,
            document,
            line,
            rules,
            carries,
            groups(rows, moves),
            pooled or PooledGroups(),
        )

    async def track(
        self, feature: str, amount: int, scope: str = "", mode: str = "cap"
    ) -> TrackReply:
        return await self.track_all([(feature, amount)], scope, mode)

    async def track_all(
        self, amounts: Sequence[tuple[str, int]], scope: str = "", mode: str = "cap"
    ) -> TrackReply:
        return await self.use(*(Part(*one) for one in amounts), scope=scope, mode=mode)

    async def use(
        self,
        *parts: Part,
        scope: str = "",
        mode: str = "cap",
        **more: Any,  # noqa: ANN401 - fields of Use
    ) -> TrackReply:
        given: dict[str, Any] = {"properties": '{"a":1}'} | more
        return await self.scripts.track(self.context, Use(scope, parts, self.now_ms, mode, **given))

    async def check(self, feature: str, amount: int, scope: str = "") -> CheckReply:
        return await self.look(Part(feature, amount), scope)

    async def look(self, part: Part, scope: str = "", **more: Any) -> CheckReply:  # noqa: ANN401 - more arguments of check
        return await self.scripts.check(KEYS, self.now_ms, scope, part, **more)

    async def settle(self, limit: int = 100) -> tuple[Status, int]:
        return await self.scripts.settle(self.context, limit)

    async def read(self, scope: str = "") -> CustomerReply:
        return await self.scripts.read_customer(KEYS, self.now_ms, scope)

    async def settled(self, scope: str = "") -> CustomerReply:
        """Read a scope; what is due first is settled, as the gateway does."""
        while (reply := await self.read(scope)).status is Status.DUE:
            await self.settle()
        assert reply.status is Status.DONE
        return reply

    async def left(self, feature: str, scope: str = "") -> int:
        """Return the units a scope has left."""
        reply = await self.settled(scope)
        seen = next(one for one in reply.descriptions if one.feature == feature)
        parts = parts_of(seen, entity_level=bool(scope), now_ms=self.now_ms)
        held = () if scope else (held_of(seen.held), held_of(seen.rolled))
        return sum(part.remaining for part in parts) + sum(sums.left for sums in held)

    async def rollovers(self, scope: str = "") -> list[tuple[int, int, int]]:
        """Return units left, units used and expiry of the rollovers a scope sees, in order."""
        reply = await self.settled(scope)
        seen = next(one for one in reply.descriptions if one.feature == "calls")
        lines = [*seen.own_rows.split("\n"), *seen.rows.split("\n")]
        numbers = f"{seen.own_live} {seen.live}".split()[::6]
        found = zip([decode_row(line) for line in lines if line], map(int, numbers), strict=True)
        return [
            (one.grant - used, used, one.expires_ms)
            for one, used in found
            if one.rollover and not 0 < one.expires_ms <= self.now_ms
        ]

    async def used(self, scope: str = "") -> dict[str, int]:
        """Return the units used of every row a scope sees."""
        reply = await self.settled(scope)
        return {
            part.row.id: part.used
            for seen in reply.descriptions
            for part in parts_of(seen, entity_level=bool(scope), now_ms=self.now_ms)
        }

    async def revision(self) -> str:
        return (await self.state()).customer.get("rev", "1")

    async def holding(self, field: str) -> str:
        return (await self.state()).holdings.get(field, "")

    async def state(self) -> State:
        return await read_state(self.client, KEYS)

    async def entries(self) -> list[outbox.Entry]:
        """Return what the outbox has since it was last looked at."""
        found = []
        for stream_id, payload in await read_outbox(self.client, KEYS, self.seen):
            self.seen = stream_id
            found.append(outbox.decode(PARTITION, stream_id, payload))
            self.history.apply(found[-1])
        return found

    async def entry(self) -> outbox.Entry:
        """Return the only entry since the outbox was last looked at."""
        (found,) = await self.entries()
        return found

    async def dump(self) -> Dump:
        """Return every key of the server with its content, as bytes."""
        client: Any = self.client
        found: Dump = {}
        for key in sorted(await client.keys("*")):
            kind = await client.type(key)
            if kind == b"hash":
                found[key] = await client.hgetall(key)
            elif kind == b"zset":
                found[key] = await client.zrange(key, 0, -1, withscores=True)
            elif kind == b"string":
                found[key] = await client.get(key)
            else:
                found[key] = await client.xrange(key)
        return found

    async def check_ledger(self) -> None:
        """Check what has to hold after any call: nothing left over, nothing the outbox omits."""
        await self.entries()
        state = await self.state()
        passing = {name for name in state.names if ":reply:" in name or ":calls:" in name}
        state = state._replace(names=state.names - passing)
        assert_consistent(state, KEYS)
        assert {await self.client.ttl(name) for name in state.names} <= {-1}
        assert all([await self.client.ttl(name) > 0 for name in passing])
        assert self.history.seq == int(state.customer.get("seq", 0))
        counted = extras_of(state)
        assert {place: found for place, found in counted.items() if place[2] != "k"} == {
            (one.feature_id, one.entity_id, f"w{one.key}"): (one.end_ms, one.used)
            for one in self.history.windows.values()
        }
        assert {place: found for place, found in counted.items() if place[2] == "k"} == held_by(
            self.history
        )


def extras_of(state: State) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Return what rules have counted, by feature, scope and window; holds as window ``k``."""
    found = {}
    for texts in (state.customer, state.holdings):
        for field, text in texts.items():
            if field.startswith("x:"):
                feature, _, scope = field[2:].partition("\t")
                extras = decode_extras(text)
                for key, window in extras.windows.items():
                    found[feature, scope, f"w{key}"] = window
                if extras.held:
                    found[feature, scope, "k"] = (0, extras.held)
    return found


def held_by(history: History) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Return the units that open locks hold of each feature, for the customer and by entity."""
    held: dict[tuple[str, str, str], int] = {}
    for lock in history.locks.values():
        owners = {"", lock.entity_id} if lock.entity_id in history.entities else {""}
        for line in lock.receipt.split("\n")[1:]:
            if not line.startswith("\t"):
                feature, _, _, _, delta, _ = line.split("\t")
                for scope in owners:
                    place = (feature, scope, "k")
                    held[place] = held.get(place, 0) + int(delta)
    return {place: (0, units) for place, units in held.items() if units}
