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

import re
from enum import IntEnum
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

    @property
    def granted(self) -> bool:
        """Whether any row of the feature exists here."""
        return bool(self.rows or self.own_rows or self.held)


class CheckReply(NamedTuple):
    """Reply of ``check``."""

    status: Status
    allowed: bool = False
    description: Description = Description("", "", "", "", "", "", "", "")


class Move(NamedTuple):
    """Units one row gave (positive) or got back, with the row's line and its next reset."""

    line: str
    delta: int
    due_ms: int


class TrackReply(NamedTuple):
    """Reply of ``track``, for each feature: units applied, state left behind, what moved."""

    status: Status
    applied: list[int]
    descriptions: list[Description]
    moves: list[list[Move]]


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
        self, keys: CustomerKeys, now_ms: int, feature: str, entity: str, amount: int
    ) -> CheckReply:
        """Run ``check``."""
        reply = await self._read(
            "check",
            (keys.customer, keys.entities, keys.due),
            (now_ms, feature, entity, amount),
        )
        status = Status(reply[0])
        if status is not Status.DONE:
            return CheckReply(status)
        return CheckReply(status, reply[1] == 1, _description(reply[2]))

    async def track(
        self,
        context: Context,
        entity: str,
        mode: str,
        event_name: str,
        timestamp: int,
        properties: str,
        amounts: Sequence[tuple[str, int]],
    ) -> TrackReply:
        """Run ``track`` for (feature, units) pairs."""
        flat = [part for pair in amounts for part in pair]
        reply = await self._change(
            "track",
            context.keys,
            (
                context.head,
                context.request_id,
                context.now_ms,
                entity,
                mode,
                event_name,
                timestamp,
                properties,
                *flat,
            ),
        )
        return TrackReply(
            Status(reply[0]),
            reply[1],
            [_description(item) for item in reply[2]],
            [_moves(item) for item in reply[3]],
        )

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
    ) -> Status:
        """Run ``create_entity``."""
        return await self._verdict(
            "create_entity",
            context.keys,
            (
                context.head,
                context.request_id,
                context.now_ms,
                entity,
                feature,
                document,
                unit,
                entities_max,
            ),
        )

    async def delete_entity(self, context: Context, entity: str, unit: int) -> Status:
        """Run ``delete_entity``."""
        return await self._verdict(
            "delete_entity",
            context.keys,
            (context.head, context.request_id, context.now_ms, entity, unit),
        )

    async def update_customer(self, context: Context, revision: str, document: str) -> Status:
        """Run ``update_customer``."""
        keys = context.keys
        return await self._verdict(
            "update_customer",
            (keys.customer, keys.outbox),
            (context.head, context.request_id, context.now_ms, revision, document),
        )

    async def update_entity(
        self, context: Context, revision: str, entity: str, document: str
    ) -> Status:
        """Run ``update_entity``."""
        keys = context.keys
        return await self._verdict(
            "update_entity",
            (keys.customer, keys.entities, keys.outbox),
            (context.head, context.request_id, context.now_ms, revision, entity, document),
        )

    async def delete_customer(self, context: Context) -> Status:
        """Run ``delete_customer``."""
        return await self._verdict(
            "delete_customer", context.keys, (context.head, context.request_id, context.now_ms)
        )

    async def restore_customer(
        self, context: Context, cursor: str, groups: Sequence[Sequence[str | int]]
    ) -> Status:
        """Run ``restore_customer`` with the flat field-value (or score-member) lists of the six
        keys, in order.
        """
        flat = [part for group in groups for part in group]
        return await self._verdict(
            "restore_customer", context.keys, (context.head, cursor, *map(len, groups), *flat)
        )

    async def settle(self, context: Context, limit: int) -> tuple[Status, int]:
        """Run ``settle``; the integer is how many entities were settled."""
        keys = context.keys
        reply = await self._change(
            "settle",
            (keys.customer, keys.entities, keys.marks, keys.due, keys.outbox),
            (context.head, context.request_id, context.now_ms, limit),
        )
        return Status(reply[0]), reply[1]

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


def _moves(parts: Sequence[Any]) -> list[Move]:
    return [
        Move(parts[at].decode(), parts[at + 1], parts[at + 2]) for at in range(0, len(parts), 3)
    ]
