"""One connection that all calls of a process share: a call leaves without waiting for the reply to
another, and replies are given out in the order of the calls.

A server on the same machine works while this process does. So it is given a call at once when it
has none, which saves one connection a turn of the loop (4 to 7 %), then by fours while the turn
goes on (for 16 connections that was worth 11 to 22 %), and no more than ``NEAR_MAX`` at once; the
next ones leave when it answers, before its replies are given out (given all, it answered half of
them at a time, and the two took turns: 10 to 20 % fewer tracks of 64 connections). To one further
away all leave in one write, since the way would be waited for.

redis-py opens the connection and greets the server, hiredis packs and parses; in between there are
a queue and a transport. A call that is cancelled keeps its place in the queue, so that its reply is
thrown away and never handed to another.

Failure. A lost connection fails the calls that were in flight with ``PipeLostError`` (their outcome
is unknown), and those that had not left with ``PipeUnsentError``. When the server has not answered
anything for as long as a call may take, those that have waited so long get ``PipeLateError``
and the connection is given up, since what it would answer nobody waits for. The next call opens
another. An exception in a receiver never reaches the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis
from redis.asyncio.connection import (
    AbstractConnection,
    ConnectionPool,
    UnixDomainSocketConnection,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError

from gateway.scripts.asking import Asking
from gateway.scripts.faults import PipeLateError, PipeLostError, PipeUnsentError, fault_of

log = logging.getLogger(__name__)

IN_FLIGHT_MAX = 4096
"""Calls that may wait for a reply; beyond it the server is slower than its callers."""

NEAR_MAX = 32
"""Calls on their way to a server behind a unix socket: few enough that it answers some while others
come, and enough that it need not wait for them.
"""

NEAR_TOGETHER = 4
"""Calls that leave for such a server before the turn is over: few enough that it begins early, and
enough to be worth a write.
"""

_LOOKS = 4
"""How often within the time limit calls are looked at: a late one is late by a quarter more."""

_NOTHING = object()

Later = tuple[Callable[[Any], None], Any]
"""What to call with what, once all replies that came together were taken."""

Receiver = Callable[[Any], Later | None]
"""Takes the reply, or the exception that came instead of one. An answer that wakes somebody up is
better left for later: on a shared machine each would take the core from the replies behind.
"""

_Call = tuple[bytes, Receiver, float]
"""A command, who takes its reply, and until when that may come; a class would cost each request."""


def _settle(*taken: tuple[Callable[[Any], Later | None], object]) -> None:
    later: list[Later] = []
    for receiver, reply in taken:
        try:
            left = receiver(reply)
        except Exception:
            # The connection is everybody's; a fault of one receiver is that one's alone.
            log.exception("the receiver of a reply failed")
        else:
            if left is not None:
                later.append(left)
    if later:
        _settle(*later)


class Pipe(Asking):
    """The shared connection, opened by the first call and again after each loss."""

    keys_together = 64
    """Keys one command may name of many partitions; they take a server some microseconds."""

    def __init__(
        self, pool: ConnectionPool, *, timeout_seconds: float, in_flight_max: int = IN_FLIGHT_MAX
    ) -> None:
        """Take connections as ``pool`` makes them; it keeps none of them."""
        self._pool = pool
        self._timeout_s = timeout_seconds
        self._in_flight_max = in_flight_max
        self._waiting: deque[_Call] = deque()
        self._wire: _Wire | None = None
        self._opening: asyncio.Task[None] | None = None
        self._is_flushing = False
        self._is_closed = False
        self._watch: asyncio.TimerHandle | None = None
        self._watch_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as this end knows."""
        return self._wire is not None and self._wire.is_open

    @property
    def in_flight(self) -> int:
        """Calls that wait to leave or for a reply."""
        return len(self._waiting) + (len(self._wire.calls) if self._wire else 0)

    def _send_all(self, commands: list[bytes], receiver: Receiver) -> None:
        if self._is_closed:
            raise PipeUnsentError("the connection is closed")
        if self.in_flight + len(commands) > self._in_flight_max:
            raise PipeUnsentError("Too many calls wait for Redis")
        replies: list[Any] = []

        def take(reply: object) -> None:
            replies.append(reply)
            if len(replies) == len(commands):
                receiver(replies)

        # All but the last wait for it, so that they leave in one write.
        until = (self._loop or self._take_loop()).time() + self._timeout_s
        self._waiting.extend([(command, take, until) for command in commands[:-1]])
        self.send(commands[-1], take)

    def send(self, command: bytes, receiver: Receiver) -> None:
        """Ask, without a coroutine: ``receiver`` is called once, later, with what came.

        Raises ``PipeUnsentError`` when the pipe is closed or too many calls wait.
        """
        if self._is_closed:
            raise PipeUnsentError("the connection is closed")
        wire, waiting = self._wire, self._waiting
        if len(waiting) + (len(wire.calls) if wire else 0) >= self._in_flight_max:
            raise PipeUnsentError("Too many calls wait for Redis")
        loop = self._loop or self._take_loop()
        waiting.append((command, receiver, loop.time() + self._timeout_s))
        if (
            wire is not None
            and (len(waiting) == wire.together or not (wire.calls or wire.is_far))
            and wire.is_open
        ):
            self._fill(wire)
        elif not self._is_flushing:
            self._is_flushing = True
            loop.call_soon(self._flush)
        if self._watch is None:
            self._look_later()

    async def close(self) -> None:
        """Fail what waits, and close."""
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        self._fail_unsent("the connection is closed")
        if self._wire is not None:
            self._wire.close()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def drop(self) -> None:
        """Close the connection; calls in flight fail, the next one opens another."""
        if self._wire is not None:
            self._wire.close()

    def _take_loop(self) -> asyncio.AbstractEventLoop:
        # To be asked for the loop costs Python a system call each time.
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _flush(self) -> None:
        self._is_flushing = False
        wire = self._wire
        if wire is not None and wire.is_open:
            self._fill(wire)
        elif self._opening is None and self._waiting and not self._is_closed:
            self._opening = asyncio.get_running_loop().create_task(self._open())
            self._opening.add_done_callback(self._opened)

    def _fill(self, wire: _Wire) -> None:
        """Have as much of what waits leave as the server may be given."""
        waiting, calls = self._waiting, wire.calls
        room = wire.calls_max - len(calls)
        if len(waiting) <= room:
            leaving = list(waiting)
            waiting.clear()
        else:
            leaving = [waiting.popleft() for _ in range(room)]
        if leaving:
            calls += leaving
            wire.write(b"".join([command for command, _, _ in leaving]))

    async def _open(self) -> None:
        connection: AbstractConnection = cast("Any", self._pool).make_connection()
        try:
            async with asyncio.timeout(self._timeout_s):
                await cast("Any", connection).connect()
            self._wire = _Wire.take(connection, self._lost, self._answered)
        except (RedisError, OSError, TimeoutError) as error:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
            self._fail_unsent(f"Error connecting to Redis: {str(error) or 'timeout'}")

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening = None
        if not task.cancelled() and task.exception() is not None:
            log.error("the connection could not be opened", exc_info=task.exception())
            self._fail_unsent("Error connecting to Redis")
        if self._waiting and not self._is_flushing:
            self._flush()

    def _answered(self, wire: _Wire) -> None:
        if self._waiting and wire.is_open:
            self._fill(wire)

    def _lost(self, wire: _Wire, error: Exception | None) -> None:
        if self._wire is wire:
            self._wire = None
        fault = f"the connection to Redis was lost: {error or 'closed by the server'}"
        while wire.calls:
            _settle((wire.calls.popleft()[1], fault_of(PipeLostError(fault), wire)))
        if self._waiting and not self._is_flushing and not self._is_closed:
            self._flush()

    def _fail_unsent(self, text: str) -> None:
        waiting, self._waiting = self._waiting, deque()
        for _, receiver, _ in waiting:
            _settle((receiver, fault_of(PipeUnsentError(text), waiting)))

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._watch_at = loop.time() + self._timeout_s / _LOOKS
        self._watch = loop.call_at(self._watch_at, self._look)

    def _look(self) -> None:
        """Tell those who waited too long; give up a server that answers nobody."""
        self._watch = None
        now = asyncio.get_running_loop().time()
        # When the loop itself stood still, replies may lie in the socket unread: they come first.
        if now < self._watch_at + self._timeout_s / _LOOKS:
            self._end_late(now)
        if self.in_flight:
            self._look_later()

    def _end_late(self, now: float) -> None:
        wire = self._wire
        if wire is not None and wire.heard_at + self._timeout_s > now:
            return  # Replies keep coming: a call behind many others is not late, only its turn is.
        while self._waiting and self._waiting[0][2] <= now:
            late = PipeUnsentError("Error connecting to Redis: timeout")
            _settle((self._waiting.popleft()[1], fault_of(late, wire or self._opening)))
        if wire is None:
            return
        if wire.calls and wire.calls[0][2] <= now:
            while wire.calls and wire.calls[0][2] <= now:
                unheard = PipeLateError("Timeout reading from Redis")
                _settle((wire.calls.popleft()[1], fault_of(unheard, wire)))
            wire.close()


