"""The short way of ``check`` and ``track`` (``lua/include/plain_row.lua``) answers and writes what
the general way does, byte for byte.

Each example is a customer with few rows and some past. Every call is made on copies of one state:
by a library without the short way, by one with nothing else, and by the real one.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, NamedTuple, TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import given
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway.keys import customer_keys, partition_of, reply_key
from gateway.lifecycle.rules import CREDITS_LINE
from gateway.rows import Kind, Row
from gateway.scripts import (
    CheckReply,
    Context,
    Idempotency,
    Part,
    Pool,
    Scripts,
    Status,
    TrackReply,
    Use,
    track_reply,
)
from gateway.scripts.composition import Library, compose
from tests.property.direct import direct_client, done
from tests.property.plans import (
    DAY_MS,
    HOUR_MS,
    SEAT,
    Draft,
    amounts,
    controls,
    drafts,
    entity_features,
    feature_rows,
    in_order,
    make_row,
)
from tests.property.rules import RuleText, Spend, Window

T = TypeVar("T")
Dump = dict[bytes, Any]

ENV, CUSTOMER, PARTITIONS = "sandbox", "ada", 64
KEYS = customer_keys(ENV, CUSTOMER, PARTITIONS)
CLAIMED = reply_key(ENV, CUSTOMER, partition_of(ENV, CUSTOMER, PARTITIONS), "once")
KEPT_MS = 10**9
START_MS = 1_706_690_000_000
TO_THE_HOUR_MS = HOUR_MS - START_MS % HOUR_MS + 1_000
MOST = 2**53 - 1
"""The end of the exact range."""

NAMES = ("zoe", "bob")
COINS, GEMS = Pool("coins", 1, 5), Pool("gems", 10, 1)
_PLAIN_ROW = "local function plain_row(read, held, now)\n"
_READ_PARTS = (
    "local function read_parts(keys, args, at, entity, now, read, held, paying, paying_held)\n"
)


class Call(NamedTuple):
    """A check or a track, after some time has passed."""

    passed_ms: int
    script: str
    scope: str
    part: Part
    mode: str
    claimed: bool


class Past(NamedTuple):
    """How a customer begins."""

    plan: dict[str, list[Draft]]
    entities: list[str]
    own: list[dict[str, list[Draft]]]
    rules: list[tuple[str, str, str]]
    """Scope, feature and text."""


ample = st.builds(
    lambda draft, grant: draft._replace(grant=grant), drafts, st.sampled_from((20, 100, 1000))
)
one = st.lists(ample, min_size=1, max_size=1)
several = st.lists(ample, min_size=2, max_size=3)
some = st.one_of(one, one, several, st.lists(drafts, min_size=1, max_size=2))
vast = st.sampled_from((MOST, MOST - 5)).flatmap(
    lambda grant: drafts.map(lambda draft: [draft._replace(grant=grant, flags="")])
)
features = st.sampled_from(("calls", "calls", "store", "coins", "flag"))
members = st.sampled_from(("words", "words", "calls", "store"))
systems = st.sampled_from(((COINS,), (Pool("coins", 3, 2),), (Pool("coins", 1, 1),), (COINS, GEMS)))
scopes = st.sampled_from(("", *NAMES))
limits = st.sampled_from((3, 20, 20, 1000)).flatmap(
    lambda limit: (
        st.builds(
            Window,
            limit=st.just(limit),
            unit=st.just("f"),
            every=st.sampled_from((HOUR_MS, DAY_MS)),
            anchor_ms=st.sampled_from((0, START_MS)),
        )
        | st.builds(Window, st.just(limit), st.just("m"), st.integers(1, 2), st.just(START_MS))
    )
)
plain_rules = st.one_of(
    limits.map(Window.line),
    limits.map(lambda window: f"{window.line()}\n{CREDITS_LINE}"),
    st.sampled_from((0, 30)).map(lambda units: RuleText(spend=Spend(units)).text),
)
ruled = st.sampled_from(("calls", "calls", "coins"))
pasts = st.builds(
    Past,
    st.fixed_dictionaries(
        {"calls": st.one_of(one, one, some, vast), "coins": one | several},
        optional={"store": some, "flag": some},
    ),
    st.lists(entity_features, min_size=2, max_size=2),
    st.lists(
        st.fixed_dictionaries({"coins": some}, optional={"store": some, "flag": some}), max_size=2
    ),
    st.one_of(
        st.just([]),
        st.just([]),
        st.lists(
            st.tuples(scopes, features | members, controls.map(lambda rules: rules.text)),
            max_size=1,
        ),
        st.lists(st.tuples(st.just(""), ruled, plain_rules), min_size=1, max_size=2),
    ),
)
units = st.one_of(
    st.integers(1, 20), st.integers(1, 20), amounts, st.sampled_from((-1, -20, MOST - 5, MOST))
)
calls = st.builds(
    Call,
    st.sampled_from((0, 0, 0, 0, 0, HOUR_MS, 32 * DAY_MS, TO_THE_HOUR_MS, -2_000)),
    st.sampled_from(("check", "track", "track")),
    scopes,
    st.builds(Part, features, units, st.just(()))
    | st.builds(Part, features, units, st.just(()))
    | st.builds(Part, members, units, systems),
    st.sampled_from(("cap", "cap", "reject", "overflow")),
    st.sampled_from((False, False, False, False, True)),
)


def flag_of(row: Row) -> Row:
    """Return the row as one of a boolean feature."""
    return Row(id=row.id, kind=Kind.FLAG, grant=row.grant, expires_ms=row.expires_ms, rank=row.rank)


def variant(name: str, marker: str, line: str) -> Library:
    """Return the library with a line put after another, under names of its own."""
    library = compose()
    assert library.text.count(marker) == 1
    digest = library.functions["check"].split("_")[1]
    text = library.text.replace(marker, marker + line).replace(f"tallygate_{digest}", name)
    functions = {script: f"{name}_{script}" for script in library.functions}
    return library._replace(text=text, functions=functions)


class Copies:
    """One customer, and what each way makes of it."""

    def __init__(self, client: Redis) -> None:
        self._client: Any = client
        self.real, self.general, self.short = (Scripts(client) for _ in range(3))
        self.general._library = variant("general", _PLAIN_ROW, "  if read then return nil end\n")  # noqa: SLF001 - no caller chooses a library
        self.short._library = variant("short", _READ_PARTS, "  redis.call('NOTHING')\n")  # noqa: SLF001 - as above
        self.now_ms = START_MS
        self._made = 0

    def run(self, awaitable: Awaitable[T]) -> T:
        return done(awaitable)

    @property
    def context(self) -> Context:
        return Context(KEYS, ENV, CUSTOMER, "req_1", self.now_ms)

    def begin(self, past: Past) -> None:
        """Make the customer anew."""
        self.run(self._client.flushall())
        self.now_ms, self._made = START_MS, 0
        rules = {("", ""): ""} | {(scope, feature): text for scope, feature, text in past.rules}
        created = self.real.create_customer(
            self.context,
            "0-0",
            "cus_1",
            "{}",
            "[]",
            "",
            _records(rules, ""),
            feature_rows(self._rows(past.plan, "")),
        )
        assert self.run(created) is Status.DONE
        for name, feature in zip(NAMES, past.entities, strict=False):
            records = _records(rules, name)
            entering = self.real.create_entity(
                self.context, name, feature, '{"created_at":1}', SEAT, 10, records
            )
            self.run(entering)
        for name, plan in zip(NAMES, past.own, strict=False):
            rows = feature_rows(self._rows(plan, name))
            revision = (self.run(self._client.hget(KEYS.customer, "rev")) or b"1").decode()
            self.run(self.real.apply_plan(self.context, revision, name, "{}", "", "", "", rows))

    def call(self, call: Call) -> bool:
        """Compare the ways of one call, and go on from what it wrote; tell whether it was short."""
        self.now_ms += call.passed_ms
        before, found = self.run(self._copies()), self.run(self._dump())
        expected = self.run(self._ask(self.general, call))
        left = self.run(self._dump())
        self.run(self._put_back(before))
        try:
            short = self.run(self._ask(self.short, call))
        except ResponseError:
            assert self.run(self._dump()) == found  # it fell before it wrote
            is_short = False
        else:
            assert (short, self.run(self._dump())) == (expected, left)
            is_short = True
        self.run(self._put_back(before))
        assert self.run(self._ask(self.real, call)) == expected
        assert self.run(self._dump()) == left
        if expected.status is Status.DUE:
            self.run(self.real.settle(self.context, 10))
        return is_short

    async def _ask(self, scripts: Scripts, call: Call) -> CheckReply | TrackReply:
        if call.script == "check":
            return await scripts.check(KEYS, self.now_ms, call.scope, call.part)
        kept = Idempotency(CLAIMED, "fingerprint", KEPT_MS) if call.claimed else None
        use = Use(
            call.scope,
            [call.part],
            self.now_ms - 1,
            call.mode,
            "event" if call.claimed else "",
            '{"a":"b"}',
            idempotency=kept,
        )
        return await scripts.track(self.context, use)

    def _rows(self, plan: dict[str, list[Draft]], scope: str) -> dict[str, list[tuple[Row, int]]]:
        made = {}
        for feature, sketches in plan.items():
            rows = []
            for draft in sketches:
                self._made += 1
                row = make_row(draft, self._made, scope, self.now_ms)
                rows.append(flag_of(row) if feature == "flag" else row)
            made[feature] = in_order([], rows, self.now_ms)
        return made

    async def _copies(self) -> dict[bytes, bytes]:
        return {key: await self._client.dump(key) for key in await self._client.keys("*")}

    async def _put_back(self, copies: dict[bytes, bytes]) -> None:
        await self._client.flushall()
        for key, copy in copies.items():
            await self._client.restore(key, KEPT_MS if key == CLAIMED.encode() else 0, copy)

    async def _dump(self) -> Dump:
        """Return every key with its content; of the outbox without the ids, which tell the time."""
        found: Dump = {}
        for key in await self._client.keys("*"):
            kind = await self._client.type(key)
            if kind == b"hash":
                found[key] = await self._client.hgetall(key)
            elif kind == b"zset":
                found[key] = await self._client.zrange(key, 0, -1, withscores=True)
            elif kind == b"string":
                claim, status, told = (await self._client.get(key)).partition(b"\n1\x01")
                reply = track_reply(status[1:] + told)  # the short way says it shorter
                found[key] = claim, reply, await self._client.ttl(key) > 0
            else:
                found[key] = [fields for _, fields in await self._client.xrange(key)]
        return found


def _records(rules: dict[tuple[str, str], str], owner: str) -> str:
    return "\x1e".join(
        f"{feature}\x1f{text}"
        for (scope, feature), text in rules.items()
        if text and scope == owner
    )


@pytest.mark.redis_kinds("embedded")
def test_the_short_way_is_the_general_one(redis_server_url: str) -> None:
    short, made = 0, 0
    with direct_client(redis_server_url) as client:
        copies = Copies(client)

        @given(pasts, st.lists(calls, min_size=4, max_size=8))
        def compare(past: Past, asked: list[Call]) -> None:
            nonlocal short, made
            copies.begin(past)
            for call in asked:
                short += copies.call(call)
                made += 1

        compare()
    assert made / 10 < short < made, "examples of both ways"
