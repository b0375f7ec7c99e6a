"""How much a client may send, and how long it may take, until there is a request; and how what
never becomes one is refused.

Uvicorn's parser keeps the lines of a head for as long as they come. What is no HTTP it answers in
plain text and at once, ahead of what was asked before. And it waits without end for a first
request, and for the rest of one. Here lines have an end, a first request has to begin as soon as
any other, each has to be whole within ``REQUEST_SECONDS``, and a refusal is an error like any
other, in its turn, after which the connection is closed.

Packets are counted, not lines, since the parser tells of a line only at its end. A packet in which
a request begins, or a part of a body comes, counts for nothing: what else is in it is not known. So
at most ``HEAD_BYTES_MAX`` and two packets (256 KiB each) are kept of a head that does not end, and
one that ends is measured.

Uvicorn reads on after each answer, so that what a client asks ahead of its answers, or is answered
and does not take, is kept without an end. Here nothing more is read until all that came was begun,
and what was answered is taken (``gateway.api.protocol.flow``).

The parser leaves out the body of a request that asks to go on in another protocol, as the HTTP
client of Java does on each new connection. None other is spoken here, so such a request is read
again as if it had not asked.

Uvicorn sets a timer behind each answer and cancels it with the next request. Here it is noted until
when the connection may stay as it is, and the timer that runs looks at that when it ends: for 64
connections that is worth a twelfth of what a call costs on the ASGI tier.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from gateway.api.errors import ENV_UNKNOWN, Reply, error_reply
from gateway.api.protocol.flow import Flow
from gateway.api.protocol.leaving import LastRequest
from gateway.errors import (
    GatewayError,
    HeadTooLargeError,
    InvalidInputsError,
    RequestTimeoutError,
)

HEAD_BYTES_MAX = 64 * 1024
"""Bytes of the request line and all headers; of trailers, and of sizes of chunks, as many."""

REQUEST_SECONDS = 75.0
"""From the first byte of a request to its last."""

NEVER = math.inf

_CLOSE: Final = b"connection: close\r\n"
_SEPARATORS = len(b": \r\n")

_CONNECT: Final = b"CONNECT"
"""A method that asks for another protocol by itself."""


def written(reply: Reply, *, keep_alive: bool) -> bytes:
    """Return an answer as it goes over the wire."""
    lines = [STATUS_LINE[reply.status]]
    for name, value in reply.headers:
        lines += (name, b": ", value, b"\r\n")
    lines.append(b"content-length: %d\r\n" % len(reply.body))
    if not keep_alive:
        lines.append(_CLOSE)
    lines += (b"\r\n", reply.body)
    return b"".join(lines)


def head_too_large() -> HeadTooLargeError:
    """Return the error for a head of more bytes than may be."""
    return HeadTooLargeError(
        f"The request line and the headers are larger than {HEAD_BYTES_MAX} bytes"
    )


class _Refusal:
    """Stands where a request would stand that is answered after those before it."""

    more_body = False
    response_complete = False


class Intake(HttpToolsProtocol):
    """Uvicorn's protocol with an end to what it takes, and waits for."""

    # Python looks names of an object up faster while its dictionary has no more than thirty, and
    # uvicorn's has 28 already: a twentieth of what a call costs on the ASGI tier.
    __slots__ = (
        "_asking",
        "_began_at",
        "_begun_head",
        "_fault",
        "_line_bytes",
        "_packet_bytes",
        "ends_at",
        "is_partial",
        "known_head",
    )

    flow: Flow

    request_seconds = REQUEST_SECONDS

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's
        """Begin with nothing that came."""
        super().__init__(*given, **named)
        self.is_partial = False
        """Whether a request had begun to come, and was not whole, behind the last packet."""
        self.ends_at = NEVER
        """When the connection is closed, by the loop's clock; never while something is answered."""
        self.known_head: list[tuple[bytes, bytes]] | None = None
        """The headers of the newest request of which all are there."""
        self._began_at = 0.0
        self._begun_head: list[tuple[bytes, bytes]] | None = None
        """Of the newest request that was not whole."""
        self._packet_bytes = 0
        self._line_bytes = 0
        """Of packets that were nothing but lines, since a beginning or a part of a body."""
        self._fault: GatewayError | None = None
        self._asking: bytes | None = None
        """The head that asks for another protocol, without that."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of a narrower one
        """Take a connection."""
        super().connection_made(cast("Any", transport))
        self.flow = Flow(transport, self.pipeline, self.loop)
        self._wait_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self.flow.end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, as far as it may come."""
        self._packet_bytes = len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as asked:
                self._feed_again(data, asked)
        except httptools.HttpParserError:
            self.refuse(self._fault or InvalidInputsError("The request is not valid HTTP/1.1"))
            return
        cycle = cast("Any", self.cycle)
        if cycle is None or cycle.more_body or self.known_head is not self.headers:
            self._take_part()
        elif not cycle.response_complete:
            self.is_partial = False
            self.ends_at = NEVER
        elif self.is_partial:
            self.is_partial = False
            self._wait_on()

    def on_headers_complete(self) -> None:
        """Measure a head."""
        self.note_head()
        if self.parser.should_upgrade() and self.parser.get_method() != _CONNECT:
            self._asking = self._head_that_stays()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note that a body goes on."""
        self._line_bytes = -self._packet_bytes
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that a request is whole."""
        if self._asking is None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin with what waits behind the answer, or wait for the next request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.flow.watch()
            return
        waiting = self.pipeline.pop() if self.pipeline else None
        if self.flow.read_paused:
            self.flow.resume_reading()
        if waiting is not None:
            self._start_asgi_task(*waiting)
            if self._is_answering:
                return
            self._began_at = self.loop.time()  # The rest of it may not have been read so far.
        self._wait_on()

    def note_head(self) -> None:
        """Note that all headers of a request are there. Raises ``HeadTooLargeError``, which the
        parser takes for the end.
        """
        self.known_head = self.headers
        if not self.is_partial and self._packet_bytes <= HEAD_BYTES_MAX:
            return
        lines = sum(len(name) + len(value) + _SEPARATORS for name, value in self.headers)
        if len(self.url) + lines > HEAD_BYTES_MAX:
            self._fault = head_too_large()
            raise self._fault

    def refuse(self, error: GatewayError) -> None:
        """Answer what is no request, in its turn, and close."""
        if self.transport.is_closing():
            return
        cycle = cast("Any", self.cycle)
        is_body = cycle is not None and cycle.more_body and self.known_head is self.headers
        if is_body and self.pipeline:
            # A call that waits for its turn and will never be whole.
            self.pipeline.popleft()
            self._refuse_later(error)
        elif not is_body and self._is_answering:
            self._refuse_later(error)
        else:
            self._refuse_now(error)

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that has stayed as it was for too long."""
        self.timeout_keep_alive_task = None
        if self.ends_at > self.loop.time():
            if self.ends_at != NEVER:
                self._look_later()
        elif self.is_partial:
            self.refuse(RequestTimeoutError())
        else:
            super().timeout_keep_alive_handler()
            self.flow.watch()

    def _feed_again(self, data: bytes, asked: httptools.HttpParserUpgrade) -> None:
        """Read on where the parser stopped, and what it stopped for as any other request."""
        rest: Any = data
        while True:
            # Not copied: there may be many such requests in one packet.
            rest = memoryview(rest)[asked.args[0] :]
            head, self._asking = self._asking or b"", None
            self._renew_parser()
            try:
                self.parser.feed_data(head)
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as again:
                asked = again
            else:
                return

    def _renew_parser(self) -> None:
        # The one there is takes nothing behind a request that asks to close as well.
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if isinstance(self.parser, LastRequest):
            self.parser.renew(parser)
        else:
            self.parser = parser

    def _head_that_stays(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b\r\n" % line for line in self.headers if line[0] != b"upgrade"]
        return b"%b\r\n" % b"".join(lines)

    @property
    def _is_answering(self) -> bool:
        """Whether a request that came whole waits for its answer, or to be begun."""
        cycle = cast("Any", self.cycle)
        is_whole = cycle is not None and not cycle.response_complete and not cycle.more_body
        return bool(is_whole or self.pipeline)

    def _take_part(self) -> None:
        if not self.is_partial or self._begun_head is not self.headers:
            self.is_partial = True
            self._begun_head = self.headers
            self._began_at = self.loop.time()
            self._line_bytes = 0
        else:
            self._line_bytes += self._packet_bytes
            if self._line_bytes > HEAD_BYTES_MAX:
                self.refuse(head_too_large())
                return
        if self._is_answering:
            self.ends_at = NEVER
        else:
            self._wait_on()

    def _wait_on(self) -> None:
        if self.is_partial:
            self.ends_at = self._began_at + self.request_seconds
        else:
            self.ends_at = self.loop.time() + self.timeout_keep_alive
        if self.timeout_keep_alive_task is None:
            self._look_later()

    def _look_later(self) -> None:
        # Never later than an idle connection may end, which this one may become meanwhile.
        seconds = min(self.ends_at - self.loop.time(), self.timeout_keep_alive)
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _refuse_later(self, error: GatewayError) -> None:
        self._fault = error
        self.flow.pause_reading()
        self.pipeline.appendleft((cast("Any", _Refusal()), self.app))

    def _refuse_now(self, error: GatewayError) -> None:
        cycle = cast("Any", self.cycle)
        # An application may answer before it has read the body that is refused.
        is_late = (
            isinstance(cycle, RequestResponseCycle) and cycle.more_body and cycle.response_started
        )
        if not is_late:
            self.transport.write(written(error_reply(error, ENV_UNKNOWN), keep_alive=False))
        self.transport.close()
        self.flow.watch()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:  # noqa: ANN401 - of several kinds
        if isinstance(cycle, _Refusal) and self._fault is not None:
            self._refuse_now(self._fault)
        else:
            super()._start_asgi_task(cycle, app)
