"""The Lua scripts as typed coroutines: the only module that runs commands on the gateway's Redis
connection.

A source file in ``lua/`` names its includes in comments (``--@include name``); ``compose`` puts
each included function before its first user, once. The SHA of the composed text is the version of a
script, so two releases can run beside each other. ``Scripts`` has one coroutine per entry script
with the script's name; arguments follow its header.

Failure: a connection that is lost while a call is in flight leaves its outcome unknown, and nothing
here tries again by itself: ``UnknownOutcomeError`` for calls that change something,
``UnavailableError`` for calls that only read. A server that has forgotten the scripts (NOSCRIPT)
gets them again and the call is repeated, which is safe: it had not begun.
"""

from __future__ import annotations

import contextlib
import re
from enum import IntEnum, StrEnum
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import UnavailableError, UnknownOutcomeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

    from gateway.keys import CustomerKeys, Key

_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)
_ROOT = files("lua")
_NOT_NOW = (
    "LOADING",
    "MASTERDOWN",
    "READONLY",
    "NOREPLICAS",
    "BUSY",
    "MISCONF",
    "CLUSTERDOWN",
    "TRYAGAIN",
)
"""How replies begin with which the server refuses a script before it runs."""

_UNSENT = re.compile(r" connecting to |No connection available|Too many connections")
"""How redis-py words a fault before anything was sent; it has no class of its own for it."""


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
        return bool(self.rows or self.own_rows or self.held)


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
    """A lock a use asks for."""

    lock_id: str
    expires_ms: int


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
    """New rows of one feature: their text, first resets in order, and what one entity of the
    feature counts for.
    """

    feature: str
    rows: str
    dues: str
    unit: int


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


def source(name: str) -> str:
    """Return the text of a file under ``lua/`` as it stands, such as ``check`` or
    ``include/decide``.
    """
    return (_ROOT / f"{name}.lua").read_text("utf-8")


def compose(name: str) -> str:
    """Return an entry script with its includes, each once and before its first user."""
    done: dict[str, str] = {}

    def collect(text: str, path: tuple[str, ...]) -> None:
        for include in _INCLUDE.findall(text):
            if include in path:
                msg = f"lua includes go in a circle: {' > '.join((*path, include))}"
                raise ValueError(msg)
            if include not in done:
                body = source(f"include/{include}")
                collect(body, (*path, include))
                done[include] = body

    entry = source(name)
    collect(entry, ())
    return "\n".join((*done.values(), entry))


def entry_names() -> list[str]:
    """Return the names of all entry scripts."""
    return sorted(
        item.name.removesuffix(".lua") for item in _ROOT.iterdir() if item.name.endswith(".lua")
    )


