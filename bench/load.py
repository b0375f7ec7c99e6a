"""Load from a process of its own, closed or open loop.

Closed loop: some connections, each asking again as soon as it has its answer. Open loop: requests
are due at a fixed rate whatever comes back, and each is timed from when it was due, so that one
that had to wait for a free connection counts as late (no coordinated omission).

``python -m bench.load`` reads a ``Plan`` from standard input and prints a ``Tally``, both as
MessagePack; SIGTERM ends it early, with a tally of what was until then. It speaks HTTP or Redis'
protocol on the level of the transport, so that it costs little beside what it measures; both ends
still share the cores of the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from functools import partial
from typing import Literal, cast

import hiredis
import httptools
import msgspec
import uvloop

NUMBER = b"number-goes-here"
"""In a request of a plan: replaced by a number that no other turn of any connection has."""

QUANTILES = [*(at / 100 for at in range(100)), 0.995, 0.999, 0.9999, 1.0]

NO_ANSWER = 0
"""Stands for a status where the connection was lost, or nothing came in time."""

TICK_SECONDS_MIN = 0.00025
"""Between two looks at what is due; more of them would be felt by what is measured."""

GRACE_SECONDS = 10.0
"""For the last answers, once nothing is asked any more."""

LOOK_SECONDS = 0.5
"""Between two looks at whether the last answers are too late, for the end may move."""

RETRY_SECONDS = 0.1
_NOTHING = object()
_USAGE = re.compile(rb'"usage":(\d+)')


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask whom; connection ``n`` asks ``sequences[n % len(sequences)]`` in order."""

    address: tuple[str, int] | str
    """Host and port, or the path of a unix socket."""
    sequences: list[list[bytes]]
    connections: int = 64
    seconds: float = 1.0
    """Of what counts."""
    warm_up_seconds: float = 0.2
    rate: float = 0.0
    """Requests a second in open loop; 0 is closed loop."""
    repeats: bool = True
    """Begin a sequence again after its end; else it is asked once, and the last answer ends all."""
    protocol: Literal["http", "redis"] = "http"
    tls: bool = False
    tag: int = 0
    """Part of the numbers, so that two runs have different ones."""


