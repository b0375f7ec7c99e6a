"""Load from a process of its own: some connections, each asking again as soon as it has its answer.

``python -m bench.load`` reads one JSON object from standard input, a ``Plan``, and prints one, a
``Tally``. It speaks HTTP or Redis' protocol, on the level of the transport, so that it costs little
beside what it measures; both ends still share the cores of the machine.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Literal, cast

import hiredis
import msgspec
import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length: "
_NOTHING = object()


class Plan(msgspec.Struct, frozen=True):
    """What to ask whom; connection ``n`` asks ``requests[n % len(requests)]`` over and over."""

    address: tuple[str, int] | str
    """Host and port, or the path of a unix socket."""
    requests: list[bytes]
    connections: int
    seconds: float
    protocol: Literal["http", "redis"] = "http"


class Tally(msgspec.Struct, frozen=True):
    """What came of it; times are from the first answer of each connection on."""

    answers: int
    failures: int
    seconds: float
    p50_us: float
    p99_us: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, until: float, done: Callable[[], None]) -> None:
        self.times: list[float] = []
        self.failures = 0
        self._request = request
        self._until = until
        self._done = done
        self._asked_at = 0.0
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._transport.is_closing() or exc is not None:
            self.failures += 1
        self._done()

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        self._transport.write(self._request)

    def _answered(self, *, good: bool) -> None:
        now = time.perf_counter()
        if good:
            self.times.append(now - self._asked_at)
        else:
            self.failures += 1
        if now < self._until:
            self._ask()
        else:
            self._transport.close()


class _HttpConnection(_Connection):
    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        end = buffer.find(_HEAD_END)
        if end < 0:
            return
        at = buffer.find(_LENGTH, 0, end) + len(_LENGTH)
        length = int(buffer[at : buffer.find(b"\r", at)])
        if len(buffer) >= end + len(_HEAD_END) + length:
            good = buffer.startswith(b"HTTP/1.1 20")
            buffer.clear()
            self._answered(good=good)


class _RedisConnection(_Connection):
    def __init__(self, request: bytes, until: float, done: Callable[[], None]) -> None:
        super().__init__(request, until, done)
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        reply = self._reader.gets()
        if reply is not _NOTHING:
            self._answered(good=not isinstance(reply, Exception))


async def run(plan: Plan) -> Tally:
    """Put the load on."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    until = began + plan.seconds
    kind = _HttpConnection if plan.protocol == "http" else _RedisConnection
    ends = []
    connections = []
    for at in range(plan.connections):
        end = loop.create_future()
        request = plan.requests[at % len(plan.requests)]
        made = kind(request, until, lambda end=end: end.done() or end.set_result(None))  # type: ignore[misc]
        connections.append(made)
        ends.append(end)
        if isinstance(plan.address, str):
            await loop.create_unix_connection(lambda made=made: made, plan.address)  # type: ignore[misc]
        else:
            await loop.create_connection(lambda made=made: made, *plan.address)  # type: ignore[misc]
    await asyncio.wait_for(asyncio.gather(*ends), plan.seconds + 30)
    seconds = time.perf_counter() - began
    times = sorted(taken for one in connections for taken in one.times)
    failures = sum(one.failures for one in connections)
    p50, p99 = (times[int(len(times) * part)] * 1e6 if times else 0.0 for part in (0.5, 0.99))
    return Tally(len(times), failures, seconds, p50, p99)


async def put_on(plan: Plan) -> Tally:
    """Put the load on from a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(msgspec.json.encode(plan))
    assert process.returncode == 0, "the load ended early"
    return msgspec.json.decode(output, type=Tally)


def main() -> None:
    """Read a plan, put the load on, print the tally."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(run(plan))
    sys.stdout.buffer.write(msgspec.json.encode(tally))


if __name__ == "__main__":
    main()
