"""The gateway's Redis: the only module that runs commands on its connection.

Failure: a connection that is lost while a call is in flight leaves its outcome unknown, and nothing
here tries again by itself: ``UnknownOutcomeError`` for calls that change something,
``RedisUnavailableError`` for calls that only read, and for whatever was never sent or was refused
before it ran. After some faults in a row the breaker refuses calls at once. A server that has not
got the library gets it and the call is repeated, which is safe: it had not begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    MaxConnectionsError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway import metrics
from gateway.cluster.refusals import REFUSALS, is_away, is_refusal
from gateway.errors import GatewayError, RedisUnavailableError, UnknownOutcomeError
from gateway.scripts.breaker import Breaker
from gateway.scripts.calls import HoldDue, Status
from gateway.scripts.composition import compose
from gateway.scripts.faults import PipeUnsentError
from gateway.scripts.looks import apart, held, lengths
from gateway.scripts.outcomes import CROWDED, meaning_of, unavailable
from gateway.scripts.pipes import Pipes
from gateway.scripts.rates import TICKET

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from redis.asyncio import Redis

    from gateway.keys import Key
    from gateway.scripts.asking import Words
    from gateway.scripts.pipe import Pipe, Receiver

log = logging.getLogger(__name__)

TELL_SECONDS = 1.0
"""Between two lines of the log about faults; the metric counts all of them."""

STEP = 16
"""Commands nobody waits for that are asked at once, however many partitions there are: in between
requests are answered.
"""

_UNPARSED_XREAD = b"XREAD"
"""The client would parse the reply to the text, as only it does."""

_MISSING = "Function not found"
"""How a server words that it has not got a function."""

_OF_CUSTOMER = frozenset({"check", "track"})
"""Scripts whose calls count for the customer that is their first key."""

_HOT = _OF_CUSTOMER | {"finalize"}
"""Scripts in front of every request of somebody's backend."""


_library = cache(compose)


