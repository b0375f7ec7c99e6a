"""The gateway's Redis: the only module that runs commands on its connection.

Failure: a connection that is lost while a call is in flight leaves its outcome unknown, and nothing
here tries again by itself: ``UnknownOutcomeError`` for calls that change something,
``UnavailableError`` for calls that only read. A server that has not got the library gets it and the
call is repeated, which is safe: it had not begun.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import UnavailableError, UnknownOutcomeError
from gateway.scripts.calls import HoldDue, Status
from gateway.scripts.composition import compose

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from redis.asyncio import Redis
    from redis.asyncio.client import Pipeline

    from gateway.keys import Key

_MISSING = "Function not found"
"""How a server words that it has not got a function."""

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


class Server:
    """A client with the library of scripts."""

    def __init__(self, client: Redis) -> None:
        """Compose the library; it is loaded when it is first missed, or by ``load``."""
        self._client = client
        self._library = compose()
        self._call = cast("Callable[..., Awaitable[Any]]", client.execute_command)

    async def load(self) -> None:
        """Hand the library to the server, unless it has it."""
        try:
            await self._client.function_load(self._library.text)
        except ResponseError as error:
            if "already exists" not in str(error):
                raise

    async def ping(self) -> None:
        """Return when the server answers; raises ``UnavailableError``."""
        try:
            await self._client.ping()
        except RedisError as error:
            raise unavailable(error) from error

    async def last_entry(self, outbox: Key) -> str:
        """Return the id of the newest entry of an outbox, ``0-0`` when it is empty."""
        try:
            entries = await self._client.xrevrange(outbox, count=1)
        except RedisError as error:
            raise unavailable(error) from error
        return cast("bytes", entries[0][0]).decode() if entries else "0-0"

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

    async def take_reply(self, key: Key, mark: bytes, keep_ms: int) -> bytes | None:
        """Take an idempotency key, or return what it holds already."""
        try:
            found = await self._client.set(key, mark + b"\n", nx=True, get=True, px=keep_ms)
        except RedisError as error:
            raise unavailable(error) from error
        return cast("bytes | None", found)

    async def keep_reply(self, key: Key, answer: bytes, keep_ms: int) -> None:
        """Keep an answer under its idempotency key."""
        try:
            await self._client.set(key, answer, px=keep_ms)
        except RedisError as error:
            raise UnknownOutcomeError from error

    async def free_reply(self, key: Key) -> None:
        """Give an idempotency key free; when this cannot, it stays taken until it expires."""
        with contextlib.suppress(RedisError):
            await self._client.delete(key)

    async def _verdict(self, name: str, keys: Sequence[Key], values: Sequence[str | int]) -> Status:
        return Status((await self._change(name, keys, values))[0])

    async def _change(self, name: str, keys: Sequence[Key], values: Sequence[str | int]) -> Any:  # noqa: ANN401 - a reply is what its script says
        try:
            return await self._run("FCALL", name, keys, values)
        except (RedisConnectionError, RedisTimeoutError) as error:
            if _UNSENT.search(str(error)):
                raise unavailable(error) from error
            raise UnknownOutcomeError from error
        except OutOfMemoryError as error:
            raise unavailable(error) from error

    async def _read(self, name: str, keys: Sequence[Key], values: Sequence[str | int]) -> Any:  # noqa: ANN401 - a reply is what its script says
        try:
            return await self._run("FCALL_RO", name, keys, values)
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise unavailable(error) from error

    async def _look(self, pipe: Pipeline) -> list[Any]:
        try:
            return await pipe.execute()
        except RedisError as error:
            raise unavailable(error) from error

    async def _run(
        self, command: str, name: str, keys: Sequence[Key], values: Sequence[str | int]
    ) -> Any:  # noqa: ANN401 - a reply is what its script says
        function = self._library.functions[name]
        try:
            try:
                return await self._call(command, function, len(keys), *keys, *values)
            except ResponseError as error:
                if _MISSING not in str(error):
                    raise
                await self.load()
                return await self._call(command, function, len(keys), *keys, *values)
        except ResponseError as error:
            if str(error).startswith(_NOT_NOW):
                raise unavailable(error) from error
            raise


def unavailable(error: RedisError) -> UnavailableError:
    """Return the error for a server that does not answer."""
    return UnavailableError(f"Redis does not answer: {str(error) or type(error).__name__}")