class Scripts:
    """Every entry script, bound to one client."""

    def __init__(self, client: Redis, *, read_only_commands: bool = True) -> None:
        """Compose the scripts. ``read_only_commands`` is off for servers without EVALSHA_RO."""
        self._client = client
        self._texts = {name: compose(name) for name in entry_names()}
        self._digests = {
            name: sha1(text.encode(), usedforsecurity=False).hexdigest()
            for name, text in self._texts.items()
        }
        self._call = cast("Callable[..., Awaitable[Any]]", client.execute_command)
        self._read_command = "EVALSHA_RO" if read_only_commands else "EVALSHA"

    async def load(self) -> None:
        """Hand every script to the server."""
        for text in self._texts.values():
            await self._client.script_load(text)

    async def ping(self) -> None:
        """Return when the server answers; raises ``UnavailableError``."""
        try:
            await self._client.ping()
        except RedisError as error:
            raise _unavailable(error) from error

    async def last_entry(self, outbox: Key) -> str:
        """Return the id of the newest entry of an outbox, ``0-0`` when it is empty."""
        try:
            entries = await self._client.xrevrange(outbox, count=1)
        except RedisError as error:
            raise _unavailable(error) from error
        return cast("bytes", entries[0][0]).decode() if entries else "0-0"

    async def check(
        self,
        keys: CustomerKeys,
        now_ms: int,
        entity: str,
        part: Part,
        properties: str = "{}",
        *,
        explain: bool = False,
    ) -> CheckReply:
        """Run ``check``."""
        reply = await self._read(
            "check",
            (keys.customer, keys.entities, keys.due),
            (
                now_ms,
                entity,
                properties,
                "1" if explain else "",
                *part.values,
            ),
        )
        status = Status(reply[0])
        if status is not Status.DONE:
            return CheckReply(status)
        return CheckReply(
            status,
            reply[1] == 1,
            reply[2] - 1,
            reply[3],
            [_description(item) for item in reply[4]],
            [text.decode() for text in reply[5]],
        )

    async def track(self, context: Context, use: Use) -> TrackReply:
        """Run ``track``. A reply that is replayed has status REPLAYED and is whole."""
        keys: list[Key] = list(context.keys if use.hold or use.idempotency else context.keys.own)
        kept = use.idempotency
        if kept:
            keys.append(kept.key)
        reply = await self._change(
            "track",
            keys,
            (
                context.head,
                context.request_id,
                context.now_ms,
                use.entity,
                use.mode,
                use.event_name,
                use.timestamp_ms,
                use.properties,
                "1" if use.dry else "",
                f"{use.hold.lock_id}\t{use.hold.expires_ms}" if use.hold else "",
                kept.fingerprint if kept else "",
                kept.keep_ms if kept else 0,
                *(value for part in use.parts for value in part.values),
            ),
        )
        status = Status(reply[0])
        if status is Status.MISMATCH:
            return TrackReply(status, [], [], [])
        if status is Status.REPLAYED:
            reply = _unpack(reply[1])
        return TrackReply(
            status,
            [int(units) for units in reply[1]],
            [[_description(item) for item in part] for part in reply[2]],
            [
                [
                    Move(feature.decode(), line.decode(), int(delta), int(due))
                    for feature, line, delta, due in part
                ]
                for part in reply[3]
            ],
        )

    async def finalize(self, context: Context, ending: Ending, part: Part) -> tuple[Status, str]:
        """Run ``finalize`` for a lock on the feature of ``part``; the text says how it ended
        before.
        """
        reply = await self._change(
            "finalize",
            context.keys,
            (
                context.head,
                context.request_id,
                context.now_ms,
                ending.lock_id,
                ending.action,
                "" if ending.final is None else ending.final,
                ending.properties,
                ending.keep_ms,
                *part.values,
            ),
        )
        return Status(reply[0]), reply[1].decode()

    async def receipts(self, places: Sequence[Key], env: str, lock_id: str) -> list[str]:
        """Return the receipts kept under a lock id in the ``locks`` hashes of some partitions."""
        async with self._client.pipeline(transaction=False) as pipe:
            for place in places:
                pipe.execute_command("HGET", place, f"{env}\t{lock_id}")
            found = await self._look(pipe)
        return [text.decode() for text in found if text is not None]

    async def holds_due(self, places: Sequence[Key], now_ms: int, limit: int) -> list[HoldDue]:
        """Return the holds that have ended by a time, at most ``limit`` a partition, from the
        ``holds`` sets of some partitions.
        """
        async with self._client.pipeline(transaction=False) as pipe:
            for place in places:
                asked = ("ZRANGEBYSCORE", place, "-inf", now_ms, "LIMIT", 0, limit, "WITHSCORES")
                pipe.execute_command(*asked, withscores=True)
            found = await self._look(pipe)
        return [
            HoldDue(env, customer_id, lock_id, int(score))
            for members in found
            for member, score in members
            for env, customer_id, lock_id in (member.decode().split("\t", 2),)
        ]

    async def read_customer(self, keys: CustomerKeys, now_ms: int, entity: str) -> CustomerReply:
        """Run ``read_customer``."""
        reply = await self._read(
            "read_customer", (keys.customer, keys.entities, keys.due), (now_ms, entity)
        )
        status = Status(reply[0])
        if status is not Status.DONE:
            return CustomerReply(status)
        internal_id, revision, document, subscriptions, entity = (
            part.decode() for part in reply[1:6]
        )
        described = [_description(item) for item in reply[6]]
        return CustomerReply(
            status, internal_id, revision, document, subscriptions, entity, described
        )

    async def create_customer(
        self,
        context: Context,
        cursor: str,
        internal_id: str,
        document: str,
        subscriptions: str,
        lines: str,
        rules: str,
        rows: Sequence[FeatureRows],
    ) -> Status:
        """Run ``create_customer``."""
        keys = context.keys
        flat = [part for group in rows for part in group]
        return await self._verdict(
            "create_customer",
            (keys.customer, keys.marks, keys.outbox),
            (
                context.head,
                context.request_id,
                context.now_ms,
                cursor,
                internal_id,
                document,
                subscriptions,
                lines,
                rules,
                *flat,
            ),
        )

    async def apply_plan(
        self,
        context: Context,
        revision: str,
        entity: str,
        document: str,
        lines: str,
        rules: str,
        rows: Sequence[FeatureRows],
    ) -> Status:
        """Run ``apply_plan``."""
        keys = context.keys
        flat = [part for group in rows for part in group]
        return await self._verdict(
            "apply_plan",
            (keys.customer, keys.entities, keys.marks, keys.due, keys.outbox),
            (
                context.head,
                context.request_id,
                context.now_ms,
                revision,
                entity,
                document,
                lines,
                rules,
                *flat,
            ),
        )

    async def adjust_balance(
        self,
        context: Context,
        revision: str,
        entity: str,
        feature: str,
        unit: int,
        claim: str,
        target: Target,
        amount: int,
        rows: str,
        edits: Sequence[RowEdit],
    ) -> Status:
        """Run ``adjust_balance``; ``rows`` are the ids the target is about, joined by tabs."""
        flat = [part for edit in edits for part in edit]
        return await self._verdict(
            "adjust_balance",
            context.keys.own,
            (
                context.head,
                context.request_id,
                context.now_ms,
                revision,
                entity,
                feature,
                unit,
                claim,
                target,
                amount,
                rows,
                *flat,
            ),
        )

    async def create_entity(
        self,
        context: Context,
        entity: str,
        feature: str,
        document: str,
        unit: int,
        entities_max: int,
        rules: str = "",
    ) -> Status:
        """Run ``create_entity``; ``rules`` are of the entity."""
        return await self._verdict(
            "create_entity",
            context.keys.own,
            (
                context.head,
                context.request_id,
                context.now_ms,
                entity,
                feature,
                document,
                unit,
                entities_max,
                rules,
            ),
        )

    async def delete_entity(self, context: Context, entity: str, unit: int) -> Status:
        """Run ``delete_entity``."""
        return await self._verdict(
            "delete_entity",
            context.keys.own,
            (context.head, context.request_id, context.now_ms, entity, unit),
        )

    async def update_customer(
        self, context: Context, revision: str, document: str, rules: str = ""
    ) -> Status:
        """Run ``update_customer``."""
        keys = context.keys
        return await self._verdict(
            "update_customer",
            (keys.customer, keys.outbox),
            (context.head, context.request_id, context.now_ms, revision, document, rules),
        )

    async def update_entity(
        self, context: Context, revision: str, entity: str, document: str, rules: str = ""
    ) -> Status:
        """Run ``update_entity``."""
        keys = context.keys
        return await self._verdict(
            "update_entity",
            (keys.customer, keys.entities, keys.outbox),
            (
                context.head,
                context.request_id,
                context.now_ms,
                revision,
                entity,
                document,
                rules,
            ),
        )

    async def delete_customer(self, context: Context) -> Status:
        """Run ``delete_customer``."""
        return await self._verdict(
            "delete_customer", context.keys.own, (context.head, context.request_id, context.now_ms)
        )

    async def restore_customer(
        self, context: Context, cursor: str, groups: Sequence[Sequence[str | int]]
    ) -> Status:
        """Run ``restore_customer`` with the flat field-value (or score-member) lists of the keys in
        order, the outbox left out.
        """
        flat = [part for group in groups for part in group]
        return await self._verdict(
            "restore_customer", context.keys, (context.head, cursor, *map(len, groups), *flat)
        )

    async def settle(self, context: Context, limit: int) -> tuple[Status, int]:
        """Run ``settle``; the integer is how many entities were settled."""
        reply = await self._change(
            "settle",
            context.keys.own,
            (context.head, context.request_id, context.now_ms, limit),
        )
        return Status(reply[0]), reply[1]

    async def take_reply(self, key: Key, mark: bytes, pending_ms: int) -> bytes | None:
        """Take an idempotency key, or return what it holds already."""
        try:
            found = await self._client.set(key, mark + b"\n", nx=True, get=True, px=pending_ms)
        except RedisError as error:
            raise _unavailable(error) from error
        return cast("bytes | None", found)

    async def keep_reply(self, key: Key, answer: bytes, keep_ms: int) -> None:
        """Keep an answer under its idempotency key."""
        try:
            await self._client.set(key, answer, px=keep_ms)
        except RedisError as error:
            raise UnknownOutcomeError from error

    async def free_reply(self, key: Key) -> None:
        """Give an idempotency key free; it frees itself when this cannot."""
        with contextlib.suppress(RedisError):
            await self._client.delete(key)

    async def _verdict(self, name: str, keys: Sequence[Key], values: Sequence[str | int]) -> Status:
        return Status((await self._change(name, keys, values))[0])

    async def _change(self, name: str, keys: Sequence[Key], values: Sequence[str | int]) -> Any:  # noqa: ANN401 - a reply is what its script says
        try:
            return await self._run("EVALSHA", name, keys, values)
        except (RedisConnectionError, RedisTimeoutError) as error:
            if _UNSENT.search(str(error)):
                raise _unavailable(error) from error
            raise UnknownOutcomeError from error
        except OutOfMemoryError as error:
            raise _unavailable(error) from error

    async def _read(self, name: str, keys: Sequence[Key], values: Sequence[str | int]) -> Any:  # noqa: ANN401 - a reply is what its script says
        try:
            return await self._run(self._read_command, name, keys, values)
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise _unavailable(error) from error

    async def _look(self, pipe: Pipeline) -> list[Any]:
        try:
            return await pipe.execute()
        except RedisError as error:
            raise _unavailable(error) from error

    async def _run(
        self, command: str, name: str, keys: Sequence[Key], values: Sequence[str | int]
    ) -> Any:  # noqa: ANN401 - a reply is what its script says
        digest = self._digests[name]
        try:
            try:
                return await self._call(command, digest, len(keys), *keys, *values)
            except NoScriptError:
                await self.load()
                return await self._call(command, digest, len(keys), *keys, *values)
        except ResponseError as error:
            if str(error).startswith(_NOT_NOW):
                raise _unavailable(error) from error
            raise


def _unavailable(error: RedisError) -> UnavailableError:
    return UnavailableError(f"Redis does not answer: {str(error) or type(error).__name__}")


def _description(parts: Sequence[bytes]) -> Description:
    return Description(*(part.decode() for part in parts))


def _unpack(text: bytes) -> list[Any]:
    """Return a reply as ``pack_reply`` wrote it: four levels of lists."""
    status, applied, described, moved = text.split(b"\x01")
    return [
        status,
        applied.split(b"\x02"),
        [
            [pool.split(b"\x04") for pool in part.split(b"\x03")]
            for part in described.split(b"\x02")
        ],
        [
            [move.split(b"\x04") for move in part.split(b"\x03") if move]
            for part in moved.split(b"\x02")
        ],
    ]