class Server:
    """A client with the library of scripts."""

    def __init__(
        self,
        client: Redis,
        pipe: Pipe | Pipes | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        """Compose the library; it is loaded when it is first missed, or by ``load``. The ``pipe``
        runs the scripts that have less time than others; without it the client does.
        """
        self._client = client
        self._library = _library()
        self._call = cast("Callable[..., Awaitable[Any]]", client.execute_command)
        self._pipe = pipe
        self._hot = self._call if pipe is None else pipe.call
        self._breaker = breaker or Breaker()
        self._loads = 0
        self._loading = asyncio.Lock()
        self._tell_at = 0.0
        self.on_replica: Callable[[], None] = _nobody
        """Called when the server says that it takes no changes any more, or not of that key."""

    @property
    def functions(self) -> dict[str, str]:
        """The function each script became."""
        return self._library.functions

    @property
    def counted(self) -> dict[str, str]:
        """The functions of those that can count the call first."""
        return self._library.counted

    async def load(self) -> None:
        """Hand the library to the server, unless it has it."""
        try:
            await self._client.function_load(self._library.text)
        except ResponseError as error:
            if "already exists" not in str(error):
                raise

    async def ping(self) -> None:
        """Return when the server answers, asked even while the breaker is open; raises
        ``RedisUnavailableError``.
        """
        try:
            await self._client.ping()
        except RedisError as error:
            raise unavailable(error) from error

    async def last_entry(self, outbox: Key) -> str:
        """Return the id of the newest entry of an outbox, ``0-0`` when it is empty."""
        return (await self.last_entries([outbox]))[0]

    async def last_entries(self, outboxes: Sequence[Key]) -> list[str]:
        """Return the id of the newest entry of each outbox, ``0-0`` where it is empty."""
        found = await self._look([("XREVRANGE", one, "+", "-", "COUNT", 1) for one in outboxes])
        return [entries[0][0].decode() if entries else "0-0" for entries in found]

    async def outbox_lengths(self, partitions: int) -> list[int]:
        """Return how many entries each outbox holds; 0 where its server of a Cluster is gone."""
        found = await self._look_around(lengths(partitions))
        return [length or 0 for length in found]

    async def next_entries(self, after: Mapping[Key, str]) -> list[str]:
        """Return the id of the first entry after a place of each outbox, where there is one and its
        server of a Cluster is not gone.
        """
        found = await self._look_around(
            [
                (_UNPARSED_XREAD, "COUNT", 1, "STREAMS", *some, *(after[one] for one in some))
                for some in apart(list(after), self._keys_together)
            ]
        )
        return [entries[0][0].decode() for reply in found for _, entries in _pairs(reply or [])]

    async def now_ms(self) -> int:
        """Return the time of the server, by which entries get their ids."""
        ((seconds, microseconds),) = await self._look_again([("TIME",)])
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def receipts(self, places: Sequence[Key], env: str, lock_id: str) -> list[str]:
        """Return the receipts kept under a lock id in the ``locks`` hashes of some partitions."""
        found = await self._look_again([("HGET", place, f"{env}\t{lock_id}") for place in places])
        return [text.decode() for text in found if text is not None]

    async def holds_due(
        self, partitions: int, times: Mapping[str, int], limit: int
    ) -> list[HoldDue]:
        """Return the holds that have ended by the time of their environment, at most ``limit`` of
        it in a partition; those of a server of a Cluster that is gone wait.
        """
        # Mostly there are none anywhere.
        looks = [
            (look, until)
            for env, until in times.items()
            for look in held(env, partitions, self._keys_together)
        ]
        counts = await self._look_around([look for look, _ in looks])
        found = await self._look_around(
            [
                ("ZRANGEBYSCORE", place, "-inf", until, "LIMIT", 0, limit, "WITHSCORES")
                for (look, until), count in zip(looks, counts, strict=True)
                if count
                for place in look.words[1:]
            ]
        )
        return [
            HoldDue(env, customer_id, lock_id, int(score))
            for members in found
            for member, score in _pairs(members or [])
            for env, customer_id, lock_id in (member.decode().split("\t", 2),)
        ]

    async def take_reply(self, key: Key, mark: bytes, keep_ms: int) -> bytes | None:
        """Take an idempotency key, or return what it holds already.

        It is looked at first: a server that stands still would take it later, for a call that was
        given up before it began.
        """
        with self._watched():
            found: object = await self._client.get(key)
            if found is None:
                found = await self._client.set(key, mark + b"\n", nx=True, get=True, px=keep_ms)
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

    def begin(self, command: bytes, receiver: Receiver) -> bool:
        """Ask for a hot script without a coroutine; ``receiver`` gets its reply, or the fault that
        came instead. False when nothing was sent, and nobody will be called.
        """
        if self._pipe is None or self._breaker.is_open:
            return False
        try:
            self._pipe.send(command, receiver)
        except PipeUnsentError:
            return False
        return True

    def heard(self) -> None:
        """Note that the server answered."""
        if self._breaker.faults:
            self._breaker.succeeded()

    def outcome(self, error: Exception, *, changes: bool) -> GatewayError | None:
        """Note the fault that came instead of a reply to ``begin``, and return what it means to the
        caller; None when the script had not begun, since the server has not got the library. Raises
        the error where it is a fault of the script.
        """
        if isinstance(error, ResponseError) and _MISSING in str(error):
            return None
        if isinstance(error, RedisError):
            self._note(error)
        if is_refusal(error):
            return unavailable(error)
        if isinstance(error, (RedisConnectionError, RedisTimeoutError)):
            return meaning_of(error, changes=changes)
        raise error

    async def _verdict(self, name: str, keys: Sequence[Key], values: Sequence[str | int]) -> Status:
        return Status((await self._change(name, keys, values))[0])

    async def _change(self, name: str, keys: Sequence[Key], values: Sequence[str | int]) -> Any:  # noqa: ANN401 - a reply is what its script says
        try:
            return await self._run("FCALL", name, keys, values)
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise meaning_of(error, changes=True) from error

    async def _read(self, name: str, keys: Sequence[Key], values: Sequence[str | int]) -> Any:  # noqa: ANN401 - a reply is what its script says
        try:
            return await self._run("FCALL_RO", name, keys, values)
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise meaning_of(error, changes=False) from error

    async def _look(self, commands: Sequence[Words]) -> list[Any]:
        """Return the replies to some commands that only read and are no scripts."""
        with self._watched():
            async with self._client.pipeline(transaction=False) as pipe:
                for words in commands:
                    pipe.execute_command(*words)
                return await pipe.execute()

    @property
    def _keys_together(self) -> int:
        """Keys of many partitions that one command may name."""
        return 1 if self._pipe is None else self._pipe.keys_together

    async def _look_again(self, commands: Sequence[Words]) -> list[Any]:
        """Do so for somebody who asks often: a tenth of what the client would cost, in steps
        between which requests are answered.
        """
        if self._pipe is None:
            return await self._look(commands)
        replies: list[Any] = []
        with self._watched():
            for at in range(0, len(commands), STEP):
                replies += await self._pipe.call_all(commands[at : at + STEP])
        return replies

    async def _look_around(self, commands: Sequence[Words]) -> list[Any]:
        """Do so, with None for what servers of a Cluster have that do not answer, unless none do:
        nobody is to wait for customers of others.
        """
        if not isinstance(self._pipe, Pipes):
            return await self._look_again(commands)
        replies: list[Any] = []
        with self._watched():
            for at in range(0, len(commands), STEP):
                replies += await self._pipe.ask_all(commands[at : at + STEP])
            faults = [one for one in replies if isinstance(one, RedisError)]
            for fault in faults:
                if not is_away(fault) or len(faults) == len(replies):
                    raise fault
        for fault in faults[:1]:
            self._note(fault)
        return [None if isinstance(one, RedisError) else one for one in replies]

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Let the breaker see how some commands that are no scripts come out."""
        self._admit()
        try:
            yield
        except RedisError as error:
            self._note(error)
            raise unavailable(error) from error
        self._breaker.succeeded()

    def _admit(self) -> None:
        if not self._breaker.admits():
            metrics.redis_faults.labels("not_asked").inc()
            raise RedisUnavailableError(
                "Redis did not answer a moment ago and is given a pause; nothing was changed"
            )

    def _note(self, error: RedisError) -> None:
        """Count and tell a fault; one that says that nobody answers goes to the breaker."""
        now = time.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            log.warning("Redis did not carry out a call: %s: %s", type(error).__name__, error)
        if isinstance(error, (ReadOnlyError, MovedError)):
            self.on_replica()
        if isinstance(error, REFUSALS):
            metrics.redis_faults.labels("refused").inc()
        elif isinstance(error, MaxConnectionsError) or CROWDED.search(str(error)):
            metrics.redis_faults.labels("no_connection").inc()
        elif isinstance(error, RedisTimeoutError):
            metrics.redis_faults.labels("timeout").inc()
            self._breaker.failed(getattr(error, "event", None))
        elif isinstance(error, RedisConnectionError):
            metrics.redis_faults.labels("connection").inc()
            self._breaker.failed(getattr(error, "event", None))
        else:
            metrics.redis_faults.labels("reply").inc()

    async def _run(
        self, command: str, name: str, keys: Sequence[Key], values: Sequence[str | int]
    ) -> Any:  # noqa: ANN401 - a reply is what its script says
        call = self._hot if name in _HOT else self._call
        ticket = TICKET.get()
        counted = None if ticket is None else self._library.counted.get(name)
        if ticket is not None and counted is not None:
            terms = ticket.take(keys[0] if name in _OF_CUSTOMER else None)
            if terms is not None:
                words = (*keys, *terms.keys), (*values, ticket.argument(terms))
                return ticket.settle(terms, await self._ask(call, "FCALL", counted, *words))
        return await self._ask(call, command, self._library.functions[name], keys, values)

    async def _ask(
        self,
        call: Callable[..., Awaitable[Any]],
        command: str,
        function: str,
        keys: Sequence[Key],
        values: Sequence[str | int],
    ) -> Any:  # noqa: ANN401 - a reply is what its script says
        if self._breaker.is_open:
            self._admit()
        loads = self._loads
        try:
            try:
                reply = await call(command, function, len(keys), *keys, *values)
            except ResponseError as error:
                if _MISSING not in str(error):
                    raise
                async with self._loading:  # of all calls that miss the library, one brings it
                    if loads == self._loads:
                        await self.load()
                        self._loads += 1
                reply = await call(command, function, len(keys), *keys, *values)
        except RedisError as error:
            self._note(error)
            if is_refusal(error):
                raise unavailable(error) from error
            raise
        self.heard()
        return reply


def _pairs(members: dict[bytes, Any] | list[Any]) -> Iterable[tuple[bytes, Any]]:
    """Return what comes in pairs: a dictionary or a list of them, or one after the other."""
    if isinstance(members, dict):
        return members.items()
    if members and isinstance(members[0], bytes):
        return zip(members[::2], members[1::2], strict=True)
    return members


def _nobody() -> None:
    """Have nobody told."""
