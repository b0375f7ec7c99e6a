"""The fast lane: the two hot routes answered inside uvicorn's own protocol, before ASGI begins.

A request for a hot route becomes a ``_HotCall``, which stands where uvicorn's request cycle would
stand, so that keep-alive, pipelining, hang-ups and a graceful stop stay uvicorn's care; only the
scope, the task and the messages of ASGI are not made. Whatever is unusual (another method, a query,
``Expect``, an upgrade, HTTP/1.0) goes on to ASGI as if the lane were not there, and the answers are
the same bytes either way: both come from ``Exchange``.

A request that arrives whole, on a connection that waits for one, and whose head is known
(``gateway.api.protocol.heads``) needs no parser either.

It relies on uvicorn's internals, which is why that is pinned to one minor release.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, ClassVar, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.api.decoding import DRAIN_BYTES_MAX, body_too_large
from gateway.api.errors import JSON, Reply
from gateway.api.exchange import Answers, ClientGoneError
from gateway.api.operation import Operation
from gateway.api.plain.calls import PlainCalls, usual
from gateway.api.protocol.heads import IDEMPOTENCY_KEY, Head, Heads
from gateway.api.protocol.intake import NEVER, Intake, written
from gateway.scripts.pipe import Later
from gateway.stepping import drive

log = logging.getLogger(__name__)

_USUAL: Final = b"%b%b: %b\r\nx-request-id: %%b\r\ncontent-length: %%d\r\n\r\n%%b" % (
    STATUS_LINE[200],
    *JSON,
)
"""The usual answer, but for request id, length and body."""

_HEAD_END: Final = b"\r\n\r\n"


class _NoEvent:
    """Nobody waits for the parts of a hot call's body."""

    def set(self) -> None:
        """Do nothing."""


_NO_EVENT = _NoEvent()


class _HotCall:
    """A request on its way, and a ``Caller``; the names without an underscore are those uvicorn's
    protocol uses of a cycle, or the lane's.
    """

    __slots__ = (
        "_protocol",
        "body",
        "disconnected",
        "head",
        "keep_alive",
        "key",
        "more_body",
        "response_complete",
        "size",
    )

    message_event = _NO_EVENT

    def __init__(self, protocol: FastLane, head: Head, *, keep_alive: bool) -> None:
        self._protocol = protocol
        self.size = 0
        self.head = head
        self.key: bytes | None = None
        """The idempotency key, where the head was known but for that."""
        self.keep_alive = keep_alive
        self.body: bytes | bytearray = bytearray()
        self.more_body = True
        self.disconnected = False
        self.response_complete = False

    def keep(self, data: bytes) -> None:
        """Keep a part of the body, or only count it once there is too much."""
        self.size += len(data)
        if self.size <= self._protocol.body_bytes_max:
            self.body += data
        else:
            self.body = bytearray()

    @property
    def is_endless(self) -> bool:
        """Whether so much came that not even a refusal is worth reading the rest."""
        return self.size > self._protocol.body_bytes_max + DRAIN_BYTES_MAX

    def filled(self, rest: int) -> bool:
        """Whether so many bytes behind the head are its body as it is, and more may follow it."""
        is_whole = not self.more_body and self.size == rest
        return is_whole and self.keep_alive and rest <= self._protocol.body_bytes_max

    def begin(self) -> None:
        """Answer; the body is complete."""
        protocol = self._protocol
        if protocol.transport.is_closing():
            # Behind a request that was the last one, nothing is carried out.
            return
        plain, head = protocol.plain, self.head
        if plain is None or self.size > protocol.body_bytes_max:
            self.go_longer()
            return
        if head.asking is None:
            head.asking = plain.asking(head.operation, head.headers)
        if head.asking is None:
            self.go_longer()
        else:
            plain.ask(head.asking, bytes(self.body), self, self.key)

    def go_longer(self) -> None:
        """Answer by the exchange."""
        head, key = self.head, self.key
        headers = head.headers
        if key is not None:
            headers = [(name, key if name == IDEMPOTENCY_KEY else value) for name, value in headers]
        answer = self._protocol.exchange.answer(
            head.operation, "POST", b"", headers, self._read_body
        )
        drive(answer, self._done, cast("Any", self._protocol.tasks))

    async def _read_body(self) -> bytes:
        if self.size > self._protocol.body_bytes_max:
            raise body_too_large(self._protocol.body_bytes_max)
        return bytes(self.body)

    def _done(self, reply: Reply | None, error: BaseException | None) -> None:
        if reply is not None:
            self.end(reply)
        elif self._is_left():
            self.response_complete = True
        else:
            if not isinstance(error, ClientGoneError):
                log.error("a hot call failed", exc_info=error)
            self._protocol.transport.close()

    def take(self, request_id: bytes, body: bytes) -> Later | None:
        """Give the usual answer, later where the connection stays open."""
        if self.keep_alive:
            return self._give, _USUAL % (request_id, len(body), body)
        self.end(usual(request_id, body))
        return None

    def end(self, reply: Reply) -> None:
        """Give any answer."""
        self._give(written(reply, keep_alive=self.keep_alive))

    def _give(self, answer: bytes) -> None:
        protocol = self._protocol
        transport = protocol.transport
        self.response_complete = True
        if self.disconnected or transport.is_closing():
            return
        try:
            transport.write(answer)
            if not self.keep_alive:
                transport.close()
            protocol.on_response_complete()
        except Exception:
            # Nothing else would ever look at this connection again.
            log.exception("an answer could not be given")
            transport.abort()

    def _is_left(self) -> bool:
        return self.disconnected or self._protocol.transport.is_closing()