class Tally(msgspec.Struct, frozen=True):
    """What came of it. ``statuses`` and usage are of everything; the rest is, after the warm-up, of
    what was answered (closed loop) or due (open loop) within the time.
    """

    answers: int
    seconds: float
    latency_us: list[float]
    """At each of ``QUANTILES``."""
    statuses: dict[int, int]
    usage_sum: int
    """Over the first ``usage`` of each answer."""
    lasted: float = 0.0
    """Of the open loop: until the last answer, which may come after the time."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds if self.seconds else 0.0

    @property
    def reached(self) -> float:
        """Answers a second of the time they took: who does not keep up answers for longer."""
        seconds = max(self.seconds, self.lasted)
        return self.answers / seconds if seconds else 0.0

    @property
    def failures(self) -> int:
        """How many were not answered, or not with success."""
        return sum(count for status, count in self.statuses.items() if not 200 <= status < 300)

    def quantile_us(self, part: float) -> float:
        """Return the latency at one of ``QUANTILES``."""
        return self.latency_us[QUANTILES.index(part)]

    @property
    def p50_us(self) -> float:
        """The median latency."""
        return self.quantile_us(0.5)

    @property
    def p99_us(self) -> float:
        """What one request in a hundred takes longer than."""
        return self.quantile_us(0.99)


class _Load:
    """One plan being carried out."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.is_over = False
        self.times: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.usage_sum = 0
        self.last = 0.0
        self._free: deque[_Connection] = deque()
        self._began = 0.0
        self._total = max(1, round((plan.warm_up_seconds + plan.seconds) * plan.rate))
        self._due_count = 0
        self._asked_count = 0
        self._noted_count = 0

    async def run(self) -> Tally:
        plan = self.plan
        self._began = time.perf_counter()
        self._counts_from = self._began + plan.warm_up_seconds
        self._until = self._counts_from + plan.seconds
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        hung = {loop.create_task(self._keep(number)) for number in range(plan.connections)}
        with self._ticking(loop) if plan.rate else contextlib.nullcontext():
            while hung and not (plan.repeats and time.perf_counter() > self._until + GRACE_SECONDS):
                _, hung = await asyncio.wait(hung, timeout=LOOK_SECONDS)
        loop.remove_signal_handler(signal.SIGTERM)
        self.is_over = True
        lost = self._due_count - self._noted_count if plan.rate else len(hung)
        self.statuses[NO_ANSWER] += lost
        for task in hung:
            task.cancel()
        end = self.last if not plan.repeats else max(self._until, self._counts_from)
        times = sorted(self.times)
        last = len(times) - 1
        spread = [times[round(last * part)] * 1e6 if times else 0.0 for part in QUANTILES]
        statuses = {status: count for status, count in self.statuses.items() if count}
        lasted = max(0.0, self.last - self._counts_from) if plan.rate else 0.0
        return Tally(len(times), end - self._counts_from, spread, statuses, self.usage_sum, lasted)

    def _end(self) -> None:
        """Ask nothing more, but for what was due."""
        self._until = min(self._until, time.perf_counter())
        if self.plan.rate:
            self._total = self._due_count
            self._ask_what_is_due()

    @contextlib.contextmanager
    def _ticking(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Look when something is due; the timers of an event loop are a millisecond coarse."""
        loop.add_signal_handler(signal.SIGALRM, self._ask_what_is_due)
        signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS_MIN)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            loop.remove_signal_handler(signal.SIGALRM)

    async def _keep(self, number: int) -> None:
        """Have one connection, another when it is lost, until all is asked."""
        plan = self.plan
        loop = asyncio.get_running_loop()
        kind = _HttpConnection if plan.protocol == "http" else _RedisConnection
        words = _words(plan, number)
        while not self.is_over:
            connection = kind(self, words)
            try:
                if isinstance(plan.address, str):
                    await loop.create_unix_connection(partial(_same, connection), plan.address)
                else:
                    ssl = True if plan.tls else None
                    host, port = plan.address
                    await loop.create_connection(partial(_same, connection), host, port, ssl=ssl)
            except OSError:
                if not plan.rate:  # else what is due waits, and counts in the end
                    self.statuses[NO_ANSWER] += 1
                await asyncio.sleep(RETRY_SECONDS)
                self.is_over = time.perf_counter() > self._until
                continue
            try:
                await connection.ended.wait()
            finally:
                connection.close()
            if connection.has_asked_all:
                return

    def ready(self, connection: _Connection) -> None:
        """Give a connection that has nothing to do its next request."""
        if not self.plan.rate:
            now = time.perf_counter()
            if now < self._until or not self.plan.repeats:
                connection.ask(now)
            else:
                self.is_over = True
                connection.close()
        elif self._asked_count < self._due_count:
            connection.ask(self._next_due())
        elif self.is_over:
            connection.close()
        else:
            self._free.append(connection)

    def _next_due(self) -> float:
        """Take what has waited longest; its time is worked out, for millions may wait."""
        due = self._began + self._asked_count / self.plan.rate
        self._asked_count += 1
        return due

    def _ask_what_is_due(self) -> None:
        now = time.perf_counter()
        self._due_count = min(self._total, int((now - self._began) * self.plan.rate) + 1)
        while self._free and self._asked_count < self._due_count:
            connection = self._free.popleft()
            if not connection.ended.is_set():
                connection.ask(self._next_due())
        if now >= self._until:
            self.is_over = True
            while self._free:
                self._free.popleft().close()
            return
        due = self._began + self._due_count / self.plan.rate
        next_look = min(due, self._until) if self._due_count < self._total else self._until
        signal.setitimer(signal.ITIMER_REAL, max(TICK_SECONDS_MIN, next_look - time.perf_counter()))

    def note(self, status: int, due: float, usage: bytes | None) -> None:
        """Count an answer, or that there was none."""
        self.last = now = time.perf_counter()
        self._noted_count += 1
        self.statuses[status] += 1
        if usage:
            self.usage_sum += int(usage)
        moment = due if self.plan.rate else now
        in_time = self._counts_from <= moment <= self._until or not self.plan.repeats
        if status != NO_ANSWER and in_time:
            self.times.append(now - due)


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load, words: Iterator[bytes]) -> None:
        self.ended = asyncio.Event()
        self.has_asked_all = False
        self._load = load
        self._words = words
        self._due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class
        self._load.ready(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        if self._due is not None:
            self._load.note(NO_ANSWER, self._due, None)
        self.ended.set()

    def ask(self, due: float) -> None:
        """Send the next request, which was due at a time."""
        request = next(self._words, None)
        if request is None:
            self.has_asked_all = True
            self.close()
            return
        self._due = due
        self._transport.write(request)

    def close(self) -> None:
        """Ask nothing more."""
        self._transport.close()

    def _answered(self, status: int, *, stays: bool = True, usage: bytes | None = None) -> None:
        due, self._due = self._due, None
        if due is None:
            return
        self._load.note(status, due, usage)
        if stays:
            self._load.ready(self)
        else:
            self.close()


class _HttpConnection(_Connection):
    def __init__(self, load: _Load, words: Iterator[bytes]) -> None:
        super().__init__(load, words)
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Keep a piece; mostly it is the only one."""
        self._body += body

    def on_message_complete(self) -> None:
        """Count the answer."""
        found = _USAGE.search(self._body)
        self._body = b""
        stays = self._parser.should_keep_alive()
        usage = found[1] if found else None
        self._answered(self._parser.get_status_code(), stays=stays, usage=usage)


class _RedisConnection(_Connection):
    def __init__(self, load: _Load, words: Iterator[bytes]) -> None:
        super().__init__(load, words)
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        reply = self._reader.gets()
        if reply is not _NOTHING:
            self._answered(500 if isinstance(reply, Exception) else 200)


def _same(connection: _Connection) -> _Connection:
    return connection


def _words(plan: Plan, number: int) -> Iterator[bytes]:
    """Yield the requests of one connection."""
    sequence = plan.sequences[number % len(plan.sequences)]
    if not plan.repeats:
        return iter(sequence)
    if not any(NUMBER in one for one in sequence):
        return itertools.cycle(sequence)
    return (
        one.replace(NUMBER, b"%04x%04x%08x" % (plan.tag, number, turn))
        for turn in itertools.count()
        for one in sequence
    )


async def run(plan: Plan) -> Tally:
    """Put the load on."""
    return await _Load(plan).run()


async def put_on(plan: Plan, ended: asyncio.Event | None = None) -> Tally:
    """Put the load on from a process of its own, which ``ended`` ends early."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        process_group=0,  # Ctrl-C is for this process, which ends that one
    )
    ending = asyncio.create_task(_end(process, ended)) if ended else None
    try:
        output, _ = await process.communicate(msgspec.msgpack.encode(plan))
    except BaseException:
        process.kill()
        await process.wait()
        raise
    finally:
        if ending:
            ending.cancel()
    if process.returncode == -signal.SIGTERM:  # before it had begun
        return Tally(0, 0.0, [0.0] * len(QUANTILES), {}, 0)
    assert process.returncode == 0, "the load ended early"
    return msgspec.msgpack.decode(output, type=Tally)


async def _end(process: asyncio.subprocess.Process, ended: asyncio.Event) -> None:
    await ended.wait()
    process.terminate()


def main() -> None:
    """Read a plan, put the load on, print the tally."""
    plan = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Plan)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(run(plan))
    sys.stdout.buffer.write(msgspec.msgpack.encode(tally))


if __name__ == "__main__":
    main()