class _Wire(asyncio.Protocol):
    """One connection: the calls that went through it and have no reply yet, in order."""

    def __init__(
        self,
        transport: asyncio.Transport,
        lost: Callable[[_Wire, Exception | None], None],
        answered: Callable[[_Wire], None],
        *,
        is_far: bool,
    ) -> None:
        self.calls: deque[_Call] = deque()
        self.is_far = is_far
        self.calls_max = IN_FLIGHT_MAX if is_far else NEAR_MAX
        self.together = IN_FLIGHT_MAX if is_far else NEAR_TOGETHER
        self._time = asyncio.get_running_loop().time
        self.heard_at = self._time()
        self._transport = transport
        self._lost = lost
        self._answered = answered
        self._is_lost = False

    @classmethod
    def take(
        cls,
        connection: AbstractConnection,
        lost: Callable[[_Wire, Exception | None], None],
        answered: Callable[[_Wire], None],
    ) -> _Wire:
        """Take the transport out of a connection that has greeted its server."""
        writer = cast("asyncio.StreamWriter", connection._writer)  # noqa: SLF001 - no public way
        transport = cast("asyncio.Transport", writer.transport)
        # A loop may keep what is written until its turn ends, unless nothing may be kept.
        transport.set_write_buffer_limits(0)
        is_far = not isinstance(connection, UnixDomainSocketConnection)
        wire = cls(transport, lost, answered, is_far=is_far)
        parser = connection._parser  # noqa: SLF001 - the texts of errors are its knowledge
        wire._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=parser.parse_error,
            notEnoughData=_NOTHING,
        )
        transport.set_protocol(wire)
        wire._writer = writer  # since Python 3.11.5 the end of a writer closes its transport
        connection._reader = connection._writer = None  # noqa: SLF001 - it has nothing left to close
        if transport.is_closing():
            raise RedisConnectionError("closed by the server")
        return wire

    @property
    def is_open(self) -> bool:
        return not self._is_lost and not self._transport.is_closing()

    def write(self, commands: bytes) -> None:
        self._transport.write(commands)

    def close(self, error: Exception | None = None) -> None:
        self._transport.abort()
        self._end(error)

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._time()
        answered: list[tuple[Receiver, Any]] = []
        error: Exception | None = None
        try:
            self._take_replies(data, answered)
        except RedisError as fault:
            error = fault
        else:
            # The server works on these while the replies are given out.
            self._answered(self)
        _settle(*answered)
        if error is not None:
            # After garbage no later reply can be trusted to belong to its call.
            log.error("Redis answered what is no reply", exc_info=error)
            self.close(error)

    def _take_replies(self, data: bytes, answered: list[tuple[Receiver, Any]]) -> None:
        gets, calls = self._reader.gets, self.calls
        self._reader.feed(data)
        while (reply := gets()) is not _NOTHING:
            if not calls:
                raise InvalidResponse("a reply that nobody asked for")
            answered.append((calls.popleft()[1], reply))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def _end(self, error: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._lost(self, error)

    _reader: Any
    _writer: asyncio.StreamWriter