class FastLane(Intake):
    """Uvicorn's protocol with a shorter way for hot routes; ``make_lane`` binds it to them."""

    hot: ClassVar[dict[bytes, Operation]]
    heads: ClassVar[Heads]
    exchange: ClassVar[Answers]
    plain: ClassVar[PlainCalls | None]
    body_bytes_max: ClassVar[int]

    knows_heads = True
    """False when every request has to go through the parser."""
    _call: _HotCall | None = None
    """Stands for one request with a known head after the other."""

    def data_received(self, data: bytes) -> None:
        """Take what came: a whole request with a head that is known, or anything else."""
        before: Any = self.cycle
        waits = not self.is_partial and (before is None or before.response_complete)
        if not waits or not self.knows_heads:
            super().data_received(data)
            return
        end = data.find(_HEAD_END) + len(_HEAD_END)
        head, key = self.heads.known.get(data[:end]), None
        if head is None and (keyed := self.heads.keyed(data, end)) is not None:
            head, key = keyed
        if head is None or len(data) != end + head.body_bytes:
            super().data_received(data)
            begun = cast("Any", self.cycle)
            is_new = begun is not before and isinstance(begun, _HotCall)
            if is_new and begun.filled(len(data) - end):
                begun.head.body_bytes = begun.size
                self.heads.remember(data[:end], begun.head)
            return
        self.ends_at = NEVER
        call = self._call
        if call is None:
            call = self._call = _HotCall(self, head, keep_alive=True)
            call.more_body = False
        call.head = head
        call.key = key
        call.body = body = data[end:]
        call.keep_alive = True
        call.response_complete = False
        self.cycle = call  # type: ignore[assignment]  # a cast would cost each request
        if head.asking is None or self.plain is None:
            call.begin()
        else:
            self.plain.ask(head.asking, body, call, key)

    def on_message_begin(self) -> None:
        """Note a request; what ASGI needs of it is made when it turns out to need ASGI."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Choose the way."""
        operation = self.hot.get(self.url)
        if (
            operation is None
            or self.expect_100_continue
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
            or self.parser.should_upgrade()
        ):
            self._leave_lane()
            return
        self.note_head()
        before = cast("Any", self.cycle)
        head = Head(operation, self.headers)
        call = _HotCall(self, head, keep_alive=self.parser.should_keep_alive())
        self.cycle = cast("Any", call)
        if before is not None and not before.response_complete:
            self.flow.pause_reading()
            self.pipeline.appendleft((cast("Any", call), self.app))

    def _leave_lane(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body."""
        call = cast("Any", self.cycle)
        if not isinstance(call, _HotCall):
            super().on_body(body)
            return
        self._line_bytes = -self._packet_bytes
        call.keep(body)
        if call.is_endless and call.more_body:
            call.keep_alive = False
            self.on_message_complete()

    def on_message_complete(self) -> None:
        """Answer a hot call whose turn it is."""
        call = cast("Any", self.cycle)
        if not isinstance(call, _HotCall):
            super().on_message_complete()
            return
        if call.more_body:
            call.more_body = False
            if not self._waits(call):
                call.begin()

    def _waits(self, call: _HotCall) -> bool:
        pipeline = cast("Any", self.pipeline)
        return bool(pipeline) and any(waiting is call for waiting, _ in pipeline)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:  # noqa: ANN401 - a cycle or a call
        if isinstance(cycle, _HotCall):
            if not cycle.more_body:
                # One that is answered at once would begin the next from here, and so on.
                self.loop.call_soon(cycle.begin)
        else:
            super()._start_asgi_task(cycle, app)


def make_lane(
    exchange: Answers,
    operations: Iterable[Operation],
    *,
    body_bytes_max: int,
    plain: PlainCalls | None = None,
) -> type[FastLane]:
    """Return the protocol class for the hot operations; uvicorn makes one for each connection."""

    class Lane(FastLane):
        """The lane of one application."""

    Lane.hot = {operation.path.encode(): operation for operation in operations if operation.hot}
    Lane.heads = Heads()
    Lane.exchange = exchange
    Lane.plain = plain
    Lane.body_bytes_max = body_bytes_max
    return Lane
